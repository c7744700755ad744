"""Hand tools that lie flat: hammer, screwdriver, wrench, pliers; heads and tips to the front, grips to the rear."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, cylinder, lathe, merge, tube
from ._forms import block, disc, pick, smooth
from ._skins import lie, plate, skin, strap, superellipse
from ._wares import BRIGHTS, DARKS, METALS, bands, chance, functional, posed, tinted, uniform


@category("hammer", flavours={"paco_lvis": "hammer"}, supercategory="hand-held", support="table", size=0.33)
def hammer(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Claw, ball-peen and sledge hammers and wooden mallets, on their side; the face points to the left (+x)."""
    style = pick(rng, "claw", "claw", "ball", "sledge", "mallet")
    tinted(b, "head", "wood" if style == "mallet" else "metal", () if style == "mallet" else METALS + DARKS)
    tinted(b, "face", pick(rng, "metal", "rubber") if style == "mallet" else "metal", METALS)
    tinted(b, "handle", pick(rng, "wood", "wood", "metal"), ())
    tinted(b, "grip", "rubber", DARKS + BRIGHTS)
    scale = uniform(rng, 0.85, 1.15)
    radius = scale * (0.03 if style == "mallet" else 0.022 if style == "sledge" else 0.013)
    reach = scale * (0.058 if style in ("mallet", "sledge") else 0.05)
    length, thick = scale * uniform(rng, 0.24, 0.32), scale * uniform(rng, 0.022, 0.028)
    head = functional("hammer", "head")

    def side_on(mesh: Mesh) -> Mesh:  # turned parts are made upright and lie along +x
        return mesh.rotate("y", 90)

    neck = reach - 0.02
    b.piece("head", side_on(cylinder(0.8 * radius, neck, segments=14)).move(x=neck / 2), "head", head)
    b.piece("head", block(1.9 * radius, 2.1 * radius, 1.9 * radius), "head", head)
    poll = lathe([(0.8 * radius, 0), (radius, 0.006), (radius, 0.017)], segments=14)
    b.piece("head", side_on(poll).move(x=neck), "head", head)
    striking = lathe([(radius, 0), (radius, 0.003), (0.88 * radius, 0.005), (0, 0.0055)], segments=14)
    b.piece("face", side_on(striking).move(x=neck + 0.017), "face", functional("hammer", "face"))
    tips = _hammer_rear(b, style, radius, scale)
    t = np.linspace(0, 1, 8)
    waist = thick * np.interp(t, [0, 0.1, 0.35, 0.8, 1], [0.75, 0.75, 0.7, 1.0, 0.95])
    ring = superellipse(0.62, 0.44, 2.4, points=12)
    sections = np.empty((8, 12, 3))
    sections[..., 0], sections[..., 2] = ring[:, 0] * waist[:, None], ring[:, 1] * waist[:, None]
    sections[..., 1] = (-0.9 * radius + (length + 0.9 * radius) * t)[:, None]
    split = 5 if chance(rng, 0.75) else 8
    b.piece("handle", skin(sections[:split] if split < 8 else sections), "handle")
    if split < 8:
        b.piece("grip", skin(sections[split - 1 :] * [1.12, 1, 1.12]), "grip")
    b.keypoint("head", "face center", (neck + 0.0225, 0, 0), "front left", "left")
    b.keypoint("head", "center", (0, 0, 0.95 * radius), "front", "middle")
    for word, tip in zip(("rear", "front") if len(tips) == 2 else ("",), tips, strict=True):
        b.keypoint("head", "tip", tip, "front right", word)
    b.keypoint("handle", "joint", (0, 1.2 * radius, 0.33 * thick), "rear", "front")
    b.keypoint("handle", "center", (0, 0.5 * length, 0.36 * thick), "rear", "middle")
    b.keypoint("handle", "end", (0, length, 0), "rear", "rear")
    posed(b)


