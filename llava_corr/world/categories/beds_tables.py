"""Beds and tables of furnished rooms: bed, table, desk, coffee table, pool table."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import extrude, merge, rounded_rectangle, torus
from ._forms import BLACK, DARK, WHITE, Frame, Part, ball, block, disc, near, pick, ranked, rod, soft_block
from ._furniture import (
    CLOTHS,
    back_corners,
    corners,
    cushion,
    frame_of_bars,
    front,
    handle,
    legs,
    metallic,
    upholstered,
    wooden,
)


@category("bed", flavours={"ade20k_part_234": "bed"}, supercategory="furniture", support="floor", size=2.1)
def bed(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Single or double, with headboard, often a footboard, mattress, cover and pillows; the foot end is the front."""
    wooden(b)
    upholstered(b)
    metallic(b)
    b.material("sheet", "fabric", colours=(WHITE, (0.85, 0.82, 0.75), (0.75, 0.8, 0.86)))
    b.material("cover", "fabric", colours=CLOTHS, patterns=("plain", "stripes", "checks", "dots"))
    w, d = near(rng, 1.5 if rng.random() < 0.6 else 0.95, 0.1), near(rng, 2.0, 0.05)
    z, head = near(rng, 0.34, 0.15), near(rng, 1.05, 0.15)
    style = pick(rng, "panel", "soft", "bars")
    f = Frame(b)
    look = "metal" if style == "bars" and rng.random() < 0.5 else "main"
    f.both("side rail", block(0.035, d - 0.08, 0.2, (w / 2, 0, z - 0.06)), look)
    foot = z + (near(rng, 0.32, 0.3) if rng.random() < 0.6 else -0.02)
    _board(f, "headboard", style, w, d / 2, head, z, look)
    _board(f, "footboard", "panel" if style == "soft" else style, w, -d / 2, foot, z, look)
    legs(f, "leg", w / 2, d / 2 - 0.02, max(z - 0.14, 0.08), 0.035, style=pick(rng, "square", "taper"), material=look)
    f.piece("", cushion(w - 0.03, d - 0.08, 0.24, (0, 0, z + 0.1), bevel=0.05), "sheet")
    top = z + 0.22
    fold = float(rng.uniform(0.05, 0.3)) * d
    cover = soft_block(w + 0.05, d / 2 + fold - 0.06, 0.2, (0, (fold - d / 2) / 2 + 0.02, top - 0.07), bevel=0.04)
    f.piece("", cover, "cover")
    count = 2 if w > 1.2 else 1
    for k in range(count):
        x = (k - (count - 1) / 2) * 0.47 * w
        f.piece(
            "",
            ball(0.21 * w if count == 2 else 0.36 * w, 0.2, 0.085, (x, d / 2 - 0.3, top + 0.04), segments=16),
            "sheet",
        )
    back_corners(f, "headboard", w / 2, d / 2, z, head)
    back_corners(f, "footboard", w / 2, -d / 2, z - 0.15, foot)
    corners(f, "mattress", w / 2 - 0.03, d / 2 - 0.07, z + 0.2)


def _board(f: Frame, part: str, style: str, w: float, y: float, top: float, z: float, look: str) -> None:
    low = z - 0.16
    if style == "soft":
        f.piece(part, cushion(w + 0.06, 0.1, top - low, (0, y, (top + low) / 2), bevel=0.04), "cloth")
        return
    posts = [rod((s * w / 2, y, low), (s * w / 2, y, top), 0.03, sides=10) for s in (-1, 1)]
    f.piece(part, merge(*posts), look)
    if style == "panel" or top - z < 0.12:
        f.piece(part, block(w, 0.03, top - low - 0.02, (0, y, (top + low) / 2 - 0.01)), look)
        return
    rails = [rod((-w / 2, y, h), (w / 2, y, h), 0.022) for h in (low + 0.06, top - 0.03)]
    bars = [rod((x, y, low + 0.05), (x, y, top - 0.03), 0.012, sides=6) for x in np.linspace(-0.42, 0.42, 8) * w]
    f.piece(part, merge(*rails, *bars), look)


