"""Things to wear: hat, helmet, watch, belt."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, lathe, merge, tube
from ._forms import ball, block, disc, near, pick, smooth
from ._skins import around, repeated, rounded, skin, strap, superellipse
from ._wares import (
    BRIGHTS,
    DARKS,
    METALS,
    SKINS,
    WHITES,
    between,
    chance,
    circle_points,
    dark,
    functional,
    patch,
    posed,
    radius_at,
    shifted,
    silhouette,
    tinted,
    uniform,
)

CLOTHS = (*BRIGHTS, *DARKS, *WHITES, (0.55, 0.45, 0.3), (0.3, 0.35, 0.25))


def visor(b: ObjectBuilder, category_name: str, radius: float, reach: float, droop: float, slot: str) -> None:
    """Curved peak in front of a crown of this radius, with keypoints at its tip and corners."""
    half = np.radians(62)
    angles = np.linspace(-half, half, 13)
    fade = np.cos(angles / half * np.pi / 2) ** 0.5
    inner = np.column_stack([radius * np.sin(angles), -radius * np.cos(angles)])
    outer = inner + np.column_stack([0.25 * reach * np.sin(angles) * fade, -reach * fade])
    drop = droop * (np.abs(angles) / half) ** 2
    t = 0.0022
    sections = []
    for k in range(13):
        z0, z1 = 0.012 - 0.25 * drop[k], 0.012 - 0.25 * drop[k] - (drop[k] + 0.15 * reach) * fade[k]
        sections.append([(*inner[k], z0 + t), (*outer[k], z1 + t), (*outer[k], z1 - t), (*inner[k], z0 - t)])
    b.piece("visor", skin(sections, crisp=True), slot, functional(category_name, "brim"))
    tip = sections[6][1]
    b.keypoint("visor", "tip", tip, "front", "front")
    for word, k in (("right", 1), ("left", 11)):
        b.keypoint("visor", "corner", sections[k][1], "front", word)


def crown_points(b: ObjectBuilder, x: float, y: float, height: float, z: float = 0.0) -> None:
    b.keypoint("crown", "top", (0, 0, height), "top", "middle")
    for word, at in (("front", (0, -y, z)), ("rear", (0, y, z)), ("left", (x, 0, z)), ("right", (-x, 0, z))):
        b.keypoint("rim", "edge", at, "bottom", word)


@category("hat", flavours={"paco_lvis": "hat"}, supercategory=None, support="table", size=0.3)
def hat(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Baseball caps, brimmed hats (felt, straw, top hat, bucket hat) and knitted hats with a pom pom."""
    style = pick(rng, "cap", "cap", "brim", "brim", "knit")
    tinted(
        b,
        "main",
        "straw" if style == "brim" and chance(rng, 0.3) else "fabric",
        CLOTHS,
        "plain",
        "stripes",
        "checks",
        "patches",
    )
    tinted(b, "second", "fabric", CLOTHS)
    tinted(b, "inside", "fabric", DARKS + WHITES)
    {"cap": _cap_hat, "brim": _brim_hat, "knit": _knit_hat}[style](b, rng)
    tipped = (("x", uniform(rng, -115, -80)), ("z", uniform(rng, -20, 20)))
    posed(b, *(tipped if chance(rng, 0.25) else ()))


def _hollow(b: ObjectBuilder, profile: Floats, oval: float, part: str, slot: str) -> None:
    """Crown of a hat or shell of a helmet: the outside (named ``part``) and the inner side."""
    inner = np.maximum(shifted(profile, -0.003, -0.003), [1e-4, -1])[::-1]
    outer = [*profile, (0, profile[-1, 1])]
    for name, curve, material in ((part, outer, slot), ("inner side", [*inner, profile[0]], "inside")):
        b.piece(name, lathe(curve, segments=24, sharp=60).scale(1, oval, 1), material)


