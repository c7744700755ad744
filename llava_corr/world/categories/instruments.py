"""Musical instruments: guitar, drum."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, cylinder, lathe, merge, torus, tube
from ._forms import block, disc, pick, rod, smooth
from ._skins import around, repeated, skin, strap, tile
from ._wares import (
    BRIGHTS,
    DARKS,
    METALS,
    WHITES,
    WOODS,
    between,
    chance,
    circle_points,
    dark,
    posed,
    silhouette,
    tinted,
    uniform,
)


def _body_outline(rng: np.random.Generator, electric: bool) -> Floats:
    """Closed outline of a guitar body, length 2 along y (neck end at -1), counter-clockwise from the tail."""
    lower, waist, upper = uniform(rng, 0.72, 0.82), uniform(rng, 0.44, 0.54), uniform(rng, 0.54, 0.64)
    # angle from the tail (0) to the neck (180 degrees), distance from the middle
    if electric:
        right = [
            (0, 0.95),
            (30, 0.98),
            (65, 0.8),
            (95, 0.55),
            (120, 0.72),
            (138, 1.02),
            (152, 0.92),
            (168, 0.62),
            (180, 0.6),
        ]
    else:
        right = [
            (0, 0.97),
            (25, 1.0),
            (50, 0.93),
            (72, lower),
            (98, waist),
            (118, 0.62),
            (136, upper * 1.28),
            (158, 0.97),
            (180, 0.96),
        ]
    angles, reach = np.array(right).T
    left = reach * (1 if not electric else np.where((angles > 125) & (angles < 175), 0.86, 1.0))
    fine = np.linspace(0, 180, 22)
    curve_r = _periodic(angles, reach, fine)
    curve_l = _periodic(angles, left, fine)
    a = np.radians(np.concatenate([fine, 360 - fine[-2:0:-1]]))
    r = np.concatenate([curve_r, curve_l[-2:0:-1]])
    return np.column_stack([r * np.sin(a), r * np.cos(a)])[::-1]


def _periodic(angles: Floats, reach: Floats, fine: Floats) -> Floats:
    """Smooth curve through distances over 0..180 degrees, level at both ends."""
    points = smooth(np.column_stack([angles, reach]), 4)
    return np.interp(fine, points[:, 0], points[:, 1])


@category("guitar", flavours={"paco_lvis": "guitar"}, supercategory="hand-held", support="floor", size=1.0)
def guitar(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Acoustic guitar with a sound hole or electric guitar with pickups, upright on its tail, strings to the front."""
    electric = chance(rng, 0.4)
    kind = "paint" if electric else "wood"
    tinted(b, "top", kind, BRIGHTS + DARKS + WHITES if electric else WOODS, "plain", "grain", "gradient")
    tinted(b, "wood", kind, BRIGHTS + DARKS if electric else WOODS, "grain", "plain")
    tinted(b, "neck", "wood", WOODS[1:], "grain")
    tinted(b, "ebony", "wood", DARKS)
    tinted(b, "metal", "metal", (*METALS, (0.8, 0.65, 0.3)))
    half = uniform(rng, 0.19, 0.22) if electric else uniform(rng, 0.235, 0.265)  # half the body's length
    deep = 0.045 if electric else uniform(rng, 0.085, 0.11)
    outline = _body_outline(rng, electric) * [0.82 * half if electric else half, half]
    front = deep / 2
    for part, curve, slot in (
        ("back", [(0, -front), (1, -front)], "wood"),
        ("side", [(1, -front), (1, front)], "wood"),
        ("body", [(1, front), (0, front)], "top"),
    ):
        b.piece(part, lathe(curve, outline=outline), slot)
    # built lying on its back: tail at +y, neck towards -y, strings up (+z)
    neck_y = (-0.55 if electric else -0.93) * half
    neck = uniform(rng, 0.36, 0.42) * (1.15 if electric else 1.0)
    nut = neck_y - neck
    bridge_y = 0.45 * half
    _neck(b, rng, front, neck_y, nut, -0.42 * half if not electric else -0.35 * half, electric)
    b.piece(
        "bridge",
        tile(0.13 if not electric else 0.08, 0.03, 0.012, 0.006).move(y=bridge_y, z=front + 0.005),
        "ebony" if not electric else "metal",
    )
    gauge = np.linspace(-1, 1, 6)
    strings = [
        rod((0.024 * g, bridge_y, front + 0.014), (0.017 * g, nut - 0.05, front + 0.015), 0.0012, sides=4)
        for g in gauge
    ]
    b.piece("string", merge(*strings), "metal")
    _guitar_face(b, rng, front, half, electric)
    _guitar_points(b, outline, front, half, nut, bridge_y)
    posed(b, ("x", -90), ("z", 180), ("x", -uniform(rng, 4, 12)))


