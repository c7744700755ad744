"""The numbers that shape a MixedParts data set, and the schedule that hands each sample index its cell."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...errors import ConfigError
from ...files import read_json
from ...records import Task
from ...registry import did_you_mean
from .phrasings import SPLITS

_GOLDEN = (5**0.5 - 1) / 2


def _paper_tasks() -> dict[Task, float]:
    return {"common_objects": 0.5, "common_parts": 0.25, "unique_parts": 0.25}


@dataclass(frozen=True)
class MixedPartsSpec:
    """What the data set holds. Shares of sources, tasks and set sizes are relative weights.

    Attributes:
        source_shares: weight per source; empty for equal (the paper: a third each).
        task_shares: weight per task; by default objects and parts one half each, as in the paper.
        cross_class_share: of the part samples whose class has comparable classes, how many compare different classes.
        none_share: share of samples of every task in which nothing is common (or unique).
        set_share: share of samples with more than two images; ``set_sizes`` are their weights.
        margin: a part pair is refused when another comparable choice weighs at least this much of it (see ``truth``).
        max_targets: samples with more [SEG] than this are refused, never cut. The paper's largest has 72 parts.
        class_draws, image_draws: how many classes are tried per sample, and how many image choices per class.
    """

    source_shares: Mapping[str, float] = field(default_factory=dict)
    task_shares: Mapping[Task, float] = field(default_factory=_paper_tasks)
    cross_class_share: float = 0.5
    none_share: float = 0.05
    set_share: float = 0.1
    set_sizes: Mapping[int, float] = field(default_factory=lambda: {3: 0.6, 4: 0.25, 5: 0.15})
    margin: float = 0.5
    max_targets: int = 80
    class_draws: int = 12
    image_draws: int = 20

    def __post_init__(self) -> None:
        faults = [
            f"{name} is {getattr(self, name)}, it has to lie between 0 and 1"
            for name in ("cross_class_share", "none_share", "set_share")
            if not 0 <= getattr(self, name) <= 1
        ]
        if not 0 < self.margin <= 1:
            faults.append(f"margin is {self.margin}, it has to lie above 0 and up to 1")
        faults += [
            f"{n} is {getattr(self, n)}" for n in ("max_targets", "class_draws", "image_draws") if getattr(self, n) < 1
        ]
        for name in ("source_shares", "task_shares", "set_sizes"):
            weights = getattr(self, name)
            if (weights or name != "source_shares") and (
                min(weights.values(), default=0) < 0 or not sum(weights.values())
            ):
                faults.append(f"{name} needs weights of 0 or more that are not all 0, not {dict(weights)}")
        unknown = set(self.task_shares) - set(_paper_tasks())
        if unknown:
            faults.append(f"task_shares: unknown {sorted(unknown)}; {did_you_mean(min(unknown), _paper_tasks())}")
        if any(size < 3 for size in self.set_sizes):
            faults.append(f"set_sizes are numbers of images from 3 on, not {sorted(self.set_sizes)}")
        if faults:
            raise ConfigError("the MixedParts spec is not usable: " + "; ".join(faults), mend="correct these fields")

    @classmethod
    def from_json(cls, path: str | Path) -> MixedPartsSpec:
        """Reads a JSON object with any of the fields.

        Raises:
            ConfigError: broken file, unknown field or value out of range.
        """
        values = read_json(path, ConfigError)
        known = [f.name for f in fields(cls)]
        if not isinstance(values, dict):
            raise ConfigError("a MixedParts spec is a JSON object", where=str(path), mend=f"fields: {', '.join(known)}")
        for name in values:
            if name not in known:
                raise ConfigError(f"unknown field {name!r}", where=str(path), mend=did_you_mean(name, known))
        try:
            spec: MixedPartsSpec = TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
        except ValidationError as cause:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in cause.errors())
            raise ConfigError(
                f"the MixedParts spec is not usable: {faults}", where=str(path), mend="correct it"
            ) from cause
        return spec

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Cell(NamedTuple):
    """What a sample has to be: source, task, whether the answer is "nothing", number of images."""

    source: str
    task: Task
    none: bool
    images: int


class Schedule:
    """Sample index -> :class:`Cell`, by the spec's shares.

    Indices step through the cells by the golden ratio, so every prefix of the indices holds every cell, source and
    task in its share, off by a few samples at most, whatever the shares are.

    Args:
        sources: names of the sources at hand.
        seed, split: shift the sequence.
    """

    def __init__(self, spec: MixedPartsSpec, sources: Sequence[str], seed: int, split: str) -> None:
        unknown = sorted(set(spec.source_shares) - set(sources))
        if unknown:
            raise ConfigError(
                f"source_shares names sources that are not given: {', '.join(unknown)}",
                mend=did_you_mean(unknown[0], sources),
            )
        shares = spec.source_shares or dict.fromkeys(sources, 1.0)
        nothing = {False: 1 - spec.none_share, True: spec.none_share}
        total = sum(spec.set_sizes.values())
        sizes = {2: 1 - spec.set_share, **{k: spec.set_share * w / total for k, w in sorted(spec.set_sizes.items())}}
        weights = {
            Cell(source, task, none, images): w_source * w_task * w_none * w_images
            for source, w_source in sorted(shares.items())
            for task, w_task in spec.task_shares.items()
            for none, w_none in nothing.items()
            for images, w_images in sizes.items()
        }
        self.cells = [cell for cell, weight in weights.items() if weight > 0]
        self._cumulative = list(accumulate(weights[cell] for cell in self.cells))
        self._offset = float(np.random.default_rng([seed, SPLITS.index(split)]).random())

    def cell(self, index: int) -> Cell:
        place = (self._offset + index * _GOLDEN) % 1.0 * self._cumulative[-1]
        return self.cells[min(bisect_right(self._cumulative, place), len(self.cells) - 1)]