def _cap_hat(b: ObjectBuilder, rng: np.random.Generator) -> None:
    radius, height, oval = uniform(rng, 0.085, 0.095), uniform(rng, 0.1, 0.125), near(rng, 1.1, 0.05)
    profile = silhouette(rng, ((1, 0), (0.99, 0.3), (0.85, 0.7), (0.5, 0.94), (0.02, 1)), radius, height, 0.01)
    _hollow(b, profile, oval, "", "main")
    visor(b, "hat", radius * oval, uniform(rng, 0.06, 0.08), uniform(rng, 0.0, 0.03), "second")
    b.piece("", disc(0.008, 0.008, (0, 0, height)), "second")
    if chance(rng, 0.75):
        tinted(b, "logo", "paint", WHITES + BRIGHTS)
        b.piece("logo", patch(profile, 0.35 * height, 0.72 * height, -90, 38, 0.002).scale(1, oval, 1), "logo")
        y = -oval * radius_at(profile, 0.52 * height) - 0.002
        b.keypoint("logo", "center", (0, y, 0.52 * height), "front", "middle")
    if chance(rng, 0.7):
        band = patch(profile, 0.02 * height, 0.14 * height, 90, 70, 0.004).scale(1, oval, 1)
        b.piece("strap", band, "second")
    crown_points(b, radius, radius * oval, height)


def _brim_hat(b: ObjectBuilder, rng: np.random.Generator) -> None:
    shapes = {
        "felt": ((1, 0), (0.98, 0.4), (0.9, 0.8), (0.78, 1), (0.55, 0.97), (0.02, 0.84)),
        "round": ((1, 0), (0.98, 0.35), (0.85, 0.75), (0.5, 0.96), (0.02, 1)),
        "top": ((1, 0), (0.96, 0.3), (0.98, 0.7), (1.04, 0.985), (1.0, 1), (0.02, 1)),
        "bucket": ((1, 0), (0.95, 0.3), (0.88, 0.96), (0.84, 1), (0.02, 1)),
    }
    style = pick(rng, *shapes)
    radius, oval = uniform(rng, 0.082, 0.095), near(rng, 1.15, 0.05)
    height = radius * (uniform(rng, 1.6, 2.0) if style == "top" else uniform(rng, 1.1, 1.4))
    control = np.array(shapes[style])
    profile = control * [radius, height]
    if style in ("round", "felt"):
        profile = smooth(profile, 3)
    _hollow(b, profile, oval, "", "main")
    reach = uniform(rng, 0.03, 0.045) if style in ("bucket", "top") else uniform(rng, 0.05, 0.11)
    dip = -uniform(rng, 0.6, 0.9) * reach if style == "bucket" else uniform(rng, -0.1, 0.3) * reach
    t, out = 0.004, radius + reach
    brim = [
        (radius - 0.004, -t / 2),
        (radius + 0.5 * reach, 0.35 * dip - t / 2),
        (out, dip - t / 2),
        (out + 0.001, dip),
        (out, dip + t / 2),
        (radius + 0.5 * reach, 0.35 * dip + t / 2),
        (radius - 0.004, t / 2),
    ]
    b.piece("rim", lathe(brim, segments=32, sharp=60).scale(1, oval, 1), "main", functional("hat", "brim"))
    if chance(rng, 0.75):
        low, high = 0.04 * height, uniform(rng, 0.16, 0.3) * height
        wall = between(profile[: int(np.argmax(profile[:, 1])) + 1], low, high)
        band = np.concatenate([shifted(wall[:1], -0.001), shifted(wall, 0.003), shifted(wall[-1:], -0.001)])
        b.piece("strap", lathe(band, segments=24, sharp=60).scale(1, oval, 1), "second")
        b.keypoint(
            "band", "center", (0, -oval * (float(wall[:, 0].mean()) + 0.003), (low + high) / 2), "front", "middle"
        )
    top = float(profile[-1, 1])
    b.keypoint("crown", "top", (0, 0, top), "top", "middle")
    circle_points(b, "rim", "edge", out, dip, "bottom", oval)
    posed(b)


