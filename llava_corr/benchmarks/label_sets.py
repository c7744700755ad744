"""The label-set baseline: a part detector looks at every image for itself, and its label sets are compared.

Calico, appendix C.1 (Multi-Image VLPart, Multi-Image PartGLEE): common objects are the objects predicted in all images;
for common and unique parts "we aggregate the sets of all predicted parts and derive their associated objects". What
that leaves open, and how it is read here: ``docs/baselines.md``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple, get_args

from ..datasets.mixedparts.answers import sentence_of
from ..datasets.mixedparts.classes import SOURCES, comparable_classes
from ..datasets.mixedparts.phrasings import ANSWERS, OBJECTS_SHOWN
from ..errors import PredictionError
from ..grammar import parse_answer, with_determiner
from ..records import Mask, Prediction, Sample, Segment
from .detections import DetectedImage, Detection, DetectionIndex
from .mixedparts_units import require_task

Rule = Literal["all-parts", "main-object"]
RULES: tuple[Rule, ...] = get_args(Rule)
_SHOWN = 3


class Seen(NamedTuple):
    """All detections of one name in one image: their union and their highest score."""

    mask: Mask
    score: float


@dataclass(frozen=True)
class SeenObject:
    """A class in one image, over all its instances.

    Attributes:
        whole: union of the detections of the class; of its parts where only those were detected.
        detected: whether the class itself was detected.
        parts: part name -> detections of that part, over all instances.
    """

    whole: Seen
    detected: bool
    parts: dict[str, Seen]


Classes = Mapping[str, SeenObject]


class Mention(NamedTuple):
    """A name that the answer lists, and its masks as (image index, what was seen), in the order of the [SEG]s."""

    name: str
    places: tuple[tuple[int, Seen], ...]


def label_set_answers(
    samples: Iterable[Sample], images: DetectionIndex, *, threshold: float = 0.0, rule: Rule = "all-parts"
) -> Iterator[Prediction]:
    """Answers every sample from the detections in its images.

    Args:
        images: detections by image file.
        threshold: detections with scores above it count (the paper: 0.7 for VLPart, 0 for PartGLEE).
        rule: what part tasks compare, see :func:`mentions`.

    Raises:
        SampleError: a sample of another data set's task.
        PredictionError: images of the samples have no row, or their rows do not fit.
    """
    known = list(samples)
    rows = _rows_by_path(known, images)
    seen: dict[str, dict[str, SeenObject]] = {}
    for sample in known:
        for image in sample.images:
            if image.path not in seen:
                seen[image.path] = seen_classes(rows[image.path], threshold)
        yield _answer(sample, [seen[image.path] for image in sample.images], rule)


def _rows_by_path(samples: Sequence[Sample], images: DetectionIndex) -> dict[str, DetectedImage]:
    """The row of every image of the samples; raises where one has none."""
    rows: dict[str, DetectedImage] = {}
    absent: dict[str, str] = {}
    for sample in samples:
        require_task(sample)
        for image in sample.images:
            row = images.find(image.path, image.height, image.width)
            if row is None:
                absent.setdefault(image.path, sample.id)
            else:
                rows[image.path] = row
    if absent:
        shown = ", ".join(f"{path} (sample {name})" for path, name in list(absent.items())[:_SHOWN])
        alike = images.like(next(iter(absent)))
        raise PredictionError(
            f"{len(absent)} images of the samples have no row among {len(images)}; first: {shown}",
            where=images.source,
            mend=f"its name has {', '.join(alike[:_SHOWN])}: if that is the picture, give the row the folders that the "
            "samples have, or match by file names alone (--by-file-name)"
            if alike
            else "run the detector on them; an image in which it finds nothing has a row without detections",
        )
    return rows


def seen_classes(image: DetectedImage, threshold: float) -> dict[str, SeenObject]:
    """The classes in ``image`` by name, each and each part of it joined over its instances."""
    wholes: dict[str, list[Detection]] = defaultdict(list)
    parts: dict[str, dict[str, list[Detection]]] = defaultdict(lambda: defaultdict(list))
    for item in image.detections:
        if item.score > threshold and item.part is None:
            wholes[item.object].append(item)
        elif item.score > threshold and item.part is not None:
            parts[item.object][item.part].append(item)
    found = {}
    for name in sorted({*wholes, *parts}):
        own = parts.get(name, {})
        evidence = wholes.get(name) or [item for items in own.values() for item in items]
        joined = {part: _join(own[part]) for part in sorted(own)}
        found[name] = SeenObject(_join(evidence), name in wholes, joined)
    return found


def _join(items: Sequence[Detection]) -> Seen:
    return Seen(Mask.union([item.mask for item in items]), max(item.score for item in items))


def mentions(sample: Sample, seen: Sequence[Classes], rule: Rule) -> tuple[list[Mention], list[Mention]]:
    """What the answer lists: the objects that it names first (part tasks only), and what the task asks for.

    ``common_objects``: classes that are detected themselves in every image. Part tasks compare part names:
    ``common_parts`` lists names that occur in every image, ``unique_parts`` those that occur in exactly one. With
    ``all-parts`` the names of an image are those of all its classes, and the objects are the classes that have a listed
    part; with ``main-object`` they are those of one class per image (:func:`main_objects`).
    """
    if sample.task == "common_objects":
        shared = set.intersection(*({n for n, c in classes.items() if c.detected} for classes in seen))
        return [], [Mention(n, tuple((k, classes[n].whole) for k, classes in enumerate(seen))) for n in sorted(shared)]
    if rule == "main-object":
        seen = main_objects(seen, _kin(sample.source))
    names = [{part for c in classes.values() for part in c.parts} for classes in seen]
    if sample.task == "common_parts":
        listed = [(part, range(len(seen))) for part in sorted(set.intersection(*names))]
    else:
        elsewhere = [set().union(*(other for j, other in enumerate(names) if j != k)) for k in range(len(names))]
        listed = [(p, range(k, k + 1)) for k in range(len(names)) for p in sorted(names[k] - elsewhere[k])]
    parts = [
        Mention(part, tuple((k, c.parts[part]) for k in where for c in _ranked(seen[k]).values() if part in c.parts))
        for part, where in listed
    ]
    owned = [{part for part, where in listed if k in where} for k in range(len(seen))]
    owners = [
        {n: c for n, c in _ranked(classes).items() if rule == "main-object" or owned[k] & c.parts.keys()}
        for k, classes in enumerate(seen)
    ]
    order = dict.fromkeys(name for classes in owners for name in classes)
    objects = [Mention(n, tuple((k, c[n].whole) for k, c in enumerate(owners) if n in c)) for n in order]
    return objects, parts


def _ranked(classes: Classes) -> dict[str, SeenObject]:
    """Largest first: what an answer says first should be what it is most likely asked for."""
    return dict(sorted(classes.items(), key=lambda row: (-row[1].whole.mask.area, row[0])))


def _kin(source: str) -> Mapping[str, frozenset[str]]:
    return comparable_classes(source) if source in SOURCES else {}


def main_objects(seen: Sequence[Classes], kin: Mapping[str, frozenset[str]]) -> list[Classes]:
    """One class per image, all equal or comparable, whose masks cover the most: the rule by which MixedParts asks.

    Choices are compared by the product of the areas. Classes of which no part was detected are chosen only where no
    choice has parts in every image. No class is chosen in any image where none are comparable.

    Args:
        kin: class -> classes it may be compared with; classes that are not in it are compared with themselves only.
    """
    for needs_parts in (True, False):
        pools = [{n: c for n, c in _ranked(s).items() if c.parts or not needs_parts} for s in seen]
        choice = _largest(pools, kin)
        if choice:
            return [{name: classes[name]} for name, classes in zip(choice, seen, strict=True)]
    return [{} for _ in seen]


def _largest(pools: Sequence[Classes], kin: Mapping[str, frozenset[str]]) -> list[str]:
    """The comparable classes, one per image, with the largest product of areas; empty where there are none.

    Classes come largest first and branches that cannot win are cut, so many classes in many images stay cheap.
    """
    areas = [{n: c.whole.mask.area for n, c in pool.items()} for pool in pools]
    ceilings = [prod(max(a.values(), default=0) for a in areas[k:]) for k in range(len(areas) + 1)]
    best: tuple[int, list[str]] = (0, [])

    def extend(chosen: list[str], weight: int, allowed: frozenset[str] | None) -> None:
        nonlocal best
        k = len(chosen)
        if k == len(areas):
            best = (weight, chosen)  # only reached with more weight than before
            return
        for name, area in areas[k].items():
            if weight * area * ceilings[k + 1] <= best[0]:
                break
            if allowed is None or name in allowed:
                own = kin.get(name, frozenset({name}))
                extend([*chosen, name], weight * area, own if allowed is None else allowed & own)

    extend([], 1, None)
    return best[1]


def _answer(sample: Sample, seen: Sequence[Classes], rule: Rule) -> Prediction:
    objects, found = mentions(sample, seen, rule)
    own, nothing = ANSWERS[sample.task]
    lines = [(OBJECTS_SHOWN[0], objects)] if objects else []
    lines.append((own[0] if found else nothing[0], found))
    text = " ".join(
        sentence_of(template, [(item.name, [k for k, _ in item.places]) for item in items]) for template, items in lines
    )
    answer = parse_answer(text, len(sample.images))
    masks = [(with_determiner(m.name), k, seen) for _, items in lines for m in items for k, seen in m.places]
    read = [(span.phrase, span.image_index) for span in answer.segments]
    if answer.trail or read != [(phrase, k) for phrase, k, _ in masks]:
        raise PredictionError("the answer does not read back", where=f"sample {sample.id}: {text}", mend="report this")
    return Prediction(
        sample_id=sample.id,
        truth=sample.truth_hash(),
        text=text,
        image_sizes=tuple((image.height, image.width) for image in sample.images),
        segments=tuple(
            Segment(phrase=s.phrase, image_index=s.image_index, mask=seen.mask, score=seen.score, sentence=s.sentence)
            for s, (_, _, seen) in zip(answer.segments, masks, strict=True)
        ),
    )
