"""All category programs of the world, and the instances that they make: fixed shapes and looks by number."""

from __future__ import annotations

import importlib
from functools import cache, lru_cache

import numpy as np

from ..errors import RegistryError
from ..registry import did_you_mean
from .materials import SPLITS, Look, choose_looks
from .objects import CATEGORIES, Category, ObjectModel

INSTANCES = {"train": 512, "val": 128, "test": 128}
_SHAPE, _LOOK = 1, 2


@cache
def all_categories() -> dict[str, Category]:
    """Category name -> category, in order of name; the first call imports ``world/categories``, where all register."""
    importlib.import_module(f"{__package__}.categories")
    return dict(sorted(CATEGORIES.items()))


def get_category(name: str) -> Category:
    """The category of that name.

    Raises:
        RegistryError: no such category.
    """
    known = all_categories()
    if name not in known:
        raise RegistryError(f"unknown category {name!r}", mend=did_you_mean(name, known))
    return known[name]


def of_flavour(flavour: str, unseen: tuple[str, ...] = (), *, only_unseen: bool = False) -> list[Category]:
    """The categories of a flavour, in order of name, without (or with only) those in ``unseen``."""
    found = [c for c in all_categories().values() if flavour in c.flavours]
    return [c for c in found if (c.name in unseen) == only_unseen]


@lru_cache(maxsize=256)
def instance_shape(name: str, split: str, number: int, seed: int) -> ObjectModel:
    """The shape of instance ``number`` of a category in a split; splits draw from streams of their own."""
    rng = np.random.default_rng([seed, _SHAPE, SPLITS.index(split), number, *name.encode()])
    return get_category(name).make(rng)


@lru_cache(maxsize=256)
def instance_looks(name: str, split: str, number: int, seed: int) -> tuple[dict[str, Look], bool]:
    """The looks of an instance, and whether all its parts share one colour (every second instance)."""
    rng = np.random.default_rng([seed, _LOOK, SPLITS.index(split), number, *name.encode()])
    model = instance_shape(name, split, number, seed)
    one_colour = bool(rng.random() < 0.5)
    return dict(choose_looks(model, split, rng, one_colour=one_colour)), one_colour
