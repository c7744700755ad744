"""Standing tools and household gear: drill, broom, ladder."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import cylinder, lathe, merge, torus, tube
from ._forms import block, pick, rod, smooth
from ._skins import lie, repeated, skin, superellipse, tile
from ._wares import BRIGHTS, DARKS, METALS, chance, dark, functional, posed, tinted, uniform


@category("drill", flavours={"paco_lvis": "drill"}, supercategory="hand-held", support="table", size=0.26)
def drill(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Cordless or corded power drill standing on its foot: motor housing, chuck and bit to the front, pistol grip."""
    tinted(b, "main", "plastic", BRIGHTS + DARKS)
    tinted(b, "grip", "rubber", DARKS)
    tinted(b, "steel", "metal", METALS + DARKS)
    radius, length = uniform(rng, 0.026, 0.033), uniform(rng, 0.11, 0.15)
    tall, rake = uniform(rng, 0.12, 0.15), uniform(rng, 0.0, 0.035)
    cordless = chance(rng, 0.7)
    foot = 0.04 if cordless else 0.008
    z = foot + tall + 0.6 * radius
    housing = [(0, 0), (0.8, 0), (0.98, 0.08), (1, 0.3), (1, 0.6), (0.86, 0.8), (0.72, 1), (0, 1)]
    rear = 0.55 * length
    b.piece("body", lie(lathe(np.array(housing) * [radius, length]).scale(0.92, 1.05, 1), rear, z), "main")
    front = rear - length
    vents = repeated(
        block(2.02 * 0.92 * radius, 0.004, 0.5 * radius),
        [(0, rear - 0.018 - 0.009 * k, z + 0.2 * radius) for k in range(3)],
    )
    b.piece("body", vents, dark(b))
    chuck = np.array([(0, 0), (0.68, 0), (0.72, 0.3), (0.66, 0.55), (0.35, 1), (0, 1)]) * [radius, 0.045]
    b.piece("body", lie(lathe(chuck, segments=14), front, z), "grip")
    bit, reach = uniform(rng, 0.0025, 0.004), uniform(rng, 0.04, 0.08)
    use = functional("drill", "bit")
    b.piece("body", lie(cylinder(bit, reach, segments=8).move(z=reach / 2), front - 0.043, z), "steel", use)
    point = lathe([(bit, 0), (0, 2.5 * bit)], segments=8)
    b.piece("body", lie(point, front - 0.043 - reach, z), "steel", functional("drill", "tip"))
    y0, y1 = 0.15 * length, 0.15 * length + rake
    _drill_grip(b, (y0, y1), (foot, z - 0.4 * radius), z - 0.5 * tall, cordless)
    trigger = tile(0.012, 0.016, 0.035, 0.005).move(y=y0 - 0.026, z=z - radius - 0.018)
    b.piece("handle", trigger, dark(b))
    b.keypoint("bit", "tip", (0, front - 0.043 - reach - 2 * bit, z), "front", "front")
    b.keypoint("chuck", "center", (0, front - 0.015, z + 0.7 * radius), "front", "top")
    b.keypoint("body", "center", (0, rear - 0.5 * length, z + 1.05 * radius), "top", "top")
    b.keypoint("body", "end", (0, rear, z), "rear top", "rear")
    b.keypoint("handle", "joint", (0, y0 + 0.022, z - radius), "middle", "top")
    b.keypoint("trigger", "center", (0, y0 - 0.033, z - radius - 0.018), "middle", "front")
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint("handle", "center", (sign * 0.0165, y0 + 0.4 * rake, z - 0.5 * tall), "middle", word)
        b.keypoint("base", "edge", (sign * (0.034 if cordless else 0.018), y1, foot / 2), "bottom", word)


def _drill_grip(
    b: ObjectBuilder, y: tuple[float, float], ends: tuple[float, float], middle: float, cordless: bool
) -> None:
    """Pistol grip from the motor (first y, upper end) to the foot (second y, lower end), battery or cable below."""
    (y0, y1), (foot, top) = y, ends
    path = smooth([(0, y0, top), (0, y0 + 0.4 * (y1 - y0), middle), (0, y1, foot)], 3)
    ring = superellipse(0.017, 0.023, 2.6, points=14)
    sizes = np.linspace(1.05, 0.95, len(path))
    sections = [np.column_stack([ring * s, np.zeros(14)]) + p for p, s in zip(path, sizes, strict=True)]
    b.piece("handle", skin(np.stack(sections)), "grip")
    if cordless:
        b.piece("handle", tile(0.068, 0.1, foot, 0.012, 0.006).move(y=y1 - 0.012, z=foot / 2), "main")
        return
    cable = smooth([(0, y1 + 0.02, 0.008), (0.02, y1 + 0.07, 0.005), (-0.03, y1 + 0.11, 0.005)], 4)
    b.piece("handle", tile(0.036, 0.05, 0.016, 0.012).move(y=y1, z=0.008), "grip")
    b.piece("handle", tube(cable, 0.0045, sides=6), "grip")


