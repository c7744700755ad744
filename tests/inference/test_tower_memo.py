"""Pictures that samples share go through the towers once, as long as there is room; answers are the same."""

import pytest
import torch

from llava_corr.datasets.collate import load_pictures, to_dialogue
from llava_corr.inference.predictor import Predictor
from llava_corr.inference.tower_memo import TowerMemo
from llava_corr.records import Turn


@pytest.fixture
def looked(toy):
    """How many pictures each pass of the grounding tower took."""
    passes = []
    tower = toy[0].grounding.sam.vision_encoder
    handle = tower.register_forward_pre_hook(
        lambda _, args, kwargs: passes.append(len(args[0] if args else kwargs["pixel_values"])), with_kwargs=True
    )
    yield passes
    handle.remove()


def batch_of(samples):
    return [to_dialogue(sample, with_answers=False) for sample in samples], load_pictures(samples)


def test_features_are_those_of_the_towers(toy):
    model, processor, samples = toy
    memo = TowerMemo(model, processor)
    memo.of(*batch_of(samples[:2]))  # one picture more or less is known then
    dialogues, pictures = batch_of(samples[1:4])
    found = processor(dialogues, None, features=memo.of(dialogues, pictures), padding_side="left")
    whole = processor(dialogues, pictures, padding_side="left")
    with torch.no_grad():
        expected = model.features(**whole) | {"grounding_sizes": whole["grounding_sizes"]}
    assert set(expected) <= set(found)
    assert not {"pixel_values", "semantic_pixels", "grounding_pixels"} & set(found)
    for name, values in expected.items():
        assert torch.allclose(found[name], values, atol=1e-5), name
    for name in ("input_ids", "image_index", "image_owner", "guide_positions"):
        assert torch.equal(found[name], whole[name])


def test_every_picture_is_looked_at_once(toy, looked):
    model, processor, samples = toy
    twice = [*samples[:4], *samples[:4]]
    answers = list(Predictor(model, processor).predict(twice, batch_size=2, true_answers=True, progress=False))
    assert sum(looked) == len({image.path for sample in samples[:4] for image in sample.images})
    fields = [answer.model_dump() for answer in answers]
    assert fields[:4] == fields[4:]
    assert all(answer.segments for answer in answers)


@pytest.mark.parametrize("blind", [False, True])
def test_answers_are_those_without_it(toy, blind):
    """Also of samples without a picture, alone in their batch and beside others."""
    model, processor, samples = toy
    words = samples[0].model_copy(
        update={"id": "words", "images": (), "targets": (), "turns": (Turn(user="Hello.", assistant="Hello."),)}
    )
    asked = [*samples[:3], words, *samples[:2], words.model_copy(update={"id": "words, too"})]
    predictor = Predictor(model, processor, max_new_tokens=12)
    answers = list(predictor.predict(asked, batch_size=3, blind=blind, progress=False))
    for sample, answer in zip(asked, answers, strict=True):
        dialogue = to_dialogue(sample, with_answers=False, blind=blind)
        pictures = load_pictures([sample], blind=blind)
        (alone,) = predictor.answer_dialogues([dialogue], pictures, [sample.truth_hash()])
        assert answer.model_dump() == alone.model_dump()


def test_history_keeps_its_masks(toy):
    """A dialogue whose first answer is given, with its masks, and whose second is asked for."""
    model, processor, samples = toy
    first = next(sample for sample in samples if sample.targets)
    more = first.model_copy(update={"turns": (*first.turns, Turn(user="And what else?", assistant="Nothing."))})
    predictor = Predictor(model, processor, max_new_tokens=12)
    (answer,) = predictor.predict([more], progress=False)
    dialogue = to_dialogue(more, with_answers=False)
    assert dialogue.targets
    (alone,) = predictor.answer_dialogues([dialogue], load_pictures([more]), [more.truth_hash()])
    assert answer.model_dump() == alone.model_dump()


def test_what_has_no_room_is_forgotten_the_oldest_first(toy, looked):
    model, processor, samples = toy
    batches = [batch_of([sample]) for sample in samples[:3]]
    size = sum(v.nbytes for v in TowerMemo(model, processor).of(*batches[0])[batches[0][0][0].image_keys[0]].values())
    memo = TowerMemo(model, processor, room=5 * size - 1)  # the pictures of two samples
    looked.clear()
    for dialogues, pictures in (*batches, batches[2], batches[1]):
        memo.of(dialogues, pictures)
    assert sum(looked) == 6
    memo.of(*batches[0])
    assert sum(looked) == 8
    memo.of(*batches[1])  # came before the third, but was asked for after it
    assert sum(looked) == 8


def test_a_batch_larger_than_the_room_is_answered(toy, looked):
    model, processor, samples = toy
    memo = TowerMemo(model, processor, room=0)
    dialogues, pictures = batch_of(samples[:3])
    for _ in range(2):
        assert set(memo.of(dialogues, pictures)) == set(pictures)
    assert sum(looked) == 2 * len(pictures)
