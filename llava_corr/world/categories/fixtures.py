"""Fixtures of furnished rooms: television receiver, door, toilet, sink."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Mesh, extrude, lathe, merge, rounded_rectangle, tube
from ._forms import BLACK, DARK, STEEL, WHITE, Frame, ball, block, disc, loft, near, pick, placed, rod, soft_block
from ._furniture import back_corners, corners, metallic, wooden

_PORCELAIN = (WHITE, (0.93, 0.9, 0.82), (0.78, 0.86, 0.88), (0.8, 0.72, 0.68))


@category("television receiver", flavours={"ade20k_part_234": "television receiver"}, support="table", size=1.0)
def television(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A flat set on a stand or an old box with speaker and buttons."""
    b.material("main", "plastic", colours=(BLACK, DARK, (0.4, 0.4, 0.42)))
    b.material("case", "wood", "plastic", colours=((0.42, 0.27, 0.16), DARK, (0.6, 0.6, 0.6)))
    b.material(
        "screen",
        "glass",
        colours=((0.05, 0.06, 0.08), (0.2, 0.35, 0.55), (0.35, 0.5, 0.4)),
        patterns=("plain", "patches", "gradient"),
        fixed=True,
    )
    b.material("key", "plastic", colours=(STEEL, (0.85, 0.82, 0.75)))
    (_flat_set if rng.random() < 0.65 else _box_set)(Frame(b), rng)


def _flat_set(f: Frame, rng: np.random.Generator) -> None:
    w, rim = near(rng, 1.0, 0.2), near(rng, 0.022, 0.4)
    h, low = 0.57 * w, near(rng, 0.07, 0.4)
    z = low + h / 2
    f.piece("frame", block(w, 0.045, h, (0, 0, z)), "main")
    f.piece("screen", block(w - 2 * rim, 0.006, h - 2.4 * rim, (0, -0.024, z + 0.2 * rim)), "screen")
    if rng.random() < 0.6:
        f.piece("base", soft_block(0.42 * w, 0.2, 0.02, (0, 0, 0.01), bevel=0.006), "main")
        f.piece("base", block(0.12 * w, 0.03, low + 0.05, (0, 0.01, 0.5 * low + 0.02)), "main")
    else:
        feet = [(s, y) for s in (-1, 1) for y in (-0.12, 0.12)]
        bars = [rod((s * 0.36 * w, 0, low + 0.02), (s * 0.39 * w, y, 0), 0.011) for s, y in feet]
        f.piece("base", merge(*bars), "main")
    if rng.random() < 0.4:
        spots = [(0.42 * w - 0.02 * k, -0.025, low + 0.5 * rim) for k in range(4)]
        f.piece("buttons", merge(*(disc(0.006, 0.008, spot, axis="y") for spot in spots)), "key")
    back_corners(f, "screen", w / 2 - rim, -0.027, low + 1.4 * rim, low + h - rim)
    back_corners(f, "frame", w / 2, -0.021, low, low + h)


def _box_set(f: Frame, rng: np.random.Generator) -> None:
    w, d = near(rng, 0.62), near(rng, 0.42)
    h, low = 0.78 * w, near(rng, 0.03, 0.5)
    z, front = low + h / 2, -0.5 * d
    f.piece("frame", soft_block(w, 0.6 * d, h, (0, -0.2 * d, z), bevel=0.012), "case")
    f.piece("frame", soft_block(0.75 * w, 0.5 * d, 0.72 * h, (0, 0.3 * d, z), bevel=0.03), "main")
    wide, cx = 0.7 * w, 0.11 * w
    tube_face = extrude(rounded_rectangle(wide - 0.02, 0.8 * h, 0.07 * w, segments=5), 0.03, bevel=0.06)
    f.piece("screen", tube_face.rotate("x", 90).move(cx, front, z), "screen")
    f.piece("frame", block(wide + 0.02, 0.016, 0.86 * h, (cx, front - 0.001, z)), "main")
    px = -0.38 * w
    f.piece("speaker", block(0.16 * w, 0.012, 0.4 * h, (px, front - 0.004, z - 0.2 * h)), "main")
    dials = [disc(0.035 * w, 0.03, (px, front - 0.01, z + k * h), axis="y") for k in (0.34, 0.2)]
    f.piece("keys", merge(*dials), "key")
    spots = [(px + k * 0.045 * w, front - 0.006, z + 0.08 * h) for k in (-1, 0, 1)]
    f.piece("buttons", merge(*(block(0.03 * w, 0.015, 0.015, spot) for spot in spots)), "key")
    feet = [(s * x * w, y * d, low / 2) for s in (-1, 1) for x, y in ((0.4, -0.3), (0.3, 0.3))]
    f.piece("base", merge(*(disc(0.025, low, foot) for foot in feet)), "main")
    for word, side in (("top", 1), ("bottom", -1)):
        for name, x in (("left", cx + 0.47 * wide), ("right", cx - 0.47 * wide)):
            f.keypoint("screen", "corner", (x, front - 0.012, z + side * 0.38 * h), "", f"{word} {name}")
    back_corners(f, "frame", w / 2, front, low, low + h)


