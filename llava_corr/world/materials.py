"""What surfaces are made of: kinds with their optics, palettes, and how a material slot is given one look.

Colours are RGB in 0..1; palettes are written in sRGB, a :class:`Look` holds linear light. Texture recipes are a fixed,
numbered bank that no seed changes; a split may only use its own numbers (see :func:`recipe_numbers`), so that
validation and test pictures show patterns nobody trained on.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .objects import Material, ObjectModel
from .vectors import Float32s

T = TypeVar("T")
SPLITS = ("train", "val", "test")
RECIPES = 60
_BANK_SEED = 7_401


@dataclass(frozen=True)
class Kind:
    """Optics of a material kind.

    Attributes:
        mirror: share of light reflected as by a mirror when seen straight on.
        tinted: the mirror image takes the surface's colour (metals).
        highlight: strength of the highlight of the main light.
        shine: exponent of the highlight; large is small and crisp.
        grit: deviation of the brightness by fine noise.
        bump: how far fine noise tilts the normal.
        fine: fine noise bumps per object extent.
        clear: share of light that passes through.
        glow: share of the colour that is given off.
    """

    mirror: float = 0.0
    tinted: bool = False
    highlight: float = 0.0
    shine: float = 30.0
    grit: float = 0.0
    bump: float = 0.0
    fine: float = 20.0
    clear: float = 0.0
    glow: float = 0.0


KINDS: dict[str, Kind] = {
    "wood": Kind(0.015, highlight=0.12, shine=25, grit=0.05, fine=14),
    "metal": Kind(0.55, tinted=True, highlight=0.9, shine=60),
    "plastic": Kind(0.04, highlight=0.35, shine=50),
    "ceramic": Kind(0.05, highlight=0.6, shine=140),
    "glass": Kind(0.08, highlight=0.9, shine=200, clear=0.62),
    "fabric": Kind(grit=0.07, bump=0.16, fine=34),
    "leather": Kind(0.01, highlight=0.16, shine=18, grit=0.05, bump=0.12, fine=26),
    "paper": Kind(grit=0.02, fine=12),
    "rubber": Kind(0.005, highlight=0.07, shine=9),
    "paint": Kind(0.045, highlight=0.45, shine=90),
    "fur": Kind(grit=0.16, bump=0.35, fine=26),
    "feather": Kind(0.005, highlight=0.05, shine=10, grit=0.10, bump=0.2, fine=18),
    "skin": Kind(0.005, highlight=0.08, shine=14, grit=0.05, bump=0.08, fine=16),
    "scales": Kind(0.02, highlight=0.25, shine=30, grit=0.10, bump=0.25, fine=30),
    "straw": Kind(grit=0.14, bump=0.25, fine=30),
    "emissive": Kind(glow=1.0),
    # kinds of the backdrop; their fine noise is counted per texture unit too
    "earth": Kind(grit=0.08, bump=0.10, fine=18),
    "stone": Kind(grit=0.05, bump=0.05, fine=14),
    "plaster": Kind(grit=0.015, bump=0.012, fine=7),
    "grass": Kind(grit=0.22, bump=0.30, fine=40),
    "leaves": Kind(grit=0.25, bump=0.45, fine=9),
    "water": Kind(0.06, highlight=0.9, shine=220, grit=0.02, bump=0.05, fine=6),
}

_WOODS = ((0.55, 0.36, 0.20), (0.40, 0.25, 0.14), (0.72, 0.53, 0.33), (0.30, 0.19, 0.12), (0.62, 0.40, 0.26),
          (0.80, 0.66, 0.47), (0.47, 0.22, 0.14))  # fmt: skip
_METALS = ((0.80, 0.80, 0.82), (0.62, 0.63, 0.66), (0.85, 0.70, 0.40), (0.76, 0.48, 0.34), (0.32, 0.33, 0.36),
           (0.90, 0.88, 0.84))  # fmt: skip
_PALETTES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "wood": _WOODS,
    "metal": _METALS,
    "ceramic": ((0.93, 0.92, 0.89), (0.95, 0.95, 0.95), (0.85, 0.80, 0.70), (0.30, 0.42, 0.58), (0.72, 0.36, 0.26),
                (0.45, 0.58, 0.50), (0.20, 0.22, 0.26), (0.86, 0.68, 0.36)),
    "glass": ((0.80, 0.90, 0.88), (0.55, 0.75, 0.60), (0.60, 0.72, 0.85), (0.70, 0.45, 0.25), (0.88, 0.88, 0.88)),
    "leather": ((0.36, 0.20, 0.12), (0.12, 0.10, 0.10), (0.62, 0.42, 0.26), (0.48, 0.14, 0.12), (0.78, 0.70, 0.60)),
    "paper": ((0.94, 0.93, 0.90), (0.90, 0.86, 0.76), (0.72, 0.57, 0.40), (0.82, 0.82, 0.84)),
    "rubber": ((0.10, 0.10, 0.11), (0.18, 0.18, 0.19), (0.45, 0.16, 0.14), (0.20, 0.25, 0.38)),
    "fur": ((0.45, 0.30, 0.18), (0.72, 0.52, 0.32), (0.20, 0.16, 0.14), (0.85, 0.80, 0.72), (0.50, 0.48, 0.46),
            (0.70, 0.40, 0.18)),
    "feather": ((0.25, 0.35, 0.55), (0.70, 0.25, 0.18), (0.20, 0.18, 0.18), (0.90, 0.88, 0.84), (0.80, 0.65, 0.20),
                (0.35, 0.50, 0.25)),
    "skin": ((0.50, 0.46, 0.43), (0.62, 0.50, 0.42), (0.34, 0.32, 0.32), (0.40, 0.46, 0.36)),
    "scales": ((0.30, 0.42, 0.22), (0.42, 0.38, 0.22), (0.25, 0.35, 0.38), (0.60, 0.52, 0.30)),
    "straw": ((0.80, 0.68, 0.42), (0.66, 0.52, 0.32), (0.88, 0.80, 0.60), (0.50, 0.38, 0.24)),
    "emissive": ((1.0, 0.93, 0.80), (0.95, 0.97, 1.0)),
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Geometry of a pattern, from the numbered bank.

    Attributes:
        frequency: repeats per object extent.
        turn: 3 x 3 rotation of the pattern.
        wobble: how far noise displaces it, in repeats.
        crisp: 0 soft to 1 sharp transitions.
        share: share of the second colour, 0..1.
        offset: 3 numbers, where the noise is taken from.
    """

    frequency: float
    turn: Float32s
    wobble: float
    crisp: float
    share: float
    offset: Float32s


