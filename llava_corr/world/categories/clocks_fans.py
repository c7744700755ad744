"""Clocks and fans, on walls, tables, floors and ceilings."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import extrude, lathe, merge, rounded_rectangle, torus, tube
from ._forms import BLACK, DARK, WHITE, Frame, Part, ball, block, compass, disc, near, pick, placed, rod, shifted
from ._furniture import BRASS, metallic, wooden

_GLOW = ((1.0, 0.92, 0.75), (1.0, 0.97, 0.9))


def _foot_points(f: Frame, radius: float) -> None:
    for word, at in (("front", (0, -1)), ("rear", (0, 1)), ("left", (1, 0)), ("right", (-1, 0))):
        f.keypoint("base", "rim", (at[0] * radius, at[1] * radius, 0.01), "", word)


def _dial(f: Frame, rng: np.random.Generator, radius: float, y: float, numerals: int) -> None:
    """Face, marks and hands in the plane y, seen from -y."""
    f.piece({"ade20k_part_234": "face", "paco_lvis": ""}, disc(radius, 0.01, (0, y, 0), axis="y", segments=28), "face")
    marks = []
    for k in range(numerals):
        angle = 2 * np.pi * k / numerals
        size = 0.16 if k % (numerals // 4) == 0 else 0.09
        at = (0.84 * radius * np.sin(angle), y - 0.007, 0.84 * radius * np.cos(angle))
        marks.append(block(0.045 * radius, 0.004, size * radius).rotate("y", np.degrees(angle)).move(*at))
    f.piece({"ade20k_part_234": "face", "paco_lvis": ""}, merge(*marks), "ink")
    for length, wide, name in ((0.5, 0.07, "hour"), (0.78, 0.045, "minute")):
        angle = float(rng.uniform(0, 360))
        hand = block(wide * radius, 0.005, length * radius, (0, y - 0.014, 0.4 * length * radius)).rotate("y", angle)
        f.piece({"ade20k_part_234": "face", "paco_lvis": "hand"}, hand, "ink")
        tip = 0.9 * length * radius * np.array([np.sin(np.radians(angle)), 0, np.cos(np.radians(angle))])
        f.keypoint(f"{name} hand", "tip", shifted(tip, 0, y - 0.017))
    f.piece(
        {"ade20k_part_234": "face", "paco_lvis": "hand"}, disc(0.06 * radius, 0.02, (0, y - 0.01, 0), axis="y"), "ink"
    )
    f.keypoint("face", "center", (0, y - 0.02, 0))
    for word, sx, sz in (("top", 0, 1), ("bottom", 0, -1), ("left", 1, 0), ("right", -1, 0)):
        f.keypoint("face", "rim", (sx * radius, y - 0.005, sz * radius), "", word)


def _clockwork(b: ObjectBuilder) -> None:
    wooden(b)
    b.material("case", "wood", "metal", "plastic", patterns=("plain", "grain"))
    b.material("face", "paper", colours=(WHITE, (0.93, 0.9, 0.8), (0.15, 0.16, 0.2)), fixed=True)
    b.material("ink", "paint", colours=(BLACK, (0.45, 0.1, 0.08), (0.55, 0.5, 0.4)), fixed=True)
    b.material("brass", "metal", colours=(BRASS,))


@category("clock", flavours={"paco_lvis": "clock", "ade20k_part_234": "clock"}, support="wall", size=0.35)
def clock(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A wall clock, round or square; the wall is at its back (+y side)."""
    _clockwork(b)
    r, f = near(rng, 0.16, 0.15), Frame(b)
    frame: Part = {"paco_lvis": "case", "ade20k_part_234": "frame"}
    style = pick(rng, "round", "round", "square", "sun")
    if style == "square":
        ring = np.concatenate([rounded_rectangle(2.3 * r, 2.3 * r, 0.3 * r)])
        f.piece(frame, extrude(ring, 0.04).rotate("x", 90).move(0, -0.02), "case")
    else:
        f.piece(frame, disc(1.08 * r, 0.04, (0, -0.02, 0), axis="y", segments=32), "case")
        f.piece(frame, torus(1.04 * r, 0.1 * r, segments=32).rotate("x", 90).move(0, -0.04), "case")
    if style == "sun":
        for k in range(12):
            angle = 30.0 * k
            ray = rod((0, -0.02, 1.1 * r), (0, -0.02, (1.75 if k % 2 else 1.5) * r), 0.02, 0.006, sides=6).rotate(
                "y", angle
            )
            f.piece({"paco_lvis": "decoration", "ade20k_part_234": "frame"}, ray, "brass")
    _dial(f, rng, r, -0.042, 12)


