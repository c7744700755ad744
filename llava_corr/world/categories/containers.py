"""Containers: basket, box, crate, carton, trash can."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, lathe, merge, tube
from ._forms import block, disc, near, pick, rod, smooth
from ._skins import repeated, rounded, skin, strap, superellipse, tile
from ._wares import (
    BRIGHTS,
    DARKS,
    METALS,
    WHITES,
    chance,
    dark,
    patch,
    shifted,
    tinted,
    uniform,
    vessel,
    vessel_points,
)

CARDBOARD = ((0.72, 0.55, 0.36), (0.8, 0.64, 0.45), (0.62, 0.46, 0.3))
STRAW = ((0.75, 0.58, 0.33), (0.6, 0.42, 0.22), (0.84, 0.7, 0.48), (0.42, 0.28, 0.16))


def corner_points(b: ObjectBuilder, part: str, x: float, y: float, z: float, part_position: str = "") -> None:
    """Keypoints at the four corners of a horizontal rectangle with these half sides."""
    for fore, sy in (("front", -1), ("rear", 1)):
        for side, sx in (("left", 1), ("right", -1)):
            b.keypoint(part, "corner", (sx * x, sy * y, z), part_position, f"{fore} {side}")


@category("basket", flavours={"paco_lvis": "basket"}, supercategory=None, support="floor", size=0.42)
def basket(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Woven basket, round, oval or rectangular, under one bow, with two side loops, or with a cloth over it."""
    tinted(b, "main", "straw", STRAW, "checks", "stripes", "grain")
    tinted(b, "inside", "straw", STRAW)
    tinted(b, "band", pick(rng, "straw", "leather", "wood"), STRAW)
    half = uniform(rng, 0.14, 0.22)
    aspect = uniform(rng, 0.6, 1.0)
    square = rounded(2, 2 * aspect, uniform(rng, 0.2, 0.4), segments=7)
    outline = square if chance(rng, 0.45) else superellipse(1, aspect, 2.0, points=28)
    height, low = half * uniform(rng, 0.75, 1.25), uniform(rng, 0.74, 0.95)
    rows = int(rng.integers(6, 10))
    t = np.linspace(0, 1, 4 * rows + 1)
    belly = 1 + uniform(rng, 0, 0.08) * np.sin(np.pi * t)
    weave = 0.012 * np.sin(2 * np.pi * rows * t)  # every row of the weave bulges
    profile = np.column_stack([half * ((low + (1 - low) * t) * belly + weave), height * t])
    parts = {"base": "base", "bottom": "bottom", "body": "side", "rim": "rim", "inner": "inner side"}
    wall = 0.01
    v = vessel(
        b,
        profile,
        wall,
        parts,
        "basket",
        inside="inside",
        rim_material="band",
        base=1 / rows,
        rim=0.05,
        outline=outline,
    )
    edge = np.column_stack([outline * (half - wall / 2), np.full(len(outline), height)])
    b.piece("rim", tube(np.vstack([edge, edge[:1]]), 0.011, caps=False), "band")
    vessel_points(b, v)
    _basket_handle(b, rng, half, half - wall / 2, height)
    if chance(rng, 0.3):
        _basket_cloth(b, outline, half, height)


def _basket_handle(b: ObjectBuilder, rng: np.random.Generator, half: float, loop_x: float, height: float) -> None:
    """One bow across, two side loops, or none."""
    carrying = pick(rng, "bow", "loops", "none")
    if carrying == "bow":
        arch = np.column_stack(
            [np.cos(np.linspace(0, np.pi, 17)) * half, np.zeros(17), np.sin(np.linspace(0, np.pi, 17))]
        )
        arch = arch * [1, 1, half * near(rng, 1.1)] + [0, 0, height - 0.02]
        flat = strap(arch, 0.03, 0.008, "y") if chance(rng, 0.5) else tube(arch, 0.011)
        b.piece("handle", flat, "band")
        b.keypoint("handle", "center", arch[8], "top", "middle")
    elif carrying == "loops":
        for word, sign in (("left", 1), ("right", -1)):
            loop = smooth([(0, -0.06, -0.03), (0, -0.05, 0.035), (0, 0.05, 0.035), (0, 0.06, -0.03)], 4)
            b.piece("handle", tube(loop, 0.009).move(x=sign * loop_x, z=height), "band")
            b.keypoint("handle", "center", (sign * loop_x, 0, height + 0.04), word, "middle")