@dataclass(frozen=True)
class Look:
    """How one slot of one object looks.

    Attributes:
        kind: material kind, key of ``KINDS``.
        pattern: blends between ``colour`` and ``second``.
        colour: linear RGB.
        second: linear RGB.
        recipe: geometry of the pattern.
        fixed: keeps its look on one-coloured objects.
        flat: the surface is the plane z = 0 of its own coordinates, where noise costs half.
    """

    kind: str
    pattern: str
    colour: Float32s
    second: Float32s
    recipe: Recipe
    fixed: bool = False
    flat: bool = False


def linear(colour: ArrayLike) -> Float32s:
    """sRGB to linear light, approximately (power 2.2)."""
    return np.power(np.clip(np.asarray(colour, np.float32), 0, 1), np.float32(2.2))


@cache
def recipe_numbers(split: str) -> tuple[int, ...]:
    """The recipe numbers a split may use: of every ten, train has the first eight, val the ninth, test the tenth."""
    allowed = {"train": range(8), "val": (8,), "test": (9,)}[split]
    return tuple(n for n in range(RECIPES) if n % 10 in allowed)


@cache
def recipe(pattern: str, number: int) -> Recipe:
    """Recipe ``number`` of a pattern; the same in every run."""
    rng = np.random.default_rng([_BANK_SEED, number, *pattern.encode()])
    low, high = {"patches": (1.5, 4), "noise": (3, 9), "gradient": (1, 1), "dots": (5, 12)}.get(pattern, (4, 12))
    if pattern in ("stripes", "checks", "grain", "planks", "weave") or rng.random() < 0.5:
        turn = np.eye(3)[rng.permutation(3)] if pattern in ("stripes", "grain") else np.eye(3)
    else:
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    return Recipe(
        frequency=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        turn=turn.astype(np.float32),
        wobble=float(rng.choice([0.0, 0.0, 0.15, 0.4])) if pattern != "grain" else float(rng.uniform(0.3, 0.9)),
        crisp=float(rng.uniform(0.55, 1.0)),
        share=float(rng.uniform(0.3, 0.6)),
        offset=rng.uniform(0, 8, 3).astype(np.float32),
    )