def _top(f: Frame, shape: str, w: float, d: float, z: float, thick: float, material: str = "main") -> None:
    """A table top whose upper face lies at z, with rim or corner keypoints."""
    if shape == "round":
        f.piece("top", disc(w / 2, thick, (0, 0, z - thick / 2), segments=32), material)
        for word, at in (("front", (0, -w / 2)), ("rear", (0, w / 2)), ("left", (w / 2, 0)), ("right", (-w / 2, 0))):
            f.keypoint("top", "rim", (*at, z), "", word)
    elif shape == "oval":
        f.piece("top", disc(1, 1, segments=36).scale(w / 2, d / 2, thick).move(0, 0, z - thick / 2), material)
        for word, at in (("front", (0, -d / 2)), ("rear", (0, d / 2)), ("left", (w / 2, 0)), ("right", (-w / 2, 0))):
            f.keypoint("top", "rim", (*at, z), "", word)
    else:
        round_ = 0.12 * d if shape == "soft" else 0.004
        f.piece("top", extrude(rounded_rectangle(w, d, round_), thick).move(0, 0, z - thick / 2), material)
        corners(f, "top", w / 2 - 0.3 * round_, d / 2 - 0.3 * round_, z)
    f.keypoint("top", "center", (0, 0, z))


def _pedestal(f: Frame, z: float, spread: float, style: str) -> None:
    """One column on a cross or a plate."""
    f.piece("leg", rod((0, 0, 0.03), (0, 0, z), 0.055, 0.045, sides=14), "main")
    if style == "cross":
        for k, word in enumerate(("front left", "rear left", "rear right", "front right")):
            angle = np.radians(45 + 90 * k)
            foot = np.array([spread * np.sin(angle), -spread * np.cos(angle), 0.02])
            f.piece("leg", rod(foot, (0, 0, 0.16), 0.022, 0.04), "main")
            f.keypoint("leg", "end", foot, word)
    else:
        f.piece("leg", disc(spread, 0.03, (0, 0, 0.015), segments=24), "main")
        f.keypoint("leg", "end", (0, -spread, 0.02), "front")