def _hammer_rear(b: ObjectBuilder, style: str, radius: float, scale: float) -> list[Floats]:
    """What stands opposite the face: a forked claw, a ball, or a second striking end; returns its tips."""
    head = functional("hammer", "head")
    if style == "claw":
        bow = (
            smooth([(0, 0), (-0.03, -0.004), (-0.055, 0.006), (-0.075, 0.024)], 3) * scale
        )  # (x, y): curves to the rear
        tips = []
        for sign in (1, -1):
            spread = sign * np.linspace(0.45, 0.75, len(bow)) * radius
            sections = []
            for (x, y), z, size in zip(bow, spread, np.linspace(1, 0.15, len(bow)), strict=True):
                w, h = 0.36 * radius, 0.75 * radius * size
                sections.append([(x, y + h, z + w), (x, y - h, z + w), (x, y - h, z - w), (x, y + h, z - w)])
            b.piece("head", skin(sections, crisp=True), "head", functional("hammer", "claw"))
            tips.append(np.array([bow[-1, 0], bow[-1, 1], spread[-1]]))
        return tips[:1]
    if style == "ball":
        b.piece("head", cylinder(0.65 * radius, 0.024, segments=12).rotate("y", 90).move(x=-0.018), "head", head)
        ball = lathe([(0, -1), (0.71, -0.71), (1, 0), (0.71, 0.71), (0, 1)], segments=12, sharp=90).scale(1.05 * radius)
        b.piece("head", ball.move(x=-0.036 * scale), "head", head)
        return [np.array([-0.036 * scale - 1.05 * radius, 0, 0])]
    reach = 0.055 * scale
    b.piece("head", cylinder(radius, reach, segments=14).rotate("y", 90).move(x=-reach / 2), "head", head)
    return [np.array([-reach, 0, 0])]