@category("door", flavours={"ade20k_part_234": "door"}, support="wall", size=2.1)
def door(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A leaf with panels in its frame; knob or lever; the wall is at its back, the sill at z = -height / 2."""
    wooden(b)
    wooden(b, "leaf")
    metallic(b)
    b.material("glass", "glass", colours=((0.75, 0.85, 0.88),))
    w, h, jamb = near(rng, 0.88), near(rng, 2.05, 0.05), near(rng, 0.09, 0.2)
    f = Frame(b)
    f.both("door frame", block(jamb, 0.1, h + jamb, (w / 2 + jamb / 2, -0.05, jamb / 2)), "main")
    f.piece("door frame", block(w + 2 * jamb, 0.1, jamb, (0, -0.05, h / 2 + jamb / 2)), "main")
    swing = 0.0 if rng.random() < 0.6 else -float(rng.uniform(10, 55))
    hinge = 1 if rng.random() < 0.5 else -1
    g = Frame(b, placed(hinge * w / 2, -0.05, 0, ("z", hinge * -swing)))
    middle = -hinge * w / 2
    g.piece("", block(w - 0.008, 0.04, h - 0.01, (middle, 0, 0)), "leaf")
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    glazed = rng.random() < 0.25
    wide, tall = (w - 0.2) / columns, (h - 0.24) / rows
    for k in range(rows):
        for j in range(columns):
            x, z = middle + (j - (columns - 1) / 2) * wide, (k - (rows - 1) / 2) * tall
            look = "glass" if glazed and k == rows - 1 else "leaf"
            g.piece(
                "panel",
                merge(*(soft_block(wide - 0.08, 0.02, tall - 0.08, (x, s * 0.02, z), bevel=0.008) for s in (-1, 1))),
                look,
            )
    _door_handle(g, rng, hinge, -hinge * (w - 0.075))
    for word, z in (("bottom", -h / 2), ("top", h / 2)):
        f.pair("door frame", "corner", (w / 2 + jamb, -0.1, z + (jamb if z > 0 else 0)), "", word)
        for x, side in (
            (-hinge * (w - 0.01), "right" if hinge > 0 else "left"),
            (0.0, "left" if hinge > 0 else "right"),
        ):
            g.keypoint("door leaf", "corner", (x, -0.02, z), "", f"{word} {side}")


def _door_handle(g: Frame, rng: np.random.Generator, hinge: int, x: float) -> None:
    """A knob or a lever on both sides of the leaf."""
    z = -0.05
    if rng.random() < 0.5:
        knobs = [ball(0.032, 0.022, 0.032, (x, s * 0.075, z), segments=12) for s in (-1, 1)]
        g.piece("knob", merge(*knobs, rod((x, -0.07, z), (x, 0.07, z), 0.014)), "metal")
        g.keypoint("handle", "center", (x, -0.097, z))
        return
    plan = ((0, 0, 0), (0, 0.06, 0), (0.03, 0.065, 0), (0.12, 0.062, -0.005))
    levers = [tube([(x + hinge * a, s * y, z + c) for a, y, c in plan], 0.011) for s in (-1, 1)]
    g.piece("handle", merge(*levers, block(0.045, 0.05, 0.2, (x, 0, z - 0.01))), "metal")
    g.keypoint("handle", "center", (x, -0.066, z))


@category("toilet", flavours={"ade20k_part_234": "toilet"}, support="floor", size=0.75)
def toilet(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Bowl with seat and lid (open or shut) and a cistern behind; sometimes wall-hung without one."""
    b.material("main", "ceramic", colours=_PORCELAIN)
    b.material("lid", "plastic", "wood", colours=(WHITE, (0.9, 0.88, 0.82), (0.45, 0.3, 0.18), (0.2, 0.2, 0.22)))
    b.material("water", "glass", colours=((0.6, 0.72, 0.76),), fixed=True)
    metallic(b)
    z, w, d = near(rng, 0.4, 0.06), near(rng, 0.185), near(rng, 0.24)
    f = Frame(b)
    rows = [
        (0, -0.03, 0.0, 0.12, 0.19),
        (0, -0.03, 0.12, 0.1, 0.16),
        (0, -0.06, 0.26, 0.8 * w, 0.85 * d),
        (0, -0.08, z - 0.02, w, d),
    ]
    f.piece("bowl", loft(np.array(rows) - (0, 0.06, 0, 0, 0), steps=4, sides=20, caps=(0.0, 0.02)), "main")
    rim = lathe(
        [(0.74, -0.1), (1.0, -0.03), (1.04, 0.0), (1.0, 0.03), (0.74, 0.03), (0.7, 0.02), (0.72, -0.1)], segments=28
    )
    f.piece("bowl", Mesh(*_stretched(rim, w, d, 1.0)).move(0, -0.14, z - 0.01), "main")
    f.piece("bowl", disc(1, 1, segments=24).scale(0.72 * w, 0.72 * d, 0.004).move(0, -0.14, z - 0.004), "water")
    seat = lathe([(0.68, 0.0), (1.04, 0.0), (1.02, 0.025), (0.68, 0.025), (0.68, 0.0)], segments=28)
    f.piece("lid", Mesh(*_stretched(seat, w, d, 1.0)).move(0, -0.14, z + 0.02), "lid")
    hinge = -0.14 + d
    opened = rng.random() < 0.55
    lid = disc(1, 1, segments=28).scale(1.03 * w, 1.02 * d, 0.022)
    if opened:
        g = Frame(b, placed(0, hinge, z + 0.05, ("x", -float(rng.uniform(84, 97)))))
        g.piece("lid", lid.move(0, -d), "lid")
        g.keypoint("lid", "tip", (0, -2 * d, 0))
    else:
        f.piece("lid", lid.move(0, -0.14, z + 0.056), "lid")
        f.keypoint("lid", "tip", (0, -0.14 - 1.02 * d, z + 0.056))
    if rng.random() < 0.85:
        tall, wide, y = near(rng, 0.36), near(rng, 0.4), hinge + 0.13
        f.piece("cistern", soft_block(wide, 0.17, tall, (0, y, z + tall / 2 - 0.01), bevel=0.03), "main")
        f.piece("cistern", soft_block(wide + 0.025, 0.19, 0.035, (0, y, z + tall), bevel=0.012), "main")
        f.piece("bowl", block(0.2, 0.3, 0.1, (0, y - 0.1, z - 0.07)), "main")
        f.piece("cistern", disc(0.02, 0.012, (0, y, z + tall + 0.022)), "metal")
        corners(f, "cistern", wide / 2, 0.085, z + tall, centre=y)
    f.keypoint("bowl", "rim", (0, -0.14 - d, z + 0.02), "", "front")
    f.pair("bowl", "rim", (w, -0.14, z + 0.02))
    f.pair("bowl", "base", (0.12, -0.09, 0.005))


def _stretched(mesh: Mesh, x: float, y: float, z: float) -> tuple:
    scaled = mesh.scale(x, y, z)
    return scaled.vertices, scaled.faces, scaled.normals


@category("sink", flavours={"ade20k_part_234": "sink"}, support="floor", size=0.85)
def sink(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A wash basin on a pedestal, or a basin set in a cupboard top; tap(s) at the rear."""
    b.material("main", "ceramic", colours=_PORCELAIN)
    b.material("metal", "metal", colours=((0.8, 0.81, 0.83), (0.75, 0.6, 0.3), DARK))
    wooden(b, "wood")
    w, d, z, f = near(rng, 0.29), near(rng, 0.22), near(rng, 0.82, 0.05), Frame(b)
    deep = near(rng, 0.15)
    bowl = lathe(
        [(0, -1), (0.45, -0.95), (0.8, -0.6), (0.97, -0.1), (1, 0), (0.88, 0), (0.82, -0.15), (0.6, -0.65), (0, -0.8)],
        segments=28,
    )
    f.piece("bowl", bowl.scale(w, d, deep).move(0, -0.02, z), "main")
    f.piece("bowl", disc(0.025, 0.008, (0, -0.02, z - 0.79 * deep)), "metal")
    built_in = rng.random() < 0.5
    if built_in:
        _worktop(f, rng, w, d, z)
    else:
        f.piece("top", extrude(rounded_rectangle(1.9 * w, 0.16, 0.05), 0.06).move(0, d + 0.0, z - 0.02), "main")
        post = [
            (0, 0, 0.0, 0.13, 0.12),
            (0, 0, 0.06, 0.11, 0.1),
            (0, 0, 0.4 * z, 0.075, 0.075),
            (0, 0, z - 0.8 * deep, 0.11, 0.1),
        ]
        f.piece("pedestal", loft(post, sides=16, caps=(0.0, 0.1)), "main")
        f.keypoint("pedestal", "base", (0, -0.12, 0.01), "", "front")
        f.pair("pedestal", "base", (0.13, 0, 0.01))
    y, rise = d + 0.01, near(rng, 0.15, 0.4)
    arc = [
        (0, y, z - 0.01),
        (0, y, z + 0.7 * rise),
        (0, y - 0.02, z + rise),
        (0, y - 0.09, z + 0.98 * rise),
        (0, y - 0.13, z + 0.7 * rise),
    ]
    f.piece("faucet", tube(arc, 0.014, sides=10), "metal")
    f.keypoint("faucet", "tip", arc[-1])
    f.keypoint("faucet", "top", (0, y - 0.03, z + rise + 0.01))
    if rng.random() < 0.6:
        tap = merge(
            rod((0.1, y, z - 0.01), (0.1, y, z + 0.05), 0.014),
            rod((0.07, y, z + 0.055), (0.13, y, z + 0.055), 0.009),
            rod((0.1, y - 0.03, z + 0.055), (0.1, y + 0.03, z + 0.055), 0.009),
        )
        f.both("tap", tap, "metal")
        f.pair("tap", "center", (0.1, y, z + 0.064))
    else:
        f.piece("tap", rod((0, y, z + 0.7 * rise), (0.07, y - 0.01, z + 0.75 * rise + 0.04), 0.01, 0.007), "metal")
        f.keypoint("tap", "tip", (0.07, y - 0.01, z + 0.75 * rise + 0.04))
    for word, at in (("front", (0, -d)), ("left", (w, 0)), ("right", (-w, 0))):
        f.keypoint("bowl", "rim", (at[0], at[1] - 0.02, z), "", word)


def _worktop(f: Frame, rng: np.random.Generator, w: float, d: float, z: float) -> None:
    wide, deep = w + near(rng, 0.16), d + 0.14
    t = np.linspace(0, np.pi, 9)
    ring = np.column_stack([w * np.cos(t), d * np.sin(t) - 0.02])
    rear = [*ring, (-wide, -0.02), (-wide, deep), (wide, deep), (wide, -0.02)]
    front = [(x, -0.04 - y) for x, y in rear]
    front = [(x, min(y, -0.02)) for x, y in front]
    style = pick(rng, "ceramic", "wood")
    for outline in (rear, front):
        f.piece(
            "top", extrude(np.array(outline), 0.035).move(0, 0, z - 0.016), "main" if style == "ceramic" else "wood"
        )
    f.piece("", block(2 * wide - 0.04, 2 * deep - 0.06, z - 0.25, (0, 0.0, (z - 0.25) / 2 + 0.02)), "wood")
    f.piece("", block(2 * wide - 0.04, 0.02, 0.24, (0, 0.05 - deep, z - 0.14)), "wood")
    for s in (-1, 1):
        f.piece("", block(0.02, 2 * deep - 0.06, 0.24, (s * (wide - 0.03), 0, z - 0.14)), "wood")
        f.piece("", block(wide - 0.05, 0.016, z - 0.14, (s * wide / 2, 0.032 - deep, z / 2)), "wood")
        f.piece("", rod((s * 0.04, 0.01 - deep, 0.5 * z), (s * 0.04, 0.01 - deep, 0.7 * z), 0.008), "metal")
    corners(f, "top", wide, deep - 0.02, z)
