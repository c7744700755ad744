"""Electronics: laptop computer, mouse, remote control, cellular telephone."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, lathe
from ._forms import block, disc, pick, select
from ._skins import cord, grid, repeated, skin, skin_faces, tile
from ._wares import BRIGHTS, DARKS, METALS, WHITES, chance, dark, functional, posed, tinted, uniform
from .containers import corner_points

SCREENS = (
    (0.1, 0.2, 0.4),
    (0.15, 0.4, 0.5),
    (0.35, 0.2, 0.45),
    (0.1, 0.35, 0.25),
    (0.55, 0.6, 0.65),
    (0.06, 0.06, 0.08),
)
CASES = (*METALS, *DARKS, *WHITES)


def screen(b: ObjectBuilder) -> str:
    """A slot for a lit or dark display."""
    return b.material(
        "screen", "emissive", "glass", colours=SCREENS, patterns=("plain", "gradient", "patches"), fixed=True
    )


@category("laptop computer", flavours={"paco_lvis": "laptop computer"}, supercategory=None, support="table", size=0.36)
def laptop(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Open laptop: base with keyboard and touchpad, lid with screen, camera and a logo on its back."""
    tinted(b, "main", pick(rng, "metal", "plastic"), CASES)
    tinted(b, "keys", "plastic", DARKS + WHITES)
    tinted(b, "pad", "plastic", CASES)
    tinted(b, "logo", "paint", WHITES + BRIGHTS)
    x = uniform(rng, 0.28, 0.36)
    y, thick = x * uniform(rng, 0.64, 0.72), uniform(rng, 0.012, 0.02)
    corner = uniform(rng, 0.006, 0.016)
    b.piece("base panel", tile(x, y, thick, corner, 0.002).move(z=thick / 2))
    columns, rows = int(rng.integers(11, 14)), 5
    field_x, field_y = 0.86 * x, 0.4 * y
    dx, dy = field_x / columns, field_y / rows
    keys = repeated(
        block(0.82 * dx, 0.8 * dy, 0.003), grid(columns, rows, dx, dy, thick + 0.001) + np.array([0, 0.16 * y, 0])
    )
    b.piece("keyboard", tile(1.03 * field_x, 1.06 * field_y, 0.001, 0.003).move(y=0.16 * y, z=thick), "pad")
    b.piece("keyboard", keys, "keys")
    pad = (0.3 * x, 0.27 * y)
    b.piece("touchpad", tile(*pad, 0.001, 0.004).move(y=-0.3 * y, z=thick + 0.0003), "pad")
    opening = uniform(rng, 92, 128)
    lid, hinge = 0.008, np.array([0, y / 2 - 0.006, thick])
    tall = y - 0.006
    parts = [
        ("back", tile(x, tall, lid, corner, 0.002).move(y=-tall / 2), "main"),
        ("screen", tile(0.93 * x, 0.86 * tall, 0.001, 0.003).move(y=-0.51 * tall, z=-lid / 2 - 0.0003), screen(b)),
        ("camera", disc(0.004, 0.0014, (0, -0.968 * tall, -lid / 2 - 0.0004), segments=10), dark(b)),
        ("logo", disc(0.026, 0.001, (0, -0.5 * tall, lid / 2 + 0.0003)), "logo"),
    ]

    def lifted(at: Floats) -> Floats:  # a point of the closed lid, with the lid opened
        a = np.radians(-opening)
        return np.array([at[0], at[1] * np.cos(a) - at[2] * np.sin(a), at[1] * np.sin(a) + at[2] * np.cos(a)]) + hinge

    for part, mesh, slot in parts:
        b.piece(part, mesh.move(z=lid / 2).rotate("x", -opening).move(*hinge), slot)
    corner_points(b, "base", x / 2 - 0.003, y / 2 - 0.003, thick, "bottom")
    for word, sx in (("left", 1), ("right", -1)):
        for level, f in (("bottom", 0.08), ("top", 0.94)):
            at = lifted(np.array([sx * 0.465 * x, -f * tall, 0.0]))
            b.keypoint("screen", "corner", at, "top", f"{level} {word}")
    b.keypoint("screen", "center", lifted(np.array([0, -0.51 * tall, -0.0005])), "top", "middle")
    b.keypoint("touchpad", "center", (0, -0.3 * y, thick + 0.001), "bottom front", "middle")
    b.keypoint("keyboard", "center", (0, 0.16 * y, thick + 0.0025), "bottom middle", "middle")
    if chance(rng, 0.3):
        side = 1 if chance(rng, 0.5) else -1
        knots = [
            (side * x / 2, 0.3 * y, 0.006),
            (side * (x / 2 + 0.03), 0.3 * y, 0.003),
            (side * (x / 2 + 0.04), 0.6 * y, 0.003),
        ]
        b.piece("cable", cord(knots, 0.003), dark(b))


