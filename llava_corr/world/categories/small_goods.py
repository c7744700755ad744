"""Small goods and household textiles: belt, wallet, towel, pillow, tissue paper, tape, mirror, sponge."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, lathe, merge, tube
from ._forms import block, disc, pick, rod, smooth
from ._skins import repeated, rounded, skin, strap, superellipse, tile
from ._wares import BRIGHTS, DARKS, METALS, SKINS, WHITES, chance, dark, posed, tinted, uniform
from .bags_shoes import LEATHERS
from .containers import corner_points


@category("belt", flavours={"paco_lvis": "belt"}, supercategory=None, support="table", size=0.28)
def belt(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Rolled-up belt on its edge: spiral strap with holes, loop and pointed end; buckle with frame, bar and prong."""
    tinted(b, "main", pick(rng, "leather", "fabric"), LEATHERS, "plain", "stripes")
    tinted(b, "metal", "metal", (*METALS, (0.8, 0.6, 0.25)))
    wide, sheet = uniform(rng, 0.03, 0.042), 0.004
    turns, gap = uniform(rng, 1.3, 2.1), uniform(rng, 0.012, 0.02)
    count = int(22 * turns)
    angle = np.linspace(0, 2 * np.pi * turns, count) - np.pi / 2 - 2 * np.pi * turns
    radius = uniform(rng, 0.05, 0.07) + gap * np.linspace(0, turns, count)
    path = np.column_stack([radius * np.cos(angle), 0.85 * radius * np.sin(angle), np.full(count, wide / 2)])
    # the outer end lies at the front; a straight stretch to the left carries the buckle
    tail = path[-1] + np.column_stack([np.linspace(0.01, 0.08, 5), np.linspace(0, -0.004, 5), np.zeros(5)])
    path = np.vstack([path, tail])
    b.piece("strap", strap(path[3:], wide, sheet, "z"), "main")
    b.piece("end tip", strap(path[:4], np.array([0.25, 0.7, 0.95, 1.0]) * wide, sheet, "z"), "main")
    spots = path[-16:-7:2]
    b.piece(
        "hole",
        merge(
            *(
                _stud(p, path[i + 1] - path[i])
                for i, p in zip(range(len(path) - 16, len(path) - 7, 2), spots, strict=True)
            )
        ),
        dark(b),
    )
    end = path[-1]
    b.piece("loop", block(0.012, 0.013, wide + 0.008).move(*(path[-3] + [0, -0.001, 0])), "main")
    frame = rounded(0.048, wide + 0.018, 0.008, segments=4)
    ring = np.column_stack([frame[:, 0], np.zeros(16), frame[:, 1]]) + end + np.array([0.02, -0.005, 0])
    b.piece("frame", tube(np.vstack([ring, ring[:1]]), 0.0034, sides=6, caps=False), "metal")
    b.piece("bar", block(0.005, 0.005, wide + 0.016).move(*(end + np.array([0.0, -0.005, 0]))), "metal")
    b.piece(
        "prong",
        tube(
            [end + np.array([0, -0.008, 0]), end + np.array([0.02, -0.012, 0]), end + np.array([0.046, -0.009, 0])],
            0.0026,
            sides=6,
        ),
        "metal",
    )
    for level, s in (("bottom", -1), ("top", 1)):
        b.keypoint(
            "buckle", "corner", end + np.array([0.042, -0.005, s * (wide / 2 + 0.007)]), "front left", f"{level} left"
        )
    b.keypoint("prong", "tip", end + np.array([0.046, -0.009, 0]), "front left", "left")
    b.keypoint("strap", "tip", path[0], "middle", "")
    b.keypoint("loop", "center", path[-3] + [0, -0.0075, 0], "front", "middle")
    posed(b)


def _stud(at: Floats, along: Floats) -> Mesh:
    """Small disc across a strap that runs ``along`` in the xy plane."""
    degrees = float(np.degrees(np.arctan2(along[1], along[0])))
    return disc(0.0032, 0.0055, axis="y", segments=8).rotate("z", degrees).move(*at)


