"""Seats of furnished rooms: chairs, armchairs, swivel chairs, stools, benches, sofas, ottomans."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Mesh, extrude, merge, rounded_rectangle, torus
from ._forms import BLACK, DARK, Frame, Part, ball, block, compass, disc, near, pick, placed, rod, soft_block
from ._furniture import back_corners, corners, cushion, frame_of_bars, legs, metallic, upholstered, wooden


def _named(paco: str, ade: str) -> Part:
    return {"paco_lvis": paco, "ade20k_part_234": ade}


def _seat(
    f: Frame, w: float, d: float, z: float, thick: float, *, round_: bool, soft: bool, part: Part = "seat"
) -> None:
    """A seat whose upper face lies at z, with corner keypoints."""
    if soft:
        f.piece(part, cushion(w, d, max(thick, 0.07), (0, 0, z - max(thick, 0.07) / 2), bevel=0.03), "cloth")
    elif round_:
        outline = rounded_rectangle(w, d, 0.3 * min(w, d), segments=5)
        f.piece(part, extrude(outline, thick).move(0, 0, z - thick / 2), "main")
    else:
        f.piece(part, block(w, d, thick, (0, 0, z - thick / 2)), "main")
    inset = 0.93 if soft else 0.88 if round_ else 0.99
    corners(f, "seat", inset * w / 2, inset * d / 2, z)


@category(
    "chair",
    flavours={"paco_lvis": "chair", "ade20k_part_234": "chair"},
    supercategory="furniture",
    support="floor",
    size=0.95,
)
def chair(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Dining chairs: spindle, slat, ladder, panel or upholstered back, with or without arms and stretchers."""
    wooden(b)
    upholstered(b)
    w, d, z = near(rng, 0.45), near(rng, 0.44), near(rng, 0.46, 0.06)
    thick, top = near(rng, 0.022, 0.25), near(rng, 0.95, 0.12)
    style = pick(rng, "spindle", "slat", "ladder", "panel", "soft")
    soft = style == "soft" or rng.random() < 0.3
    leg_style = pick(rng, "taper", "square", "turned")
    f = Frame(b)
    _seat(f, w, d, z, 0.035, round_=style in ("spindle", "ladder"), soft=soft)
    under = z - (0.07 if soft else 0.035)
    x, y = w / 2 - 1.4 * thick, d / 2 - 1.4 * thick
    splay = float(rng.uniform(0.06, 0.14)) if style == "spindle" and leg_style == "taper" else 0.0
    legs(f, "leg", x, y, under, thick, style=leg_style, splay=splay)
    if not splay and rng.random() < 0.6:
        f.piece("apron", frame_of_bars(x, y, under - 0.035, 1.2 * thick, 0.07), "main")
    if rng.random() < 0.55:
        height = near(rng, 0.16)
        wide = x + splay * (under - height)
        bars = [
            rod((s * wide, -y - (wide - x), height), (s * wide, y + (wide - x), height), 0.5 * thick) for s in (-1, 1)
        ]
        f.piece("stretcher", merge(*bars, rod((-wide, 0, height), (wide, 0, height), 0.5 * thick)), "main")
    _chair_back(f, rng, style, (w, d, z, top), thick)
    if rng.random() < 0.35:
        _chair_arms(f, w, d, z, near(rng, 0.2), thick)


def _chair_back(
    f: Frame, rng: np.random.Generator, style: str, size: tuple[float, float, float, float], thick: float
) -> None:
    w, d, z, top = size
    lean = float(rng.uniform(3, 13))
    g = Frame(f.b, placed(0, d / 2 - thick, z, ("x", -lean)))
    tall, x = top - z, w / 2 - thick
    if style == "soft":
        g.piece(_named("back", "back"), cushion(w, 0.07, tall - 0.04, (0, 0, (tall + 0.04) / 2), bevel=0.03), "cloth")
    elif style == "panel":
        g.piece("back", soft_block(w, 0.022, 0.75 * tall, (0, 0, 0.62 * tall), bevel=0.01), "main")
        g.both(_named("stile", "back"), block(0.05, 0.02, 0.4 * tall, (0.3 * w, 0, 0.18 * tall)), "main")
    else:
        g.both(_named("stile", "back"), rod((x, 0, -0.02), (x, 0, tall), thick, 0.8 * thick), "main")
        rail = 0.16 if style == "slat" else 0.11
        g.piece(
            _named("rail", "back"),
            soft_block(w + 0.01, 1.6 * thick, rail * tall, (0, 0, (1 - rail / 2) * tall), bevel=0.006),
            "main",
        )
        if style == "ladder":
            for k in range(int(rng.integers(2, 4))):
                height = (0.68 - 0.24 * k) * tall
                g.piece(_named("rail", "back"), block(2 * x, 0.014, 0.11 * tall, (0, 0, height)), "main")
        else:
            count = int(rng.integers(4, 7)) if style == "spindle" else int(rng.integers(3, 5))
            for offset in np.linspace(-0.72, 0.72, count) * x:
                if style == "spindle":
                    bar = rod((offset, 0, -0.01), (offset, 0, 0.92 * tall), 0.011, 0.009, sides=7)
                else:
                    bar = block(0.3 * x, 0.012, 0.86 * tall, (offset, 0, 0.43 * tall))
                g.piece(_named("spindle", "back"), bar, "main")
    back_corners(g, "back", w / 2 - 0.02, -thick, 0.03, tall - 0.01)


