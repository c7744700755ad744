"""Answers do not depend on how they are computed: company, padding, tower passes, cache, beams, several turns."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from answering import planned, stir
from toy import toy_samples

from llava_corr.datasets.collate import Collator, load_pictures, to_dialogue
from llava_corr.inference.predictor import PROMPT, Predictor
from llava_corr.records import Dialogue

LONG = "Find the common objects, and say of every single one of them what it is called and where it lies."
ROUNDING = 2e-6  # of a probability, fp32: the largest difference seen between batch sizes


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Dialogues of 1 to 4 pictures, with questions of two lengths."""
    samples = toy_samples(tmp_path_factory.mktemp("mixed"), 8, images=(1, 2, 3, 4))
    longer = [turn for s in samples for turn in s.turns]
    for n, turn in enumerate(longer):
        if n % 3 == 0:
            words = turn.user.replace("Find the common objects.", LONG)
            samples[n] = samples[n].model_copy(update={"turns": (turn.model_copy(update={"user": words}),)})
    return samples


@pytest.fixture(scope="module")
def model(toy):
    return stir(copy.deepcopy(toy[0]), seed=3)


@pytest.fixture
def predictor(toy, model, monkeypatch):
    """Answers in the grammar: all plans are followed, and masks are drawn."""
    tokenizer = toy[1].tokenizer
    monkeypatch.setattr(model, "answer", partial(type(model).answer, model, logits_processor=planned(tokenizer)))
    monkeypatch.setattr(model, "max_images_per_tower_pass", None)
    return Predictor(model, toy[1], max_new_tokens=20)


def question(processor, model, samples, pad=0):
    """A left-padded batch of questions and what the towers see, ``pad`` columns wider than it need be."""
    batch = Collator(processor, with_answers=False)(samples)
    batch.pop("sample_ids")
    if pad:
        batch["input_ids"] = torch.nn.functional.pad(
            batch["input_ids"], (pad, 0), value=processor.tokenizer.pad_token_id
        )
        batch["attention_mask"] = torch.nn.functional.pad(batch["attention_mask"], (pad, 0))
        batch["guide_positions"] = batch["guide_positions"] + pad
    seen = model.features(**batch)
    return {name: batch[name] for name in PROMPT} | {"patches": seen["patches"], "semantic": seen["semantic"]}


def options(processor, **more):
    tokenizer = processor.tokenizer
    return {"max_new_tokens": 20, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id} | more


def teacher_forced(model, asked, tokens):
    """Log-probabilities B x T x V of the answers' tokens, in one pass over question and answer without a cache."""
    ids = torch.cat([asked["input_ids"], tokens], 1)
    attention = torch.cat([asked["attention_mask"], torch.ones_like(tokens)], 1)
    hidden = model(**asked | {"input_ids": ids, "attention_mask": attention}).hidden_states
    return model.trunk.lm_head(hidden[:, asked["input_ids"].shape[1] - 1 : -1]).log_softmax(-1)


def comparable(predictions):
    return [(p.text, p.trail, [(s.phrase, s.image_index, s.mask) for s in p.segments]) for p in predictions]


def test_company_and_tower_passes_change_no_answer_and_no_pixel(mixed, predictor, model, monkeypatch):
    near = []
    probabilities = type(predictor.processor).mask_probabilities

    def watched(self, *args):
        found = probabilities(self, *args)
        near.extend(np.abs(p - 0.5).min() for p in found)
        return found

    monkeypatch.setattr(type(predictor.processor), "mask_probabilities", watched)
    alone = list(predictor.predict(mixed, batch_size=1, progress=False))
    assert len({p.text for p in alone}) > 4
    assert sum(len(p.segments) for p in alone) > 8
    # no pixel is so near to 0.5 that rounding would decide it: else no machine could promise equal masks
    assert min(near) > 5 * ROUNDING
    shares = [s.mask.to_array().mean() for p in alone for s in p.segments]
    assert 0.02 < np.mean(shares) < 0.98
    assert np.std(shares) > 0.01
    for longest, size in ((None, 8), (None, 3), (1, 8), (3, 8), (3, 1)):
        model.max_images_per_tower_pass = longest
        again = list(predictor.predict(mixed, batch_size=size, progress=False))
        assert comparable(again) == comparable(alone), (longest, size)


@torch.no_grad()
def test_the_amount_of_padding_changes_no_token(toy, mixed, model):
    processor = toy[1]
    answers = [
        model.answer(
            **question(processor, model, mixed[:2], pad),
            **options(processor, logits_processor=planned(processor.tokenizer)),
        )
        for pad in (0, 1, 37)
    ]
    assert all(torch.equal(answers[0], a) for a in answers[1:])