@category("mouse", flavours={"paco_lvis": "mouse"}, supercategory="hand-held", support="table", size=0.12)
def mouse(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Computer mouse, cable to the front; user and mouse look the same way, so that their left is one."""
    tinted(b, "main", "plastic", DARKS + WHITES + BRIGHTS)
    tinted(b, "button", "plastic", DARKS + WHITES + METALS)
    tinted(b, "wheel", "rubber", DARKS + BRIGHTS)
    tinted(b, "logo", "paint", WHITES + BRIGHTS)
    length, half, tall = uniform(rng, 0.095, 0.12), uniform(rng, 0.028, 0.036), uniform(rng, 0.03, 0.042)
    t = np.linspace(0, 1, 13)  # front to rear
    y = length * (t - 0.5)
    width = (
        half
        * (1 - np.abs(2 * t - 1) ** uniform(rng, 3, 6)) ** 0.4
        * np.interp(t, [0, 0.4, 1], [0.9, uniform(rng, 0.86, 1), 1])
    )
    height = tall * np.interp(t, [0, 0.15, 0.4, 0.65, 0.9, 1], [0.4, 0.62, 0.9, 1.0, 0.62, 0.2])
    width[[0, -1]], angle = 0.45 * half, np.linspace(0, np.pi, 14)
    across, up = np.cos(angle), np.sin(angle) ** 0.6
    sections = np.stack(
        [
            np.column_stack([w * across, np.full(14, yy), 0.003 + h * up])
            for w, h, yy in zip(width, height, y, strict=True)
        ]
    )
    shell = skin(sections)
    rows = np.arange(12)[:, None]
    columns = np.arange(14)[None, :]
    front = rows < 5
    left, right = front & (columns >= 1) & (columns < 6), front & (columns >= 7) & (columns < 12)
    for part, flags in (("left button", left), ("right button", right)):
        b.piece(part, select(shell, skin_faces(shell, flags)), "button")
    b.piece("body", select(shell, ~skin_faces(shell, left | right)))
    y0, z0 = y[3], 0.003 + float(height[3])
    b.piece("scroll wheel", disc(0.011, 0.007, (0, float(y0), z0 - 0.004), axis="x", segments=14), "wheel")
    slope = float(np.degrees(np.arctan2(height[9] - height[7], y[9] - y[7])))
    mark = tile(0.011, 0.011, 0.0012, 0.0054).rotate("x", slope)
    b.piece("logo", mark.move(y=float(y[8]), z=0.0032 + float(height[8])), "logo")
    for k in (5, 6):
        thumb = block(0.003, 0.012, 0.006, (0.96 * float(width[k]), float(y[k]), 0.003 + 0.55 * float(height[k])))
        b.piece("side button", thumb, "wheel")
    if chance(rng, 0.65):
        bend = uniform(rng, -0.05, 0.05)
        line = [
            (0, y[0] + 0.002, 0.008),
            (0, y[0] - 0.02, 0.005),
            (bend, y[0] - 0.06, 0.003),
            (2 * bend, y[0] - 0.12, 0.003),
        ]
        b.piece("wire", cord(line, 0.0022), "wheel")
    b.keypoint("wheel", "center", (0, float(y0), z0 + 0.007), "front", "middle")
    _mouse_points(b, width, height, y)
    posed(b)


def _mouse_points(b: ObjectBuilder, width: Floats, height: Floats, y: Floats) -> None:
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint(
            "button",
            "corner",
            (sign * 0.8 * width[1], y[1], 0.004 + 0.75 * height[1]),
            f"front {word}",
            f"front {word}",
        )
        b.keypoint(
            "button", "center", (sign * 0.45 * width[3], y[3], 0.003 + 0.93 * height[3]), f"front {word}", "middle"
        )
        b.keypoint("body", "edge", (sign * width[7], y[7], 0.004), "rear", f"middle {word}")
    b.keypoint("body", "top", (0, y[8], 0.004 + height[8]), "rear", "top")
    b.keypoint("body", "end", (0, y[-1], 0.003 + 0.7 * height[-1]), "rear", "rear")


@category(
    "remote control", flavours={"paco_lvis": "remote control"}, supercategory="hand-held", support="table", size=0.19
)
def remote(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Slim case with round and square buttons, a direction ring, and a logo at the rear end."""
    tinted(b, "main", "plastic", DARKS + WHITES + METALS)
    tinted(b, "back", "plastic", DARKS + WHITES)
    tinted(b, "button", "rubber", WHITES + DARKS[1:])
    tinted(b, "accent", "rubber", BRIGHTS)
    tinted(b, "logo", "paint", WHITES + BRIGHTS)
    x, y, thick = uniform(rng, 0.036, 0.052), uniform(rng, 0.14, 0.22), uniform(rng, 0.015, 0.022)
    corner = uniform(rng, 0.006, 0.49 * x)
    low = 0.45 * thick
    use = functional("remote control", "back")
    b.piece("back", tile(0.94 * x, 0.985 * y, low, 0.9 * corner, 0.3 * low).move(z=low / 2), "back", use)
    b.piece(
        "",
        tile(x, y, thick - low, corner, 0.003).move(z=low + (thick - low) / 2),
        "main",
        functional("remote control", "body"),
    )
    columns = int(rng.integers(3, 5)) if x > 0.042 else 3
    rows, dx = int(rng.integers(4, 7)), 0.82 * x / columns
    dy = min(0.44 * y / rows, 1.4 * dx)
    key = (
        disc(0.36 * dx, 0.004, segments=10)
        if chance(rng, 0.5)
        else tile(0.74 * dx, 0.6 * dy, 0.004, 0.2 * dx, segments=3)
    )
    spots = grid(columns, rows, dx, dy, thick + 0.0005) + np.array([0, 0.18 * y, 0])
    b.piece("button", repeated(key, spots), "button")
    ring_y = float(spots[0, 1]) - 0.75 * dy - 0.33 * x
    if ring_y > -0.42 * y:
        b.piece(
            "button",
            lathe([(0.6, 0), (1, 0), (0.97, 0.004), (0.6, 0.004)], segments=18)
            .scale(0.33 * x, 0.33 * x, 1)
            .move(y=ring_y, z=thick),
            "button",
        )
        b.piece("button", disc(0.15 * x, 0.005, (0, ring_y, thick)), "accent")
    power = (0.3 * x, -0.44 * y, thick + 0.0005)
    b.piece("button", disc(0.1 * x, 0.005, power, segments=12), "accent")
    b.piece("logo", block(0.45 * x, 0.006, 0.001, (0, 0.45 * y, thick + 0.0003)), "logo")
    b.piece("", block(0.5 * x, 0.002, 0.4 * thick, (0, -y / 2, low + 0.25 * thick)), dark(b))
    corner_points(b, "body", x / 2 - 0.25 * corner, y / 2 - 0.25 * corner, thick - 0.001, "top")
    b.keypoint("button", "center", (power[0], power[1], thick + 0.003), "front left", "middle")
    b.keypoint("button", "center", (0, max(ring_y, -0.4 * y), thick + 0.002), "middle", "middle")
    for word, index in (("middle right", 0), ("rear left", -1)):
        b.keypoint("button", "center", spots[index] + np.array([0, 0, 0.002]), word, "middle")
    b.keypoint("body", "end", (0, -y / 2, low + 0.25 * thick), "front", "front")
    b.keypoint("body", "end", (0, y / 2, low + 0.25 * thick), "rear", "rear")


@category(
    "cellular telephone",
    flavours={"paco_lvis": "cellular telephone"},
    supercategory="hand-held",
    support="table",
    size=0.15,
)
def phone(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Smart phone with a home button or side keys, or an older one with a key pad; face up, or the back up."""
    tinted(b, "main", pick(rng, "metal", "plastic"), DARKS + WHITES + METALS)
    tinted(b, "back", pick(rng, "metal", "plastic", "glass"), DARKS + WHITES + METALS + BRIGHTS)
    tinted(b, "button", "plastic", METALS + WHITES + DARKS[1:])
    keypad = chance(rng, 0.3)
    x = uniform(rng, 0.045, 0.055) if keypad else uniform(rng, 0.062, 0.08)
    y, thick = (
        x * (uniform(rng, 2.1, 2.6) if keypad else uniform(rng, 1.9, 2.2)),
        uniform(rng, 0.014, 0.02) if keypad else 0.009,
    )
    corner = uniform(rng, 0.006, 0.014)
    low = 0.4 * thick
    use = functional("cellular telephone", "back")
    b.piece("back cover", tile(x, y, low, corner, 0.3 * low).move(z=low / 2), "back", use)
    b.piece("bezel", tile(x, y, thick - low, corner, 0.002).move(z=(thick + low) / 2), "main")
    if keypad:
        centre, size = 0.24 * y, (0.8 * x, 0.38 * y)
        dx, dy = 0.27 * x, 0.1 * y
        spots = grid(3, 4, dx, dy, thick + 0.0005) + np.array([0, -0.24 * y, 0])
        b.piece("button", repeated(tile(0.8 * dx, 0.7 * dy, 0.003, 0.3 * dy, segments=3), spots), "button")
        b.keypoint("button", "center", (0, -0.24 * y, thick), "front", "middle")
    else:
        home = chance(rng, 0.5)
        centre, size = (0.02 * y, (0.92 * x, 0.8 * y)) if home else (0.0, (0.93 * x, 0.95 * y))
        if home:
            b.piece("button", disc(0.075 * x, 0.0012, (0, -0.445 * y, thick), segments=14), "button")
            b.piece("bezel", block(0.16 * x, 0.0025, 0.001, (0, 0.455 * y, thick)), dark(b))
        keys = [(sign * x / 2, yy * y, 0.55 * thick) for sign, yy in ((1, 0.2), (-1, 0.25), (-1, 0.12))]
        b.piece("button", repeated(block(0.002, 0.08 * y, 0.25 * thick), keys), "button")
    b.piece("screen", tile(*size, 0.001, 0.003 if keypad else 0.6 * corner).move(y=centre, z=thick), screen(b))
    lens = [(0.3 * x, 0.41 * y, 0.0), (0.3 * x, 0.31 * y, 0.0)]
    b.piece("back cover", repeated(disc(0.1 * x, 0.002, segments=12), lens), dark(b), use)
    corner_points(b, "body", x / 2 - 0.25 * corner, y / 2 - 0.25 * corner, thick - 0.001, "top")
    for end, sy in (("front", -1), ("rear", 1)):
        for side, sx in (("left", 1), ("right", -1)):
            at = (sx * 0.48 * size[0], centre + sy * 0.48 * size[1], thick + 0.0005)
            b.keypoint("screen", "corner", at, "top", f"{end} {side}")
    b.keypoint("screen", "center", (0, centre, thick + 0.0005), "top", "middle")
    b.keypoint("camera", "center", (lens[0][0], lens[0][1], -0.001), "bottom rear left", "middle")
    pose = pick(rng, "face up", "face up", "face up", "face down", "leaning")
    posed(b, *{"face up": (), "face down": (("y", 180.0),), "leaning": (("x", uniform(rng, 60, 80)),)}[pose])
