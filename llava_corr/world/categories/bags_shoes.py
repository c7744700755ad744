"""Leather and cloth goods: handbag, shoe, slipper."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, merge, tube
from ._forms import block, disc, pick, select, smooth
from ._skins import repeated, rounded, skin, skin_faces, strap, tile
from ._wares import (
    BRIGHTS,
    DARKS,
    METALS,
    SKINS,
    WHITES,
    chance,
    functional,
    posed,
    tinted,
    uniform,
)
from .containers import corner_points

LEATHERS = (*SKINS, *BRIGHTS, *DARKS, *WHITES)


@category("handbag", flavours={"paco_lvis": "handbag"}, supercategory=None, support="table", size=0.34)
def handbag(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Zipped hand bags and open totes with one or two bows over the rim."""
    kind = pick(rng, "leather", "leather", "fabric")
    tinted(b, "main", kind, LEATHERS, "plain", "plain", "checks", "patches", "stripes")
    tinted(b, "second", kind, LEATHERS)
    tinted(b, "inside", "fabric", DARKS + WHITES)
    tinted(b, "zip", "metal", (*METALS, (0.8, 0.6, 0.25)))
    half, deep = uniform(rng, 0.11, 0.17), uniform(rng, 0.045, 0.07)
    height, top = half * uniform(rng, 1.1, 1.7), uniform(rng, 0.72, 1.1)
    closed = chance(rng, 0.6)
    mouth = deep * (uniform(rng, 0.15, 0.4) if closed else uniform(rng, 0.7, 0.95))
    t = np.array([0.0, 0.03, 0.14, 0.4, 0.75, 0.93, 1.0])
    wide = half * np.interp(t, [0, 0.03, 0.4, 1], [0.96, 1.0, 1.0 if top > 0.9 else 0.97, top])
    thick = np.interp(t, [0, 0.03, 0.4, 1], [0.9 * deep, deep, 0.95 * deep, mouth])
    ring = rounded(2, 2, 0.35, segments=6)
    sections = np.stack(
        [np.column_stack([ring * [w, d], np.full(24, z * height)]) for w, d, z in zip(wide, thick, t, strict=True)]
    )
    b.piece("bottom", skin(sections[:2] * [1, 1, 0.5]), "second")
    b.piece("base", skin(sections[:3], caps=False), "second")
    b.piece("body", skin(sections[2:6], caps=False), "main")
    b.piece("rim", skin(sections[5:], caps=closed), "second")
    if closed:
        b.piece("zip", block(1.7 * wide[-1], 0.008, 0.004, (0, 0, height + 0.001)), "zip")
        b.piece("zip", tile(0.01, 0.022, 0.003, 0.004).move(x=-0.8 * wide[-1], y=-0.01, z=height + 0.003), "zip")
        b.keypoint("zip", "end", (-0.8 * wide[-1], 0, height + 0.003), "top", "right")
    else:
        shrink = sections[::-1] * [0.97, 0.93, 1]
        shrink[:, :, 2] = np.maximum(shrink[:, :, 2], 0.012)
        inner = skin(np.concatenate([sections[-1:], shrink[:-1]]))
        turned = Mesh(inner.vertices, inner.faces[:, ::-1], -inner.normals)
        keep = np.ones(len(turned.faces), bool)
        keep[-48:-24] = False  # the cap over the mouth comes before the cap of the floor
        b.piece("inner body", select(turned, keep), "inside")
    if chance(rng, 0.5):
        flap = tile(1.1 * half, 0.004, 0.42 * height, 0.001).move(y=-deep - 0.001, z=0.36 * height)
        b.piece("body", flap.transform(np.eye(4)), "second")
    _bag_handles(b, rng, wide[-1], mouth, height)
    corner_points(b, "base", 0.93 * wide[1], 0.9 * deep, 0.0, "bottom")
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint("rim", "end", (sign * wide[-1], 0, height), "top", word)


