"""Appliances: television set, microwave oven, blender, earphone."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import cylinder, lathe, merge, torus, tube
from ._forms import block, disc, near, pick, rod, smooth
from ._skins import around, cord, grid, repeated, rounded, strap, tile
from ._wares import (
    BRIGHTS,
    CLEAR,
    DARKS,
    METALS,
    WHITES,
    chance,
    circle_points,
    dark,
    handle_points,
    loop_handle,
    mirrored,
    posed,
    radius_at,
    silhouette,
    tinted,
    uniform,
)
from .electronics import screen


@category("television set", flavours={"paco_lvis": "television set"}, supercategory=None, support="table", size=0.9)
def television(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Flat television on a foot or two legs, or an old tube set with knobs beside the picture."""
    tinted(b, "main", "plastic", DARKS + WHITES + METALS)
    tinted(b, "base", pick(rng, "plastic", "metal"), DARKS + METALS)
    tinted(b, "button", "plastic", METALS + BRIGHTS)
    (_tube_set if chance(rng, 0.35) else _flat_set)(b, rng)
    posed(b)


def _frame(b: ObjectBuilder, x: float, y: float, z0: float, height: float, border: float) -> None:
    """The four sides of a case with half width x and depth y above z0; the front is open by ``border`` all round."""
    top = z0 + height
    b.piece("top", block(2 * x, y, border, (0, y / 2, top - border / 2)))
    b.piece("bottom", block(2 * x, y, border, (0, y / 2, z0 + border / 2)))
    inner = height - 2 * border
    sides = [(sign * (x - border / 2), y / 2, z0 + height / 2) for sign in (1, -1)]
    b.piece("side", repeated(block(border, y, inner), sides))


def _corners(b: ObjectBuilder, part: str, x: float, y: float, low: float, high: float, part_position: str = "") -> None:
    for level, z in (("bottom", low), ("top", high)):
        for side, sx in (("left", 1), ("right", -1)):
            b.keypoint(part, "corner", (sx * x, y, z), part_position, f"{level} {side}")


def _flat_set(b: ObjectBuilder, rng: np.random.Generator) -> None:
    x = uniform(rng, 0.35, 0.5)
    height, depth = 2 * x * uniform(rng, 0.56, 0.64), uniform(rng, 0.03, 0.06)
    z0, border = uniform(rng, 0.06, 0.12), uniform(rng, 0.014, 0.035)
    _frame(b, x, depth, z0, height, border)
    b.piece(
        "", block(2 * x - 2 * border, depth, height - 2 * border, (0, depth / 2 + 0.006, z0 + height / 2)), screen(b)
    )
    b.piece("side", block(1.3 * x, 0.05, 0.6 * height, (0, depth + 0.02, z0 + 0.45 * height)))
    if chance(rng, 0.6):
        b.piece("base", tile(uniform(rng, 0.5, 0.9) * x, 0.2, 0.014, 0.05, 0.004).move(y=depth / 2, z=0.007), "base")
        b.piece("base", block(0.14 * 2 * x, 0.03, z0, (0, depth / 2 + 0.02, z0 / 2)), "base")
        b.keypoint("base", "edge", (0, depth / 2 - 0.1, 0.007), "bottom", "front")
    else:
        for word, sign in (("left", 1), ("right", -1)):
            at = sign * 0.62 * x
            for y in (-0.08, 0.12):
                b.piece("base", rod((at, depth / 2, z0 + 0.01), (at + sign * 0.02, y, 0.008), 0.008), "base")
            b.keypoint("base", "tip", (at + sign * 0.02, -0.08, 0.008), f"bottom {word}", "front")
    spots = [(0.8 * x + 0.025 * k, -0.001, z0 + border / 2) for k in range(4)]
    b.piece("button", repeated(block(0.016, 0.006, 0.4 * border), spots), "button")
    _corners(b, "body", x - 0.002, 0.0, z0 + 0.002, z0 + height - 0.002)
    _corners(b, "screen", x - border, 0.006, z0 + border, z0 + height - border, "front")
    b.keypoint("screen", "center", (0, 0.006, z0 + height / 2), "front", "middle")


