"""Answers: the same at any batch size, [SEG] states as in teacher forcing, errors for what cannot be asked."""

import copy

import numpy as np
import pytest
import torch
from answering import stir
from PIL import Image

from llava_corr.datasets.collate import load_pictures, to_dialogue
from llava_corr.errors import CheckpointError, ImageError, SampleError
from llava_corr.inference.predictor import Predictor


@pytest.fixture
def predictor(toy):
    model, processor, _ = toy
    return Predictor(model, processor, max_new_tokens=12)


def test_batch_size_changes_nothing(toy, predictor):
    _, _, samples = toy
    one = list(predictor.predict(samples[:6], batch_size=1, progress=False))
    many = list(predictor.predict(samples[:6], batch_size=4, progress=False))
    assert [p.model_dump() for p in one] == [p.model_dump() for p in many]
    assert [p.truth for p in one] == [s.truth_hash() for s in samples[:6]]


def test_masks_of_true_answers_equal_teacher_forcing(toy, predictor):
    """They are those of the training forward, whole, however few tokens an answer may have."""
    model, processor, samples = toy
    chosen = [s for s in samples if s.targets][:3]
    predictions = list(predictor.predict(chosen, batch_size=2, true_answers=True, progress=False))
    batch = processor([to_dialogue(s, with_answers=True) for s in chosen], load_pictures(chosen))
    with torch.no_grad():
        logits = model(**batch).mask_logits
    sizes = [(i.height, i.width) for s in chosen for t in s.targets for i in [s.images[t.image_index]]]
    expected = [p > 0.5 for p in processor.mask_probabilities(logits, sizes)]
    got = [segment.mask.to_array() for p in predictions for segment in p.segments]
    assert len(got) == len(expected)
    # pixels whose probability is 0.5 to within rounding may fall either way
    assert all((a != b).mean() < 0.002 for a, b in zip(got, expected, strict=True))
    assert [p.text for p in predictions] == [s.turns[0].assistant for s in chosen]
    assert all([t.split(":")[0] for t in p.trail] == ["true_answer"] for p in predictions)


def test_a_true_answer_beyond_the_context_is_refused(toy):
    model, processor, samples = toy
    short = copy.deepcopy(model)
    longest = max(len(processor.encode(to_dialogue(s, with_answers=True)).ids) for s in samples)
    short.config.text_config.max_position_embeddings = longest - 1
    with pytest.raises(SampleError, match=f"have {longest} tokens, the context {longest - 1}"):
        list(Predictor(short, processor).predict(samples, true_answers=True, progress=False))


def test_an_answer_that_is_cut_says_so(toy):
    """One token is allowed: either it is the end, or the answer is cut."""
    model, processor, samples = toy
    for prediction in Predictor(model, processor, max_new_tokens=1).predict(samples, progress=False):
        cut = [line for line in prediction.trail if line == "cut at 1 new tokens"]
        assert bool(cut) == bool(prediction.text), prediction
        assert "</s>" not in prediction.text


def test_ask_about_arrays_files_and_images(toy, predictor):
    _, _, samples = toy
    path = samples[0].images[0].path
    answers = []
    for image in (path, Image.open(path), np.asarray(Image.open(path))):
        predictor.set_images([image, image])
        answers.append(predictor.ask("Find the common objects."))
    assert answers[0].text == answers[1].text == answers[2].text
    assert answers[0].image_sizes == ((48, 64), (48, 64))