def _bag_handles(b: ObjectBuilder, rng: np.random.Generator, wide: float, mouth: float, height: float) -> None:
    reach, span = uniform(rng, 0.08, 0.17), uniform(rng, 0.45, 0.75) * wide
    knots = [
        (-span, 0, height - 0.05),
        (-span, 0, height + 0.02),
        (-0.6 * span, 0, height + 0.85 * reach),
        (0, 0, height + reach),
        (0.6 * span, 0, height + 0.85 * reach),
        (span, 0, height + 0.02),
        (span, 0, height - 0.05),
    ]
    path = smooth(knots, 3)
    flat = chance(rng, 0.5)
    mesh = strap(path, 0.018, 0.004, "y") if flat else tube(path, 0.006)
    for word, y in (("front", -mouth - 0.003), ("rear", mouth + 0.003)):
        leaning = mesh.move(z=-height).rotate("x", uniform(rng, -6, 6)).move(y=y, z=height)
        b.piece("handle", leaning, "second")
        top = leaning.vertices[np.argmax(leaning.vertices[:, 2])]
        b.keypoint("handle", "center", (0, top[1], top[2]), f"top {word}", "middle")
        rings = [(sx * span, y, height - 0.035) for sx in (1, -1)]
        b.piece("handle", repeated(block(0.024, 0.006, 0.016), rings), "zip")
        for side, sx in (("left", 1), ("right", -1)):
            b.keypoint("handle", "joint", (sx * span, y, height - 0.035), f"top {word}", side)


# Cross-sections of a shoe along its length (0 toe, 1 heel): half width, height of the upper, lift of the sole.
SHOE_T = np.array([0.0, 0.03, 0.08, 0.16, 0.26, 0.36, 0.46, 0.52, 0.6, 0.72, 0.84, 0.93, 0.98, 1.0])
STYLES = {
    "sneaker": (
        (0.3, 0.72, 0.9, 1.0, 1.02, 0.96, 0.86, 0.82, 0.78, 0.76, 0.76, 0.72, 0.6, 0.4),
        (0.25, 0.42, 0.5, 0.54, 0.64, 0.82, 1.0, 1.05, 1.02, 0.92, 0.98, 1.12, 1.1, 1.06),
    ),
    "boot": (
        (0.3, 0.72, 0.92, 1.02, 1.03, 0.96, 0.88, 0.84, 0.8, 0.78, 0.78, 0.74, 0.64, 0.45),
        (0.3, 0.5, 0.58, 0.6, 0.7, 0.95, 1.4, 1.9, 1.95, 1.95, 1.95, 1.95, 1.92, 1.9),
    ),
    "oxford": (
        (0.25, 0.6, 0.82, 0.97, 1.0, 0.93, 0.82, 0.78, 0.75, 0.74, 0.74, 0.7, 0.58, 0.4),
        (0.24, 0.36, 0.42, 0.46, 0.56, 0.74, 0.9, 0.92, 0.86, 0.78, 0.82, 0.94, 0.94, 0.9),
    ),
}