def _tube_set(b: ObjectBuilder, rng: np.random.Generator) -> None:
    x, border = uniform(rng, 0.26, 0.34), 0.025
    height, depth, z0 = 2 * x * uniform(rng, 0.7, 0.8), uniform(rng, 0.16, 0.22), 0.035
    tinted(b, "panel", "plastic", DARKS + METALS)
    _frame(b, x, depth, z0, height, border)
    shift = 0.24 * x  # the picture makes room for the knobs at the object's left
    wide, tall = 2 * x - 2 * border - 2 * shift, height - 2 * border
    outer = rounded(wide, tall, 0.03, segments=5)
    levels = [(1.0, 0.0), (0.97, -0.008), (0.7, -0.013), (0.0, -0.016)]
    picture = lathe([(r, -h) for r, h in levels], outline=outer)
    b.piece("", picture.rotate("x", 90).move(x=-shift, y=0.03, z=z0 + height / 2), screen(b))
    b.piece("", block(2 * x - 2 * border, depth - 0.02, tall, (0, depth / 2 + 0.02, z0 + height / 2)), "panel")
    knob_x = x - border - shift
    for z in (0.78, 0.55):
        b.piece("button", disc(0.024, 0.03, (knob_x, 0.005, z0 + z * height), axis="y"), "button")
        b.keypoint("button", "center", (knob_x, -0.01, z0 + z * height), "front left", "top" if z > 0.6 else "middle")
    slots = repeated(
        block(0.6 * shift, 0.006, 0.006), [(knob_x, 0.01, z0 + (0.16 + 0.045 * k) * height) for k in range(5)]
    )
    b.piece("button", slots, "button")
    tapered = rounded(2 * x * 0.9, height * 0.9, 0.02, segments=3)
    back = lathe([(1, 0), (0.62, 0.14), (0, 0.14)], outline=tapered).rotate("x", -90)
    b.piece("side", back.move(y=depth, z=z0 + height / 2))
    feet = [(sx * 0.8 * x, sy * depth + (0.03 if sy == 0 else -0.03), z0 / 2) for sx in (1, -1) for sy in (0, 1)]
    b.piece("base", repeated(cylinder(0.018, z0, top=0.024), feet), "base")
    if chance(rng, 0.5):
        for sign in (1, -1):
            b.piece("", rod((0, depth / 2, z0 + height), (sign * 0.22, depth / 2, z0 + height + 0.25), 0.004), "button")
    _corners(b, "body", x - 0.002, 0.0, z0 + 0.002, z0 + height - 0.002)
    b.keypoint("screen", "center", (-shift, 0.014, z0 + height / 2), "front", "middle")