def _guitar_face(b: ObjectBuilder, rng: np.random.Generator, front: float, half: float, electric: bool) -> None:
    """Sound hole with its rosette, or pickups and knobs; sometimes a pickguard."""
    hole_y = -0.22 * half
    if electric:
        for y in (-0.1 * half, 0.22 * half):
            b.piece("", block(0.085, 0.024, 0.008, (0, y, front + 0.004)), dark(b))
        knobs = [(0.42 * half, 0.5 * half, front + 0.006), (0.5 * half, 0.28 * half, front + 0.006)]
        b.piece("", repeated(disc(0.012, 0.014, segments=12), knobs), "metal")
    else:
        hole = 0.2 * half
        b.piece("hole", disc(hole, 0.002, (0, hole_y, front), segments=24), dark(b))
        b.piece(
            "body",
            torus(1.14 * hole, 0.004, segments=28, sides=5).scale(1, 1, 0.4).move(y=hole_y, z=front),
            "ebony",
        )
        b.keypoint("hole", "center", (0, hole_y, front + 0.001), "front", "middle")
    if chance(rng, 0.65):
        tinted(b, "guard", "plastic", DARKS + WHITES + ((0.45, 0.2, 0.1),))
        size = (0.12, 0.22) if not electric else (0.15, 0.25)
        b.piece(
            "pickguard",
            tile(size[0] * half * 2, size[1] * half * 2, 0.003, 0.07 * half)
            .rotate("z", -22)
            .move(x=-0.27 * half, y=0.2 * half, z=front + 0.001),
            "guard",
        )


def _neck(
    b: ObjectBuilder, rng: np.random.Generator, front: float, neck_y: float, nut: float, board_y: float, electric: bool
) -> None:
    """Neck, fingerboard with frets, headstock with tuning keys."""
    y = np.array([neck_y + 0.04, neck_y, (neck_y + nut) / 2, nut])
    b.piece(
        "",
        strap(np.column_stack([np.zeros(4), y, np.full(4, front - 0.009)]), [0.06, 0.056, 0.05, 0.044], 0.02),
        "neck",
    )
    board = strap(np.array([(0, board_y, front + 0.005), (0, nut, front + 0.005)]), [0.06, 0.045], 0.008)
    b.piece("fingerboard", board, "ebony")
    frets = [
        block(0.05, 0.002, 0.0015, (0, nut + (board_y - nut) * (1 - 0.5 ** (k / 9)), front + 0.0095))
        for k in range(1, 13)
    ]
    b.piece("fingerboard", merge(*frets), "metal")
    long, tilt = uniform(rng, 0.13, 0.17), uniform(rng, 4, 14)
    wide = uniform(rng, 0.036, 0.044)
    shape = np.array([(0.02, 0), (wide, -0.03), (wide * 0.9, -0.6 * long), (wide * uniform(rng, 0.7, 1.05), -long)])
    outline = np.concatenate([shape, shape[::-1] * [-1, 1]])
    flat = skin([np.column_stack([outline, np.full(8, z)]) for z in (-0.014, 0.0)], crisp=True)
    keys = []
    for sign in (1, -1):
        for k in range(3):
            at = (sign * (wide + 0.008), -0.035 - 0.28 * long * k, -0.007)
            keys += [
                block(0.02, 0.005, 0.005, (at[0] - sign * 0.004, at[1], at[2])),
                block(0.009, 0.02, 0.012, (at[0] + sign * 0.008, at[1], at[2])),
            ]
    for part, mesh, slot in (("headstock", flat, "neck"), ("key", merge(*keys), "metal")):
        b.piece(part, mesh.rotate("x", tilt).move(y=nut, z=front + 0.004), slot)
    turn = np.radians(tilt)
    for word, sign in (("left", -1), ("right", 1)):
        x = sign * abs(float(shape[-1, 0]))
        b.keypoint(
            "headstock",
            "corner",
            (x, nut - long * np.cos(turn), front + 0.004 - long * np.sin(turn)),
            "top",
            f"top {word}",
        )
        ky = -0.035 - 0.28 * long
        at = (sign * (wide + 0.016), nut + ky * np.cos(turn), front + ky * np.sin(turn) - 0.003)
        b.keypoint("key", "tip", at, f"top {word}", "middle")