@category("broom", flavours={"paco_lvis": "broom"}, supercategory=None, support="floor", size=1.3)
def broom(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Upright broom: long shaft with a grip and a hanging ring, a cap that holds the bristles; flat, round or push."""
    style = pick(rng, "flat", "angled", "push", "straw")
    straw = style == "straw"
    tinted(b, "shaft", "wood" if straw else pick(rng, "wood", "metal", "plastic"), () if straw else BRIGHTS + METALS)
    tinted(b, "grip", "plastic", DARKS + BRIGHTS)
    tinted(b, "cap", "wood" if style == "push" else "plastic", ())
    straws = ((0.8, 0.65, 0.35), (0.7, 0.52, 0.28)) if straw else BRIGHTS + DARKS + ((0.8, 0.7, 0.45),)
    tinted(b, "bristles", "straw", straws, "stripes", "grain")
    tinted(b, "lower", "straw", straws, "stripes", "grain")
    wide = uniform(rng, 0.2, 0.27) if style == "push" else uniform(rng, 0.12, 0.17)
    deep = uniform(rng, 0.03, 0.04) if not straw else 0.045
    brush = uniform(rng, 0.07, 0.1) if style == "push" else uniform(rng, 0.16, 0.28)
    flare = 1.0 if style == "push" else uniform(rng, 1.15, 1.4) if not straw else uniform(rng, 1.7, 2.3)
    slant = uniform(rng, 0.25, 0.4) if style == "angled" else 0.0
    top = wide if not straw else 0.5 * wide
    outline = superellipse(1, 1, 3.5, points=20)

    def level(f: float) -> np.ndarray:  # cross-section at this fraction of the height of the bristles, 1 at the cap
        half = np.array([top * (1 + (1 - f) * (flare - 1)), deep * (1 + 0.3 * (1 - f))])
        ring = outline * half
        lift = brush * f + slant * brush * (1 - f) * ring[:, 0] / (2 * top) + slant * brush * (1 - f) / 2
        return np.column_stack([ring, lift])

    use = functional("broom", "bristles")
    b.piece("lower bristles", skin([level(0), level(0.18), level(0.35)]), "lower", use)
    b.piece("brush", skin([level(0.35), level(0.7), level(1)]), "bristles", use)
    cap = 0.05 if style == "push" else 0.085
    crown = [
        np.column_stack([outline * s, np.full(20, z)])
        for s, z in (
            ((1.06 * top, 1.1 * deep), brush - 0.012),
            ((1.02 * top, 1.05 * deep), brush + 0.4 * cap),
            ((0.032, 0.026), brush + cap),
        )
    ]
    b.piece("brush cap", skin(crown, crisp=False), "cap", functional("broom", "head"))
    if straw:
        b.piece(
            "ring",
            torus(1, 0.05, segments=24, sides=6).scale(1.2 * top, 1.2 * deep, 0.14 * top).move(z=0.75 * brush),
            "grip",
        )
    _broom_stick(b, rng, brush + cap)
    corner = [(sign * top * flare, 0, brush * (slant / 2 + slant * sign * flare / 2) + 0.004) for sign in (1, -1)]
    for word, at, sign in (("left", corner[0], 1), ("right", corner[1], -1)):
        b.keypoint("brush", "corner", at, "bottom", f"bottom {word}")
        b.keypoint("brush", "corner", (sign * top, 0, brush), "bottom", f"top {word}")
    posed(b)


def _broom_stick(b: ObjectBuilder, rng: np.random.Generator, low: float) -> None:
    """Shaft above the cap, grip and hanging ring, with their keypoints."""
    length, radius = uniform(rng, 0.65, 0.95), uniform(rng, 0.014, 0.018)
    end = low + length
    b.piece("shaft", rod((0, 0, low - 0.01), (0, 0, end - 0.16), radius), "shaft")
    b.piece("handle", rod((0, 0, end - 0.16), (0, 0, end), 1.3 * radius), "grip")
    a = np.linspace(0, 2 * np.pi, 15)
    ring = np.column_stack([0.02 * np.cos(a), 0 * a, 0.024 * np.sin(a) + end + 0.018])
    b.piece("ring", tube(ring, 0.004, sides=6, caps=False), "grip")
    b.keypoint("handle", "joint", (0, -radius, low + 0.01), "middle", "bottom")
    b.keypoint("handle", "center", (0, -radius, low + length / 2), "middle", "middle")
    b.keypoint("handle", "end", (0, 0, end), "top", "top")


@category("ladder", flavours={"paco_lvis": "ladder"}, supercategory=None, support="floor", size=1.6)
def ladder(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Folding step ladder with a top cap, or a straight ladder that leans back."""
    kind = pick(rng, "wood", "metal", "metal")
    tinted(b, "main", kind, () if kind == "wood" else METALS + BRIGHTS[:3], "grain" if kind == "wood" else "plain")
    tinted(b, "step", kind, () if kind == "wood" else METALS, "grain" if kind == "wood" else "plain")
    tinted(b, "cap", "plastic", BRIGHTS + DARKS)
    folding = chance(rng, 0.6)
    count = int(rng.integers(3, 6)) if folding else int(rng.integers(6, 9))
    spacing = uniform(rng, 0.24, 0.3)
    height = spacing * (count + 1)
    low, high = uniform(rng, 0.24, 0.3), uniform(rng, 0.16, 0.22)
    high = high if folding else low
    lean = uniform(rng, 0.24, 0.32) * height if folding else uniform(rng, 0.15, 0.28) * height
    stile = 0.026 if folding else 0.03

    def front(side: float, z: float) -> np.ndarray:  # a point of the front stiles at this height
        f = z / height
        return np.array([side * (low + (high - low) * f), -lean * (1 - f), z])

    for word, sign in (("left", 1), ("right", -1)):
        b.piece("rail", rod(front(sign, 0), front(sign, height), stile, sides=4), "main")
        b.keypoint("foot", "center", np.add(front(sign, 0.01), (sign * 0.02, 0, 0)), f"bottom front {word}", "middle")
        b.keypoint("rail", "top", np.add(front(sign, height * 0.97), (sign * 0.02, 0, 0)), f"top front {word}", "top")
        b.piece("foot", block(0.06, 0.07, 0.04, front(sign, 0.02)), dark(b, "foot", "rubber"))
    steps = [
        block(2 * front(1, z)[0], 0.1 if folding else 0.035, 0.03, front(0, z))
        for z in spacing * np.arange(1, count + 1)
    ]
    b.piece("step", merge(*steps), "step")
    for k, z in enumerate(spacing * np.arange(1, count + 1)):
        place = "bottom" if k == 0 else "top" if k == count - 1 else ""
        if place:
            b.keypoint("step", "edge center", np.add(front(0, z), (0, -0.05 if folding else -0.017, 0)), place, "front")
    if folding:
        _folding_rear(b, (low, high), lean, height, stile)
    posed(b)


def _folding_rear(b: ObjectBuilder, half: tuple[float, float], lean: float, height: float, stile: float) -> None:
    """Cap and rear stiles of a step ladder; ``half`` is half its width at the foot and at the top."""
    low, high = half
    b.piece("top cap", tile(2 * high + 0.1, 0.2, 0.045, 0.03, 0.01).move(y=0.02, z=height + 0.01), "cap")
    for word, sign in (("left", 1), ("right", -1)):
        foot = (sign * low, lean, 0.0)
        b.piece("rail", rod(foot, (sign * high, 0.04, height), 0.8 * stile, sides=4), "main")
        b.piece("foot", block(0.055, 0.06, 0.04, np.add(foot, (0, 0, 0.02))), "foot")
        b.keypoint("foot", "center", (sign * (low + 0.02), lean, 0.01), f"bottom rear {word}", "middle")
        b.keypoint("cap", "corner", (sign * (high + 0.04), -0.07, height + 0.03), "top", f"front {word}")
    for f in (0.3, 0.65):
        y, x = lean * (1 - f) + 0.04 * f, low + (high - low) * f
        b.piece("rail", rod((-x, y, f * height), (x, y, f * height), 0.012, sides=6), "main")
