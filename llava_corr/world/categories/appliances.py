"""Kitchen and laundry appliances: refrigerator, washer, dishwasher, oven, cooking stove, microwave."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import lathe, merge, torus
from ._forms import DARK, STEEL, WHITE, Frame, Part, ball, block, disc, near, rod, shifted
from ._furniture import back_corners, corners, handle_mesh

_CASES = (WHITE, (0.9, 0.89, 0.85), (0.66, 0.67, 0.69), (0.2, 0.2, 0.22), (0.6, 0.15, 0.13), (0.62, 0.74, 0.74))


def _casing(b: ObjectBuilder) -> None:
    b.material("main", "paint", "metal", colours=_CASES)
    b.material("front", "paint", "metal", colours=_CASES)
    b.material("panel", "plastic", colours=(DARK, (0.8, 0.8, 0.8), (0.45, 0.46, 0.48)))
    b.material("dark", "glass", colours=((0.06, 0.07, 0.08), (0.12, 0.12, 0.13)), fixed=True)
    b.material("display", "emissive", colours=((0.2, 0.9, 0.5), (0.3, 0.7, 1.0), (1.0, 0.5, 0.2)), fixed=True)
    b.material("metal", "metal", colours=(STEEL, DARK, (0.85, 0.85, 0.86)))


def _body(
    f: Frame, w: float, d: float, h: float, *, low: float = 0.0, side: str = "side", top: str = "top", back: str = ""
) -> None:
    """Casing from walls (so that sides and top are parts of their own), standing ``low`` above the floor."""
    z, wall = (h + low) / 2, 0.012
    f.both(side, block(wall, d, h - low, ((w - wall) / 2, 0, z)), "main")
    f.piece(top, block(w - 0.001, d, wall, (0, 0, h - wall / 2)), "main")
    f.piece(back, merge(block(w - 2 * wall, 0.9 * d, h - low - wall, (0, 0.03 * d, z - wall / 2))), "main")
    back_corners(f, "front", w / 2, -d / 2, low, h)
    f.pair("top", "corner", (w / 2, d / 2, h), "", "rear")


def _dials(f: Frame, part: Part, places: list[float], y: float, z: float, radius: float, where: str = "") -> None:
    for x in places:
        knob = merge(
            disc(radius, 0.025, (x, y - 0.012, z), axis="y", segments=14),
            block(0.25 * radius, 0.035, 1.7 * radius, (x, y - 0.014, z)),
        )
        f.piece(part, knob, "metal")
    if places:
        f.keypoint("dial", "center", (places[0], y - 0.03, z), where or ("right" if places[0] < 0 else "left"))


def _display(f: Frame, part: Part, x: float, y: float, z: float, w: float) -> None:
    f.piece(part, block(w, 0.006, 0.4 * w, (x, y - 0.002, z)), "dark")
    f.piece(part, block(0.7 * w, 0.004, 0.18 * w, (x, y - 0.005, z)), "display")


def _grip(
    f: Frame, part: Part, x: float, y: float, z: float, length: float, *, upright: bool = False, where: str = ""
) -> None:
    mesh = handle_mesh("upright" if upright else "bar", length).scale(1.6 if upright else 1, 1.5, 1 if upright else 1.6)
    f.piece(part, mesh.move(x, y, z), "metal")
    f.keypoint("handle", "center", (x, y - 0.045, z), where)


@category("refrigerator", flavours={"ade20k_part_234": "refrigerator"}, support="floor", size=1.75)
def refrigerator(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """One door over another, two side by side, or doors over a freezer drawer."""
    _casing(b)
    wide = rng.random() < 0.4
    w, d, h, low = near(rng, 0.9 if wide else 0.62), near(rng, 0.64), near(rng, 1.72, 0.12), 0.06
    f = Frame(b)
    _body(f, w, d - 0.06, h, low=0.02, top="side")
    y, gap = -d / 2 + 0.03, 0.008
    split = low + (h - low) * (0.36 if wide else float(rng.choice([0.36, 0.64])))
    pull = 1 if rng.random() < 0.5 else -1

    def leaf(part: str, x0: float, z0: float, x1: float, z1: float) -> None:
        f.piece(part, block(x1 - x0 - gap, 0.06, z1 - z0 - gap, ((x0 + x1) / 2, y - 0.032, (z0 + z1) / 2)), "front")

    f.piece("side", block(w - 0.002, 0.006, h - low, (0, y - 0.001, (h + low) / 2)), "dark")
    face = y - 0.062
    if wide and rng.random() < 0.6:
        leaf("drawer", -w / 2, low, w / 2, split)
        _grip(f, "drawer", 0, face, split - 0.09, 0.5 * w, where="bottom")
        bottom = split
    else:
        bottom = low
    if wide:
        for side in (-1, 1):
            leaf("door", min(0, side * w / 2), bottom, max(0, side * w / 2), h)
            word = "left" if side > 0 else "right"
            _grip(f, "door", side * 0.045, face, (bottom + h) / 2, 0.4 * (h - bottom), upright=True, where=word)
    else:
        for z0, z1, word in ((low, split, "bottom"), (split, h, "top")):
            leaf("door", -w / 2, z0, w / 2, z1)
            _grip(
                f,
                "door",
                pull * (w / 2 - 0.06),
                face,
                (z0 + z1) / 2,
                min(0.4 * (z1 - z0), 0.4),
                upright=True,
                where=word,
            )
    if rng.random() < 0.6:
        x, z = (-0.25 * w if wide else -pull * 0.2 * w), h - 0.42
        f.piece("button panel", block(0.16, 0.008, 0.24, (x, face - 0.002, z)), "panel")
        _display(f, "button panel", x, face - 0.006, z + 0.06, 0.1)
        f.piece(
            "button panel",
            merge(*(disc(0.01, 0.008, (x + k * 0.035, face - 0.008, z - 0.06), axis="y") for k in (-1, 0, 1))),
            "metal",
        )
        f.keypoint("panel", "center", (x, face - 0.006, z))


@category("washer", flavours={"ade20k_part_234": "washer"}, supercategory="furniture", support="floor", size=0.85)
def washer(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A front loader with its round glass door under a panel of dials and buttons."""
    _casing(b)
    w, d, h = near(rng, 0.6, 0.05), near(rng, 0.56), near(rng, 0.85, 0.05)
    f = Frame(b)
    _body(f, w, d, h, low=0.02, top="front", back="front")
    y = -d / 2
    f.piece("front", block(w - 0.024, 0.06, h - 0.03, (0, y + 0.032, h / 2 + 0.004)), "front")
    band = near(rng, 0.13)
    z = h - 0.012 - band / 2
    f.piece("button panel", block(w - 0.02, 0.02, band - 0.01, (0, y - 0.004, z)), "panel")
    _dials(f, "button panel", [float(rng.choice([-1, 0, 1])) * 0.12], y - 0.014, z, 0.036)
    _display(f, "button panel", 0.32 * w, y - 0.014, z, 0.09)
    f.piece("button panel", block(0.22 * w, 0.01, 0.6 * band, (-0.35 * w, y - 0.016, z)), "front")
    f.piece(
        "button panel",
        merge(*(disc(0.009, 0.01, (0.15 * w + 0.03 * k, y - 0.016, z - 0.03), axis="y") for k in range(3))),
        "metal",
    )
    r, zd = near(rng, 0.19, 0.08), 0.44 * h
    f.piece("door", torus(r, 0.032, segments=32).rotate("x", 90).move(0, y - 0.008, zd), "metal")
    f.piece("door", ball(0.95 * r, 0.045, 0.95 * r, (0, y, zd), segments=22), "dark")
    side = 1 if rng.random() < 0.5 else -1
    f.piece("door", block(0.03, 0.03, 0.1, (side * (r + 0.012), y - 0.03, zd)), "front")
    for word, at in (("top", (0, 1)), ("bottom", (0, -1)), ("left", (1, 0)), ("right", (-1, 0))):
        f.keypoint("door", "rim", (at[0] * r, y - 0.038, zd + at[1] * r), "", word)
    f.keypoint("door", "center", (0, y - 0.045, zd))
    f.piece("front", block(0.16, 0.008, 0.09, (-0.3 * w, y - 0.002, 0.1)), "panel")


