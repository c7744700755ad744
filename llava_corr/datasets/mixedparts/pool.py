"""The images of one source in one split, indexed by class and by visible part set."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np

from ...errors import SampleError
from .views import ClassView, ImageView


class Frequencies:
    """Names drawn in proportion to their counts."""

    def __init__(self, counts: Iterable[tuple[str, int]]) -> None:
        rows = [(name, count) for name, count in counts if count > 0]
        self.names = [name for name, _ in rows]
        self._cumulative = list(accumulate(count for _, count in rows))

    def draw(self, rng: np.random.Generator) -> str:
        place = rng.random() * self._cumulative[-1]
        return self.names[bisect_right(self._cumulative, place)]


class Pool:
    """Images of one source in one split.

    Attributes:
        kin: class -> classes it may be compared with, itself included.
        holders: class -> indices of the images that show it.
        part_holders: class -> indices of the images in which some part of it is visible.
        frequencies, part_frequencies: the two above as class frequencies.

    Raises:
        SampleError: fewer than two images.
    """

    def __init__(self, source: str, split: str, views: Sequence[ImageView], kin: Mapping[str, frozenset[str]]) -> None:
        if len(views) < 2:
            raise SampleError(
                f"{len(views)} usable image(s); a pair needs two",
                where=f"source {source}, split {split}",
                mend="check the root folder and its images of this split: do they show objects? Or leave it out",
            )
        self.source = source
        self.views = sorted(views, key=lambda view: view.image_id)  # readers may list them in any order
        self.kin = kin
        self.holders = self._index(lambda c: True)
        self.part_holders = {n: found for n, found in self._index(lambda c: bool(c.parts)).items() if n in self.kin}
        self.frequencies = Frequencies((n, len(found)) for n, found in self.holders.items())
        self.part_frequencies = Frequencies((n, len(found)) for n, found in self.part_holders.items())
        self._partners = {
            name: Frequencies((n, len(self.part_holders.get(n, ()))) for n in sorted(self.kin[name] - {name}))
            for name in self.part_holders
        }
        self._by_parts: dict[str, dict[frozenset[str], list[int]]] = defaultdict(lambda: defaultdict(list))
        for k, view in enumerate(self.views):
            for name, seen in view.classes.items():
                if name in self.part_holders and seen.parts:
                    self._by_parts[name][seen.part_names].append(k)
        self._without = lru_cache(maxsize=100_000)(self._find_without)

    def _index(self, wanted: Callable[[ClassView], bool]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for k, view in enumerate(self.views):
            for name, seen in view.classes.items():
                if wanted(seen):
                    found[name].append(k)
        return dict(sorted(found.items()))

    def has_partners(self, name: str) -> bool:
        """Whether the source shows another class to compare ``name`` with."""
        return bool(self._partners[name].names)

    def partner(self, name: str, rng: np.random.Generator) -> str | None:
        """Another class that ``name`` may be compared with, by frequency; None where the source shows none."""
        frequencies = self._partners[name]
        return frequencies.draw(rng) if frequencies.names else None

    def with_parts(self, name: str, parts: frozenset[str]) -> list[int]:
        """Images in which class ``name`` shows exactly ``parts``."""
        return self._by_parts[name].get(parts, [])

    def without_parts(self, name: str, parts: frozenset[str]) -> list[int]:
        """Images in which class ``name`` shows parts, but none of ``parts``."""
        return self._without(name, parts)

    def _find_without(self, name: str, parts: frozenset[str]) -> list[int]:
        return [k for seen, images in self._by_parts[name].items() if not seen & parts for k in images]