@torch.no_grad()
def test_greedy_tokens_are_the_most_likely_ones_of_one_pass(toy, mixed, model):
    processor = toy[1]
    asked = question(processor, model, mixed)
    tokens = model.answer(**asked, **options(processor, eos_token_id=None))
    assert tokens.shape == (8, 20)
    assert len(tokens.unique(dim=0)) > 4
    assert torch.equal(teacher_forced(model, asked, tokens).argmax(-1), tokens)


@torch.no_grad()
def test_the_answer_depends_on_what_is_injected(toy, mixed, model):
    processor = toy[1]
    asked = question(processor, model, mixed)
    plain = copy.deepcopy(model)
    plain.config.adaptation_layers = []
    wanted = options(processor, eos_token_id=None)
    assert not torch.equal(model.answer(**asked, **wanted), plain.answer(**asked, **wanted))


@torch.no_grad()
def test_without_a_cache_the_tokens_are_the_same(toy, mixed, model):
    """Every step from the first token on again; ``use_cache=False`` itself is overruled by transformers, which always
    caches where the prompt is given as embeddings."""
    processor = toy[1]
    asked = question(processor, model, mixed)
    tokens = model.answer(**asked, **options(processor, eos_token_id=None))
    ids, attention = asked["input_ids"], asked["attention_mask"]
    for step in range(tokens.shape[1]):
        hidden = model(**asked | {"input_ids": ids, "attention_mask": attention}).hidden_states
        chosen = model.trunk.lm_head(hidden[:, -1]).argmax(-1)
        assert torch.equal(chosen, tokens[:, step]), step
        ids = torch.cat([ids, chosen[:, None]], 1)
        attention = torch.cat([attention, torch.ones_like(chosen[:, None])], 1)
    assert torch.equal(model.answer(**asked, **options(processor, eos_token_id=None, use_cache=False)), tokens)


@torch.no_grad()
def test_the_score_of_a_beam_is_its_teacher_forced_log_probability(toy, mixed, model):
    processor = toy[1]
    asked = question(processor, model, mixed[:5])
    found = model.answer(**asked, **options(
        processor, eos_token_id=None, num_beams=3, length_penalty=0.0, output_scores=True, return_dict_in_generate=True
    ))  # fmt: skip
    chances = teacher_forced(model, asked, found.sequences)
    expected = chances.gather(2, found.sequences[..., None])[..., 0].sum(1)
    assert torch.allclose(found.sequences_scores, expected, atol=1e-3)
    greedy = model.answer(**asked, **options(processor, eos_token_id=None))
    greedy_score = teacher_forced(model, asked, greedy).gather(2, greedy[..., None])[..., 0].sum(1)
    assert (found.sequences_scores >= greedy_score - 1e-3).float().mean() > 0.5


@torch.no_grad()
def test_several_answers_of_a_beam_belong_to_their_question(toy, mixed, model):
    processor = toy[1]
    wanted = options(processor, eos_token_id=None, num_beams=4, num_return_sequences=2)
    together = model.answer(**question(processor, model, mixed[:3]), **wanted)
    alone = [model.answer(**question(processor, model, [s]), **wanted) for s in mixed[:3]]
    assert torch.equal(together, torch.cat(alone))


@torch.no_grad()
def test_sampling_follows_the_models_chances(toy, mixed, model):
    """Same seed, same answer; the scores that are drawn from are those of one teacher-forced pass."""
    processor = toy[1]
    asked = question(processor, model, mixed[:3])
    wanted = options(processor, eos_token_id=None, do_sample=True, top_k=0, temperature=1.0, output_logits=True,
                     return_dict_in_generate=True)  # fmt: skip
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(model.answer(**asked, **wanted))
    assert torch.equal(draws[0].sequences, draws[1].sequences)
    assert not torch.equal(draws[0].sequences, draws[2].sequences)
    drawn = torch.stack(draws[0].logits, 1).log_softmax(-1)
    assert torch.allclose(drawn, teacher_forced(model, asked, draws[0].sequences), atol=1e-3)


