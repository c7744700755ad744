"""Samples to batches: load the pictures, decode the masks, hand both to the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import MaskError, SampleError
from ..records import Dialogue, Sample
from .feature_cache import FeatureCache
from .images import dialogue_key, grey_picture, load_picture
from .workers import errors_whole

Processor = Callable[..., Any]


def to_dialogue(sample: Sample, *, with_answers: bool, blind: bool = False) -> Dialogue:
    """A sample's dialogue; without answers, its last assistant text is left to the model.

    Raises:
        MaskError: a target mask is empty or of another size than its image.
        SampleError: a target is in a picture that the sample does not have.
    """
    keys = [dialogue_key(image, blind=blind) for image in sample.images]
    if not with_answers:
        history = [(turn.user, turn.assistant) for turn in sample.turns[:-1]]
        kept = [t for t in sample.targets if t.turn < len(history)]
        turns: list[tuple[str, str | None]] = [*history, (sample.turns[-1].user, None)]
    else:
        turns, kept = [(turn.user, turn.assistant) for turn in sample.turns], list(sample.targets)
    return Dialogue(sample.id, keys, turns, _decode(sample, kept), len(sample.object_tokens))


def _decode(sample: Sample, targets: Sequence[Any]) -> list[tuple[int, NDArray[np.bool_]]]:
    out = []
    for target in targets:
        if target.image_index >= len(sample.images):
            raise SampleError(
                f"the target {target.phrase!r} is in image {target.image_index} (from 0) of {len(sample.images)}",
                where=f"sample {sample.id}",
                mend="run llava-corr doctor",
            )
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
    load = grey_picture if blind else load_picture
    return {dialogue_key(image, blind=blind): load(image) for image in images.values()}


@dataclass(frozen=True)
class PictureFeatures:
    """Cached features in place of pictures.

    Attributes:
        cache: holds them.
        keys: picture of a dialogue -> its key in the cache.
        names: tensors that a batch takes.
        pixels: whether some tower is left that needs the pictures themselves.
    """

    cache: FeatureCache
    keys: Mapping[str, str]
    names: Sequence[str]
    pixels: bool = False

    def of(self, dialogues: Iterable[Dialogue]) -> dict[str, dict[str, Tensor]]:
        """Picture -> its features; zeros stand in where no dialogue has a picture: every rank runs every module."""
        pictures = dict.fromkeys(picture for dialogue in dialogues for picture in dialogue.image_keys)
        found = {picture: self.cache.load(self.keys[picture], self.names) for picture in pictures}
        return found or {"": self.cache.stand_in(self.names)}


class Collator:
    """Turns a list of samples into one processor batch.

    Args:
        processor: the model's processor.
        blind: replace every picture by plain grey.
        with_answers: train on the answers (right padding), or ask for the last one (left padding).
        grounding: with pictures and masks for the grounding tower.
        features: cached features in place of the pictures.
    """

    def __init__(
        self,
        processor: Processor,
        *,
        blind: bool = False,
        with_answers: bool = True,
        grounding: bool = True,
        features: PictureFeatures | None = None,
    ) -> None:
        self.processor, self.blind, self.with_answers, self.grounding = processor, blind, with_answers, grounding
        self.features = features

    def __call__(self, samples: Sequence[Sample]) -> Any:
        with errors_whole():
            return self._batch(samples)

    def _batch(self, samples: Sequence[Sample]) -> Any:
        dialogues = [to_dialogue(s, with_answers=self.with_answers, blind=self.blind) for s in samples]
        features = self.features
        pictures = load_pictures(samples, blind=self.blind) if features is None or features.pixels else None
        batch = self.processor(
            dialogues,
            pictures,
            features=features.of(dialogues) if features else None,
            padding_side="right" if self.with_answers else "left",
            grounding=self.grounding,
        )
        batch["sample_ids"] = [sample.id for sample in samples]
        return batch
