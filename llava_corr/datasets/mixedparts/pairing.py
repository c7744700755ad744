"""Draws images for a cell of the schedule and decides whether they make a sample.

A class is drawn by its frequency in the source, then images are drawn until some are accepted: this keeps the class
frequencies of the source (Calico, appendix A) whatever share of the draws is refused. Every refusal has a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .answers import Mention, answer_mentions, object_mentions, target_count
from .pool import Pool
from .spec import Cell, MixedPartsSpec
from .truth import is_clear_choice
from .views import ImageView

REFUSALS = {
    "too_few_images": "the class, or the classes with the part sets wanted, are in too few images",
    "nothing_found": "nothing is common (or unique) in the images, and something was wanted",
    "something_found": "something is common (or unique) in the images, and nothing was wanted",
    "ambiguous_objects": "another comparable choice of objects is about as large in these images, or larger",
    "too_many_targets": "more [SEG] than max_targets",
}


class Choice(NamedTuple):
    """An accepted choice: the images, the classes in view (per image for part tasks) and what the answer lists."""

    views: list[ImageView]
    classes: list[str]
    mentions: list[Mention]


def choose(
    pool: Pool, cell: Cell, anchor: str, cross: bool, spec: MixedPartsSpec, rng: np.random.Generator
) -> Choice | str:
    """One draw for ``cell``: a choice, or the reason it was refused (a key of ``REFUSALS``).

    Args:
        anchor: class that at least one image has to show.
        cross: for the part tasks, whether to compare it with another class (which the pool must have).
    """
    if cell.task != "common_objects":
        drawn = _draw_comparable(pool, cell, anchor, cross, rng)
    elif cell.none:
        drawn = _draw_nothing_shared(pool, cell.images, anchor, rng)
    else:
        drawn = [(anchor, k) for k in _distinct([pool.holders[anchor]] * cell.images, rng)]
    if len(drawn) < cell.images:
        return "too_few_images"
    if rng.random() < 0.5:
        drawn = drawn[::-1]  # the class that was drawn first is not always in image 1
    classes = [name for name, _ in drawn]
    views = [pool.views[k] for _, k in drawn]
    return _judge(pool, cell, views, classes, spec)


def _judge(pool: Pool, cell: Cell, views: list[ImageView], classes: list[str], spec: MixedPartsSpec) -> Choice | str:
    mentions = answer_mentions(cell.task, views, classes)
    if bool(mentions) == cell.none:
        return "something_found" if cell.none else "nothing_found"
    objects = [] if cell.task == "common_objects" else object_mentions(classes)
    if target_count(mentions) + target_count(objects) > spec.max_targets:
        return "too_many_targets"
    if objects and not is_clear_choice(views, classes, pool.kin, spec.margin):
        return "ambiguous_objects"
    return Choice(views, classes, mentions)


def _draw_nothing_shared(pool: Pool, count: int, anchor: str, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Images that may have no class in common; half of them with a comparable class, so that "none" is not too easy."""
    classes = [anchor]
    while len(classes) < count:
        partner = pool.partner(anchor, rng) if anchor in pool.part_holders and rng.random() < 0.5 else None
        classes.append(partner or pool.frequencies.draw(rng))
    return list(zip(classes, _distinct([pool.holders[name] for name in classes], rng), strict=False))


def _draw_comparable(
    pool: Pool, cell: Cell, anchor: str, cross: bool, rng: np.random.Generator
) -> list[tuple[str, int]]:
    """One (class, image) per image: the anchor's class, or the anchor's and one comparable class."""
    classes = [anchor] * cell.images
    partner = pool.partner(anchor, rng) if cross else None
    if partner is not None:
        mixed = [partner] + [partner if rng.random() < 0.5 else anchor for _ in range(cell.images - 2)]
        classes = [anchor, *mixed]
    if not cell.none:
        return list(zip(classes, _distinct([pool.part_holders[name] for name in classes], rng), strict=False))
    first = _any(pool.part_holders[anchor], rng)
    names = pool.views[first].classes[anchor].part_names
    if cell.task == "unique_parts":  # the same parts everywhere: nothing is unique
        fitting = [pool.with_parts(name, names) for name in classes[1:]]
    else:  # one image without any of the first one's parts: nothing is common
        fitting = [pool.without_parts(classes[1], names), *(pool.part_holders[name] for name in classes[2:])]
    return list(zip(classes, [first, *_distinct(fitting, rng, {first})], strict=False))


def _distinct(pools: Sequence[Sequence[int]], rng: np.random.Generator, taken: set[int] | None = None) -> list[int]:
    """One image of each pool, all different; shorter than ``pools`` when a pool has none left by chance or at all."""
    taken = set(taken or ())
    found: list[int] = []
    for pool in pools:
        for _ in range(4 if pool else 0):
            image = _any(pool, rng)
            if image not in taken:
                taken.add(image)
                found.append(image)
                break
        else:
            break
    return found


def _any(pool: Sequence[int], rng: np.random.Generator) -> int:
    return pool[int(rng.random() * len(pool))]