@category(
    "table",
    flavours={"paco_lvis": "table", "ade20k_part_234": "table"},
    supercategory="furniture",
    support="floor",
    size=1.4,
)
def table(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Dining and side tables: square or round, on legs or a pedestal, with apron, drawer, shelf, wheels."""
    wooden(b)
    wooden(b, "front")
    metallic(b, "handle")
    metallic(b)
    b.material("tyre", "rubber", colours=(BLACK,), fixed=True)
    shape = pick(rng, "square", "square", "soft", "round", "oval")
    w = near(rng, 1.05 if shape == "round" else 1.4, 0.25)
    d, z = (w if shape == "round" else near(rng, 0.82, 0.12)), near(rng, 0.74, 0.05)
    thick = near(rng, 0.035, 0.3)
    f = Frame(b)
    _top(f, shape, w, d, z, thick)
    if rng.random() < 0.4:
        _rim(f, shape, w, d, z - thick / 2, thick)
    under = z - thick
    if shape in ("round", "oval") and rng.random() < 0.6:
        _pedestal(f, under, 0.3 * d, pick(rng, "cross", "plate"))
        return
    inset = 0.3 if shape in ("round", "oval") else 0.44
    x, y, leg = inset * w, inset * d, near(rng, 0.035)
    wheeled = rng.random() < 0.15
    legs(f, "leg", x, y, under, leg, style=pick(rng, "square", "taper", "turned"))
    if wheeled:
        for sx in (-1, 1):
            for sy in (-1, 1):
                f.piece("wheel", disc(0.045, 0.03, (sx * x, sy * y, 0.045), axis="x"), "tyre")
    if rng.random() < 0.7:
        f.piece("apron", frame_of_bars(x, y, under - 0.045, 0.03, 0.09), "main")
        if rng.random() < 0.4:
            front(f, "drawer", (-0.4 * x, under - 0.09, 0.4 * x, under), -y - 0.016, style=handle(rng))
    shelved = rng.random()
    if shelved < 0.25:
        f.piece("shelf", block(2 * x, 2 * y, 0.022, (0, 0, near(rng, 0.2))), "main")
    elif shelved < 0.5:
        bars = [rod((s * x, -y, 0.16), (s * x, y, 0.16), 0.016) for s in (-1, 1)]
        f.piece(
            {"paco_lvis": "stretcher", "ade20k_part_234": ""},
            merge(*bars, rod((-x, 0, 0.16), (x, 0, 0.16), 0.016)),
            "main",
        )


def _rim(f: Frame, shape: str, w: float, d: float, z: float, thick: float) -> None:
    """An edge band in another material; PACO calls it rim."""
    part: Part = {"paco_lvis": "rim", "ade20k_part_234": "top"}
    if shape == "round":
        f.piece(part, torus(w / 2, 0.55 * thick, segments=32).move(0, 0, z), "front")
    elif shape == "square":
        f.piece(part, frame_of_bars(w / 2, d / 2, z, 0.014, 1.1 * thick), "front")


@category(
    "coffee table", flavours={"ade20k_part_234": "coffee table"}, supercategory="furniture", support="floor", size=1.0
)
def coffee_table(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Low; wooden or glass top; sometimes a lower board."""
    wooden(b)
    b.material("plate", "wood", "glass", "paint", "ceramic", colours=((0.7, 0.8, 0.8), WHITE, (0.5, 0.35, 0.2), DARK))
    shape = pick(rng, "square", "soft", "round", "oval")
    w, z = near(rng, 1.0, 0.2), near(rng, 0.42, 0.1)
    d = w if shape == "round" else near(rng, 0.58)
    f = Frame(b)
    _top(f, shape, w, d, z, 0.03, "plate" if rng.random() < 0.5 else "main")
    inset = 0.31 if shape in ("round", "oval") else 0.43
    splay = float(rng.uniform(0.1, 0.25)) if rng.random() < 0.4 else 0.0
    legs(
        f,
        "leg",
        inset * w,
        inset * d,
        z - 0.03,
        near(rng, 0.028, 0.3),
        style=pick(rng, "square", "taper", "turned"),
        splay=splay,
    )
    if not splay and rng.random() < 0.5:
        f.piece("", block(2 * inset * w, 2 * inset * d, 0.02, (0, 0, 0.13)), "main")


@category("desk", flavours={"ade20k_part_234": "desk"}, supercategory="furniture", support="floor", size=1.4)
def desk(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A work table with a pedestal of drawers or a door, at times a shelf above."""
    wooden(b)
    wooden(b, "front")
    metallic(b, "handle")
    w, d, z = near(rng, 1.35), near(rng, 0.65), near(rng, 0.75, 0.04)
    f = Frame(b)
    _top(f, "square", w, d, z, 0.03)
    under, pull = z - 0.03, handle(rng)
    both_sides = rng.random() < 0.35
    box = 0.3 * w
    mirror = rng.random() < 0.5
    sides = (1, -1) if both_sides else ((1,) if mirror else (-1,))
    for side in sides:
        x = side * (w - box - 0.04) / 2
        f.piece("", block(box, d - 0.06, under - 0.09, (x, 0.01, (under + 0.09) / 2)), "main")
        x0, x1, y = x - box / 2, x + box / 2, 0.04 - d / 2
        place = "left" if side > 0 else "right"
        if rng.random() < 0.3:
            front(
                f, "door", (x0, 0.09, x1, under - 0.15), y, style=pull, at="left" if side < 0 else "right", where=place
            )
            front(f, "drawer", (x0, under - 0.15, x1, under), y, style=pull, where=place)
        else:
            count = int(rng.integers(2, 5))
            for k in range(count):
                tall = (under - 0.09) / count
                where = f"{ranked(k, count, 'bottom', 'top')} {place}"
                front(f, "drawer", (x0, 0.09 + k * tall, x1, 0.09 + (k + 1) * tall), y, style=pull, where=where)
        for sy in (-1, 1):
            for sx in (-1, 1):
                f.piece(
                    "leg",
                    block(0.04, 0.04, 0.09, (x + sx * (box / 2 - 0.03), 0.01 + sy * (d / 2 - 0.07), 0.045)),
                    "main",
                )
    if not both_sides:
        side = -sides[0]
        for word, sy in (("front", -1), ("rear", 1)):
            at = (side * (w / 2 - 0.05), sy * (d / 2 - 0.06))
            f.piece("leg", block(0.05, 0.05, under, (*at, under / 2)), "main")
            f.keypoint("leg", "end", (*at, 0), f"{word} {'left' if side > 0 else 'right'}")
        f.piece("apron", block(w - box - 0.1, 0.025, 0.09, (side * box / 2, 0.06 - d / 2, under - 0.045)), "main")
    if rng.random() < 0.35:
        rise = near(rng, 0.38)
        f.piece("shelf", block(w, 0.22, 0.022, (0, d / 2 - 0.11, z + rise)), "main")
        f.both("shelf", block(0.022, 0.22, rise, (w / 2 - 0.011, d / 2 - 0.11, z + rise / 2)), "main")
        f.pair("shelf", "corner", (w / 2, d / 2 - 0.22, z + rise), "", "front top")


@category(
    "pool table", flavours={"ade20k_part_234": "pool table"}, supercategory="furniture", support="floor", size=2.4
)
def pool_table(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Cloth bed, wooden rails, six pockets, stout legs, some balls."""
    wooden(b, lacquer=False)
    b.material("baize", "fabric", colours=((0.1, 0.45, 0.25), (0.1, 0.3, 0.55), (0.55, 0.12, 0.15)))
    b.material("pocket", "leather", colours=(BLACK, (0.2, 0.12, 0.08)), fixed=True)
    b.material("ball", "plastic", colours=(WHITE, (0.85, 0.7, 0.1), (0.75, 0.1, 0.1)), fixed=True)
    w, d, z = near(rng, 2.35, 0.12), near(rng, 1.3, 0.1), near(rng, 0.82, 0.05)
    rail = 0.13
    f = Frame(b)
    f.piece("bed", block(w - rail, d - rail, 0.05, (0, 0, z - 0.045)), "baize")
    f.piece("", frame_of_bars((w - rail) / 2, (d - rail) / 2, z - 0.02, rail, 0.1), "main")
    inner = frame_of_bars((w - rail) / 2 - 0.08, (d - rail) / 2 - 0.08, z - 0.005, 0.04, 0.04)
    f.piece("bed", inner, "baize")
    f.piece("", frame_of_bars(w / 2 - 0.08, d / 2 - 0.08, z - 0.16, 0.05, 0.2), "main")
    for word, y in (("front", -1), ("rear", 1)):
        for side, x in (("left", 1), ("", 0), ("right", -1)):
            at = (x * (w / 2 - 0.11), y * (d / 2 - (0.11 if x else 0.085)), z + 0.012)
            f.piece("pocket", disc(0.07, 0.05, at, segments=14), "pocket")
            f.keypoint("pocket", "center", shifted_up(at, 0.025), f"{word} {side or 'middle'}")
    legs(f, "leg", w / 2 - 0.2, d / 2 - 0.18, z - 0.1, near(rng, 0.075), style=pick(rng, "turned", "square"))
    corners(f, "top", w / 2, d / 2, z + 0.03)
    for _ in range(int(rng.integers(2, 7))):
        spot = (rng.uniform(-0.38, 0.38) * w, rng.uniform(-0.33, 0.33) * d, z + 0.01)
        f.piece("", ball(0.03, 0.03, 0.03, spot, segments=10), "ball")


def shifted_up(at: tuple[float, float, float], rise: float) -> tuple[float, float, float]:
    return at[0], at[1], at[2] + rise
