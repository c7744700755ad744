"""Lamps on tables and floors, chandeliers and sconces."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, lathe, merge, torus, tube
from ._forms import WHITE, Frame, Part, ball, block, compass, disc, near, pick, placed, rod, shifted, smooth
from ._furniture import metallic

_GLOW = ((1.0, 0.92, 0.75), (1.0, 0.97, 0.9))
_SHADES = ((0.92, 0.88, 0.78), WHITE, (0.75, 0.3, 0.22), (0.3, 0.4, 0.5), (0.35, 0.45, 0.35), (0.85, 0.7, 0.4))
TUBE: Part = {"paco_lvis": "pipe", "ade20k_part_234": "tube"}
BULB: Part = {"paco_lvis": "bulb", "ade20k_part_234": "light source"}


def _lit(b: ObjectBuilder) -> None:
    metallic(b)
    b.material("shade", "fabric", "paper", "glass", colours=_SHADES, patterns=("plain", "stripes", "checks"))
    b.material("base", "ceramic", "wood", "metal", patterns=("plain", "grain"))
    b.material("glow", "emissive", colours=_GLOW, fixed=True)


def _shade(low: float, high: float, z0: float, z1: float) -> Mesh:
    """Open truncated cone with walls, from radius ``low`` at z0 to ``high`` at z1."""
    t = 0.004
    return lathe([(low - t, z0), (low, z0), (high, z1), (high - t, z1), (low - t, z0)], segments=24)


def _hood(radius: float, tall: float) -> list[tuple[float, float]]:
    """Profile of a bell that is closed above and open below, from 0.9 ``tall`` below to 0.4 above zero."""
    outside = [(1.0, -0.9), (0.78, -0.3), (0.42, 0.2), (0.3, 0.38), (0.0, 0.4)]
    inside = [(0.0, 0.3), (0.38, 0.12), (0.74, -0.34), (0.97, -0.9)]
    return [(r * radius, z * tall) for r, z in (*inside, *outside)]


@lru_cache(maxsize=1)
def _link() -> Mesh:
    return torus(0.021, 0.0055, segments=10, sides=5).rotate("x", 90)


def _shade_points(f: Frame, low: float, high: float, z0: float, z1: float) -> None:
    for word, at in (("front", (0, -1)), ("rear", (0, 1)), ("left", (1, 0)), ("right", (-1, 0))):
        f.keypoint("shade", "rim", (at[0] * low, at[1] * low, z0), "", f"{word} bottom")
        if word in ("front", "rear"):
            f.keypoint("shade", "rim", (at[0] * high, at[1] * high, z1), "", f"{word} top")


def _shaded(f: Frame, rng: np.random.Generator, z: float, size: float, slim: float) -> None:
    """Shade, bulb and finial around the upper end (z) of a lamp's pipe."""
    tall = near(rng, 0.75, 0.25) * size
    low, high = 0.5 * size, 0.5 * size * float(rng.uniform(0.5, 1.0))
    z0, z1 = z - 0.55 * tall, z + 0.45 * tall
    f.piece("shade", _shade(low, high, z0, z1), "shade")
    f.piece({"paco_lvis": "shade cap", "ade20k_part_234": "shade"}, merge(*(rod((0, 0, z1 - 0.01), (s * high, 0, z1 -
            0.01), 0.004, sides=5) for s in (-1, 1))), "metal")  # fmt: skip
    f.piece(BULB, ball(0.13 * size, 0.13 * size, 0.17 * size, (0, 0, z + 0.05 * size), segments=12), "glow")
    f.piece(TUBE, rod((0, 0, z - 0.6 * tall), (0, 0, z1), slim, sides=8), "metal")
    f.piece(
        {"paco_lvis": "finial", "ade20k_part_234": ""},
        ball(0.018, 0.018, 0.025, (0, 0, z1 + 0.02), segments=10),
        "metal",
    )
    _shade_points(f, low, high, z0, z1)
    f.keypoint("finial", "tip", (0, 0, z1 + 0.045))


def _foot_points(f: Frame, radius: float) -> None:
    for word, at in (("front", (0, -1)), ("rear", (0, 1)), ("left", (1, 0)), ("right", (-1, 0))):
        f.keypoint("base", "rim", (at[0] * radius, at[1] * radius, 0.01), "", word)