def _guitar_points(b: ObjectBuilder, outline: Floats, front: float, half: float, nut: float, bridge_y: float) -> None:
    b.keypoint("body", "end", (*outline[np.argmax(outline[:, 1])], 0.0), "bottom", "bottom")
    b.keypoint("bridge", "center", (0, bridge_y, front + 0.011), "front", "middle")
    b.keypoint("fingerboard", "top", (0, nut, front + 0.009), "top", "top")
    for word, sign in (("left", -1), ("right", 1)):
        side = outline[outline[:, 0] * sign > 0]
        low = side[(side[:, 1] > 0.1 * half)]
        wide = low[np.argmax(np.abs(low[:, 0]))]
        b.keypoint("body", "edge", (*wide, 0.0), word, "bottom")
        band = side[np.abs(side[:, 1] + 0.15 * half) < 0.25 * half]
        pinch = band[np.argmin(np.abs(band[:, 0]))]
        b.keypoint("body", "waist", (*pinch, 0.0), word, "middle")


@category("drum", flavours={"paco_lvis": "drum"}, supercategory=None, support="floor", size=0.42)
def drum(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Snare and floor drums with hoops and lugs, barrel and goblet hand drums, and a bass drum on its side."""
    style = pick(rng, "snare", "snare", "bass", "barrel", "goblet")
    tinted(b, "main", pick(rng, "wood", "metal", "paint"), (), "plain", "stripes", "grain")
    tinted(b, "head", "skin", ((0.93, 0.92, 0.88), (0.88, 0.82, 0.68), (0.95, 0.95, 0.95)))
    tinted(b, "metal", "metal", (*METALS, (0.8, 0.65, 0.3)))
    tinted(b, "inside", "wood", WOODS)
    radius = uniform(rng, 0.15, 0.2)
    ratio = {"snare": (0.7, 1.3), "bass": (0.7, 1.0), "barrel": (1.7, 2.3), "goblet": (1.9, 2.4)}[style]
    height = radius * uniform(rng, *ratio)
    control = {
        "snare": ((1, 0), (1, 0.5), (1, 1)),
        "bass": ((1, 0), (1, 0.5), (1, 1)),
        "barrel": ((0.72, 0), (0.98, 0.35), (1.05, 0.6), (0.9, 1)),
        "goblet": ((0.7, 0), (0.5, 0.2), (0.42, 0.38), (0.85, 0.6), (1, 0.8), (0.95, 1)),
    }[style]
    profile = silhouette(rng, control, radius, height, 0.01)
    b.piece(
        "base",
        lathe(
            [(0.9 * profile[0, 0], 0.002), (0.9 * profile[0, 0], 0), *between(profile, 0, 0.05 * height)], segments=28
        ),
        "metal",
    )
    b.piece("inner body", lathe([(0, 0.012), (0.9 * profile[0, 0], 0.002)], segments=28), "inside")
    b.piece("body", lathe(between(profile, 0.05 * height, height), segments=28), "main")
    r = float(profile[-1, 0])
    b.piece("head", lathe([(r, height), (0.96 * r, height + 0.004), (0, height + 0.004)], segments=28), "head")
    hoop = lathe([(r, -0.022), (r + 0.009, -0.022), (r + 0.009, 0.008), (r, 0.008), (r, -0.022)], segments=28)
    b.piece("rim", hoop.move(z=height), "metal")
    count = int(rng.integers(6, 9))
    if style in ("snare", "bass"):
        b.piece("rim", hoop.move(z=0.016), "metal")
        lugs = around(block(0.016, 0.018, 0.26 * height).move(x=r + 0.008), count)
        rods = around(cylinder(0.004, 0.9 * height, segments=6).move(x=r + 0.011), count)
        b.piece("lug", merge(lugs, rods).move(z=0.5 * height), "metal")
    else:
        _drum_rope(b, profile, height, count)
    if chance(rng, 0.2):
        b.piece(
            "cover",
            lathe([(r + 0.012, -0.03), (r + 0.016, -0.03), (r + 0.016, 0.01), (0, 0.013)], segments=28).move(z=height),
            tinted(b, "cover", "fabric", DARKS + BRIGHTS),
        )
    circle_points(b, "rim", "edge", r + 0.009, height, "top")
    circle_points(b, "base", "edge", float(profile[0, 0]), 0.0, "bottom")
    b.keypoint("head", "center", (0, 0, height + 0.004), "top", "middle")
    posed(b, *((("x", 90.0),) if style == "bass" else ()))


def _drum_rope(b: ObjectBuilder, profile: Floats, height: float, count: int) -> None:
    """Rope that runs up and down between hoop and waist, ``count`` times round the drum."""
    corners = np.linspace(0, 2 * count, 12 * count + 1)
    angle = np.pi * corners / count
    zig = height * (0.69 + 0.24 * (2 * np.abs(corners % 2 - 1) - 1))
    out = np.interp(zig, profile[:, 1], profile[:, 0]) + 0.003
    rope = np.column_stack([out * np.cos(angle), out * np.sin(angle), zig])
    b.piece("loop", tube(rope, 0.004, sides=5, caps=False), tinted(b, "rope", "fabric", WHITES + BRIGHTS))
