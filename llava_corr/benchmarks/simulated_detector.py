"""A part detector of stated quality, simulated: exact labels, degraded by seeded rates.

It shows what the label-set baseline is worth if its detector were that good, and stands in for one where no released
detector can run (the embedded world). Its figures say nothing about any real detector.

Every thing has random numbers of its own, from (seed, source, split, image id, its place in the image): neither the
order of the images nor how many there are changes anything, and of two qualities that differ in one rate the better one
finds all that the other finds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from ..datasets.mixedparts.classes import SOURCES, class_parts, comparable_classes
from ..errors import Findings
from ..grammar import spoken_name
from ..records import AnnotatedImage, Mask, Record
from .detections import DetectedImage, Detection
from .mask_noise import noisy_mask

_SPREAD = 12.0  # concentration of the Beta distribution that IoUs are drawn from
_LOWEST_IOU = 0.05
_WRONG_WORTH, _FALSE_WORTH = 0.6, 0.4  # what scores of misnamed and of false detections centre on (times IoU)
_FALSE_SHARES = (0.001, 0.05)  # share of the image that a false detection covers

Label = tuple[str, str | None]


class DetectorQuality(Record):
    """The rates that are asked for; the defaults are a perfect detector.

    Attributes:
        miss_small, miss_large: share missed of things that cover at most ``small`` and at least ``large`` of the image;
            in between, linear in the logarithm of the share.
        wrong_name: share of the found things that carry the name of a comparable class, or of another part.
        false_positives: mean number per image of detections of nothing, named as nothing that the image shows.
        mask_iou: mean IoU of the masks of the found things with the true ones.
        score_noise: standard deviation of the noise on the scores. Without it the score is the IoU of the mask, times
            0.6 under a wrong name, and 0.4 for a detection of nothing.
    """

    miss_small: float = Field(default=0.0, ge=0, le=1)
    miss_large: float = Field(default=0.0, ge=0, le=1)
    small: float = Field(default=0.001, gt=0, lt=1)
    large: float = Field(default=0.05, gt=0, lt=1)
    wrong_name: float = Field(default=0.0, ge=0, le=1)
    false_positives: float = Field(default=0.0, ge=0, le=1000, allow_inf_nan=False)
    mask_iou: float = Field(default=1.0, ge=0.2, le=1)
    score_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> DetectorQuality:
        if self.small >= self.large:
            raise ValueError(f"small ({self.small}) must lie below large ({self.large})")
        return self

    def miss_rate(self, share: float) -> float:
        """Of things that cover ``share`` (in (0, 1]) of the image."""
        bounds = np.log([self.small, self.large])
        return float(np.interp(math.log(share), bounds, [self.miss_small, self.miss_large]))


class Thing(NamedTuple):
    """An object instance or one part of it, as annotated."""

    label: Label
    mask: Mask


@dataclass(frozen=True)
class Vocabulary:
    """The names of a source that a detector could say.

    Attributes:
        parts: class -> its part names.
        kin: class -> comparable classes, without itself.
    """

    parts: Mapping[str, tuple[str, ...]]
    kin: Mapping[str, tuple[str, ...]]

    def labels(self) -> list[Label]:
        """All names of objects and parts, in alphabetical order."""
        return [(name, part) for name in self.parts for part in (None, *self.parts[name])]


def vocabulary(source: str, images: Iterable[AnnotatedImage]) -> Vocabulary:
    """From the source's taxonomy; where there is none, what ``images`` show, all classes being comparable."""
    if source in SOURCES:
        parts = {spoken_name(n): {spoken_name(p) for p in own} for n, own in class_parts(source).items()}
        kin = {spoken_name(n): {spoken_name(o) for o in own} for n, own in comparable_classes(source).items()}
    else:
        parts = {}
        for name, part in (thing.label for image in images for thing in things(image, Findings())):
            parts.setdefault(name, set()).update({part} if part else set())
        kin = {name: set(parts) for name in parts}
    return Vocabulary(
        {name: tuple(sorted(parts[name])) for name in sorted(parts)},
        {name: tuple(sorted(kin.get(name, set()) - {name})) for name in sorted(parts)},
    )


def things(image: AnnotatedImage, findings: Findings) -> list[Thing]:
    """Objects and parts of ``image`` in the order of the annotation; nameless and empty ones are counted, left out."""
    found = []
    for item in image.objects:
        name = spoken_name(item.category)
        rows: list[tuple[str | None, Mask]] = [(None, item.mask), *((part.name, part.mask) for part in item.parts)]
        for part, mask in rows:
            said = None if part is None else spoken_name(part)
            where = f"{image.source}/{image.split} image {image.image_id}"
            if not name or said == "":
                findings.add("unspeakable_name", where, f"{item.category!r} {part or ''}".rstrip())
            elif mask.area == 0:
                findings.add("empty_mask", where, f"{name} {said or ''}".rstrip())
            else:
                found.append(Thing((name, said), mask))
    return found