@category("mantel clock", flavours={"paco_lvis": "clock", "ade20k_part_234": "clock"}, support="table", size=0.35)
def mantel_clock(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A clock that stands: a case on a base with a pediment and finials, or an alarm clock with bells."""
    _clockwork(b)
    r = near(rng, 0.09)
    case: Part = {"paco_lvis": "case", "ade20k_part_234": "frame"}
    if rng.random() < 0.4:
        f = Frame(b, placed(0, 0, 1.35 * r))
        f.piece(case, disc(1.1 * r, 0.07, axis="y", segments=28), "case")
        f.both(
            {"paco_lvis": "base", "ade20k_part_234": "frame"},
            rod((0.6 * r, 0, -0.85 * r), (0.85 * r, 0, -1.35 * r), 0.012),
            "brass",
        )
        f.both(
            {"paco_lvis": "decoration", "ade20k_part_234": "frame"},
            ball(0.42 * r, 0.4 * r, 0.3 * r, (0.6 * r, 0, 1.1 * r), segments=12),
            "brass",
        )
        f.piece({"paco_lvis": "finial", "ade20k_part_234": "frame"}, rod((0, 0, r), (0, 0, 1.5 * r), 0.009), "brass")
        _dial(f, rng, r, -0.038, 12)
        f.pair("base", "end", (0.85 * r, 0, -1.35 * r))
        return
    w, tall, d = 1.35 * r, 3.4 * r, 0.1
    f = Frame(b, placed(0, 0, 0.03 + 1.9 * r))
    f.piece(case, block(2 * w, d, tall, (0, 0, -1.9 * r + tall / 2)), "case")
    f.piece(
        {"paco_lvis": "base", "ade20k_part_234": "frame"},
        block(2.5 * w, 1.3 * d, 0.03, (0, 0, -1.9 * r - 0.015)),
        "main",
    )
    top = tall - 1.9 * r
    gable = [(-1.2 * w, 0), (1.2 * w, 0), (0, 0.9 * r)]
    pediment: Part = {"paco_lvis": "pediment", "ade20k_part_234": "frame"}
    f.piece(pediment, extrude(gable, 1.2 * d).rotate("x", 90).move(0, 0, top), "main")
    f.piece(
        {"paco_lvis": "finial", "ade20k_part_234": "frame"},
        ball(0.016, 0.016, 0.024, (0, 0, top + 0.9 * r), segments=10),
        "brass",
    )
    f.piece(
        {"paco_lvis": "decoration", "ade20k_part_234": "frame"},
        torus(1.06 * r, 0.07 * r, segments=28).rotate("x", 90).move(0, -d / 2),
        "brass",
    )
    _dial(f, rng, r, -d / 2 - 0.004, 12)
    f.keypoint("pediment", "top", (0, -0.6 * d, top + 0.84 * r))
    f.pair("base", "corner", (1.25 * w, -0.65 * d, -1.9 * r - 0.03), "", "front bottom")


@category("fan", flavours={"paco_lvis": "fan", "ade20k_part_234": "fan"}, support="ceiling", size=1.2)
def fan(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A ceiling fan: canopy, rod, motor, blades, often a light and a pull string."""
    wooden(b)
    metallic(b)
    b.material("glow", "emissive", colours=_GLOW, fixed=True)
    drop, span, f = near(rng, 0.32, 0.3), near(rng, 0.56), Frame(b)
    f.piece("canopy", lathe([(0, -0.07), (0.025, -0.07), (0.07, -0.02), (0.075, 0), (0, 0)], segments=18), "metal")
    f.piece({"paco_lvis": "rod", "ade20k_part_234": "tube"}, rod((0, 0, -0.05), (0, 0, -drop), 0.014), "metal")
    motor = [(0, -0.09), (0.06, -0.09), (0.1, -0.06), (0.11, -0.02), (0.06, 0.02), (0, 0.03)]
    f.piece(
        {"paco_lvis": "motor", "ade20k_part_234": ""}, lathe([(x, y - drop) for x, y in motor], segments=20), "metal"
    )
    count, turn = int(rng.integers(3, 6)), float(rng.uniform(0, 120))
    for k in range(count):
        spin = Frame(b, placed(0, 0, -drop - 0.05, ("x", 0), ("z", turn + 360 * k / count)))
        outline = [
            (-0.05, -0.17),
            (0.05, -0.17),
            (0.075, -0.9 * span),
            (0.05, -span),
            (-0.05, -span),
            (-0.075, -0.9 * span),
        ]
        blade = extrude(outline, 0.009).rotate("y", 10)
        spin.piece("blade", blade, "main")
        spin.piece(
            {"paco_lvis": "bracket", "ade20k_part_234": "blade"}, block(0.035, 0.14, 0.012, (0, -0.14, 0)), "metal"
        )
        word = compass(*(spin.matrix[:2, :3] @ (0.0, -1.0, 0.0)))
        spin.keypoint("blade", "tip", (0, -span, 0.0), word)
        spin.keypoint("blade", "root", (0, -0.19, 0.0), word)
    if rng.random() < 0.7:
        f.piece(
            {"paco_lvis": "light", "ade20k_part_234": ""},
            ball(0.085, 0.085, 0.06, (0, 0, -drop - 0.1), segments=16),
            "glow",
        )
        f.keypoint("light", "bottom", (0, 0, -drop - 0.16))
    if rng.random() < 0.6:
        string = merge(
            rod((0.06, 0, -drop - 0.08), (0.06, 0, -drop - 0.3), 0.003, sides=5),
            ball(0.01, 0.01, 0.015, (0.06, 0, -drop - 0.31), segments=8),
        )
        f.piece({"paco_lvis": "string", "ade20k_part_234": ""}, string, "metal")
        f.keypoint("string", "end", (0.06, 0, -drop - 0.32))
    f.keypoint("canopy", "rim", (0, -0.075, 0), "", "front")


@category("standing fan", flavours={"paco_lvis": "fan"}, support="floor", size=0.9)
def standing_fan(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A caged fan on a column, or a short one for tables."""
    b.material("main", "plastic", "metal", colours=(WHITE, DARK, (0.5, 0.6, 0.65), (0.75, 0.75, 0.72)))
    b.material("blade", "plastic", colours=((0.55, 0.7, 0.8), WHITE, (0.3, 0.35, 0.4), (0.7, 0.3, 0.25)))
    b.material("wire", "metal", colours=(DARK, (0.75, 0.76, 0.78)))
    z, r = (near(rng, 1.05), near(rng, 0.21)) if rng.random() < 0.6 else (near(rng, 0.36), near(rng, 0.16))
    f = Frame(b)
    f.piece("base", lathe([(0, 0), (0.9 * r, 0), (0.9 * r, 0.02), (0.25 * r, 0.05), (0, 0.06)], segments=24), "main")
    _foot_points(f, 0.9 * r)
    f.piece("pedestal column", rod((0, 0, 0.04), (0, 0, z - 0.06), 0.024, 0.018, sides=12), "main")
    head = Frame(b, placed(0, 0, z, ("x", float(rng.uniform(-12, 18))), ("z", float(rng.uniform(-35, 35)))))
    head.piece("motor", ball(0.45 * r, 0.5 * r, 0.42 * r, (0, 0.25 * r, 0), segments=14), "main")
    count, turn = int(rng.integers(3, 6)), float(rng.uniform(0, 120))
    for k in range(count):
        blade = (
            ball(0.3 * r, 0.03 * r, 0.4 * r, (0.05 * r, 0, 0.48 * r), segments=12)
            .rotate("z", 22)
            .rotate("y", turn + 360 * k / count)
        )
        head.piece("blade", blade.move(0, -0.3 * r), "blade")
    for y in (-0.55 * r, -0.05 * r):
        head.piece(
            "fan box",
            torus(r if y > -0.3 * r else 0.9 * r, 0.02 * r, segments=28, sides=6).rotate("x", 90).move(0, y),
            "wire",
        )
    path = [(0.12 * r, -0.6 * r, 0), (0.9 * r, -0.55 * r, 0), (r, -0.05 * r, 0), (0.4 * r, 0.12 * r, 0)]
    spoke = tube(path, 0.008 * r, sides=4)
    spokes = [spoke.rotate("y", 20 * k) for k in range(18)]
    head.piece("fan box", merge(*spokes), "wire")
    head.piece("logo", disc(0.16 * r, 0.04 * r, (0, -0.62 * r, 0), axis="y"), "main")
    head.keypoint("hub", "center", (0, -0.64 * r, 0))
    for word, at in (("top", (0, 1)), ("bottom", (0, -1)), ("left", (1, 0)), ("right", (-1, 0))):
        head.keypoint("cage", "rim", (at[0] * r, -0.05 * r, at[1] * r), "", word)