def choose_colour(kind: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """An sRGB colour that suits a material kind."""
    palette = _PALETTES.get(kind)
    if palette is not None:
        return pick(palette, rng)
    if rng.random() < 0.2:
        grey = float(rng.uniform(0.08, 0.95))
        return grey, grey, grey
    muted = kind == "fabric"
    saturation = rng.uniform(0.15, 0.6) if muted else rng.uniform(0.35, 0.9)
    return colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.3, 0.95))


def jitter(colour: ArrayLike, rng: np.random.Generator, amount: float = 0.05) -> Float32s:
    """A neighbour of an sRGB colour: brightness and each channel moved a little."""
    shade = rng.normal(0, amount) + rng.normal(0, amount * 0.4, 3)
    return np.clip(np.asarray(colour, float) * (1 + 2 * shade) + shade * 0.2, 0.02, 1).astype(np.float32)


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """One of the options; much faster than ``rng.choice`` for short sequences."""
    return options[int(rng.integers(len(options)))]


def choose_look(material: Material, split: str, rng: np.random.Generator) -> Look:
    """Draws a look for one slot from its material's kinds, colours and patterns."""
    kind = pick(material.kinds, rng)
    pattern = pick(material.patterns, rng)
    if kind == "wood" and pattern == "plain" and rng.random() < 0.7:
        pattern = "grain"
    colours = material.colours or (choose_colour(kind, rng), choose_colour(kind, rng))
    picks = rng.permutation(len(colours))
    first = jitter(colours[picks[0]], rng)
    if len(colours) > 1 and (material.colours or rng.random() < 0.6):
        second = jitter(colours[picks[1]], rng)
    else:
        second = shade_of(first, rng)
    if pattern == "grain":
        second = np.clip(first * rng.uniform(0.5, 0.75), 0, 1).astype(np.float32)
    number = pick(recipe_numbers(split), rng)
    return Look(kind, pattern, linear(first), linear(second), recipe(pattern, number), material.fixed)


def shade_of(colour: ArrayLike, rng: np.random.Generator) -> Float32s:
    """A lighter or darker relative of an sRGB colour, for two-tone patterns."""
    base = np.asarray(colour, np.float32)
    if base.mean() > 0.5:
        return (base * np.float32(rng.uniform(0.35, 0.65))).astype(np.float32)
    return (base + (1 - base) * np.float32(rng.uniform(0.35, 0.7))).astype(np.float32)


def choose_looks(model: ObjectModel, split: str, rng: np.random.Generator, *, one_colour: bool) -> Mapping[str, Look]:
    """A look for every slot of an object.

    With ``one_colour`` all slots that are not fixed share kind, colour and a plain pattern, so that only shape tells
    the parts apart.
    """
    looks = {slot: choose_look(material, split, rng) for slot, material in sorted(model.materials.items())}
    free = [slot for slot, look in looks.items() if not look.fixed]
    if one_colour and free:
        main = _main_slot(model, free)
        kind = "plastic" if looks[main].kind == "emissive" else looks[main].kind
        shared = replace(looks[main], kind=kind, pattern="plain")
        looks.update(dict.fromkeys(free, shared))
    return looks


def _main_slot(model: ObjectModel, slots: list[str]) -> str:
    """The slot that most triangles use; ties go to the first by name."""
    count = dict.fromkeys(slots, 0)
    for piece in model.pieces:
        if piece.material in count:
            count[piece.material] += len(piece.mesh.faces)
    return max(slots, key=lambda slot: count[slot])
