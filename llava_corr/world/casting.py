"""Which objects a picture shows: categories, instances, and items ready to stand somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .catalogue import INSTANCES, instance_looks, instance_shape
from .materials import Look
from .objects import Category, ObjectModel
from .scene import Placed, pose

Floats = NDArray[np.float64]


@dataclass
class Stage:
    """What a composer works with; its random numbers belong to one picture.

    Attributes:
        flavour: data-set flavour.
        split: train, val or test; chooses instances, textures and backdrops.
        seed: the world's seed.
        categories: what may be shown.
        rng: the picture's random numbers.
        size: (height, width) in pixels.
        count: labelled objects to show, for measurements; None leaves it to the flavour.
    """

    flavour: str
    split: str
    seed: int
    categories: Sequence[Category]
    rng: np.random.Generator
    size: tuple[int, int]
    count: int | None = None
    _taken: set[str] = field(default_factory=set)

    def actor(self, category: Category) -> Actor:
        """An instance of a category that this picture does not show yet."""
        while True:
            number = int(self.rng.integers(INSTANCES[self.split]))
            name = f"{category.name}-{self.split}-{number:04d}"
            if name not in self._taken:
                break
        self._taken.add(name)
        model = instance_shape(category.name, self.split, number, self.seed)
        looks, one_colour = instance_looks(category.name, self.split, number, self.seed)
        return Actor(category, name, model, looks, one_colour, category.flavours[self.flavour])

    def pick(self, categories: Sequence[Category]) -> Category:
        return categories[int(self.rng.integers(len(categories)))]

    def troupe(self, pool: Sequence[Category], count: int, *, pair: float) -> list[Category]:
        """``count`` categories of a pool, in random order, with probability ``pair`` one of them twice."""
        count = max(count, 1)
        order = self.rng.permutation(len(pool))
        chosen = [pool[int(order[k % len(pool)])] for k in range(count)]
        if count > 1 and self.rng.random() < pair:
            chosen[-1] = chosen[0]
        return [chosen[int(k)] for k in self.rng.permutation(count)]


@dataclass(frozen=True)
class Actor:
    """An instance of a category that waits for a place."""

    category: Category
    name: str
    model: ObjectModel
    looks: dict[str, Look]
    one_colour: bool
    label: str

    def bounds(self) -> Floats:
        return self.model.bounds()

    @property
    def extent(self) -> float:
        """Longest side of its box."""
        return float(np.ptp(self.bounds(), axis=0).max())

    def stand(self, at: Floats, *, yaw: float, scale: float, tilt: Floats | None = None) -> Placed:
        """The labelled item with its own origin at ``at``."""
        return Placed(
            self.model, pose(at=at, yaw=yaw, scale=scale, tilt=tilt), self.looks, self.label, self.name,
            self.one_colour, self.extent,
        )  # fmt: skip


def comparable(size: float, rng: np.random.Generator, *, middle: float, power: float, spread: float) -> float:
    """An extent for a scene: sizes are drawn towards ``middle`` (power 0 makes all alike, 1 keeps nature's sizes)."""
    return float(middle * (size / middle) ** power * np.exp(rng.normal(0, spread)))