def simulate(
    images: Sequence[AnnotatedImage], quality: DetectorQuality, *, seed: int = 0, findings: Findings
) -> list[DetectedImage]:
    """What a detector of ``quality`` finds in each of ``images``, in their order.

    Args:
        seed: not negative.
        findings: takes nameless and empty annotations, names that no other could be taken for (``no_other_name``) and
            false detections for which no name was left (``no_false_name``).
    """
    sources = sorted({image.source for image in images})
    words = {s: vocabulary(s, [image for image in images if image.source == s]) for s in sources}
    return [_detect(image, words[image.source], quality, seed, findings) for image in images]


def _detect(
    image: AnnotatedImage, words: Vocabulary, quality: DetectorQuality, seed: int, findings: Findings
) -> DetectedImage:
    shown = things(image, findings)
    found = []
    for place, thing in enumerate(shown):
        rng = _numbers(seed, image, place)
        # all numbers are drawn whatever the rates, so that rates do not disturb one another
        missed, misnamed, noise = rng.random(), rng.random(), rng.normal()
        iou = _draw_iou(quality.mask_iou, rng.random())
        if missed < quality.miss_rate(thing.mask.area / (image.height * image.width)):
            continue
        label, worth = thing.label, 1.0
        if misnamed < quality.wrong_name:
            label, worth = _other_name(thing.label, words, rng), _WRONG_WORTH
            if label == thing.label:
                findings.add("no_other_name", f"{image.source} image {image.image_id}", f"{label}")
        mask = noisy_mask(thing.mask, iou, _numbers(seed, image, place, 1))
        reached = float(Mask.iou([mask], [thing.mask])[0, 0])
        found.append(_detection(label, mask, worth * reached + quality.score_noise * noise))
    rng = _numbers(seed, image, -1)
    taken = {thing.label for thing in shown}
    free = [label for label in words.labels() if label not in taken]
    for _ in range(rng.poisson(quality.false_positives) if quality.false_positives else 0):
        if not free:
            findings.add("no_false_name", f"{image.source} image {image.image_id}", "the image shows all names")
            continue
        label = free[int(rng.random() * len(free))]
        mask = _blob(image.height, image.width, rng)
        found.append(_detection(label, mask, _FALSE_WORTH + quality.score_noise * rng.normal()))
    found.sort(key=lambda item: -item.score)
    path = str(Path(image.path).resolve())
    return DetectedImage(image=path, height=image.height, width=image.width, detections=tuple(found))


def _numbers(seed: int, image: AnnotatedImage, *places: int) -> np.random.Generator:
    name = "\n".join([image.source, image.split, image.image_id, *map(str, places)])
    return np.random.default_rng([seed, *hashlib.blake2b(name.encode(), digest_size=16).digest()])


def _draw_iou(mean: float, uniform: float) -> float:
    """The quantile ``uniform`` of a Beta distribution around ``mean``; 1 where the mean is 1."""
    if mean >= 1:
        return 1.0
    from scipy.stats import beta  # takes half a second to import

    return max(_LOWEST_IOU, float(beta.ppf(uniform, _SPREAD * mean, _SPREAD * (1 - mean))))


def _other_name(label: Label, words: Vocabulary, rng: np.random.Generator) -> Label:
    """A name that ``label`` could be taken for: a comparable class, or for parts another part of the class, evenly."""
    name, part = label
    kin = [other for other in words.kin.get(name, ()) if part is None or part in words.parts[other]]
    if part is None and not kin:
        kin = [other for other in words.parts if other != name]
    siblings = [other for other in words.parts.get(name, ()) if part is not None and other != part]
    use_kin = bool(kin) and (not siblings or rng.random() < 0.5)
    options: list[Label] = [(other, part) for other in kin] if use_kin else [(name, other) for other in siblings]
    return options[int(rng.random() * len(options))] if options else label


def _blob(height: int, width: int, rng: np.random.Generator) -> Mask:
    """An ellipse somewhere in the image, at least one pixel."""
    share = math.exp(rng.uniform(*np.log(_FALSE_SHARES)))
    ratio = math.exp(rng.uniform(-0.7, 0.7))
    radius = math.sqrt(share * height * width / math.pi)
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    inside = ((rows - y) * ratio) ** 2 + ((columns - x) / ratio) ** 2 <= radius**2
    inside[min(int(y), height - 1), min(int(x), width - 1)] = True
    return Mask.from_array(inside)


def _detection(label: Label, mask: Mask, score: float) -> Detection:
    name, part = label
    return Detection(object=name, part=part, mask=mask, score=round(min(max(score, 0.01), 1.0), 4))