@category(
    "dishwasher", flavours={"ade20k_part_234": "dishwasher"}, supercategory="furniture", support="floor", size=0.85
)
def dishwasher(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A flat front with a bar handle and a strip of buttons above a skirting."""
    _casing(b)
    w, d, h, low = near(rng, 0.6, 0.06), near(rng, 0.58), near(rng, 0.84, 0.05), near(rng, 0.1)
    f = Frame(b)
    _body(f, w, d, h, low=0.01, side="", top="")
    y, band = -d / 2, near(rng, 0.11, 0.2)
    f.piece("", block(w - 0.008, 0.04, h - low - band - 0.012, (0, y - 0.01, low + (h - low - band) / 2)), "front")
    f.piece("", block(w - 0.004, 0.006, h - low - 0.004, (0, y - 0.001, (h + low) / 2)), "dark")
    f.piece("button panel", block(w - 0.008, 0.05, band - 0.006, (0, y - 0.008, h - band / 2)), "panel")
    face = y - 0.033
    _display(f, "button panel", 0.3 * w, face, h - band / 2, 0.08)
    f.piece(
        "button panel",
        merge(*(disc(0.01, 0.012, (-0.4 * w + 0.035 * k, face - 0.002, h - band / 2), axis="y") for k in range(5))),
        "metal",
    )
    _grip(f, "handle", 0, y - 0.03, h - band - 0.07, 0.72 * w)
    f.piece("skirt", block(w - 0.01, 0.03, low - 0.012, (0, y + 0.045, low / 2)), "panel")
    f.keypoint("panel", "center", (0, face, h - band / 2))
    for word, z in (("top", h - band - 0.02), ("bottom", low + 0.02)):
        f.pair("door", "corner", (w / 2 - 0.02, y - 0.03, z), "", word)


def _oven_door(f: Frame, part: Part, w: float, y: float, low: float, high: float) -> None:
    """A glazed door with a bar handle at its upper edge."""
    tall = high - low
    f.piece(part, block(w - 0.002, 0.006, tall, (0, y - 0.001, (low + high) / 2)), "dark")
    f.piece(part, block(w - 0.014, 0.04, tall - 0.012, (0, y - 0.018, (low + high) / 2)), "front")
    f.piece(part, block(0.7 * w, 0.01, 0.5 * tall, (0, y - 0.039, low + 0.42 * tall)), "dark")
    _grip(f, part, 0, y - 0.038, high - 0.12 * tall, 0.75 * w)
    for word, z in (("top", high - 0.02), ("bottom", low + 0.02)):
        f.pair("door", "corner", (w / 2 - 0.02, y - 0.038, z), "", word)


def _burners(f: Frame, rng: np.random.Generator, w: float, d: float, z: float) -> None:
    gas = rng.random() < 0.5
    for word, sy in (("front", -1), ("rear", 1)):
        for side, sx in (("left", 1), ("right", -1)):
            at, r = (sx * 0.24 * w, sy * 0.23 * d), near(rng, 0.085, 0.2)
            if gas:
                f.piece(
                    "burner",
                    lathe([(0, 0.0), (0.5 * r, 0.0), (0.45 * r, 0.018), (0, 0.02)], segments=14).move(*at, z),
                    "dark",
                )
                long, top = 1.15 * r, shifted((*at, z), z=0.03)
                bars = [rod(shifted(top, *way), shifted(top, *-way), 0.006, sides=6) for way in np.eye(3)[:2] * long]
                feet = [block(0.012, 0.012, 0.03, (at[0] + k * 1.1 * r, at[1], z + 0.015)) for k in (-1, 1)]
                f.piece("burner", merge(*bars, *feet), "dark")
            else:
                rings = [torus(k * r, 0.007, segments=20, sides=6).move(*at, z + 0.005) for k in (1.0, 0.66, 0.33)]
                f.piece("burner", merge(*rings), "dark")
            f.keypoint("burner", "center", (*at, z + (0.036 if gas else 0.005)), f"{word} {side}")


@category("cooking stove", flavours={"ade20k_part_234": "cooking stove"}, support="floor", size=0.95)
def cooking_stove(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Four burners over an oven, with dials on the front or on a back board, and a drawer below."""
    _casing(b)
    w, d, h = near(rng, 0.64), near(rng, 0.6, 0.06), near(rng, 0.88, 0.04)
    f = Frame(b)
    _body(f, w, d, h, low=0.0, side="stove", top="stove", back="stove")
    y, band = -d / 2, near(rng, 0.11)
    f.piece("stove", block(w + 0.004, d + 0.01, 0.02, (0, 0, h)), "front")
    _burners(f, rng, w, d, h + 0.01)
    board = rng.random() < 0.5
    count = int(rng.integers(4, 6))
    places = [(k - (count - 1) / 2) * 0.78 * w / (count - 1) for k in range(count)]
    if board:
        rise = near(rng, 0.16)
        f.piece("button panel", block(w, 0.05, rise, (0, d / 2 - 0.025, h + 0.01 + rise / 2)), "front")
        _dials(f, "button panel", [p for p in places if abs(p) > 0.1], d / 2 - 0.05, h + 0.6 * rise, 0.026)
        _display(f, "button panel", 0, d / 2 - 0.05, h + 0.6 * rise, 0.1)
        high = h - 0.02
    else:
        f.piece("button panel", block(w - 0.01, 0.03, band - 0.01, (0, y - 0.012, h - 0.012 - band / 2)), "panel")
        _dials(f, "button panel", places, y - 0.027, h - 0.012 - band / 2, 0.026)
        high = h - band - 0.015
    low = 0.05
    if rng.random() < 0.6:
        top = near(rng, 0.2)
        f.piece("drawer", block(w - 0.012, 0.036, top - low - 0.008, (0, y - 0.016, (top + low) / 2)), "front")
        f.piece("drawer", handle_mesh("bar", 0.4 * w).move(0, y - 0.034, top - 0.05), "metal")
        low = top
    _oven_door(f, "door" if rng.random() < 0.5 else "oven", w, y, low, high)


@category("oven", flavours={"ade20k_part_234": "oven"}, support="floor", size=0.8)
def oven(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A closed oven: glazed door under a panel, a drawer below some."""
    _casing(b)
    w, d, h = near(rng, 0.62), near(rng, 0.56), near(rng, 0.72, 0.14)
    f = Frame(b)
    _body(f, w, d, h, low=0.01, side="", top="top")
    y, band, low = -d / 2, near(rng, 0.12), 0.03
    corners(f, "top", w / 2, d / 2, h)
    f.piece("button panel", block(w - 0.01, 0.03, band - 0.01, (0, y - 0.012, h - 0.012 - band / 2)), "panel")
    face = y - 0.027
    _dials(
        f,
        "button panel",
        [-0.36 * w, -0.2 * w, 0.2 * w, 0.36 * w][:: int(rng.integers(1, 3))],
        face,
        h - 0.012 - band / 2,
        0.027,
    )
    _display(f, "button panel", 0, face, h - 0.012 - band / 2, 0.12)
    if rng.random() < 0.5:
        top = near(rng, 0.17)
        f.piece("drawer", block(w - 0.012, 0.036, top - low - 0.008, (0, y - 0.016, (top + low) / 2)), "front")
        f.piece("drawer", handle_mesh("bar", 0.4 * w).move(0, y - 0.034, top - 0.05), "metal")
        low = top
    _oven_door(f, "door", w, y, low, h - band - 0.015)


@category("microwave", flavours={"ade20k_part_234": "microwave"}, supercategory="hand-held", support="table", size=0.5)
def microwave(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A wide box: windowed door on the object's right-hand side of a panel with dials or keys."""
    _casing(b)
    w, d, h, low = near(rng, 0.5), near(rng, 0.36), near(rng, 0.29), 0.012
    f = Frame(b)
    _body(f, w, d, h, low=low)
    y, panel = -d / 2, near(rng, 0.24) * w
    # seen from the front the panel is on the right, which is the object's left (+x) mirrored: x < 0 is seen left
    x0, x1 = -w / 2 + 0.004, w / 2 - panel
    z, tall = (h + low) / 2, h - low - 0.01
    f.piece("front", block(w - 0.004, 0.02, tall, (0, y + 0.004, z)), "main")
    f.piece("door", block(x1 - x0, 0.026, tall - 0.004, ((x0 + x1) / 2, y - 0.014, z)), "front")
    f.piece("window", block(0.74 * (x1 - x0), 0.008, 0.64 * tall, ((x0 + x1) / 2 - 0.02, y - 0.028, z)), "dark")
    f.piece("door", handle_mesh("upright", 0.7 * tall).move(x1 - 0.03, y - 0.027, z), "metal")
    cx, face = (x1 + w / 2) / 2, y - 0.012
    f.piece("button panel", block(panel - 0.01, 0.012, tall - 0.01, (cx, y - 0.008, z)), "panel")
    _display(f, "button panel", cx, face - 0.002, z + 0.36 * tall, 0.7 * panel)
    if rng.random() < 0.5:
        _dials(f, "button panel", [cx], face - 0.002, z + 0.02, 0.2 * panel, "top")
        _dials(f, "button panel", [cx], face - 0.002, z - 0.28 * tall, 0.2 * panel, "bottom")
    else:
        keys = [
            block(0.2 * panel, 0.008, 0.07 * tall, (cx + i * 0.27 * panel, face - 0.004, z + (0.12 - 0.13 * j) * tall))
            for i in (-1, 0, 1)
            for j in range(4)
        ]
        f.piece("button panel", merge(*keys), "metal")
    f.keypoint("handle", "center", (x1 - 0.03, y - 0.055, z))
    f.keypoint("panel", "center", (cx, face - 0.004, z))
    for word, zz in (("top", 0.32), ("bottom", -0.32)):
        for name, xx in (("right", -0.37), ("left", 0.37)):
            f.keypoint(
                "window",
                "corner",
                ((x0 + x1) / 2 - 0.02 + xx * (x1 - x0), y - 0.032, z + zz * tall),
                "",
                f"{word} {name}",
            )