def _basket_cloth(b: ObjectBuilder, outline: Floats, half: float, height: float) -> None:
    """Cloth spread over the rim with a wavy hem."""
    tinted(b, "cloth", "fabric", WHITES + BRIGHTS, "checks", "stripes")
    frill = outline * (1 + 0.05 * np.cos(np.arange(len(outline)) * np.pi / 2))[:, None]
    drape = [
        (0.95 * half, -0.3 * height),
        (1.12 * half, -0.3 * height),
        (1.1 * half, -0.02),
        (0.97 * half, 0.016),
        (0, 0.03),
    ]
    b.piece("cover", lathe(drape, outline=frill).move(z=height), "cloth")


@category("box", flavours={"paco_lvis": "box"}, supercategory=None, support="floor", size=0.38)
def box_(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Cardboard box with four open flaps, taped shut, or a gift or shoe box under (or beside) its lid."""
    style = pick(rng, "flaps", "flaps", "closed", "lid", "hinged")
    paper = style in ("flaps", "closed")
    tinted(
        b,
        "main",
        "paper" if paper or chance(rng, 0.6) else "wood",
        CARDBOARD if paper else BRIGHTS + CARDBOARD + WHITES,
    )
    tinted(b, "inside", "paper", CARDBOARD)
    tinted(b, "lid", "paper", CARDBOARD if paper else BRIGHTS + WHITES + CARDBOARD)
    x, y = uniform(rng, 0.12, 0.2), uniform(rng, 0.09, 0.16)
    height = uniform(rng, 0.14, 0.3) if style in ("flaps", "closed") else uniform(rng, 0.09, 0.18)
    _open_box(b, x, y, height, 0.004)
    corner_points(b, "base", x, y, 0.0, "bottom")
    corner_points(b, "rim", x, y, height, "top")
    if style == "flaps":
        _flaps(b, rng, x, y, height)
    elif style == "closed":
        b.piece("lid", block(2 * x, 2 * y, 0.006, (0, 0, height + 0.003)), "lid")
        tape = block(2 * x + 0.002, 0.05, 0.002, (0, 0, height + 0.0065))
        ends = [block(0.002, 0.05, 0.06, (sign * (x + 0.001), 0, height - 0.03)) for sign in (1, -1)]
        tinted(b, "tape", "plastic", ((0.85, 0.75, 0.5), (0.6, 0.4, 0.2), (0.9, 0.9, 0.85)))
        b.piece("lid", tape, "tape")
        b.piece("side", merge(*ends), "tape")
    elif style == "lid":
        cap = lathe(
            [(1.0, -0.03), (1.02, -0.03), (1.02, 0.004), (0, 0.004)], outline=rounded(2 * x, 2 * y, 0.002, segments=2)
        )
        b.piece("lid", cap.move(z=height), "lid")
        b.keypoint("lid", "center", (0, 0, height + 0.004), "top", "middle")
        if chance(rng, 0.6):
            _ribbon(b, rng, x, y, height)
    else:
        opening = uniform(rng, 50, 110)
        lid = block(2 * x, 2 * y, 0.006, (0, -y, 0.003)).rotate("x", -opening).move(y=y, z=height)
        b.piece("lid", lid, "lid")
        b.keypoint("lid", "center", lid.vertices.mean(0), "top", "middle")


def _open_box(b: ObjectBuilder, x: float, y: float, height: float, wall: float) -> None:
    """Floor, outer and inner walls of a box with half sides x and y."""
    outline = rounded(2 * x, 2 * y, 0.001, segments=2)
    inner = (x - wall) / x
    b.piece("bottom", lathe([(0, 0), (1, 0)], outline=outline))
    b.piece("side", lathe([(1, 0), (1, height), (inner, height)], outline=outline))
    b.piece("inner side", lathe([(inner, height), (inner, wall)], outline=outline), "inside")
    b.piece("bottom", lathe([(inner, wall), (0, wall)], outline=outline), "inside")


def _flaps(b: ObjectBuilder, rng: np.random.Generator, x: float, y: float, height: float) -> None:
    for word, turn, reach, across in (
        ("front", 0, y, x),
        ("left", 90, x, y),
        ("rear", 180, y, x),
        ("right", 270, x, y),
    ):
        angle, depth = uniform(rng, -35, 60), min(x, y) * 0.95
        flap = block(2 * across - 0.006, depth, 0.004, (0, -depth / 2, 0)).rotate("x", angle).move(y=-reach, z=height)
        b.piece("lid", flap.rotate("z", turn), "lid")
        tip = np.array([0, -reach - depth * np.cos(np.radians(angle)), height - depth * np.sin(np.radians(angle))])
        quarter = np.radians(turn)
        at = (-tip[1] * np.sin(quarter), tip[1] * np.cos(quarter), tip[2])
        b.keypoint("lid", "edge", at, f"top {word}", word)


def _ribbon(b: ObjectBuilder, rng: np.random.Generator, x: float, y: float, height: float) -> None:
    """Crossed gift ribbon and a bow of two loops."""
    tinted(b, "ribbon", "fabric", BRIGHTS)
    z, w = height + 0.005, 0.03
    b.piece("lid", merge(block(2.05 * x, w, 0.002, (0, 0, z)), block(w, 2.05 * y, 0.002, (0, 0, z))), "ribbon")
    legs = [block(0.002, w, height, (sign * 1.022 * x, 0, height / 2)) for sign in (1, -1)]
    legs += [block(w, 0.002, height, (0, sign * 1.022 * y, height / 2)) for sign in (1, -1)]
    b.piece("side", merge(*legs), "ribbon")
    loop = smooth([(0, 0, 0), (0.025, 0, 0.025), (0.055, 0, 0.02), (0.05, 0, 0.002), (0.005, 0, 0)], 4)
    bow = strap(loop, 0.022, 0.002, "y").move(z=z)
    b.piece("lid", merge(bow, bow.mirror(), block(0.014, 0.02, 0.014, (0, 0, z + 0.005))), "ribbon")


@category("crate", flavours={"paco_lvis": "crate"}, supercategory=None, support="floor", size=0.48)
def crate(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Slatted wooden crate, or a plastic one with ribs; handle slots at both ends; sometimes lid boards."""
    wooden = chance(rng, 0.65)
    tinted(b, "main", "wood" if wooden else "plastic", () if wooden else BRIGHTS, "grain" if wooden else "plain")
    tinted(b, "inside", "wood" if wooden else "plastic", () if wooden else BRIGHTS, "grain" if wooden else "plain")
    x, y, height = uniform(rng, 0.18, 0.26), uniform(rng, 0.13, 0.18), uniform(rng, 0.18, 0.3)
    rows = int(rng.integers(3, 5))
    gap = 0.22 if wooden else 0.3
    tall, t = height / (rows - gap), 0.012
    levels = tall * (np.arange(rows) + (1 - gap) / 2)
    board = tall * (1 - gap)
    for slot, part, inset in (("main", "side", 0.0), ("inside", "inner side", t / 2)):
        long_, short = block(2 * x - 2 * inset, t / 2, board), block(t / 2, 2 * y - 2 * inset, board)
        shift = t / 4 + inset
        walls = [
            repeated(long_, [(0, s * (y - shift), z) for z in levels for s in (1, -1)]),
            repeated(short, [(s * (x - shift), 0, z) for z in levels for s in (1, -1)]),
        ]
        b.piece(part, merge(*walls), slot)
    post = block(0.03, 0.03, height) if wooden else block(0.02, 0.02, height)
    posts = [(sx * (x - 0.02), sy * (y - 0.02), height / 2) for sx in (1, -1) for sy in (1, -1)]
    b.piece("side", repeated(post, posts))
    planks = repeated(
        block(2 * x - 2 * t, 2 * y / 5 - 0.008, 0.008), [(0, (k - 2) * 2 * (y - t) / 5, 0.004) for k in range(5)]
    )
    b.piece("bottom", planks, "inside")
    z = float(levels[-1])
    for word, sign in (("left", 1), ("right", -1)):
        grip = tile(0.09, 0.028, 0.004, 0.014).rotate("x", 90).rotate("z", 90)
        b.piece("handle", grip.move(x=sign * (x + 0.001), z=z), dark(b))
        b.keypoint("handle", "center", (sign * (x + 0.002), 0, z), word, "middle")
    corner_points(b, "base", x, y, 0.0, "bottom")
    corner_points(b, "rim", x, y, height, "top")
    if chance(rng, 0.3):
        count = int(rng.integers(2, 5))
        wide = 2 * y / 5
        lid = repeated(block(2 * x, wide - 0.008, 0.012), [(0, (k - 2) * wide, height + 0.006) for k in range(count)])
        b.piece("lid", lid)


@category("carton", flavours={"paco_lvis": "carton"}, supercategory="hand-held", support="table", size=0.24)
def carton(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Milk or juice carton with a gabled or a flat top, a screw cap and print on the front."""
    tinted(b, "main", "paper", WHITES + BRIGHTS, "plain", "stripes", "patches", "gradient")
    tinted(b, "cap", "plastic", BRIGHTS + WHITES)
    tinted(b, "ink", "paint", DARKS + BRIGHTS)
    half, height = uniform(rng, 0.032, 0.045), uniform(rng, 0.13, 0.19)
    outline = rounded(2, 2, 0.04, segments=2) * half
    b.piece("bottom", lathe([(0, 0), (1, 0)], outline=outline))
    b.piece("side", lathe([(1, 0), (1, height)], outline=outline))
    letters = repeated(
        block(0.006, 0.0012, 0.016), [((k - 2) * 0.0095, -half - 0.0004, 0.6 * height) for k in range(5)]
    )
    b.piece("text", letters, "ink")
    corner_points(b, "base", half, half, 0.0, "bottom")
    corner_points(b, "body", half, half, height, "top")
    cap = lathe([(0, 0), (0.011, 0), (0.011, 0.011), (0.009, 0.013), (0, 0.013)], segments=14)
    if chance(rng, 0.6):
        ridge, fin = height + half * near(rng, 0.95), uniform(rng, 0.012, 0.02)
        base = np.array([(half, half), (-half, half), (-half, -half), (half, -half)])
        lower = np.column_stack([base, np.full(4, height)])
        upper = np.column_stack([base * [1, 0.04], np.full(4, ridge)])
        b.piece("tapering top", skin([lower, upper], crisp=True))
        b.piece("top", block(2 * half, 0.004, fin, (0, 0, ridge + fin / 2)))
        slope = np.degrees(np.arctan2(ridge - height, half))
        b.piece("cap", cap.rotate("x", slope).move(y=-half / 2, z=(height + ridge) / 2), "cap")
        for word, sign in (("left", 1), ("right", -1)):
            b.keypoint("top", "corner", (sign * half, 0, ridge + fin), "top", word)
        b.keypoint("cap", "center", (0, -half / 2 - 0.009, (height + ridge) / 2 + 0.009), "top", "front")
        return
    b.piece("top", lathe([(1, height), (0, height)], outline=outline))
    b.piece("cap", cap.move(y=-0.4 * half, z=height), "cap")
    b.keypoint("cap", "center", (0, -0.4 * half, height + 0.013), "top", "front")


@category("trash can", flavours={"paco_lvis": "trash can"}, supercategory=None, support="floor", size=0.7)
def trash_can(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Pedal bin under a dome, wheeled street bin, swing-top bin with a hole, or an open waste-paper basket."""
    style = pick(rng, "pedal", "wheeled", "hole", "open")
    kind = "plastic" if style == "wheeled" else pick(rng, "metal", "plastic")
    tinted(b, "main", kind, METALS + BRIGHTS + DARKS if kind == "plastic" else METALS + WHITES)
    tinted(b, "inside", "plastic", DARKS)
    tinted(b, "lid", kind, METALS + BRIGHTS + DARKS)
    tinted(b, "label", "paper", WHITES + BRIGHTS)
    boxy = style == "wheeled" or chance(rng, 0.35)
    outline = rounded(2, 2 * near(rng, 1.0 if style == "wheeled" else 0.8), 0.2, segments=5) if boxy else None
    half = uniform(rng, 0.24, 0.29) if style == "wheeled" else uniform(rng, 0.13, 0.18)
    height = half * (uniform(rng, 3.0, 3.5) if style == "wheeled" else uniform(rng, 2.0, 3.4))
    low = uniform(rng, 0.7, 0.8) if style in ("wheeled", "open") else uniform(rng, 0.9, 1.0)
    profile = np.array([(low, 0), (low + 0.01, 0.05), ((1 + low) / 2, 0.5), (1, 1)]) * [half, height]
    parts = {"base": "bottom", "bottom": "bottom", "body": "body", "rim": "rim", "inner": "inner body"}
    v = vessel(b, profile, 0.008, parts, "trash can", inside="inside", base=0.05, rim=0.045, outline=outline)
    vessel_points(b, v)
    if outline is None:
        b.piece("label", patch(profile, 0.5 * height, 0.68 * height, -90, 55, 0.002), "label")
    else:
        y = half * float(outline[:, 1].max()) * (low + 1) / 2
        lean = np.degrees(np.arctan2((1 - low) * half * float(outline[:, 1].max()), height))
        b.piece(
            "label",
            block(0.5 * half, 0.012, 0.2 * height).rotate("x", lean).move(y=-y * 1.01, z=0.52 * height),
            "label",
        )
    {"pedal": _pedal_top, "wheeled": _wheeled_top, "hole": _hole_top, "open": _no_top}[style](b, rng, profile, outline)


def _no_top(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, outline: Floats | None) -> None:
    """An open bin has a bead round its rim and nothing over it."""
    half, height = profile[-1]
    curve = np.array([(half - 0.01, -0.012), (half + 0.008, -0.012), (half + 0.008, 0.004), (half - 0.01, 0.004)])
    b.piece("rim", lathe(shifted(curve, z=height), outline=outline, segments=24))


def _pedal_top(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, outline: Floats | None) -> None:
    half, height = profile[-1]
    aspect = 1.0 if outline is None else float(outline[:, 1].max())
    dome = np.array([(0, 0), (1.02, 0), (1.02, 0.08), (0.9, 0.22), (0.6, 0.34), (0, 0.4)]) * half
    lid = lathe(dome, outline=outline, segments=24)
    y = half * aspect
    opening = uniform(rng, 35, 65) if chance(rng, 0.35) else 0.0
    lid = lid.move(y=-y).rotate("x", -opening).move(y=y, z=height)
    b.piece("lid", lid, "lid")
    b.keypoint(
        "lid",
        "center",
        np.array(lid.vertices[np.argmax(lid.vertices[:, 2])]) if opening else (0, 0, height + 0.4 * half),
        "top",
        "middle",
    )
    foot = float(profile[0, 0]) * aspect
    b.piece("pedal", tile(0.5 * half, 0.07, 0.014, 0.02).move(y=-foot - 0.025, z=0.025), dark(b))
    b.keypoint("pedal", "center", (0, -foot - 0.04, 0.032), "bottom front", "middle")


def _wheeled_top(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, outline: Floats | None) -> None:
    half, height = profile[-1]
    y = half * (1.0 if outline is None else float(outline[:, 1].max()))
    lid = lathe([(0, 0), (1.04, 0), (1.04, 0.025), (0.9, 0.06), (0, 0.08)], outline=outline).scale(half, half, 1)
    b.piece("lid", lid.move(z=height), "lid")
    b.piece("lid", rod((-0.5 * half, y + 0.04, height - 0.02), (0.5 * half, y + 0.04, height - 0.02), 0.012), "lid")
    b.piece("lid", merge(*(block(0.03, 0.07, 0.03, (s * 0.5 * half, y + 0.01, height - 0.01)) for s in (1, -1))), "lid")
    radius, back = 0.1, float(profile[0, 0]) * y / half
    for word, sign in (("left", 1), ("right", -1)):
        x = sign * (float(profile[0, 0]) + 0.025)
        wheel = disc(radius, 0.05, (x, back - 0.03, radius), axis="x", segments=20)
        b.piece("wheel", wheel, dark(b, "tyre", "rubber"))
        b.piece("wheel", disc(0.5 * radius, 0.054, (x, back - 0.03, radius), axis="x"), "lid")
        b.keypoint("wheel", "center", (x + sign * 0.027, back - 0.03, radius), f"bottom rear {word}", "middle")
    b.keypoint("lid", "center", (0, 0, height + 0.08), "top", "middle")


def _hole_top(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, outline: Floats | None) -> None:
    half, height = profile[-1]
    aspect = 1.0 if outline is None else float(outline[:, 1].max())
    hood = np.array([(0, 0), (1.01, 0), (1.01, 0.3), (0.75, 0.9), (0, 0.95)]) * half
    b.piece("lid", lathe(hood, outline=outline, segments=24).move(z=height), "lid")
    slope = np.degrees(np.arctan2(0.6, 0.26 * aspect))
    flap = tile(1.0 * half, 0.42 * half, 0.02, 0.1 * half).rotate("x", slope)
    y, z = -0.885 * half * aspect, height + 0.58 * half
    b.piece("hole", flap.move(y=y, z=z), dark(b))
    b.keypoint("hole", "center", (0, y - 0.008, z + 0.004), "top front", "middle")
    b.keypoint("lid", "center", (0, 0, height + 0.95 * half), "top", "middle")