@pytest.mark.parametrize(
    ("plan", "places"),
    [
        ((" [SEG]", " (IMAGE1)", None, None, "."), "first"),
        ((None, " <p>", None, " </p>", " (IMAGE2)", " [SEG]", " (IMAGE1)", " [SEG]", " [SEG]"), "last"),
        ((None, " <p>", None, " </p>", " [SEG]", " (IMAGE1)", " [SEG]", " (IMAGE2)", None, None), "middle"),
    ],
    ids=["first", "last", "middle"],
)
@torch.no_grad()
def test_seg_states_equal_those_of_decoding_step_by_step(toy, mixed, predictor, model, monkeypatch, plan, places):
    """The predictor's one pass over question and answer, against the states that generation itself went through."""
    processor = toy[1]
    # " [SEG]" is a blank and the token; as the very first token of an answer it stands without the blank
    first = processor.tokenizer("[SEG]", add_special_tokens=False)["input_ids"]
    logits_processor = planned(processor.tokenizer, (plan,))
    if places == "first":
        logits_processor[0].plans = [[*first, *logits_processor[0].plans[0][2:]]]
    monkeypatch.setattr(model, "answer", partial(type(model).answer, model, logits_processor=logits_processor))
    stepwise, pointed, answers = [], [], []
    hooks = [
        model.trunk.model.norm.register_forward_hook(lambda _, __, out: stepwise.append(out[:, -1])),
        model.seg_projection.register_forward_pre_hook(lambda _, args: pointed.append(args[0])),
    ]
    finish = predictor._finish
    monkeypatch.setattr(predictor, "_finish", lambda row: answers.append(row.tolist()) or finish(row))
    predictions = list(predictor.predict([s for s in mixed if len(s.images) > 1], batch_size=6, progress=False))
    for hook in hooks:
        hook.remove()
    assert all(p.segments for p in predictions)
    (states,) = pointed
    expected = []
    for row, (tokens, prediction) in enumerate(zip(answers, predictions, strict=True)):
        where = [step for step, token in enumerate(tokens) if token == processor.seg_token_id]
        assert len(where) == len(prediction.segments)
        if places == "first":
            assert where == [0]
        if places == "last":
            assert tokens[where[-1] + 1] == processor.tokenizer.eos_token_id
        expected += [stepwise[step][row] for step in where]
    assert torch.allclose(states, torch.stack(expected), atol=2e-4)


@torch.no_grad()
def test_the_guide_stays_before_the_first_answer(toy, mixed, model):
    """A second question, with the first answer as history: image positions hold what they held."""
    processor = toy[1]
    sample = next(s for s in mixed if len(s.images) == 2 and s.targets)
    first = to_dialogue(sample, with_answers=True)
    more = Dialogue("two", first.image_keys, [*first.turns, ("And which is the larger one?", None)], first.targets)
    third = Dialogue("three", first.image_keys, [*first.turns, ("And which is the larger one?", "The first."),
                                                 ("Why?", None)], first.targets)  # fmt: skip
    pictures = load_pictures([sample])
    states = []
    for dialogue in (to_dialogue(sample, with_answers=False), more, third):
        batch = processor([dialogue], pictures)
        guide = int(batch["guide_positions"][0])
        assert processor.tokenizer.decode(batch["input_ids"][0, : guide + 1]).count("ASSISTANT:") == 1
        assert processor.tokenizer.decode(batch["input_ids"][0, : guide + 1]).endswith("ASSISTANT:")
        asked = {name: batch[name] for name in PROMPT}
        states.append(model(**asked, **_pictures(model.features(**batch))).hidden_states[0, : guide + 1])
    assert all(torch.allclose(states[0], s, atol=1e-4) for s in states[1:])


def _pictures(seen):
    return {"patches": seen["patches"], "semantic": seen["semantic"]}


def test_answers_with_history_do_not_depend_on_company(toy, mixed, predictor):
    histories = []
    for sample in mixed[:6]:
        (turn,) = sample.turns
        again = turn.model_copy(update={"user": "Where are they?", "assistant": "There."})
        histories.append(sample.model_copy(update={"turns": (turn, again)}))
    alone = list(predictor.predict(histories, batch_size=1, progress=False))
    together = list(predictor.predict([*histories, mixed[7]], batch_size=7, progress=False))[:-1]
    assert comparable(alone) == comparable(together)
    assert comparable(alone) != comparable(predictor.predict(mixed[:6], batch_size=6, progress=False))


@torch.no_grad()
def test_padding_on_either_side_gives_the_same_masks_and_losses(toy, mixed, model):
    processor = toy[1]
    dialogues, pictures = [to_dialogue(s, with_answers=True) for s in mixed], load_pictures(mixed)
    right, left = (model(**processor(dialogues, pictures, padding_side=side)) for side in ("right", "left"))
    assert torch.equal(left.counts, right.counts)
    assert torch.allclose(left.loss_sums, right.loss_sums, rtol=1e-4)
    assert torch.allclose(left.mask_logits, right.mask_logits, atol=1e-3)
    assert ((left.mask_logits > 0) != (right.mask_logits > 0)).float().mean() < 1e-4