def _chair_arms(f: Frame, w: float, d: float, z: float, rise: float, thick: float) -> None:
    x = w / 2
    rest = soft_block(2.2 * thick, 0.95 * d, 0.025, (x, 0, z + rise), bevel=0.008)
    post = rod((x, -0.36 * d, z - 0.02), (x, -0.36 * d, z + rise), 0.7 * thick)
    f.both("arm", merge(rest, post), "main")
    f.pair("arm", "end", (x, -0.475 * d, z + rise + 0.012), "", "front")
    f.pair("arm", "end", (x, 0.47 * d, z + rise + 0.012), "", "rear")


@category(
    "swivel chair", flavours={"ade20k_part_234": "swivel chair"}, supercategory="furniture", support="floor", size=1.1
)
def swivel_chair(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Office chairs: five-armed base on castors, column, padded seat and back."""
    upholstered(b)
    b.material("metal", "metal", "plastic", colours=(DARK, (0.6, 0.61, 0.63), BLACK))
    b.material("tyre", "rubber", colours=(BLACK,), fixed=True)
    w, d, z = near(rng, 0.5), near(rng, 0.48), near(rng, 0.48)
    reach, turn = near(rng, 0.31), float(rng.uniform(0, 72))
    f = Frame(b)
    for k in range(5):
        angle = np.radians(turn + 72 * k)
        way = np.array([np.sin(angle), -np.cos(angle), 0])
        end = reach * way + (0, 0, 0.075)
        f.piece("base", rod((0, 0, 0.11), end, 0.026, 0.018), "metal")
        f.piece(
            "wheel", disc(0.03, 0.04, axis="x").rotate("z", np.degrees(angle) + 20).move(end[0], end[1], 0.03), "tyre"
        )
        f.keypoint("wheel", "center", (end[0], end[1], 0.03), compass(end[0], end[1]))
    f.piece("base", rod((0, 0, 0.06), (0, 0, z - 0.07), 0.032, 0.024, sides=12), "metal")
    f.piece("base", block(0.2, 0.24, 0.03, (0, 0, z - 0.09)), "metal")
    _seat(f, w, d, z, 0.08, round_=False, soft=True)
    tall, low = near(rng, 0.5, 0.3), near(rng, 0.12, 0.4)
    g = Frame(b, placed(0, 0.46 * d, z, ("x", -float(rng.uniform(4, 14)))))
    bend = soft_block(0.92 * w, 0.07, tall, (0, 0, low + tall / 2), bevel=0.03)
    g.piece("back", bend, "cloth")
    g.piece("back", rod((0, 0.03, -0.1), (0, 0.04, low + 0.4 * tall), 0.022), "metal")
    if rng.random() < 0.3:
        g.piece("back", soft_block(0.5 * w, 0.06, 0.14, (0, 0, low + tall + 0.1), bevel=0.02), "cloth")
    back_corners(g, "back", 0.43 * w, -0.034, low + 0.03, low + tall - 0.03)
    if rng.random() < 0.65:
        rise = near(rng, 0.2)
        rest = soft_block(0.07, 0.6 * d, 0.035, (0.5 * w + 0.02, -0.02, z + rise), bevel=0.01)
        post = rod((0.5 * w + 0.02, 0.02, z - 0.07), (0.5 * w + 0.02, 0.02, z + rise), 0.018)
        f.both("", merge(rest, post), "metal")
        f.pair("arm", "end", (0.5 * w + 0.02, -0.3 * d - 0.02, z + rise), "", "front")


@category(
    "stool",
    flavours={"paco_lvis": "stool", "ade20k_part_234": "stool"},
    supercategory="furniture",
    support="floor",
    size=0.6,
)
def stool(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Three- or four-legged, low or bar height, sometimes on one pedestal with a foot ring."""
    wooden(b)
    upholstered(b)
    metallic(b)
    high = rng.random() < 0.5
    z, r = near(rng, 0.72 if high else 0.45, 0.12), near(rng, 0.17)
    f = Frame(b)
    soft = rng.random() < 0.35
    if soft:
        f.piece("seat", ball(r, r, 0.055, (0, 0, z - 0.045), segments=20), "cloth")
    f.piece("seat", disc(r, 0.035, (0, 0, z - (0.06 if soft else 0.0175)), segments=24), "main")
    for word, at in (("front", (0, -r)), ("rear", (0, r)), ("left", (r, 0)), ("right", (-r, 0))):
        f.keypoint("seat", "rim", (*at, z - (0.06 if soft else 0.01)), "", word)
    f.keypoint("seat", "center", (0, 0, z + (0.008 if soft else 0)))
    if rng.random() < 0.25:
        f.piece("leg", disc(1.15 * r, 0.025, (0, 0, 0.0125), segments=24), "metal")
        f.piece("leg", rod((0, 0, 0), (0, 0, z - 0.03), 0.03, sides=12), "metal")
        _foot_ring(f, 0.75 * r, 0.35 * z, 0.75 * r)
        return
    count = 3 if rng.random() < 0.3 else 4
    out, thick = near(rng, 0.14, 0.4), near(rng, 0.02)
    for k in range(count):
        angle = 2 * np.pi * (k + 0.5) / count
        way = np.array([np.sin(angle), -np.cos(angle), 0])
        top, foot = 0.7 * r * way + (0, 0, z - 0.03), (0.7 * r + out * z * 0.6) * way
        f.piece("leg", rod(foot, top, 0.8 * thick, thick), "main")
        f.keypoint("leg", "end", foot, compass(way[0], way[1]))
    if high or rng.random() < 0.5:
        _foot_ring(f, 0.7 * r + out * z * 0.6 * 0.65, 0.33 * z, 0.0)


def _foot_ring(f: Frame, radius: float, z: float, spoke: float) -> None:
    ring: Mesh = torus(radius, 0.011).move(0, 0, z)
    if spoke:
        ring = merge(ring, rod((-spoke, 0, z), (spoke, 0, z), 0.01), rod((0, -spoke, z), (0, spoke, z), 0.01))
    f.piece(_named("footrest", ""), ring, "metal")


@category("ottoman", flavours={"ade20k_part_234": "ottoman"}, supercategory="furniture", support="floor", size=0.6)
def ottoman(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """An upholstered footstool, square or round, on short legs."""
    upholstered(b)
    wooden(b)
    w, d, h, foot = near(rng, 0.58, 0.2), near(rng, 0.5, 0.15), near(rng, 0.3, 0.2), near(rng, 0.1, 0.4)
    f = Frame(b)
    if rng.random() < 0.4:
        f.piece("seat", disc(w / 2, h, (0, 0, foot + h / 2), segments=28), "cloth")
        f.piece("seat", ball(w / 2, w / 2, 0.06, (0, 0, foot + h), segments=20), "cloth")
        d = w
        reach = 0.3 * w
    else:
        f.piece("seat", cushion(w, d, 0.55 * h, (0, 0, foot + 0.27 * h), bevel=0.02), "cloth")
        f.piece("seat", cushion(1.03 * w, 1.03 * d, 0.45 * h, (0, 0, foot + 0.77 * h), bevel=0.05), "cloth")
        corners(f, "seat", 0.46 * w, 0.46 * d, foot + 0.985 * h)
        reach = 0.42 * w
    f.keypoint("seat", "center", (0, 0, foot + h))
    legs(f, "leg", reach, reach * d / w, foot, 0.025, style=pick(rng, "taper", "square", "turned"))
    if rng.random() < 0.2:
        f.piece("back", cushion(w, 0.09, 0.3, (0, 0.5 * d, foot + h + 0.1), bevel=0.03), "cloth")


@category(
    "bench",
    flavours={"paco_lvis": "bench", "ade20k_part_234": "bench"},
    supercategory="furniture",
    support="floor",
    size=1.4,
)
def bench(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A garden bench of slats, with or without back and arms, or a plain indoor bench."""
    wooden(b)
    metallic(b)
    w, d, z = near(rng, 1.35, 0.2), near(rng, 0.42), near(rng, 0.45, 0.06)
    f = Frame(b)
    slats, look = int(rng.integers(3, 6)), pick(rng, "main", "metal")
    for k in range(slats):
        y = ((k + 0.5) / slats - 0.5) * d
        f.piece("seat", block(w, 0.86 * d / slats, 0.03, (0, y, z - 0.015)), "main")
    corners(f, "seat", w / 2, 0.48 * d, z)
    x, thick = 0.42 * w, near(rng, 0.03)
    legs(f, "leg", x, 0.42 * d, z - 0.03, thick, style=pick(rng, "square", "taper"), material=look)
    f.both("leg", block(1.4 * thick, 0.84 * d, 0.05, (x, 0, z - 0.055)), look)
    if rng.random() < 0.4:
        f.piece(_named("stretcher", ""), rod((-x, 0, 0.14), (x, 0, 0.14), 0.02), look)
    if rng.random() < 0.7:
        g = Frame(b, placed(0, 0.5 * d, z, ("x", -float(rng.uniform(5, 16)))))
        tall = near(rng, 0.42)
        g.both("back", block(1.4 * thick, 1.2 * thick, tall + 0.1, (x, 0.02, tall / 2 - 0.05)), look)
        if rng.random() < 0.5:
            for k in range(3):
                g.piece("back", block(w, 0.025, 0.24 * tall, (0, 0, (0.25 + 0.32 * k) * tall)), "main")
        else:
            g.piece(
                "back", merge(block(w, 0.03, 0.08, (0, 0, tall - 0.04)), block(w, 0.03, 0.06, (0, 0, 0.08))), "main"
            )
            for offset in np.linspace(-0.47, 0.47, 13) * w:
                g.piece("back", block(0.03, 0.018, 0.8 * tall, (offset, 0, 0.5 * tall)), "main")
        back_corners(g, "back", w / 2, -0.015, 0.06, tall)
        if rng.random() < 0.7:
            rest = block(0.06, 1.05 * d, 0.03, (0.47 * w, -0.02 * d, z + 0.2))
            f.both("arm", merge(rest, block(0.05, 0.05, 0.2, (0.47 * w, -0.45 * d, z + 0.1))), "main")
            f.pair("arm", "end", (0.47 * w, -0.54 * d, z + 0.2), "", "front")


def _couch(b: ObjectBuilder, rng: np.random.Generator, seats: int, names: dict[str, str]) -> None:
    """An upholstered seat of one or more places; ``names`` gives the part names of its pieces."""
    upholstered(b)
    upholstered(b, "pillow")
    wooden(b)
    style = pick(rng, "box", "round", "slim")
    place = near(rng, 0.62)
    arm, d = near(rng, {"box": 0.16, "round": 0.2, "slim": 0.09}[style]), near(rng, 0.86)
    w, foot = seats * place + 2 * arm, near(rng, 0.12, 0.35)
    z, top, rise = near(rng, 0.45, 0.06), near(rng, 0.84, 0.1), near(rng, 0.62, 0.08)
    bevel = {"box": 0.025, "round": 0.07, "slim": 0.02}[style]
    f = Frame(b)
    base = z - 0.16
    skirted = "skirt" in names and rng.random() < 0.3
    f.piece(
        names["seat base"],
        soft_block(w - 0.02, d - 0.06, base - foot, (0, 0.0, (base + foot) / 2), bevel=0.02),
        "cloth",
    )
    if skirted:
        f.piece(names["skirt"], block(w, d - 0.03, foot + 0.03, (0, 0, foot / 2 + 0.02)), "cloth")
    thick = 0.22
    for k in range(seats):
        x = (k - (seats - 1) / 2) * place
        seat = cushion(place - 0.01, d - thick - 0.02, 0.17, (x, -thick / 2 - 0.01, z - 0.08), bevel=0.045)
        f.piece(names["seat"], seat, "cloth")
    g = Frame(b, placed(0, d / 2 - thick, base, ("x", -float(rng.uniform(4, 12)))))
    g.piece(
        names["back"],
        soft_block(w - 1.2 * arm, thick - 0.05, top - base, (0, thick / 2, (top - base) / 2), bevel=max(bevel, 0.03)),
        "cloth",
    )
    f.both(
        names["arm"],
        soft_block(arm, d - 0.02, rise - foot, ((w - arm) / 2, -0.005, (rise + foot) / 2), bevel=bevel),
        "cloth",
    )
    if style == "round":
        f.both(
            names["arm"],
            disc(0.62 * arm, d - 0.03, ((w - arm) / 2, -0.005, rise - 0.03), axis="y", segments=18),
            "cloth",
        )
    if not skirted:
        legs(f, names["leg"], w / 2 - 0.08, d / 2 - 0.09, foot, 0.028, style=pick(rng, "taper", "square", "turned"))
    if rng.random() < 0.65:
        _pillows(g, rng, names["back pillow"], seats, place, z - base)
    tip = rise + (0.62 * arm - 0.03 if style == "round" else 0)
    _couch_points(f, (w, d, z, arm), tip, thick)
    back_corners(g, "back", (w - 1.2 * arm) / 2 - 0.05, 0.026, z - base + 0.06, top - base - 0.04)


def _couch_points(f: Frame, size: tuple[float, float, float, float], tip: float, thick: float) -> None:
    w, d, z, arm = size
    for word, y in (("front", -d / 2 + 0.01), ("rear", d / 2 - 0.02)):
        f.pair("arm", "corner", ((w - arm) / 2, y, tip), "", word)
    for word, y in (("front", -d / 2 + 0.02), ("rear", d / 2 - thick - 0.05)):
        f.pair("seat", "corner", (w / 2 - arm - 0.02, y, z), "", word)


def _pillows(g: Frame, rng: np.random.Generator, part: str, seats: int, place: float, low: float) -> None:
    spots = [0.0] if seats == 1 else [s * (seats * place / 2 - 0.24) for s in (-1, 1)]
    if seats == 3 and rng.random() < 0.4:
        spots.append(0.0)
    size = near(rng, 0.42)
    for x in spots:
        pillow = ball(size / 2, 0.085, size / 2, (0, 0, 0), segments=14)
        square = Mesh(
            np.sign(pillow.vertices) * np.abs(pillow.vertices / (size / 2)) ** 0.72 * (size / 2),
            pillow.faces,
            pillow.normals,
        )
        lean = Frame(
            g.b, g.matrix @ placed(x, -0.09, low + size / 2 - 0.02, ("x", -8), ("y", float(rng.uniform(-12, 12))))
        )
        lean.piece(part, Mesh(square.vertices * (1, 0.5, 1), square.faces, square.normals), "pillow")


@category("armchair", flavours={"ade20k_part_234": "armchair"}, supercategory="furniture", support="floor", size=0.95)
def armchair(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A one-place upholstered chair, or a wooden frame with cushions."""
    if rng.random() < 0.6:
        _couch(b, rng, 1, {"seat base": "seat base", "seat": "seat", "back": "back", "arm": "arm", "leg": "leg",
                           "back pillow": "back pillow"})  # fmt: skip
        return
    wooden(b)
    upholstered(b)
    w, d, z, top = near(rng, 0.62), near(rng, 0.6), near(rng, 0.42), near(rng, 0.88)
    f = Frame(b)
    f.piece("seat", cushion(w - 0.06, d, 0.13, (0, 0, z - 0.065), bevel=0.04), "cloth")
    for word, y in (("front", 0.03 - d / 2), ("rear", d / 2 - 0.17)):
        f.pair("seat", "corner", (w / 2 - 0.06, y, z - 0.005), "", word)
    g = Frame(b, placed(0, d / 2 - 0.06, z - 0.04, ("x", -float(rng.uniform(8, 20)))))
    tall = top - z + 0.04
    g.piece("back", cushion(w - 0.08, 0.12, tall, (0, 0, tall / 2), bevel=0.04), "cloth")
    back_corners(g, "back", w / 2 - 0.07, -0.056, 0.1, tall - 0.03)
    rise, x, thick = near(rng, 0.6, 0.06), w / 2, near(rng, 0.024)
    f.piece("apron", frame_of_bars(x - 0.02, d / 2 - 0.03, z - 0.16, 0.03, 0.06), "main")
    legs(f, "leg", x, d / 2 - 0.04, rise, thick, style="square")
    f.both("arm", soft_block(0.075, d + 0.04, 0.03, (x, 0, rise + 0.01), bevel=0.008), "main")
    f.pair("arm", "corner", (x, -d / 2 - 0.01, rise + 0.02), "", "front")
    f.pair("arm", "corner", (x, d / 2 + 0.01, rise + 0.02), "", "rear")


@category("sofa", flavours={"ade20k_part_234": "sofa"}, supercategory="furniture", support="floor", size=2.0)
def sofa(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Two or three places."""
    names = {name: name for name in ("seat base", "back", "arm", "leg", "back pillow", "skirt")}
    _couch(b, rng, int(rng.integers(2, 4)), {**names, "seat": "seat cushion"})