@category("shoe", flavours={"paco_lvis": "shoe"}, supercategory="hand-held", support="floor", size=0.3)
def shoe(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Laced sneakers, boots and oxfords: upper in its sewn parts, tongue, laces and eyelets, welt, outsole and heel."""
    style = pick(rng, *STYLES)
    kind = pick(rng, "leather", "fabric") if style != "oxford" else "leather"
    tinted(b, "main", kind, LEATHERS)
    tinted(b, "toe", kind, LEATHERS)
    tinted(b, "quarter", kind, LEATHERS)
    tinted(b, "sole", "rubber", WHITES + DARKS + SKINS[2:3])
    tinted(b, "lining", "fabric", WHITES + DARKS + BRIGHTS)
    tinted(b, "lace", "fabric", WHITES + DARKS + BRIGHTS)
    length, half, tall = uniform(rng, 0.25, 0.3), uniform(rng, 0.044, 0.05), uniform(rng, 0.075, 0.088)
    sole = {"sneaker": uniform(rng, 0.015, 0.023), "boot": 0.018, "oxford": 0.011}[style]
    heel = {"sneaker": 0.004, "boot": 0.012, "oxford": uniform(rng, 0.016, 0.022)}[style]
    width, height = (np.array(v) for v in STYLES[style])
    y = length * (SHOE_T - 0.5)
    sections = _upper(width * half, height * tall, y, sole + heel)
    upper = skin(sections)
    k = np.arange(sections.shape[1])[None, :]
    s = np.arange(len(y) - 1)[:, None]
    outside = (k < 6) | ((k >= 16) & (k < 21))
    inside = ~outside & (k < 21)
    hollow = inside & (s >= 6)
    parts = {
        "toe box": (outside | inside) & (s < 3) & (k < 21),
        "vamp": (outside | inside) & (s >= 3) & (s < 5) & (k < 21),
        "throat": inside & (s >= 5) & (s < 6),
        "quarter": outside & (s >= 5) & (s < 10),
        "backstay": outside & (s >= 10),
        "insole": hollow & (k >= 9) & (k < 12),
        "lining": hollow & ((k < 9) | (k >= 12)),
    }
    slots = {"toe box": "toe", "throat": "main", "vamp": "main", "quarter": "quarter", "backstay": "toe"}
    for part, flags in parts.items():
        use = functional("shoe", "opening") if part in ("insole", "lining") else {}
        chosen = skin_faces(upper, np.broadcast_to(flags, (len(y) - 1, sections.shape[1])))
        if part in ("toe box", "backstay"):  # the caps of the skin close the toe and the heel
            chosen[slice(-44, -22) if part == "toe box" else slice(-22, None)] = True
        b.piece(part, select(upper, chosen), slots.get(part, "lining"), use)
    _sole(b, width * half, y, sole, heel, length)
    _laces(b, sections, style)
    _shoe_points(b, sections, width * half, y, sole + heel)


def _upper(width: Floats, height: Floats, y: Floats, z0: float) -> Floats:
    """Cross-sections (14 x 22 points) up the left side, over and down into the opening, and down the right side."""
    sections = np.empty((len(y), 22, 3))
    side = np.linspace(0, 1, 6)
    for i, (w, h, yy) in enumerate(zip(width, height, y, strict=True)):
        rear = i >= 7
        collar = 0.62 if rear else 0.25 if i < 6 else 0.5  # half width at the top, in units of the width
        swell = w * (1 - (1 - collar) * side**2.2)
        left = np.column_stack([swell, z0 + h * np.sin(side * np.pi / 2) ** (0.8 if not rear else 1.0)])
        depth = np.clip((i - 6) / 2, 0, 1) if i < 12 else 0.0  # the opening; the last stations close the heel
        floor = z0 + h - depth * (h - 0.012)
        level = [z0 + h - 0.002, z0 + h - 0.35 * depth * h, floor, floor, floor]
        spread = np.array([0.93, 0.9, 0.88, 0.35, 0.0]) * collar * w
        inner = np.column_stack([spread, level])
        half = np.concatenate([left, inner])
        both = np.concatenate([half, half[-2::-1] * [-1, 1], [(0.0, z0)]])
        sections[i, :, 0], sections[i, :, 1], sections[i, :, 2] = both[:, 0], yy, both[:, 1]
    return sections


def _sole(b: ObjectBuilder, width: Floats, y: Floats, sole: float, heel: float, length: float) -> None:
    right = np.column_stack([-width, y])[::-1]
    outline = np.concatenate([np.column_stack([width, y]), right]) * [1.03, 1.01]
    low, high = heel + 0.002, heel + sole

    def layer(z0: float, z1: float, grow: float, rows: Floats = outline) -> Mesh:
        ring = rows * [grow, 1 + (grow - 1) / 3]
        return skin(np.stack([np.column_stack([ring, np.full(len(ring), z)]) for z in (z0, z1)]), crisp=False)

    b.piece("outsole", layer(low - 0.002, high - 0.004, 1.0), "sole", functional("shoe", "sole"))
    b.piece("welt", layer(high - 0.004, high + 0.002, 1.03), "lining")
    back = outline[outline[:, 1] > 0.22 * length]
    b.piece("heel", layer(0, low, 1.0, back), "sole", functional("shoe", "heel"))
    if heel > 0.006:
        fore = outline[outline[:, 1] < 0.02 * length]
        b.piece("outsole", layer(0, low, 0.99, fore), "sole", functional("shoe", "sole"))


def _laces(b: ObjectBuilder, sections: Floats, style: str) -> None:
    """Tongue in the throat, crossed laces from eyelet to eyelet up to the opening, and a bow."""
    crest = sections[3:8, 10].copy()
    crest[:, 2] = sections[3:8, 5, 2]
    line = smooth(crest, 4)
    normal = np.column_stack([np.zeros(len(line)), -np.gradient(line[:, 2]), np.gradient(line[:, 1])])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    end = line[-1] + np.array([0, 0.004, 0.022])
    tongue = np.vstack([line[5:] + 0.0015 * normal[5:], end])
    b.piece("tongue", strap(tongue, np.linspace(0.026, 0.04, len(tongue)), 0.004), "lining")
    b.keypoint("tongue", "tip", end, "top", "top")
    rows = np.linspace(4, len(line) - 2, 4 if style != "boot" else 6).astype(int)
    bars, eyes = [], []
    for place, i in enumerate(rows):
        reach = 0.0135 + 0.001 * place
        at = line[i] + 0.005 * normal[i]
        bars.append(
            strap([at + np.array([-reach, 0, -0.003]), at, at + np.array([reach, 0, -0.003])], 0.0055, 0.003, "y")
            if place % 2
            else tube(
                [at + np.array([-reach, -0.003, -0.003]), at, at + np.array([reach, 0.003, -0.003])], 0.0026, sides=5
            )
        )
        eyes += [at + np.array([sx * (reach + 0.002), 0, -0.0045]) for sx in (1, -1)]
    b.piece("lace", merge(*bars), "lace")
    knot = line[rows[-1]] + 0.006 * normal[rows[-1]]
    for sign in (1, -1):
        loop = smooth(
            [
                (0, 0, 0),
                (sign * 0.018, -0.008, 0.006),
                (sign * 0.032, -0.016, -0.004),
                (sign * 0.016, -0.012, -0.002),
                (0, 0, 0.001),
            ],
            3,
        )
        b.piece("lace", tube(loop + knot, 0.002, sides=5), "lace")
    b.piece("eyelet", repeated(disc(0.0042, 0.005, segments=8), eyes), tinted(b, "eyelet", "metal", METALS))
    b.keypoint("lace", "center", knot, "top", "middle")


def _shoe_points(b: ObjectBuilder, sections: Floats, width: Floats, y: Floats, z0: float) -> None:
    b.keypoint("toe", "tip", (0, y[0], z0 + 0.01), "front", "front")
    b.keypoint("sole", "end", (0, y[-1] * 1.02, 0.004), "bottom", "rear")
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint("sole", "edge", (sign * width[4] * 1.05, y[4], z0 - 0.004), "bottom", f"front {word}")
        b.keypoint("sole", "edge", (sign * width[9] * 1.05, y[9], z0 - 0.004), "bottom", f"rear {word}")
        b.keypoint("opening", "edge", sections[9, 5] * [sign, 1, 1], "top", word)
    b.keypoint("opening", "edge", sections[-2, 10], "top", "rear")
    b.keypoint("insole", "center", sections[10, 10], "middle", "rear")


@category("slipper", flavours={"paco_lvis": "slipper"}, supercategory=None, support="floor", size=0.27)
def slipper(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Flip-flops with a V strap, slides with one band, and house slippers with a closed toe."""
    style = pick(rng, "flip", "slide", "house")
    tinted(b, "sole", "rubber", BRIGHTS + DARKS + SKINS)
    tinted(b, "insole", pick(rng, "fabric", "rubber"), BRIGHTS + DARKS + WHITES, "plain", "stripes", "dots")
    tinted(b, "main", pick(rng, "fabric", "leather"), LEATHERS, "plain", "checks")
    length, half, thick = uniform(rng, 0.24, 0.28), uniform(rng, 0.044, 0.05), uniform(rng, 0.014, 0.026)
    t = np.linspace(0, 1, 14)
    width = half * np.interp(
        t, [0, 0.04, 0.12, 0.28, 0.55, 0.8, 0.94, 1], [0.35, 0.65, 0.9, 1.0, 0.8, 0.78, 0.65, 0.35]
    )
    y = length * (t - 0.5)
    outline = np.concatenate([np.column_stack([width, y]), np.column_stack([-width, y])[::-1]])
    for part, z0, z1, grow in (("outsole", 0.0, thick, 1.0), ("insole", thick, thick + 0.004, 0.95)):
        b.piece(
            part,
            skin([np.column_stack([outline * grow, np.full(28, z)]) for z in (z0, z1)]),
            "sole" if part == "outsole" else "insole",
        )
    top = thick + 0.004
    rise = uniform(rng, 0.045, 0.06)
    if style == "flip":
        toe = np.array([0, y[0] + 0.17 * length, top])
        for word, sign in (("left", 1), ("right", -1)):
            band = smooth(
                [
                    toe,
                    toe + np.array([sign * 0.01, 0.02, 0.02]),
                    np.array([sign * 0.032, -0.08 * length, top + 0.034]),
                    np.array([sign * half * 0.86, 0.12 * length, top - 0.002]),
                ],
                4,
            )
            b.piece("strap", tube(band, list(np.linspace(0.004, 0.0075, len(band)))), "main")
            b.keypoint("strap", "joint", band[-1], "middle", word)
        b.keypoint("strap", "joint", toe, "front", "front")
    else:
        _slipper_upper(b, style == "house", width, y, 0.6 * thick, rise)
    b.keypoint("sole", "end", (0, y[0], thick / 2), "bottom", "front")
    b.keypoint("sole", "end", (0, y[-1], thick / 2), "bottom", "rear")
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint("sole", "edge", (sign * half, y[4], thick / 2), "bottom", f"front {word}")
    b.keypoint("insole", "center", (0, 0.3 * length, top), "middle", "rear")
    posed(b)


def _slipper_upper(b: ObjectBuilder, house: bool, width: Floats, y: Floats, z0: float, rise: float) -> None:
    """Arch over the front of the foot: a band (strap), or toe box and vamp, each with its lining."""
    rows = np.arange(0 if house else 3, 7)
    angle = np.linspace(0, np.pi, 11)[:, None]
    height = rise * (np.interp(rows, [0, 2, 6], [0.25, 0.7, 1.0]) if house else np.ones(len(rows)))
    arch = np.stack(
        np.broadcast_arrays(1.02 * width[rows] * np.cos(angle), y[rows], z0 + height * np.sin(angle) ** 0.75), -1
    )
    inner = arch * [0.95, 1, 1] - [0, 0, 0.004]
    mesh = skin(np.concatenate([arch, inner[:, ::-1]], 1))
    n = len(rows)
    k = np.broadcast_to(np.arange(2 * n), (10, 2 * n))
    toe = (k < 2) if house else (k < 0)
    regions = {"lining": k >= n, "toe box": toe, "vamp" if house else "strap": (k < n) & ~toe}
    for part, flags in regions.items():
        if flags.any():
            b.piece(part, select(mesh, skin_faces(mesh, flags)), "insole" if part == "lining" else "main")
    for word, a in (("left", 1), ("right", 9)):
        b.keypoint("strap", "joint", arch[a, -1], "middle", word)
    b.keypoint("strap", "center", arch[5, n // 2], "middle", "top")