def _knit_hat(b: ObjectBuilder, rng: np.random.Generator) -> None:
    radius, height = uniform(rng, 0.085, 0.1), uniform(rng, 0.15, 0.2)
    ribs = superellipse(1, 1, 2, points=36) * (1 + 0.025 * np.cos(np.arange(36) * np.pi))[:, None]
    profile = silhouette(rng, ((1, 0), (1, 0.4), (0.88, 0.72), (0.5, 0.94), (0.05, 1)), radius, height, 0.01)
    b.piece("", lathe([*profile, (0, height)], outline=ribs, sharp=60), "main")
    b.piece(
        "inner side",
        lathe([(0.97 * radius, 0.001), (0.9 * radius, 0.3 * height), (0, 0.5 * height)][::1], segments=24),
        "inside",
    )
    fold = uniform(rng, 0.2, 0.32) * height
    cuff = [(0.97 * radius, 0), (1.07 * radius, 0.003), (1.08 * radius, fold - 0.004), (0.98 * radius, fold)]
    b.piece("rim", lathe(cuff, outline=ribs), "second")
    if chance(rng, 0.75):
        size = uniform(rng, 0.024, 0.036)
        tinted(b, "pom", "fur", CLOTHS)
        b.piece("pom pom", ball(size, size, size, (0, 0, height + 0.7 * size)), "pom")
        b.keypoint("pom pom", "top", (0, 0, height + 1.7 * size), "top", "top")
    if chance(rng, 0.4):
        tinted(b, "logo", "paint", WHITES + BRIGHTS)
        b.piece("logo", block(0.4 * radius, 0.004, 0.6 * fold, (0, -1.1 * radius, fold / 2)), "logo")
    crown_points(b, 1.07 * radius, 1.07 * radius, height)