@category(
    "microwave oven", flavours={"paco_lvis": "microwave oven"}, supercategory="hand-held", support="table", size=0.5
)
def microwave(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Counter-top microwave: door with window and handle, control panel at the viewer's right; shut or open."""
    tinted(b, "main", pick(rng, "metal", "plastic"), METALS + WHITES + DARKS)
    tinted(b, "panel", "plastic", DARKS + METALS)
    tinted(b, "inside", "metal", WHITES)
    tinted(b, "handle", "metal", METALS + DARKS)
    x, depth, height, z0 = uniform(rng, 0.22, 0.27), uniform(rng, 0.3, 0.38), uniform(rng, 0.25, 0.31), 0.015
    panel = uniform(rng, 0.2, 0.28) * 2 * x  # width of the control panel
    t, top = 0.012, z0 + height
    door_x0, door_x1 = -x + panel, x
    middle, wide = (door_x0 + door_x1) / 2, door_x1 - door_x0
    b.piece("top", block(2 * x, depth, t, (0, depth / 2, top - t / 2)))
    b.piece(
        "side",
        merge(*(block(t, depth, height - t, (sx, depth / 2, z0 + (height - t) / 2)) for sx in (x - t / 2, -x + t / 2))),
    )
    b.piece("side", block(2 * x - 2 * t, t, height - t, (0, depth - t / 2, z0 + (height - t) / 2)))
    b.piece("side", block(2 * x - 2 * t, depth, t, (0, depth / 2, z0 + t / 2)))
    b.piece(
        "",
        repeated(
            cylinder(0.016, z0, segments=10),
            [(sx * 0.8 * x, y, z0 / 2) for sx in (1, -1) for y in (0.04, depth - 0.04)],
        ),
        dark(b),
    )
    b.piece(
        "control panel",
        block(panel - t, 0.02, height - t, (-x + panel / 2 + t / 2, 0.008, z0 + (height - t) / 2)),
        "panel",
    )
    _controls(b, rng, -x + panel / 2 + t / 2, panel, z0, height)
    opened = chance(rng, 0.3)
    if opened:
        _cavity(b, (door_x0, x - t), depth, (z0 + t, top - t))
    else:
        b.piece("", block(wide, 0.1, height - 2 * t, (middle, 0.06, z0 + height / 2)), dark(b))
    angle = -uniform(rng, 70, 115) if opened else 0.0
    _microwave_door(b, rng, (wide, height, z0), x, angle, opened)
    _corners(b, "body", x, 0.0, z0, top, "front")
    for side, sx in (("left", 1), ("right", -1)):
        b.keypoint("body", "corner", (sx * x, depth, top), "rear", f"top {side}")
    mirrored(b)  # the controls belong to the viewer's right


def _cavity(b: ObjectBuilder, across: tuple[float, float], depth: float, up: tuple[float, float]) -> None:
    """Walls of the oven chamber between two x and two z, and the turntable in it."""
    wide, middle = across[1] - across[0], sum(across) / 2
    tall, level = up[1] - up[0], sum(up) / 2
    walls = [block(0.004, depth - 0.05, tall, (sx, depth / 2, level)) for sx in (across[0] + 0.002, across[1] - 0.002)]
    walls.append(block(wide, 0.004, tall, (middle, depth - 0.05, level)))
    walls += [block(wide, depth - 0.05, 0.004, (middle, depth / 2, z)) for z in (up[0] + 0.002, up[1] - 0.002)]
    b.piece("inner side", merge(*walls), "inside")
    tinted(b, "plate", "glass", CLEAR)
    plate = cylinder(0.42 * min(wide, depth), 0.01, segments=24)
    b.piece("turntable", plate.move(x=middle, y=depth / 2, z=up[0] + 0.014), "plate")
    b.keypoint("turntable", "center", (middle, depth / 2, up[0] + 0.019), "middle", "middle")


def _controls(b: ObjectBuilder, rng: np.random.Generator, at: float, panel: float, z0: float, height: float) -> None:
    """Time display over one or two dials or a key field."""
    b.piece("time display", block(0.7 * panel, 0.004, 0.1 * height, (at, -0.003, z0 + 0.85 * height)), screen(b))
    b.keypoint("display", "center", (at, -0.005, z0 + 0.85 * height), "front right", "top")
    tinted(b, "dial", "metal", METALS + WHITES)
    if chance(rng, 0.55):
        for z in (0.58, 0.28) if chance(rng, 0.6) else (0.35,):
            b.piece("dial", disc(0.2 * panel, 0.026, (at, -0.01, z0 + z * height), axis="y"), "dial")
        b.keypoint("dial", "center", (at, -0.023, z0 + (0.28 if z == 0.28 else 0.35) * height), "front right", "middle")
        return
    keys = grid(3, 4, 0.24 * panel, 0.12 * height)[:, [0, 2, 1]] + np.array([at, -0.003, z0 + 0.45 * height])
    b.piece("control panel", repeated(block(0.18 * panel, 0.004, 0.08 * height), keys), "dial")
    b.keypoint("button", "center", (at, -0.004, z0 + 0.45 * height + 0.06 * height), "front right", "middle")


def _microwave_door(
    b: ObjectBuilder, rng: np.random.Generator, size: tuple[float, float, float], x: float, angle: float, opened: bool
) -> None:
    """Door of this width, height and lower edge, hinged at the object's left front edge."""
    wide, height, z0 = size
    z = z0 + height / 2
    frame = [block(wide, 0.022, 0.17 * height, (-wide / 2, 0, z + s * 0.405 * height)) for s in (1, -1)]
    frame += [
        block(w, 0.022, 0.64 * height, (cx, 0, z)) for w, cx in ((0.1 * wide, -0.05 * wide), (0.2 * wide, -0.9 * wide))
    ]
    window = block(0.7 * wide, 0.014, 0.64 * height, (-0.45 * wide, 0, z))
    bar_x = -0.92 * wide
    grip = smooth(
        [
            (bar_x, -0.008, z - 0.34 * height),
            (bar_x, -0.035, z - 0.3 * height),
            (bar_x, -0.035, z + 0.3 * height),
            (bar_x, -0.008, z + 0.34 * height),
        ],
        3,
    )
    for part, mesh, slot in (
        ("", merge(*frame), "main"),
        ("", window, dark(b, "window", "glass")),
        ("door handle", tube(grip, 0.008), "handle"),
    ):
        b.piece(part, mesh.rotate("z", -angle if opened else 0).move(x=x, y=-0.004), slot)
    turn = np.radians(-angle if opened else 0)

    def at(px: float, py: float, pz: float) -> tuple[float, float, float]:
        return px * np.cos(turn) - py * np.sin(turn) + x, px * np.sin(turn) + py * np.cos(turn) - 0.004, pz

    b.keypoint("handle", "center", at(bar_x, -0.043, z), "front", "middle")
    b.keypoint("window", "center", at(-0.45 * wide, -0.007, z), "front", "middle")


@category("blender", flavours={"paco_lvis": "blender"}, supercategory=None, support="table", size=0.4)
def blender(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Motor base with a switch, glass jug with a handle and spout on it, blades inside, cover with a small cap."""
    tinted(b, "main", pick(rng, "plastic", "metal"), BRIGHTS + METALS + WHITES + DARKS)
    tinted(b, "cup", "glass", CLEAR)
    tinted(b, "inside", "glass", (*CLEAR, (0.85, 0.3, 0.35), (0.5, 0.7, 0.25), (0.9, 0.65, 0.3)))
    tinted(b, "lid", "plastic", DARKS + WHITES + BRIGHTS)
    radius = uniform(rng, 0.07, 0.085)
    foot = uniform(rng, 0.11, 0.16)
    motor = silhouette(rng, ((1.15, 0), (1.12, 0.15), (1.0, 0.5), (0.75, 0.9), (0.72, 1)), radius, foot, 0.02)
    b.piece("base", lathe([(0, 0), *motor, (0, foot)]), "main")
    y = radius_at(motor, 0.4 * foot)
    b.piece(
        "switch", disc(0.022, 0.02, (0, -y - 0.002, 0.4 * foot), axis="y"), tinted(b, "knob", "metal", METALS + BRIGHTS)
    )
    b.piece("seal ring", cylinder(0.74 * radius, 0.02, segments=24).move(z=foot + 0.008), "lid")
    jug = uniform(rng, 0.17, 0.22)
    z0 = foot + 0.018
    profile = silhouette(rng, ((0.7, 0), (0.8, 0.3), (0.92, 0.7), (1, 1)), radius, jug, 0.02) + np.array([0, z0])
    b.piece("cup", lathe(profile), "cup")
    top = float(profile[-1, 1])
    opened = chance(rng, 0.45)
    if opened:
        inner = (profile - np.array([0.003, 0]))[::-1]
        b.piece("cup", lathe([profile[-1], inner[0]]), "cup")
        b.piece("inner body", lathe([*inner, (0, z0 + 0.004)]), "inside")
        blades = around(block(0.035, 0.008, 0.002).rotate("y", -25).move(x=0.016), 4)
        b.piece("blade", blades.move(z=z0 + 0.025), tinted(b, "steel", "metal", METALS))
    else:
        rim = radius + 0.004
        b.piece("cover", lathe([(0, 0), (rim, 0), (rim, 0.014), (0.8 * rim, 0.022), (0, 0.022)]).move(z=top), "lid")
        b.piece("vapour cover", cylinder(0.3 * radius, 0.022, top=0.26 * radius).move(z=top + 0.032), "main")
        b.keypoint("lid", "center", (0, 0, top + 0.043), "top", "top")
    beak = lathe([(0.3 * radius, -0.045), (0.55 * radius, 0), (0, 0)], segments=14).move(
        y=-0.72 * radius, z=top - 0.001
    )
    b.piece("spout", beak, "cup")
    ends = [(radius_at(profile, z) - 0.001, z) for z in (top - 0.02, z0 + 0.25 * jug)]
    mesh, path = loop_handle(rng, ends[0], ends[1], 0.05, 0.009, ("square", "round", "ear"))
    b.piece("handle", mesh, "lid")
    back = float(motor[1, 0])
    b.piece(
        "cable",
        cord([(0.02, back - 0.01, 0.02), (0.04, back + 0.05, 0.005), (-0.02, back + 0.09, 0.005)], 0.004),
        dark(b),
    )
    circle_points(b, "base", "edge", float(motor[0, 0]), 0.0, "bottom")
    handle_points(b, path)
    b.keypoint("spout", "tip", (0, -1.29 * radius, top), "front top", "front")
    b.keypoint("switch", "center", (0, -y - 0.012, 0.4 * foot), "front", "middle")


@category("earphone", flavours={"paco_lvis": "earphone"}, supercategory=None, support="table", size=0.2)
def earphone(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Headphones standing on their ear pads: head band, sliders, housings, sometimes a cable."""
    tinted(b, "main", "plastic", DARKS + WHITES + BRIGHTS)
    tinted(b, "pad", pick(rng, "leather", "fabric"), DARKS + BRIGHTS)
    tinted(b, "slider", "metal", METALS + DARKS)
    half, cup, wide = uniform(rng, 0.07, 0.085), uniform(rng, 0.034, 0.045), uniform(rng, 0.018, 0.03)
    rise = uniform(rng, 0.13, 0.16)
    angle = np.linspace(0.0, np.pi, 17)
    band = np.column_stack([half * np.cos(angle), np.zeros(17), cup * 1.1 + (rise - cup * 0.4) * np.sin(angle) ** 0.8])
    b.piece("headband", strap(band[3:14], wide, 0.009, "y"), "main")
    b.piece("slider", strap(band[:5], 0.6 * wide, 0.004, "y"), "slider")
    b.piece("slider", strap(band[12:], 0.6 * wide, 0.004, "y"), "slider")
    oval = np.array([1, near(rng, 1.15), 1])
    for word, sign in (("left", 1), ("right", -1)):
        shell = lathe(np.array([(0, 0), (1, 0), (1, 0.012), (0.8, 0.022), (0, 0.026)]) * [cup, 1]).scale(*oval)
        pad = torus(0.72 * cup, 0.3 * cup, segments=22).scale(1.0, oval[1], 0.9)
        for part, mesh, slot, at in (("housing", shell, "main", 0.0), ("ear pads", pad, "pad", -0.006)):
            turned = mesh.move(z=at).rotate("y", 90)
            turned = turned if sign > 0 else turned.mirror("x")
            b.piece(part, turned.move(x=sign * (half - 0.006), z=1.1 * cup), slot)
        b.keypoint("housing", "center", (sign * (half + 0.02), 0, 1.1 * cup), word, "middle")
        b.keypoint("pad", "bottom", (sign * (half - 0.012), 0, 1.1 * cup - cup), word, "bottom")
        b.keypoint("band", "joint", band[2 if sign > 0 else 14], word, "bottom")
    b.keypoint("band", "center", band[8] + np.array([0, 0, 0.0045]), "top", "middle")
    if chance(rng, 0.5):
        knots = [
            (half, 0, 0.3 * cup),
            (half + 0.02, -0.03, 0.004),
            (half - 0.03, -0.09, 0.003),
            (half - 0.1, -0.11, 0.003),
        ]
        b.piece("cable", cord(knots, 0.0025), dark(b))
    posed(b, *((("x", 85.0), ("z", uniform(rng, -30, 30))) if chance(rng, 0.35) else ()))