@category("wallet", flavours={"paco_lvis": "wallet"}, supercategory=None, support="table", size=0.12)
def wallet(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Bifold wallet half open (cards in the inner body) or a purse closed by a flap with a snap."""
    tinted(b, "main", pick(rng, "leather", "fabric"), LEATHERS)
    tinted(b, "inside", "leather", SKINS + DARKS)
    tinted(b, "card", "plastic", BRIGHTS + WHITES)
    x, y = uniform(rng, 0.1, 0.125), uniform(rng, 0.08, 0.095)
    if chance(rng, 0.5):
        opening = uniform(rng, 8, 50)
        leaf = tile(x, y, 0.008, 0.008, 0.002).move(y=-y / 2 - 0.003, z=0.004)
        inner = tile(0.92 * x, 0.86 * y, 0.002, 0.005).move(y=-y / 2 - 0.003, z=0.0085)
        cards = repeated(block(0.8 * x, 0.012, 0.0015), [(0, -y / 2 + (k - 1) * 0.016, 0.0098) for k in range(3)])
        for part, mesh, slot in (("", leaf, "main"), ("inner body", inner, "inside"), ("inner body", cards, "card")):
            b.piece(part, mesh, slot)
            b.piece(part, mesh.mirror("y").rotate("x", opening), slot)
        b.piece("", rod((-0.49 * x, 0, 0.003), (0.49 * x, 0, 0.003), 0.004), "main")
        bills = block(0.9 * x, 0.004, 0.35 * y).rotate("x", -90).move(y=y - 0.002, z=0.006).rotate("x", opening)
        b.piece("", bills, tinted(b, "bill", "paper", ((0.5, 0.62, 0.45), (0.75, 0.6, 0.45), (0.5, 0.6, 0.7))))
        turn = np.radians(opening)
        b.keypoint("inner body", "center", (0, -y / 2, 0.0098), "front", "middle")
        b.keypoint("spine", "center", (0, 0.0, -0.001), "rear", "middle")
        for word, sign in (("left", 1), ("right", -1)):
            b.keypoint("leaf", "corner", (sign * 0.48 * x, -y + 0.001, 0.004), "front", f"front {word}")
            at = (sign * 0.48 * x, y * np.cos(turn) - 0.004 * np.sin(turn), y * np.sin(turn) + 0.004 * np.cos(turn))
            b.keypoint("leaf", "corner", at, "rear", f"rear {word}")
        posed(b)
        return
    thick = uniform(rng, 0.016, 0.026)
    b.piece("", tile(x, y, thick, 0.008, 0.003).move(z=thick / 2), "main")
    b.piece("flap", tile(x + 0.002, 0.62 * y, 0.004, 0.02).move(y=0.2 * y, z=thick + 0.001), "inside")
    b.piece("flap", disc(0.006, 0.003, (0, -0.06 * y, thick + 0.003)), tinted(b, "snap", "metal", METALS))
    b.keypoint("snap", "center", (0, -0.06 * y, thick + 0.0045), "top", "middle")
    corner_points(b, "body", x / 2 - 0.002, y / 2 - 0.002, thick / 2, "middle")


@category("towel", flavours={"paco_lvis": "towel"}, supercategory=None, support="table", size=0.4)
def towel(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Folded stack or a roll; terry bars run across near the ends, hems close them, a border lies along the edge."""
    tinted(b, "main", "fabric", BRIGHTS + WHITES + LEATHERS[:3], "plain", "noise", "stripes", "checks")
    tinted(b, "bar", "fabric", WHITES + BRIGHTS)
    x, y, layer = uniform(rng, 0.24, 0.36), uniform(rng, 0.16, 0.24), uniform(rng, 0.016, 0.026)
    if chance(rng, 0.35):
        _rolled_towel(b, rng, x, y)
        return
    count = int(rng.integers(2, 5))
    # one strap that winds back and forth, folded at the left and the right
    knots: list[tuple[float, float, float]] = []
    for k in range(count):
        ends = [(-x / 2, 0.0, (k + 0.5) * layer), (0.0, 0.0, (k + 0.5) * layer), (x / 2, 0.0, (k + 0.5) * layer)]
        knots += ends if k % 2 == 0 else ends[::-1]
        if k < count - 1:
            sign = 1 if k % 2 == 0 else -1
            knots.append((sign * (x / 2 + 0.42 * layer), 0.0, (k + 1) * layer))
    path = smooth(knots, 3)
    b.piece("body", strap(path, y, 0.88 * layer, "y"), "main")
    top = (count - 0.06) * layer
    last = 1 if count % 2 else -1
    for part, at, wide in (("terry bar", 0.3 * x, 0.025), ("hem", 0.49 * x, 0.012)):
        b.piece(part, block(wide, y + 0.002, 0.9 * layer, (last * at, 0, top + 0.0015 - 0.45 * layer)), "bar")
    b.piece(
        "border",
        merge(*(block(0.9 * x, 0.008, 0.003, (-last * 0.05 * x, s * 0.47 * y, top - 0.001)) for s in (1, -1))),
        "bar",
    )
    corner_points(b, "body", x / 2, 0.49 * y, top - 0.003, "top")
    corner_points(b, "base", x / 2, 0.49 * y, 0.003, "bottom")
    b.keypoint("body", "center", (0, 0, top - 0.001), "top", "middle")
    posed(b)


def _rolled_towel(b: ObjectBuilder, rng: np.random.Generator, x: float, y: float) -> None:
    angle = np.linspace(0, 2 * np.pi * uniform(rng, 2.3, 3.2), 48)
    radius = 0.006 + 0.0034 * angle
    path = np.column_stack([np.zeros(48), radius * np.cos(angle), radius * np.sin(angle)])
    thick = 0.0034 * 2 * np.pi * 0.84
    outer = float(radius[-1] + thick / 2)
    b.piece("body", strap(path, x, thick), "main")
    b.piece("hem", strap(path[-3:], x + 0.002, 1.1 * thick), "bar")
    for sign in (1, -1):
        band = strap(path[-17:], 0.022, 1.06 * thick).move(x=sign * 0.32 * x)
        b.piece("terry bar", band, "bar")
        b.piece("border", strap(path, 0.006, 1.04 * thick).move(x=sign * (x / 2 - 0.002)), "bar")
        b.keypoint("body", "end", (sign * x / 2, 0, 0), "left" if sign > 0 else "right", "middle")
    crest = float(path[path[:, 1] ** 2 < (0.3 * outer) ** 2, 2].max()) + thick / 2
    b.keypoint("body", "center", (0, 0, crest), "top", "middle")
    b.keypoint("body", "corner", (x / 2, *path[-1, 1:]), "left", "front")
    b.keypoint("body", "corner", (-x / 2, *path[-1, 1:]), "right", "front")
    posed(b)


@category("pillow", flavours={"paco_lvis": "pillow"}, supercategory=None, support="floor", size=0.5)
def pillow(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Square or long cushion with drawn-out corners; embroidery as a motif or a frame on the upper side."""
    tinted(b, "main", "fabric", BRIGHTS + WHITES + DARKS[1:], "plain", "stripes", "checks", "dots", "patches")
    tinted(b, "thread", "fabric", BRIGHTS + WHITES)
    x = uniform(rng, 0.36, 0.55)
    y, tall = x * uniform(rng, 0.62, 1.0), uniform(rng, 0.1, 0.16)
    t = np.linspace(-1, 1, 13)
    u, v = np.meshgrid(t, t)
    swell = np.sqrt(np.maximum((1 - u**2) * (1 - v**2), 0)) ** 0.8
    pinch_x, pinch_y = 1 - 0.09 * (1 - v**2) * u**2, 1 - 0.09 * (1 - u**2) * v**2
    gx, gy = u * x / 2 * pinch_x, v * y / 2 * pinch_y
    top = np.stack([gx, gy, tall / 2 * swell], -1)
    bottom = np.stack([gx, gy, -tall / 2 * swell], -1)[:, ::-1]
    b.piece("", skin(np.concatenate([top, bottom], 1), caps=False), "main")

    def on_top(f: float, g: float, off: float = 0.002) -> Floats:
        rise = np.sqrt((1 - f**2) * (1 - g**2)) ** 0.8
        return np.array([f * x / 2, g * y / 2, tall / 2 * rise + off])

    if chance(rng, 0.5):
        a = np.linspace(0, 2 * np.pi, 25)
        reach = uniform(rng, 0.3, 0.5)
        petals = 1 + 0.35 * np.cos(int(rng.integers(4, 7)) * a)
        path = np.array([on_top(reach * r * np.cos(c), reach * r * np.sin(c)) for r, c in zip(petals, a, strict=True)])
        path[-1] = path[0]
        b.piece("embroidery", tube(path, 0.006, sides=5, caps=False), "thread")
        b.piece("embroidery", disc(0.09 * x, 0.006, (0, 0, tall / 2)), "thread")
    else:
        edge = np.array([(-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7), (-0.7, -0.7)])
        fine = np.column_stack([np.interp(np.linspace(0, 4, 25), np.arange(5), edge[:, k]) for k in (0, 1)])
        path = np.array([on_top(f, g) for f, g in fine])
        path[-1] = path[0]
        b.piece("embroidery", tube(path, 0.006, sides=5, caps=False), "thread")
    corner_points(b, "body", 0.49 * x, 0.49 * y, 0.0, "middle")
    b.keypoint("body", "center", on_top(0, 0), "top", "middle")
    for word, f, g in (("front", 0, -0.9), ("rear", 0, 0.9), ("left", 0.9, 0), ("right", -0.9, 0)):
        b.keypoint("body", "edge", on_top(f, g, 0.0), "top", word)
    posed(b, *((("x", uniform(rng, 62, 78)),) if chance(rng, 0.4) else ()))


@category("tissue paper", flavours={"paco_lvis": "tissue paper"}, supercategory=None, support="table", size=0.2)
def tissue(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Paper roll on its end or on its side, with a core and a loose sheet."""
    tinted(b, "main", "paper", WHITES, "plain", "dots")
    tinted(b, "core", "paper", ((0.7, 0.55, 0.38), (0.75, 0.65, 0.5)))
    radius, core = uniform(rng, 0.045, 0.06), uniform(rng, 0.018, 0.022)
    height = uniform(rng, 0.09, 0.12) if chance(rng, 0.6) else uniform(rng, 0.2, 0.26)
    ring = [(core, 0), (radius, 0), (radius, height), (core, height)]
    b.piece("roll", lathe(ring, segments=28), "main")
    b.piece(
        "",
        lathe([(core, height + 0.001), (core - 0.002, height + 0.001), (core - 0.002, -0.0), (core, 0)], segments=20),
        "core",
    )
    tail = smooth([(radius, 0.0), (radius + 0.004, -0.02), (radius * 0.98, -0.045), (radius * 1.05, -0.07)], 4)
    loose = np.column_stack([tail, np.full(len(tail), height / 2)])
    b.piece("roll", strap(loose, height, 0.0012, "z"), "main")
    for word, z in (("bottom", 0.0), ("top", height)):
        for side, x, y in (("front", 0, -1), ("rear", 0, 1), ("left", 1, 0), ("right", -1, 0)):
            b.keypoint("roll", "edge", (x * radius, y * radius, z), word, side)
    b.keypoint("sheet", "corner", (*tail[-1], height), "front", "top")
    b.keypoint("sheet", "corner", (*tail[-1], 0), "front", "bottom")
    if chance(rng, 0.4):
        posed(b, ("z", -90), ("x", 90), ("z", uniform(rng, -40, 40)))


@category("tape", flavours={"paco_lvis": "tape"}, supercategory=None, support="table", size=0.1)
def tape(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Roll of tape, flat or on its edge, the free end standing off."""
    tinted(b, "main", "plastic", (*BRIGHTS, *METALS, (0.8, 0.65, 0.35), *DARKS))
    tinted(b, "core", "paper", (*WHITES, (0.7, 0.55, 0.38)))
    radius, width = uniform(rng, 0.035, 0.055), uniform(rng, 0.018, 0.05)
    inner = radius * uniform(rng, 0.6, 0.75)
    b.piece("roll", lathe([(inner, 0), (radius, 0), (radius, width), (inner, width)], segments=32), "main")
    b.piece(
        "roll", lathe([(inner, width), (inner - 0.003, width), (inner - 0.003, 0), (inner, 0)], segments=32), "core"
    )
    if chance(rng, 0.8):
        tail = smooth([(radius, 0.0), (radius + 0.002, -0.02), (radius + 0.012, -0.042)], 3)
        b.piece("roll", strap(np.column_stack([tail, np.full(len(tail), width / 2)]), width, 0.0012, "z"), "main")
        b.keypoint("tape", "tip", (*tail[-1], width / 2), "front", "front")
    for word, z in (("bottom", 0.0), ("top", width)):
        for side, x, y in (("front", 0, -1), ("rear", 0, 1), ("left", 1, 0), ("right", -1, 0)):
            b.keypoint("roll", "edge", (x * radius, y * radius, z), word, side)
    if chance(rng, 0.5):
        posed(b, ("z", -90), ("x", 90), ("z", uniform(rng, -40, 40)))


@category("mirror", flavours={"paco_lvis": "mirror"}, supercategory=None, support="wall", size=0.7)
def mirror(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Framed wall mirror: rectangular, oval, round or arched."""
    tinted(b, "frame", pick(rng, "wood", "metal", "plastic"), (), "plain", "grain")
    tinted(b, "glass", "metal", ((0.75, 0.82, 0.86), (0.66, 0.74, 0.8), (0.82, 0.86, 0.88)), "gradient", fixed=True)
    half, tall = uniform(rng, 0.2, 0.3), uniform(rng, 0.26, 0.45)
    style = pick(rng, "rectangle", "oval", "round", "arch")
    tall = half if style == "round" else tall
    if style == "rectangle":
        outline = rounded(2 * half, 2 * tall, 0.02, segments=4)
    else:
        outline = superellipse(half, tall, 2.0, points=36)
        if style == "arch":
            low = outline[:, 1] < 0
            square = superellipse(half, tall, 12.0, points=36)
            outline[low] = square[low]
    rim, depth = uniform(rng, 0.06, 0.16), uniform(rng, 0.02, 0.04)
    inner = 1 - rim
    mould = [(1.0, 0.0), (1.0, 0.6 * depth), (1 - 0.4 * rim, depth), (inner, 0.6 * depth), (inner, 0.3 * depth)]

    def hung(profile: list[tuple[float, float]]) -> Mesh:
        return lathe(profile, outline=outline).rotate("x", 90).move(z=tall)

    b.piece("frame", hung([(0, 0), *mould]), "frame")
    b.piece("", hung([(inner, 0.32 * depth), (0, 0.32 * depth)]), "glass")
    for word, x, z in (("left", 1, 0), ("right", -1, 0), ("top", 0, 1), ("bottom", 0, -1)):
        b.keypoint("frame", "edge", (x * half, 0, tall + z * tall), word, "")
        b.keypoint("frame", "inner edge", (x * half * inner, -0.3 * depth, tall + z * tall * inner), word, "")
    b.keypoint("mirror", "center", (0, -0.32 * depth, tall), "middle", "middle")


@category("sponge", flavours={"paco_lvis": "sponge"}, supercategory=None, support="table", size=0.11)
def sponge(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Kitchen sponge with a rough scouring layer on top or below."""
    tinted(b, "main", "fabric", ((0.95, 0.8, 0.2), (0.9, 0.6, 0.3), *BRIGHTS), "noise", "dots")
    tinted(b, "rough", "fabric", ((0.1, 0.35, 0.15), *DARKS, (0.15, 0.25, 0.5)), "noise")
    x, y, thick, pad = uniform(rng, 0.09, 0.12), uniform(rng, 0.055, 0.075), uniform(rng, 0.022, 0.032), 0.009
    corner = uniform(rng, 0.003, 0.02)
    waist = rounded(x, y, corner, segments=6) / (x / 2)
    if chance(rng, 0.4):
        waist = waist * (1 - 0.16 * np.exp(-((waist[:, :1] / 0.3) ** 2)) * [0, 1])
        waist = np.concatenate([waist])
    half = x / 2
    soft = [(0, 0), (0.96 * half, 0), (half, 0.003), (half, thick), (0, thick)]
    b.piece("", lathe(soft, outline=waist), "main")
    b.piece("rough surface", lathe([(half, thick), (half, thick + pad), (0.0, thick + pad)], outline=waist), "rough")
    corner_points(b, "pad", half - 0.3 * corner, y / 2 - 0.3 * corner, thick + pad, "top")
    corner_points(b, "base", half - 0.3 * corner - 0.001, y / 2 - 0.3 * corner - 0.001, 0.001, "bottom")
    b.keypoint("pad", "center", (0, 0, thick + pad), "top", "middle")
    if chance(rng, 0.35):
        posed(b, ("y", 180))
