"""Colours of labels: one name, one colour, in every picture it occurs in.

A label's first choice follows from its letters alone, so "seat" tends to look alike throughout a report; within one
set of labels no colour is used twice before all are, and a first choice that looks much like a colour in use gives
way. The 16 colours were picked by greedy farthest-point search in OKLab (lightness 0.52 to 0.90, chroma above 0.11):
at least 0.24 apart with hue and chroma counted twice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from ..grammar import normalise_label

Colour: TypeAlias = tuple[int, int, int]

_PALETTE_HEX = (
    "f03c3c 00ff00 1e4bff f000ff 69e1ff 5a7800 9669b4 ffd278 8700f0 c30087 0078a5 2dd287 ffa5c3 b46900 c3e100 ff87ff"
)
PALETTE: tuple[Colour, ...] = tuple(
    (int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)) for code in _PALETTE_HEX.split()
)

_NEAR = 0.30  # distance of colours that small areas do not tell apart at once, such as pink and magenta


def label_colours(labels: Iterable[str]) -> dict[str, Colour]:
    """Gives every label a colour, keyed by the normalised label (:func:`llava_corr.grammar.normalise_label`).

    Earlier labels choose first: pass the true labels before the predicted ones, and the truth keeps its colours
    whatever a model says. With more labels than colours, colours repeat evenly and the name tags tell them apart.
    """
    colours: dict[str, Colour] = {}
    uses = [0] * len(PALETTE)
    for label in labels:
        key = normalise_label(label)
        if key in colours:
            continue
        least = min(uses)
        slot = _first_choice(key)
        taken = set(colours.values())
        if uses[slot] > least or any(_distance(PALETTE[slot], colour) < _NEAR for colour in taken):
            free = [k for k in range(len(PALETTE)) if uses[k] == least]
            slot = max(free, key=lambda k: min(_distance(PALETTE[k], colour) for colour in taken))
        uses[slot] += 1
        colours[key] = PALETTE[slot]
    return colours


def colour_of(label: str, colours: dict[str, Colour]) -> Colour:
    """The colour of ``label`` in a mapping of :func:`label_colours`; its first choice if it is not in there."""
    key = normalise_label(label)
    return colours.get(key, PALETTE[_first_choice(key)])


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever reads better on ``colour`` (contrast ratio of WCAG 2)."""
    luminance = _luminance(colour)
    return (0, 0, 0) if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else (255, 255, 255)


def to_hex(colour: Colour) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _first_choice(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % len(PALETTE)


def _distance(first: Colour, second: Colour) -> float:
    """Distance in OKLab with hue and chroma counted twice: small areas are told apart by hue rather than lightness."""
    lightness, red_green, blue_yellow = (a - b for a, b in zip(_oklab(first), _oklab(second), strict=True))
    return math.hypot(lightness, 2 * red_green, 2 * blue_yellow)


@lru_cache(maxsize=256)
def _oklab(colour: Colour) -> tuple[float, float, float]:
    """OKLab coordinates of an sRGB colour (Ottosson, 2020)."""
    red, green, blue = _linear(colour)
    long = _cube_root(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = _cube_root(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = _cube_root(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def _cube_root(value: float) -> float:
    return value ** (1 / 3)


def _linear(colour: Colour) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]


def _luminance(colour: Colour) -> float:
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