@category("helmet", flavours={"paco_lvis": "helmet"}, supercategory=None, support="table", size=0.3)
def helmet(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Motorcycle helmets with a face shield, vented bicycle helmets with chin straps, hard hats with a visor."""
    style = pick(rng, "motor", "bicycle", "hard")
    tinted(b, "main", "plastic", BRIGHTS + DARKS + WHITES, "plain", "plain", "stripes", "gradient")
    tinted(b, "second", "plastic", DARKS + BRIGHTS)
    tinted(b, "inside", "fabric", DARKS)
    tinted(b, "logo", "paint", WHITES + BRIGHTS)
    radius, oval = uniform(rng, 0.105, 0.12), near(rng, 1.18, 0.05)
    height = radius * (uniform(rng, 1.9, 2.1) if style == "motor" else uniform(rng, 1.0, 1.2))
    plan = {
        "motor": ((0.82, 0), (0.93, 0.12), (1, 0.45), (0.9, 0.75), (0.55, 0.95), (0.02, 1)),
        "bicycle": ((0.97, 0), (1, 0.2), (0.92, 0.6), (0.55, 0.93), (0.02, 1)),
        "hard": ((1, 0), (0.97, 0.3), (0.86, 0.68), (0.52, 0.94), (0.02, 1)),
    }[style]
    profile = silhouette(rng, plan, radius, height, 0.01)
    _hollow(b, profile, oval, "", "main")
    r0 = float(profile[0, 0])
    if style == "motor":
        _face_shield(b, profile, height, oval)
    elif style == "bicycle":
        _vents(b, rng, profile, height, oval)
        if chance(rng, 0.5):
            visor(b, "helmet", r0 * oval, 0.04, 0.012, "second")
    else:
        visor(b, "helmet", r0 * oval, uniform(rng, 0.04, 0.055), 0.02, "main")
        arch = [(1, 0.35), (0.65, 0.88), (0, 1.02), (-0.65, 0.88), (-1, 0.35)]
        ridge = smooth([(0, 0.95 * oval * radius * y, height * z) for y, z in arch], 3)
        b.piece("", strap(ridge, 0.03, 0.014), "main")
    edge = lathe([(r0 - 0.006, -0.004), (r0 + 0.006, -0.004), (r0 + 0.006, 0.008), (r0 - 0.006, 0.008)], segments=24)
    b.piece("rim", edge.scale(1, oval, 1), "second")
    if style != "motor" or chance(rng, 0.4):
        drop = 0.0 if style == "motor" else uniform(rng, 0.06, 0.09)
        band = [(0.9, 0, 0.02), (0.75, -0.02, -0.6 * drop), (0, -0.03, -drop - 0.02), (-0.75, -0.02, -0.6 * drop)]
        chin = smooth([(x * r0, y, z) for x, y, z in (*band, (-0.9, 0, 0.02))], 3)
        b.piece("strap", strap(chin, 0.016, 0.003, "y"), "inside")
        b.keypoint("strap", "center", chin[6], "bottom", "middle")
    if chance(rng, 0.7):
        low, high = (0.76, 0.9) if style == "motor" else (0.4, 0.65) if style == "hard" else (0.15, 0.3)
        b.piece("logo", patch(profile, low * height, high * height, -90, 34, 0.004).scale(1, oval, 1), "logo")
    crown_points(b, r0, r0 * oval, float(profile[-1, 1]))
    posed(b)


def _face_shield(b: ObjectBuilder, profile: Floats, height: float, oval: float) -> None:
    """Shield with its two pivots, and the chin vent of a motorcycle helmet."""
    tinted(b, "shield", "glass", ((0.18, 0.18, 0.2), (0.3, 0.42, 0.55), (0.6, 0.42, 0.18)), fixed=True)
    low, high = 0.4 * height, 0.7 * height
    b.piece("face shield", patch(profile, low, high, -90, 150, 0.004).scale(1, oval, 1), "shield")
    b.piece("", patch(profile, 0.1 * height, 0.18 * height, -90, 40, 0.003).scale(1, oval, 1), dark(b))
    x = radius_at(profile, 0.56 * height)
    for word, sign in (("left", 1), ("right", -1)):
        b.piece("", disc(0.02, 0.012, (sign * x, 0.1 * x, 0.56 * height), axis="x"), "second")
        b.keypoint("shield", "joint", (sign * (x + 0.006), 0.1 * x, 0.56 * height), "front", word)
    b.keypoint("shield", "center", (0, -oval * (x + 0.004), 0.56 * height), "front", "middle")


def _vents(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, height: float, oval: float) -> None:
    """Dark slots that run over the shell from front to rear."""
    count = int(rng.integers(2, 4))
    for k in range(-count, count + 1):
        x = k / (count + 0.6)
        for low, high in ((-0.8, -0.08), (0.1, 0.8)):
            reach = np.sqrt(max(1 - x**2, 0))
            y = np.linspace(low, high, 6) * reach
            r = np.hypot(x, y) * float(profile[:, 0].max())
            z = np.interp(-r, -profile[:, 0], profile[:, 1])
            scale = float(profile[:, 0].max())
            path = np.column_stack([np.full(6, x * scale), y * scale * oval, z - 0.0004])
            b.piece("", strap(path, np.array([0.003, 0.013, 0.015, 0.015, 0.013, 0.003]), 0.004), "inside")


@category("watch", flavours={"paco_lvis": "watch"}, supercategory="hand-held", support="table", size=0.09)
def watch(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Wrist watch with a round or square case; the strap is laid out flat, or closed to a ring that stands or lies."""
    tinted(b, "case", "metal", (*METALS, (0.8, 0.6, 0.25), *DARKS))
    tinted(b, "dial", "paint", WHITES + DARKS + BRIGHTS)
    tinted(b, "hand", "metal", DARKS + METALS)
    tinted(b, "strap", pick(rng, "leather", "rubber", "metal"), SKINS + DARKS + METALS)
    half, thick = uniform(rng, 0.016, 0.022), uniform(rng, 0.008, 0.011)
    square = chance(rng, 0.35)
    outline = superellipse(1, 1.1, 6, points=24) if square else None
    case = [(0.92, 0), (1, 0.2), (1, 0.8), (0.9, 1), (0.84, 1), (0.84, 0.85)]
    b.piece("case", lathe(np.array([(0, 0), *case]) * [half, thick], outline=outline, segments=28), "case")
    level = 0.86 * thick
    b.piece("dial", lathe(np.array([(0.84, level), (0, level)]) * [half, 1], outline=outline, segments=28), "dial")
    marks = around(block(0.05 * half, 0.16 * half, 0.0006).move(y=0.68 * half), 12).move(z=level)
    b.piece("dial", marks, "hand")
    for length, turn in ((0.42, uniform(rng, 0, 360)), (0.62, uniform(rng, 0, 360))):
        hand = block(0.08 * half, length * half, 0.0007).move(y=0.45 * length * half).rotate("z", turn)
        b.piece("hand", hand.move(z=level + 0.001), "hand")
    if chance(rng, 0.4):
        b.piece("window", block(0.24 * half, 0.2 * half, 0.0008, (-0.5 * half, 0, level)), dark(b))
    b.piece("case", disc(0.0028, 0.005, (-half - 0.002, 0, thick / 2), axis="x", segments=8), "case")
    ends = half * (1.1 if square else 1.0)
    lug = block(0.35 * half, 0.35 * half, 0.5 * thick)
    spots = [(sx * 0.55 * half, sy * 1.0 * ends, 0.45 * thick) for sx in (1, -1) for sy in (1, -1)]
    b.piece("lug", repeated(lug, spots), "case")
    for word, x, y in (("front", 0, -1), ("rear", 0, 1), ("left", 1, 0), ("right", -1, 0)):
        b.keypoint("case", "edge", (x * half, y * ends, 0.8 * thick), "middle", word)
    b.keypoint("dial", "center", (0, 0, level + 0.001), "middle", "middle")
    _watch_strap(b, rng, half, ends, thick)


def _watch_strap(b: ObjectBuilder, rng: np.random.Generator, half: float, ends: float, thick: float) -> None:
    """Both halves of the strap with the buckle: laid out flat, or closed to a ring with the case on top."""
    wide, sheet = uniform(rng, 1.0, 1.25) * half, 0.0028
    flat = chance(rng, 0.45)
    if flat:
        lengths = (0.075, 0.1)
        paths = [
            np.column_stack(
                [np.zeros(6), sign * np.linspace(ends, ends + long, 6), np.linspace(0.45 * thick, sheet / 2, 6)]
            )
            for sign, long in zip((1, -1), lengths, strict=True)
        ]
        buckle_at = paths[0][-1]
    else:
        radius = uniform(rng, 0.026, 0.03)
        angle = np.linspace(np.arctan2(ends, radius * 0.9), np.pi, 10)
        drop = 0.45 * thick - radius * np.cos(angle[0])
        side = [
            np.column_stack([np.zeros(10), s * radius * 1.12 * np.sin(angle), drop + radius * np.cos(angle)])
            for s in (1, -1)
        ]
        paths = side
        buckle_at = side[0][-1]
    for path in paths:
        taper = np.linspace(wide, 0.8 * wide, len(path))
        b.piece("strap", strap(path, taper, sheet), "strap")
    ring = rounded(1.05 * wide, 0.012, 0.003, segments=3)
    frame = tube(np.column_stack([np.vstack([ring, ring[:1]]), np.zeros(13)]), 0.0014, sides=6, caps=False)
    bar = block(0.0015, 0.012, 0.0015, (0, 0, 0.001))
    b.piece(
        "buckle", merge(frame, bar).move(y=float(buckle_at[1]), z=float(buckle_at[2]) - (0 if flat else 0.001)), "case"
    )
    b.keypoint("buckle", "center", buckle_at, "rear" if flat else "bottom", "middle")
    b.keypoint("strap", "center", paths[0][len(paths[0]) // 2], "rear", "middle")
    b.keypoint("strap", "center", paths[1][len(paths[1]) // 2], "front", "middle")
    if flat:
        b.keypoint("strap", "tip", paths[1][-1], "front", "front")
    elif chance(rng, 0.5):
        posed(b, ("y", 90), ("z", uniform(rng, 0, 360)))
    posed(b)
