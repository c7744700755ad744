"""The processor: labels, index maps and mask canvases follow from the ids; mismatches are errors with both counts."""

import numpy as np
import pytest
import torch
from PIL import Image

from llava_corr.datasets.collate import Collator, to_dialogue
from llava_corr.errors import CountMismatchError, MaskError, SampleError
from llava_corr.grammar import OBJECT_TOKEN, build_question, ground
from llava_corr.models.processing import LlavaCorrProcessor
from llava_corr.records import Dialogue, Mask


def test_labels_are_exactly_the_answers(toy):
    _, processor, samples = toy
    tokenizer = processor.tokenizer
    for sample in samples:
        ids, labels, _ = processor.encode(to_dialogue(sample, with_answers=True))
        trained = tokenizer.decode([token for token in labels if token != -100])
        assert trained == f" {sample.turns[0].assistant}{tokenizer.eos_token}"
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))
        assert ids.count(processor.image_token_id) == processor.tokens_per_image * len(sample.images)


def test_prompt_ids_are_a_prefix_of_the_full_ids(toy):
    """What generation starts from is what training saw: no re-tokenisation at the seam."""
    _, processor, samples = toy
    for sample in samples:
        full, _, _ = processor.encode(to_dialogue(sample, with_answers=True))
        prompt, _, _ = processor.encode(to_dialogue(sample, with_answers=False))
        assert full[: len(prompt)] == prompt


def test_several_turns(toy):
    _, processor, samples = toy
    turns = [(samples[0].turns[0].user, "Yes."), ("Why?", "So."), ("And?", None)]
    dialogue = Dialogue("d", ["a", "b"], turns)
    _, labels, _ = processor.encode(dialogue)
    eos = processor.tokenizer.eos_token
    assert processor.tokenizer.decode([t for t in labels if t != -100]) == f" Yes.{eos} So.{eos}"


@pytest.mark.parametrize("side", ["left", "right"])
def test_index_maps(toy, side):
    _, processor, samples = toy
    chosen = [s for s in samples if s.targets][:2] + [s for s in samples if not s.targets][:1]
    dialogues = [to_dialogue(s, with_answers=True) for s in chosen]
    pictures = {i.path: np.zeros((i.height, i.width, 3), np.uint8) for s in chosen for i in s.images}
    batch = processor(dialogues, pictures, padding_side=side)
    rows, columns = batch["seg_positions"].T
    assert (batch["input_ids"][rows, columns] == processor.seg_token_id).all()
    assert len(rows) == sum(len(s.targets) for s in chosen) == len(batch["seg_image"]) == len(batch["mask_targets"])
    keys = list(pictures)
    named = [s.images[t.image_index].path for s in chosen for t in s.targets]
    assert [keys[u] for u in batch["seg_image"]] == named
    assert [keys[u] for u in batch["image_index"]] == [i.path for s in chosen for i in s.images]
    assert batch["image_owner"].tolist() == [row for row, s in enumerate(chosen) for _ in s.images]


def test_shared_pictures_are_seen_once(toy):
    _, processor, samples = toy
    batch = Collator(processor)([samples[0], samples[0], samples[1]])
    assert len(batch["pixel_values"]) == 4
    assert len(batch["image_index"]) == 6


def test_blind_batches_hold_one_grey_picture(toy):
    _, processor, samples = toy
    batch = Collator(processor, blind=True)(samples[:3])
    assert batch["pixel_values"].unique().tolist() == [128]
    assert len(batch["pixel_values"]) == 1


def overlaps(pixels, length, cells, block):
    """cells x pixels: what share of each cell's length each of a picture's pixels covers, one pair at a time."""
    out = np.zeros((cells, pixels))
    for cell, pixel in np.ndindex(cells, pixels):
        left, right = pixel * length / pixels, (pixel + 1) * length / pixels
        out[cell, pixel] = max(0.0, min(right, (cell + 1) * block) - max(left, cell * block)) / block
    return out


@pytest.mark.parametrize(
    "size", [(48, 64), (64, 48), (30, 47), (100, 80), (64, 64), (1, 5), (3, 200), (131, 97), (1, 300), (3000, 2)]
)
def test_targets_are_the_share_of_foreground_by_area(toy, size):
    _, processor, _ = toy
    mask = np.random.default_rng(0).random(size) > 0.5
    cells, block = processor.mask_size, processor.canvas // processor.mask_size
    down, across = (overlaps(n, m, cells, block) for n, m in zip(size, processor.grounding_size(*size), strict=True))
    got = processor.mask_targets([mask])[0].numpy().astype(float)
    assert np.abs(got - 255 * (down @ mask @ across.T)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "size", [(1, 50), (3, 50), (4, 50), (50, 3), (50, 4), (1, 300), (3000, 2), (1, 128), (1, 129), (500, 1)]
)
def test_narrow_pictures_are_not_taken_for_channels(toy, size):
    _, processor, _ = toy
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    seen = processor.pixels([picture])
    assert tuple(seen["grounding_sizes"][0].tolist()) == processor.grounding_size(*size)
    side = seen["pixel_values"].shape[-1]
    expected = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
    assert (seen["pixel_values"][0].numpy().transpose(1, 2, 0) == np.asarray(expected)).all()