def test_errors(toy, predictor, tmp_path):
    with pytest.raises(SampleError, match="set_images"):
        predictor.ask("What?")
    with pytest.raises(CheckpointError, match="no model"):
        Predictor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("images", "fault"),
    [("a.jpg", "list of pictures"), ([1], "int is no picture"), ([np.zeros((0, 4, 3), np.uint8)], "H x W x 3"),
     ([np.zeros((4, 4), np.uint8)], "np.stack"), (None, "not a NoneType"), (3, "not a int"),
     (Image.new("RGB", (4, 4)), "list of pictures"), (np.zeros((4, 4, 3), np.uint8), r"write set_images\(\[picture"),
     ([np.zeros((4, 4), np.uint16)], r"x // 257.*np\.stack"), ([np.zeros((4, 4, 3))], r"x \* 255"),
     ([np.zeros((4, 4, 4), np.uint8)], "without alpha"), ([np.zeros((3, 4, 5), np.uint8)], "channels first"),
     ([Image.new("RGB", (0, 4))], "H x W x 3")],
)  # fmt: skip
def test_what_is_no_picture_is_named_and_nothing_stays_chosen(predictor, images, fault):
    predictor.set_images([np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(SampleError, match=fault):
        predictor.set_images(images)
    with pytest.raises(SampleError, match="no pictures were chosen"):
        predictor.ask("What is this?")


def test_photos_are_seen_upright(predictor, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    predictor.set_images([tmp_path / "a.png", Image.open(tmp_path / "a.png"), pixels])
    turned = np.rot90(pixels, -1)
    assert all((a == b).all() for a, b in zip(predictor._pictures, (turned, turned, pixels), strict=True))
    assert predictor.ask("What?").image_sizes == ((8, 6), (8, 6), (6, 8))


def test_pil_images_that_cannot_be_read_or_told_are_named(predictor, tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ImageError, match=r"cannot be read[\s\S]*cut\.png"):
        predictor.set_images([Image.open(path)])
    with pytest.raises(ImageError, match=r"what white[\s\S]*a PIL image"):
        predictor.set_images([Image.new("F", (4, 4))])
    predictor.set_images([Image.fromarray(np.full((4, 4), 257 * 40, np.uint16))])
    assert (predictor._pictures[0] == 40).all()


@pytest.mark.parametrize("instruction", ["", "  ", None, "<image> What is this?"])
def test_instructions_that_cannot_be_asked(predictor, instruction):
    predictor.set_images([np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(SampleError, match="instruction"):
        predictor.ask(instruction)


@pytest.mark.parametrize("spelled", ["[seg]", "[SEG]", "[Seg]"])
def test_a_seg_spelled_in_letters_draws_nothing_and_shifts_nothing(toy, predictor, monkeypatch, spelled):
    """What a byte-level tokenizer can write: the letters of [SEG] without its token."""
    predictor.max_new_tokens = 128  # room for what is forced
    model, processor, samples = toy
    tokenizer = processor.tokenizer
    text = " <p> the red </p> [SEG] (IMAGE2)."
    real = tokenizer(text, add_special_tokens=False)["input_ids"]
    letters = [t for c in spelled for t in tokenizer(c, add_special_tokens=False)["input_ids"]]
    assert processor.seg_token_id not in letters
    before = tokenizer(" <p> the leg </p> ", add_special_tokens=False)["input_ids"]
    dialogue, pictures = to_dialogue(samples[0], with_answers=False), load_pictures(samples[:1])
    found = []
    for tokens in (
        real,
        [*before, *letters, *tokenizer(" (IMAGE1) and", add_special_tokens=False)["input_ids"], *real],
    ):
        forced = torch.tensor([[*tokens, tokenizer.eos_token_id]])
        monkeypatch.setattr(model, "answer", lambda *_, forced=forced, **__: forced)
        found += predictor.answer_dialogues([dialogue], pictures, ["t"])
    alone, behind = found
    assert [(s.phrase, s.image_index) for s in behind.segments] == [(s.phrase, s.image_index) for s in alone.segments]
    assert len(behind.segments) == 1
    assert any(line.startswith("spelled_seg") for line in behind.trail)
    assert not any(line.startswith("spelled_seg") for line in alone.trail)


def test_answers_hold_no_image_token(toy, predictor):
    """A model that would write nothing but <image> writes something else."""
    model, processor, samples = toy
    head = model.trunk.lm_head.weight
    kept = head.detach().clone()
    with torch.no_grad():
        head.zero_()
        head[processor.image_token_id] = 1e4 * torch.sign(
            torch.randn(head.shape[1], generator=torch.Generator().manual_seed(0))
        )
    try:
        predictions = list(predictor.predict(samples[:4], progress=False))
    finally:
        with torch.no_grad():
            head.copy_(kept)
    assert all("<image>" not in p.text for p in predictions)


def forced(processor, *texts):
    """Tokens of answers that a model is made to give."""
    rows = [processor.tokenizer(f" {t}", add_special_tokens=False)["input_ids"] for t in texts]
    return torch.tensor([[*row, processor.tokenizer.eos_token_id] for row in rows])


def test_segment_gives_the_masks_of_each_picture(toy, predictor, monkeypatch):
    predictor.max_new_tokens = 128  # room for what is forced
    model, processor, _ = toy
    text = (
        "The images show <p> the chair </p> [SEG] (IMAGE1) and <p> the bench </p> [SEG] (IMAGE2). "
        "The common part is <p> the leg </p> [SEG] (IMAGE1) [SEG] (IMAGE2)."
    )
    tokens = forced(processor, text)
    monkeypatch.setattr(model, "answer", lambda *_, **__: tokens)
    predictor.set_images([np.zeros((8, 10, 3), np.uint8), np.zeros((20, 6, 3), np.uint8)])
    names = {
        what: [[s.phrase for s in own] for own in predictor.segment(what)]
        for what in ("common_parts", "common_objects", "Segment the parts.")
    }
    assert names["common_parts"] == [["leg"], ["leg"]]
    assert names["common_objects"] == names["Segment the parts."] == [["chair", "leg"], ["bench", "leg"]]
    first, second = predictor.segment("unique_parts")
    assert (first[0].mask.size, second[0].mask.size) == ((8, 10), (20, 6))


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("common_part", "did you mean 'common_parts'"),
        ("caption", "common_objects"),
        ("referring", "common_objects"),
        ("grounded_caption", "common_objects"),
        ("", "ask in words"),
        (None, "ask in words"),
        (["common_parts"], "ask in words"),
    ],
)
def test_what_cannot_be_segmented_is_named(predictor, what, fault):
    predictor.set_images([np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(SampleError) as caught:
        predictor.segment(what)
    assert fault in caught.value.mend


def test_pictures_are_encoded_once_for_all_questions(toy):
    model = stir(copy.deepcopy(toy[0]), seed=3)
    predictor, fresh = (Predictor(model, toy[1], max_new_tokens=12) for _ in range(2))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (20, 30, 3), np.uint8) for _ in range(3)]
    passes = []
    for tower in (
        model.visual_tokens.vision_model, model.correspondence.semantic_model, model.grounding.sam.vision_encoder
    ):  # fmt: skip
        tower.register_forward_hook(lambda module, *_: passes.append(type(module).__name__))
    predictor.set_images(pictures[:2])
    first = predictor.ask("Find the common objects.")
    assert len(passes) == len(set(passes)) == 3
    assert predictor.ask("Find the common objects.") == first
    predictor.segment("common_parts")
    red = predictor.ask("What is red?")
    assert len(passes) == 3
    predictor.set_images(pictures[1:])
    other = predictor.ask("Find the common objects.")
    assert len(passes) == 6
    assert other.text != first.text
    for chosen, question, expected in ((pictures[:2], "What is red?", red),
                                       (pictures[1:], "Find the common objects.", other)):  # fmt: skip
        fresh.set_images(chosen)
        assert fresh.ask(question) == expected


def test_answers_end_with_the_context_whatever_the_batch(toy):
    """Some questions leave less room than others; a short neighbour neither gives nor takes any."""
    model, processor, samples = toy
    chosen = [samples[0], samples[1].model_copy(update={"turns": (samples[1].turns[0].model_copy(
        update={"user": samples[1].turns[0].user + " Name them, please, one after the other."}),)})]  # fmt: skip
    predictor = Predictor(stir(copy.deepcopy(model), seed=3), processor, max_new_tokens=12)
    dialogues = [to_dialogue(s, with_answers=False) for s in chosen]
    lengths = [len(processor.encode(d).ids) for d in dialogues]
    assert lengths[1] > lengths[0] + 2
    predictor.model.config.text_config.max_position_embeddings = lengths[1] + 3
    together = list(predictor.predict(chosen, progress=False))
    alone = list(predictor.predict(chosen, batch_size=1, progress=False))
    assert together == alone
    assert "cut at 3 new tokens, where the context ends" in together[1].trail
    assert len(together[0].text) > len(together[1].text)
    predictor.model.config.text_config.max_position_embeddings = lengths[1]
    with pytest.raises(SampleError, match="no room for an answer") as caught:
        list(predictor.predict(chosen, progress=False))
    assert caught.value.where == chosen[1].id
