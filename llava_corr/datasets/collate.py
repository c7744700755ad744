"""Samples to batches: load the pictures, decode the masks, hand both to the processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MaskError
from ..records import Dialogue, Sample
from .images import grey_picture, load_picture

Processor = Callable[..., Any]


def to_dialogue(sample: Sample, *, with_answers: bool, blind: bool = False) -> Dialogue:
    """A sample's dialogue; without answers, its last assistant text is left to the model.

    Raises:
        MaskError: a target mask is empty or of another size than its image.
    """
    keys = [f"grey {i.height} x {i.width}" if blind else i.path for i in sample.images]
    if not with_answers:
        history = [(turn.user, turn.assistant) for turn in sample.turns[:-1]]
        kept = [t for t in sample.targets if t.turn < len(history)]
        return Dialogue(sample.id, keys, [*history, (sample.turns[-1].user, None)], _decode(sample, kept))
    return Dialogue(sample.id, keys, [(t.user, t.assistant) for t in sample.turns], _decode(sample, sample.targets))


def _decode(sample: Sample, targets: Sequence[Any]) -> list[tuple[int, NDArray[np.bool_]]]:
    out = []
    for target in targets:
        image = sample.images[target.image_index]
        pixels = target.mask.to_array()
        if pixels.shape != (image.height, image.width) or not pixels.any():
            fault = "is empty" if not pixels.any() else f"is {pixels.shape}, its image {(image.height, image.width)}"
            raise MaskError(f"the mask of {target.phrase!r} {fault}", where=sample.id, mend="run llava-corr doctor")
        out.append((target.image_index, pixels))
    return out


def load_pictures(samples: Sequence[Sample], *, blind: bool = False) -> Mapping[str, NDArray[np.uint8]]:
    """Key -> picture for every image of the samples, each file read once."""
    images = {image.path: image for sample in samples for image in sample.images}
    if blind:
        return {f"grey {i.height} x {i.width}": grey_picture(i) for i in images.values()}
    return {path: load_picture(image) for path, image in images.items()}


class Collator:
    """Turns a list of samples into one processor batch.

    Args:
        processor: the model's processor.
        blind: replace every picture by plain grey.
        with_answers: train on the answers (right padding), or ask for the last one (left padding).
        grounding: with pictures and masks for the grounding tower.
    """

    def __init__(
        self, processor: Processor, *, blind: bool = False, with_answers: bool = True, grounding: bool = True
    ) -> None:
        self.processor, self.blind, self.with_answers, self.grounding = processor, blind, with_answers, grounding

    def __call__(self, samples: Sequence[Sample]) -> Any:
        dialogues = [to_dialogue(s, with_answers=self.with_answers, blind=self.blind) for s in samples]
        pictures = load_pictures(samples, blind=self.blind)
        side = "right" if self.with_answers else "left"
        batch = self.processor(dialogues, pictures, padding_side=side, grounding=self.grounding)
        batch["sample_ids"] = [sample.id for sample in samples]
        return batch