@category("screwdriver", flavours={"paco_lvis": "screwdriver"}, supercategory="hand-held", support="table", size=0.22)
def screwdriver(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Fluted or smooth handle, thin shank, flat or cross tip."""
    tinted(b, "grip", pick(rng, "plastic", "plastic", "wood", "rubber"), BRIGHTS + DARKS)
    tinted(b, "band", "plastic", DARKS + BRIGHTS)
    tinted(b, "shank", "metal", METALS)
    tinted(b, "tip", "metal", DARKS + METALS)
    long, radius = uniform(rng, 0.08, 0.12), uniform(rng, 0.012, 0.018)
    shank, thin = uniform(rng, 0.06, 0.15), uniform(rng, 0.0028, 0.0042)
    plan = np.array(
        [(0.55, 0), (0.95, 0.06), (1, 0.25), (0.92, 0.55), (0.7, 0.75), (0.75, 0.86), (0.85, 0.93), (0.5, 1)]
    )
    outline = None
    if chance(rng, 0.6):
        flutes = 1 - 0.1 * (np.cos(np.linspace(0, 12 * np.pi, 24, endpoint=False)) < 0)
        outline = superellipse(1, 1, 2, points=24) * flutes[:, None]
    low, high = bands(plan * [radius, long], 0.78 * long, outline=outline)
    for mesh, slot in ((low, "grip"), (high, "band")):
        b.piece("handle", lie(mesh, long, radius), slot)
    rod_length = shank - 0.012
    b.piece(
        "shank",
        lie(cylinder(thin, rod_length, segments=10).move(z=rod_length / 2), 0, radius),
        "shank",
        functional("screwdriver", "shaft"),
    )
    use = functional("screwdriver", "tip")
    if chance(rng, 0.5):
        y = -np.array([rod_length, rod_length + 0.005, shank + 0.004])
        half = np.array([1.0, 1.6, 1.5]) * thin
        a, c = np.column_stack([-half, y]), np.column_stack([half, y])
        b.piece("tip", plate(a, c, np.array([1.6, 0.9, 0.35]) * thin).move(z=radius), "tip", use)
    else:
        cross = merge(*(block(2 * w, 0.011, 2 * h, (0, 0, 0)) for w, h in ((thin, 0.3 * thin), (0.3 * thin, thin))))
        b.piece("tip", cross.taper(1.5, "y").move(y=-rod_length - 0.005, z=radius), "tip", use)
        point = lathe([(0.9 * thin, 0), (0, 0.005)], segments=8)
        b.piece("tip", lie(point, -rod_length - 0.01, radius), "tip", use)
    b.keypoint("shank", "tip", (0, -shank - 0.003, radius), "front", "front")
    b.keypoint("shank", "center", (0, -0.5 * rod_length, radius + thin), "front", "middle")
    b.keypoint("shank", "joint", (0, 0, radius + 0.6 * thin), "front", "rear")
    b.keypoint("handle", "joint", (0, 0.02, radius * 1.7), "rear", "front")
    b.keypoint("handle", "center", (0, 0.7 * long, radius * 1.9), "rear", "middle")
    b.keypoint("handle", "end", (0, long, radius), "rear", "rear")
    posed(b)


def _jaw(inner: float, outer: float, gap: float, thick: float, toward: float) -> tuple[Mesh, list[Mesh]]:
    """Open-end head around the origin whose mouth points to -y (turned by ``toward`` degrees): back and two jaws."""
    start = np.degrees(np.arcsin(min(gap / 2 / outer, 0.9)))
    angles = np.radians(-90 + np.linspace(start, 360 - start, 21))
    out = outer * np.column_stack([np.cos(angles), np.sin(angles)])
    slot = np.clip(
        np.column_stack([np.cos(angles), np.sin(angles)]) * 3 * inner, [-gap / 2, -9], [gap / 2, 0.35 * inner]
    )
    slot[:, 1] = np.where(slot[:, 1] < 0, np.maximum(slot[:, 1], out[:, 1]), slot[:, 1])

    def arc(rows: slice) -> Mesh:
        return plate(out[rows], slot[rows], thick).rotate("z", toward)

    return arc(slice(6, 15)), [arc(slice(0, 7)), arc(slice(14, 21))]


@category("wrench", flavours={"paco_lvis": "wrench"}, supercategory="hand-held", support="table", size=0.22)
def wrench(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Double open-end, combination (open and ring) and adjustable wrenches."""
    style = pick(rng, "open", "combination", "adjustable")
    tinted(b, "main", "metal", METALS)
    tinted(b, "grip", pick(rng, "metal", "rubber"), METALS + BRIGHTS)
    length, outer = uniform(rng, 0.11, 0.2), uniform(rng, 0.015, 0.022)
    thick, tilt = uniform(rng, 0.006, 0.009), uniform(rng, -20, 20)
    use, jaw = functional("wrench", "head"), functional("wrench", "jaw")
    z = thick / 2
    gap = outer * uniform(rng, 0.85, 1.1)
    back, jaws = _jaw(0.6 * outer, outer, gap, thick, tilt)
    b.piece("head", back.move(z=z), functions=use)
    for mesh in jaws:
        b.piece("head", mesh.move(z=z), functions=jaw)
    y1 = length - outer
    if style == "adjustable":
        slide = block(0.45 * outer, 1.1 * outer, 1.15 * thick, (0.55 * outer, -0.45 * outer, 0)).rotate("z", tilt)
        b.piece("head", slide.move(z=z), "grip", jaw)
        b.piece("head", disc(0.25 * outer, 1.3 * thick, (0.15 * outer, 0.62 * outer, z)), "grip", use)
        y1 = length
    elif style == "combination":
        angle = np.linspace(0, 2 * np.pi, 25)
        small = 0.8 * outer
        hexagon = 0.55 * small / np.cos((angle % (np.pi / 3)) - np.pi / 6)
        circle = np.column_stack([np.cos(angle), np.sin(angle)])
        circle[-1] = circle[0]
        hexagon[-1] = hexagon[0]
        ring = plate(circle * small, circle * hexagon[:, None], 1.25 * thick)
        b.piece("head", ring.move(y=length, z=1.25 * z), functions=use)
    else:
        back, jaws = _jaw(0.5 * outer, 0.85 * outer, 0.8 * gap, thick, tilt)
        b.piece("head", back.rotate("z", 180).move(y=length, z=z), functions=use)
        for mesh in jaws:
            b.piece("head", mesh.rotate("z", 180).move(y=length, z=z), functions=jaw)
    y = np.linspace(0.75 * outer, y1, 7)
    wide = outer * np.array([1.0, 0.75, 0.62, 0.6, 0.62, 0.72, 0.9 if style != "adjustable" else 0.8])
    path = np.column_stack([np.zeros(7), y, np.full(7, z)])
    b.piece("handle", strap(path, wide, 0.75 * thick), "grip" if style == "adjustable" else "main")
    turn = np.radians(tilt)
    for word, sign in (("left", 1), ("right", -1)):
        x, w = sign * 0.7 * outer, -0.66 * outer
        at = (x * np.cos(turn) - w * np.sin(turn), x * np.sin(turn) + w * np.cos(turn), thick)
        b.keypoint("head", "tip", at, "front", f"front {word}")
    b.keypoint("head", "center", (0, 0.6 * outer, thick), "front", "rear")
    b.keypoint("handle", "center", (0, length / 2, 0.87 * thick), "middle", "middle")
    b.keypoint("handle", "end", (0, y1, 0.87 * thick), "rear", "rear")
    posed(b)


@category("pliers", flavours={"paco_lvis": "pliers"}, supercategory="hand-held", support="table", size=0.19)
def pliers(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Combination, needle-nose and cutting pliers: jaws in front of a round joint, bowed sleeves behind it."""
    style = pick(rng, "combination", "needle", "cutter")
    tinted(b, "metal", "metal", METALS + DARKS)
    tinted(b, "edge", "metal", ((0.8, 0.81, 0.83),))
    tinted(b, "grip", pick(rng, "rubber", "plastic"), BRIGHTS + DARKS)
    jaw = {"combination": uniform(rng, 0.035, 0.045), "needle": uniform(rng, 0.055, 0.075), "cutter": 0.024}[style]
    root, nose = uniform(rng, 0.011, 0.014), {"combination": 0.008, "needle": 0.003, "cutter": 0.004}[style]
    thick, opening = uniform(rng, 0.009, 0.012), uniform(rng, 2, 9)
    length, bow = uniform(rng, 0.09, 0.13), uniform(rng, 0.015, 0.02)
    sleeve = uniform(rng, 0.0055, 0.0075)
    for sign in (1, -1):
        side, other = ("left", "right") if sign > 0 else ("right", "left")

        def placed(mesh: Mesh, sign: int = sign) -> Mesh:
            return (mesh if sign > 0 else mesh.mirror("x")).rotate("z", -sign * opening).move(z=sleeve)

        y = np.array([0.006, -0.3 * jaw, -0.55 * jaw, -0.9 * jaw, -jaw])
        outer = -np.array([root, root, 0.8 * root + 0.2 * nose, nose * 1.1, 0.6 * nose])
        a, c = np.column_stack([outer, y]), np.column_stack([np.zeros(5), y])
        heights = thick * np.array([1, 1, 0.95, 0.8, 0.7])
        cut = {"combination": 3, "needle": 3, "cutter": 4}[style]
        b.piece("jaw", placed(plate(a[:cut], c[:cut], heights[:cut])), "metal", functional("pliers", "jaws"))
        b.piece(
            "jaw", placed(plate(a[cut - 1 :], c[cut - 1 :], heights[cut - 1 :])), "metal", functional("pliers", "tip")
        )
        lip = np.column_stack([np.full(3, 0.0008), y[:3] - 0.002])
        b.piece("blade", placed(plate(lip - [0.0045, 0], lip, 1.25 * heights[:3])), "edge")
        line = smooth([(0, 0.004, 0), (0.5 * bow, 0.022, 0), (bow, 0.45 * length, 0), (0.75 * bow, length, 0)], 4)
        b.piece("handle", placed(tube(line[:6], 0.8 * sleeve)), "metal")
        b.piece("handle", placed(tube(line[5:], sleeve)), "grip")
        turn = np.radians(-sign * opening)

        def at(x: float, y: float, z: float, sign: int = sign, turn: float = turn) -> tuple[float, float, float]:
            x = sign * x
            return x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z + sleeve

        b.keypoint("jaw", "tip", at(-0.3 * nose, -jaw, 0.3 * thick), f"front {other}", "front")
        b.keypoint("jaw", "edge", at(-root, -0.3 * jaw, 0.4 * thick), f"front {other}", f"middle {other}")
        b.keypoint("handle", "center", at(bow, 0.45 * length, sleeve), f"rear {side}", "middle")
        b.keypoint("handle", "end", at(0.75 * bow, length, 0), f"rear {side}", "rear")
    b.piece(
        "joint", disc(1.1 * root, 1.15 * thick, (0, 0, sleeve), segments=20), "metal", functional("pliers", "pivot")
    )
    b.piece("joint", disc(0.4 * root, 1.35 * thick, (0, 0, sleeve)), "edge", functional("pliers", "pivot"))
    b.keypoint("joint", "center", (0, 0, sleeve + 0.67 * thick), "middle", "middle")
    posed(b)