@category("lamp", flavours={"paco_lvis": "lamp", "ade20k_part_234": "lamp"}, support="table", size=0.55)
def lamp(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A table lamp: a vase-like or slender foot under a shade, or a jointed desk lamp."""
    _lit(b)
    f = Frame(b)
    if rng.random() < 0.3:
        _desk_lamp(f, rng)
        return
    style = pick(rng, "vase", "column", "ball")
    size, z = near(rng, 0.3, 0.15), near(rng, 0.4, 0.15)
    r = near(rng, 0.085, 0.2)
    profile = {
        "vase": [
            (0, 0),
            (0.7, 0),
            (0.75, 0.04),
            (0.6, 0.08),
            (1.0, 0.3),
            (0.95, 0.45),
            (0.4, 0.62),
            (0.25, 0.68),
            (0, 0.7),
        ],
        "column": [(0, 0), (1.0, 0), (1.0, 0.05), (0.35, 0.08), (0.28, 0.66), (0.4, 0.7), (0, 0.7)],
        "ball": [
            (0, 0),
            (0.8, 0),
            (0.8, 0.04),
            (0.5, 0.06),
            (0.95, 0.2),
            (1.1, 0.35),
            (0.95, 0.5),
            (0.4, 0.62),
            (0, 0.64),
        ],
    }[style]
    f.piece("base", lathe([(x * r, y * z) for x, y in profile], segments=20), "base")
    _shaded(f, rng, z, size, 0.009)
    _foot_points(f, profile[1][0] * r)
    if rng.random() < 0.6:
        path = smooth([(0, 0.6 * r, 0.012), (0.04, 0.16, 0.006), (-0.02, 0.25, 0.005), (0.03, 0.36, 0.005)], 4)
        f.piece({"paco_lvis": "cable", "ade20k_part_234": "cord"}, tube(path, 0.005, sides=6), "metal")
    if rng.random() < 0.5:
        f.piece(
            {"paco_lvis": "switch", "ade20k_part_234": ""},
            rod((0, 0, 0.76 * z), (0.035, 0, 0.76 * z), 0.006, sides=6),
            "metal",
        )


def _desk_lamp(f: Frame, rng: np.random.Generator) -> None:
    r = near(rng, 0.09)
    f.piece("base", disc(r, 0.025, (0, 0, 0.0125), segments=24), "base")
    _foot_points(f, 0.98 * r)
    elbow = np.array([0, near(rng, 0.1, 0.4), near(rng, 0.3)])
    end = elbow + np.array([0, -near(rng, 0.24, 0.2), float(rng.uniform(0.02, 0.14))])
    bar: Part = {"paco_lvis": "pipe", "ade20k_part_234": "arm"}
    f.piece(
        bar,
        merge(rod((0, 0, 0.02), elbow, 0.009), rod(elbow, end, 0.009), ball(0.016, 0.016, 0.016, elbow, segments=8)),
        "metal",
    )
    f.keypoint("arm", "elbow", shifted(elbow, z=0.015))
    head = Frame(f.b, f.matrix @ placed(*end, ("x", -float(rng.uniform(10, 40)))))
    size = near(rng, 0.085)
    head.piece(
        "shade",
        lathe(_hood(size, 0.1), segments=20),
        "shade",
    )
    head.piece(BULB, ball(0.35 * size, 0.35 * size, 0.4 * size, (0, 0, -0.055), segments=10), "glow")
    head.keypoint("shade", "rim", (0, -size, -0.09), "", "front bottom")
    head.keypoint("shade", "rim", (0, size, -0.09), "", "rear bottom")
    head.pair("shade", "rim", (size, 0, -0.09), "", "bottom")
    head.keypoint("shade", "top", (0, 0, 0.04))


@category("floor lamp", flavours={"paco_lvis": "lamp", "ade20k_part_234": "lamp"}, support="floor", size=1.6)
def floor_lamp(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A shade on a tall pipe over a plate or three feet, or hanging from an arch."""
    _lit(b)
    f = Frame(b)
    z, r = near(rng, 1.45, 0.1), near(rng, 0.15)
    style = pick(rng, "plate", "plate", "tripod", "arch")
    if style == "tripod":
        for k in range(3):
            angle = np.radians(120 * k + 60)
            foot = np.array([0.27 * np.sin(angle), -0.27 * np.cos(angle), 0])
            f.piece("base", rod(foot, (0, 0, 0.8 * z), 0.014), "base")
            f.keypoint("base", "end", foot, compass(*foot[:2]))
    else:
        f.piece("base", disc(r, 0.03, (0, 0, 0.015), segments=26), "base")
        _foot_points(f, r)
        f.piece(TUBE, rod((0, 0, 0.02), (0, 0, 0.8 * z), 0.012), "metal")
    if style == "arch":
        t = np.linspace(0, np.pi * 0.8, 10)
        reach = near(rng, 0.32)
        path = np.column_stack([np.zeros(10), -reach * (1 - np.cos(t)), 0.8 * z + 0.25 * z * np.sin(t)])
        f.piece(TUBE, tube(path, 0.011), "metal")
        end = path[-1]
        g = Frame(b, placed(*(end - (0, 0, 0.08))))
        g.piece("shade", lathe(_hood(0.15, 0.12), segments=20), "shade")
        g.piece(BULB, ball(0.045, 0.045, 0.055, (0, 0, -0.05), segments=10), "glow")
        _shade_points(g, 0.15, 0.06, -0.108, 0.036)
        return
    _shaded(f, rng, z, near(rng, 0.42), 0.011)


@category("chandelier", flavours={"ade20k_part_234": "chandelier"}, support="ceiling", size=0.9)
def chandelier(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Curved arms with candles or shades around a turned column that hangs from a chain."""
    _lit(b)
    b.material("glass", "glass", colours=((0.9, 0.93, 0.95),))
    r, drop = near(rng, 0.38, 0.2), near(rng, 0.5, 0.25)
    f = Frame(b)
    f.piece("canopy", lathe([(0, -0.04), (0.03, -0.04), (0.065, -0.01), (0.07, 0), (0, 0)], segments=18), "metal")
    if rng.random() < 0.6:
        links = int(drop / 0.045)
        chain = [_link().rotate("z", 90 * (k % 2)).move(0, 0, -0.05 - k * drop / links) for k in range(links)]
        f.piece("chain", merge(*chain), "metal")
    else:
        f.piece("cord", rod((0, 0, -0.03), (0, 0, -drop), 0.008), "metal")
    z = -drop - 0.02
    turned = [
        (0, -0.36),
        (0.022, -0.35),
        (0.012, -0.32),
        (0.06, -0.26),
        (0.03, -0.18),
        (0.045, -0.13),
        (0.02, -0.05),
        (0, 0),
    ]
    f.piece("", lathe([(x, z + y) for x, y in turned], segments=16), "metal")
    count, shaded = int(rng.integers(5, 9)), rng.random() < 0.5
    t = np.linspace(0, 1, 9)
    low = z - 0.24 - 0.1 * np.sin(1.2 * np.pi * t) + 0.1 * t**2
    arm = tube(np.column_stack([np.zeros(9), -0.03 - (r - 0.03) * t, low]), 0.009, sides=6)
    for k in range(count):
        degrees = 360 * k / count
        way = np.array([np.sin(np.radians(degrees)), -np.cos(np.radians(degrees)), 0])
        f.piece("arm", arm.rotate("z", degrees), "metal")
        _candle(f, r * way + np.array([0, 0, low[-1]]), shaded, compass(way[0], way[1]))
    f.keypoint("canopy", "center", (0, 0, -0.04))
    f.keypoint("column", "bottom", (0, 0, z - 0.36))


def _candle(f: Frame, end: Floats, shaded: bool, words: str) -> None:
    x, y, z = end
    f.piece("arm", disc(0.032, 0.012, (x, y, z + 0.004), segments=12), "metal")
    f.piece("bulb", rod((x, y, z), (x, y, z + 0.08), 0.012), "glass")
    f.piece("light source", ball(0.016, 0.016, 0.034, (x, y, z + 0.105), segments=8), "glow")
    if shaded:
        f.piece("shade", _shade(0.07, 0.04, 0.06, 0.15).move(x, y, z), "shade")
    if shaded:
        f.keypoint("shade", "center", (*(np.array([x, y]) * (1 + 0.055 / np.hypot(x, y))), z + 0.105), words)
    else:
        f.keypoint("light", "tip", (x, y, z + 0.13), words)
    f.keypoint("arm", "end", (x, y, z - 0.005), words)


@category("sconce", flavours={"ade20k_part_234": "sconce"}, support="wall", size=0.35)
def sconce(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A wall light: back plate, one or two arms, shades; the wall is at its back (+y side)."""
    _lit(b)
    f = Frame(b)
    tall, out = near(rng, 0.24, 0.25), near(rng, 0.14, 0.2)
    if rng.random() < 0.5:
        f.piece("backplate", disc(0.055, 0.02, (0, -0.01, 0), axis="y", segments=20).scale(1, 1, tall / 0.11), "metal")
    else:
        f.piece("backplate", block(0.09, 0.02, tall, (0, -0.01, 0)), "metal")
    double = rng.random() < 0.4
    candle = rng.random() < 0.4
    for side, word in ((1, "left"), (-1, "right")) if double else ((0, ""),):
        x = 0.11 * side
        t = np.linspace(0, 1, 9)
        path = np.column_stack(
            [x * t, -0.015 - out * np.sin(0.5 * np.pi * t), -0.03 - 0.05 * np.sin(np.pi * t) + 0.07 * t**3]
        )
        f.piece("arm", tube(path, 0.009, sides=8), "metal")
        g = Frame(b, placed(*path[-1]))
        g.piece("arm", disc(0.028, 0.012, segments=12), "metal")
        g.piece("light source", ball(0.022, 0.022, 0.04, (0, 0, 0.075), segments=10), "glow")
        g.piece("light source" if candle else "arm", rod((0, 0, 0), (0, 0, 0.05), 0.013), "base")
        low, high = (0.05, 0.075) if rng.random() < 0.4 else (0.085, 0.05)
        g.piece("shade", _shade(low, high, 0.03, 0.15), "shade")
        g.keypoint("shade", "rim", (0, -low, 0.03), word, "front bottom")
        g.keypoint("shade", "rim", (0, -high, 0.15), word, "front top")
        g.keypoint("shade", "center", (0, -(low + high) / 2, 0.09), word, "front")
        g.keypoint("arm", "end", (0, -0.027, 0), word)
    f.keypoint("backplate", "top", (0, -0.02, 0.45 * tall))
    f.keypoint("backplate", "bottom", (0, -0.02, -0.45 * tall))