@pytest.mark.parametrize("size", [(1, 300), (3000, 1)])
def test_pictures_that_shrink_to_a_line_are_trained_on_and_drawn(toy, size):
    model, processor, _ = toy
    mask = np.zeros(size, bool)
    mask.ravel()[: mask.size // 2] = True
    picture = np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, 2)
    answer = ground("the line", [0])
    dialogue = Dialogue("d", ["a"], [(build_question(1, "What is this?"), answer)], [(0, mask)])
    batch = processor([dialogue], {"a": picture})
    height, width = processor.grounding_size(*size)
    assert batch["grounding_sizes"].tolist() == [[height, width]]
    seen = batch["grounding_pixels"][0, 0, :height, :width].ravel()
    assert (seen[: processor.canvas // 2 - 4] == 255).all()
    assert (seen[processor.canvas // 2 + 4 :] == 0).all()
    with torch.no_grad():
        assert model(**batch).loss.isfinite()
    (probability,) = processor.mask_probabilities(batch["mask_targets"] / 25.5 - 2.5, [size])
    assert ((probability > 0.5) == mask).mean() > 0.9


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (37, 64), (100, 80)])
def test_masks_come_back_where_they_were(toy, size):
    """Targets, taken as logits, return to the original mask: canvas, crop and resize agree with one another."""
    _, processor, _ = toy
    height, width = size
    mask = np.zeros(size, bool)
    mask[height // 4 : height // 2, width // 3 : width - 4] = True
    logits = (processor.mask_targets([mask]).float() / 255 - 0.5) * 20
    (probability,) = processor.mask_probabilities(logits, [size])
    assert probability.shape == size
    overlap = ((probability > 0.5) & mask).sum() / ((probability > 0.5) | mask).sum()
    assert overlap > 0.9


def test_count_mismatches_name_sample_and_counts(toy):
    _, processor, samples = toy
    sample = next(s for s in samples if s.targets)
    good = to_dialogue(sample, with_answers=True)
    with pytest.raises(CountMismatchError, match=rf"2 and 1[\s\S]*{sample.id}"):
        processor.encode(Dialogue(good.id, good.image_keys[:1], good.turns, good.targets))
    with pytest.raises(CountMismatchError, match=f"{len(good.targets)} and {len(good.targets) - 1}"):
        processor.encode(Dialogue(good.id, good.image_keys, good.turns, good.targets[:-1]))
    with pytest.raises(CountMismatchError):
        processor.encode(Dialogue("x", ["a"], [("<image> what [SEG]?", None)]))


def test_object_tokens_need_their_objects_and_an_expert(toy):
    """Nothing here reads them: a matching dialogue is refused, not trained on without its objects."""
    _, processor, samples = toy
    asked = f"{samples[0].turns[0].user} Which is {OBJECT_TOKEN}?"
    keys = [image.path for image in samples[0].images]
    with pytest.raises(CountMismatchError, match="object tokens and objects differ: 1 and 0"):
        processor.encode(Dialogue("d", keys, [(asked, None)]))
    with pytest.raises(CountMismatchError, match="object tokens and objects differ: 1 and 2"):
        processor.encode(Dialogue("d", keys, [(asked, None)], objects=2))
    with pytest.raises(SampleError, match="no expert"):
        processor.encode(Dialogue("d", keys, [(asked, None)], objects=1))


def test_context_overflow_is_an_error_not_a_cut(toy):
    _, processor, samples = toy
    dialogue = to_dialogue(samples[0], with_answers=True)
    long = [(dialogue.turns[0][0] + " why" * 300, "a")]
    with pytest.raises(SampleError, match="the context holds 256"):
        processor.encode(Dialogue("long", dialogue.image_keys, long))


def test_masks_of_another_size_or_empty(toy):
    _, _, samples = toy
    sample = next(s for s in samples if s.targets)
    for pixels in (np.ones((5, 5)), np.zeros((48, 64))):
        target = sample.targets[0].model_copy(update={"mask": Mask.from_array(pixels)})
        broken = sample.model_copy(update={"targets": (target, *sample.targets[1:])})
        with pytest.raises(MaskError, match=sample.targets[0].phrase):
            to_dialogue(broken, with_answers=True)


def test_targets_and_pictures_of_other_sizes(toy):
    _, processor, samples = toy
    dialogue = to_dialogue(next(s for s in samples if s.targets), with_answers=True)
    pictures = {key: np.zeros((48, 64, 3), np.uint8) for key in dialogue.image_keys}
    processor([dialogue], pictures)
    pictures[dialogue.image_keys[dialogue.targets[0][0]]] = np.zeros((64, 48, 3), np.uint8)
    with pytest.raises(SampleError, match=rf"\(48, 64\).*\(64, 48\)[\s\S]*sample {dialogue.id}"):
        processor([dialogue], pictures)
    processor([dialogue], pictures, grounding=False)


def test_save_and_load(toy, tmp_path):
    _, processor, samples = toy
    processor.save_pretrained(tmp_path)
    again = LlavaCorrProcessor.from_pretrained(tmp_path)
    assert (again.canvas, again.mask_size, again.tokens_per_image) == (64, 32, 4)
    first, second = Collator(processor)(samples[:3]), Collator(again)(samples[:3])
    for key, value in first.items():
        assert torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]
