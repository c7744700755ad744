"""Kitchen ware: kettle, pan, tray, bucket."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, arc, cylinder, lathe, torus, tube
from ._forms import ball, block, pick, rod, smooth
from ._skins import aim, cord, rounded, strap, superellipse, tile
from ._wares import (
    BRIGHTS,
    DARKS,
    METALS,
    WHITES,
    Vessel,
    bands,
    between,
    chance,
    circle_points,
    dark,
    functional,
    handle_points,
    loop_handle,
    radius_at,
    shifted,
    silhouette,
    tinted,
    uniform,
    vessel,
    vessel_points,
)


@category("kettle", flavours={"paco_lvis": "kettle"}, supercategory="hand-held", support="table", size=0.26)
def kettle(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Whistling kettles with a bow over the lid, and electric jugs with a rear handle, switch, base and cable."""
    tinted(b, "main", pick(rng, "metal", "ceramic", "plastic"), METALS + BRIGHTS + WHITES)
    tinted(b, "grip", pick(rng, "plastic", "wood"), DARKS)
    radius = uniform(rng, 0.08, 0.1)
    electric = chance(rng, 0.5)
    plan = (
        ((1, 0), (0.98, 0.1), (0.9, 0.5), (0.72, 1))
        if electric
        else ((0.85, 0), (1, 0.1), (0.95, 0.5), (0.6, 0.85), (0.4, 1))
    )
    height = radius * (uniform(rng, 1.8, 2.3) if electric else uniform(rng, 1.1, 1.5))
    profile = silhouette(rng, plan, radius, height, 0.02)
    stand = uniform(rng, 0.014, 0.024)
    profile[:, 1] += stand
    low, body = bands(np.concatenate([[(profile[0, 0] * 1.02, 0)], profile]), stand)
    b.piece("base", low, "grip" if electric else "main", functional("kettle", "base"))
    b.piece("body", body)
    top, mouth = float(profile[-1, 1]), float(profile[-1, 0])
    lid = [(0.97 * mouth, 0), (0.97 * mouth, 0.004), (0.6 * mouth, 0.012), (0, 0.016)]
    b.piece("lid", lathe([(0, 0), *lid]).move(z=top), "main" if chance(rng, 0.5) else "grip")
    b.piece("lid", ball(0.012, 0.012, 0.01, (0, 0, top + 0.022)), "grip")
    tip = _kettle_spout(b, rng, profile, electric)
    b.keypoint("lid", "center", (0, 0, top + 0.031), "top", "top")
    b.keypoint("spout", "tip", tip, "front", "front")
    circle_points(b, "base", "edge", float(profile[0, 0]), 0.0, "bottom")
    if electric:
        _kettle_plug(b, rng, profile, stand + 0.22 * height)
    else:
        _kettle_bow(b, uniform(rng, 0.72, 0.92) * radius, top, height)


def _kettle_plug(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, low: float) -> None:
    """Rear handle with the switch on it, and the cable of an electric kettle."""
    joints = [(radius_at(profile, z) - 0.004, z) for z in (float(profile[-1, 1]) - 0.01, low)]
    mesh, path = loop_handle(rng, joints[0], joints[1], 0.05, 0.011, ("square", "strap", "round"))
    b.piece("handle", mesh, "grip")
    handle_points(b, path)
    b.piece(
        "switch",
        block(0.02, 0.022, 0.01, (0, path[2, 1], path[2, 2] + 0.014)),
        tinted(b, "knob", "plastic", BRIGHTS),
    )
    y = float(profile[0, 0])
    b.piece("cable", cord([(0.02, y - 0.01, 0.008), (0.05, y + 0.04, 0.004), (-0.02, y + 0.08, 0.004)], 0.004), dark(b))


def _kettle_bow(b: ObjectBuilder, span: float, top: float, height: float) -> None:
    """Bow over the lid with a thick grip."""
    bow = smooth(
        [
            (0, span, top - 0.4 * height),
            (0, span, top + 0.02),
            (0, 0.5 * span, top + 0.075),
            (0, -0.5 * span, top + 0.075),
            (0, -span, top + 0.02),
            (0, -span, top - 0.4 * height),
        ],
        3,
    )
    b.piece("handle", tube(bow, 0.006), "grip")
    b.piece("handle", rod((0, 0.45 * span, top + 0.077), (0, -0.45 * span, top + 0.077), 0.011), "grip")
    b.keypoint("handle", "center", (0, 0, top + 0.086), "top", "middle")
    b.keypoint("handle", "joint", bow[0], "top", "rear")


def _kettle_spout(b: ObjectBuilder, rng: np.random.Generator, profile: Floats, electric: bool) -> Floats:
    """Adds the spout at the front and returns its tip."""
    top, height = float(profile[-1, 1]), float(profile[-1, 1] - profile[0, 1])
    if electric:
        y = radius_at(profile, top - 0.02)
        beak = lathe([(0, -0.05), (0.01, -0.05), (0.03, 0), (0, 0)], segments=16).scale(1, 1.3, 1)
        b.piece("spout", beak.move(y=-y + 0.008, z=top), "main", functional("kettle", "spout"))
        return np.array([0, -y + 0.008 - 0.039, top])
    z0 = float(profile[0, 1]) + uniform(rng, 0.3, 0.45) * height
    y0, reach = radius_at(profile, z0) - 0.012, uniform(rng, 0.06, 0.085)
    line = smooth([(0, -y0, z0), (0, -y0 - 0.5 * reach, z0 + 0.3 * height), (0, -y0 - reach, top - 0.05 * height)], 4)
    radii = list(np.linspace(0.02, 0.011, len(line)))
    b.piece("spout", tube(line, radii, sides=10), "main", functional("kettle", "spout"))
    end = line[-1]
    direction = line[-1] - line[-2]
    hole = cylinder(0.0085, 0.001, segments=12)
    b.piece("spout", aim(hole, end, direction), dark(b), functional("kettle", "mouth"))
    return np.asarray(end)


PANS = {
    "frying": ((0.82, 0), (0.86, 0.15), (0.92, 0.5), (1, 1)),
    "wok": ((0.4, 0), (0.62, 0.2), (0.85, 0.55), (1, 1)),
    "sauce": ((0.95, 0), (1, 0.08), (1, 0.5), (1, 1)),
}
PAN_DEPTHS = {"frying": (0.26, 0.36), "wok": (0.42, 0.55), "sauce": (0.75, 1.05)}


@category("pan", flavours={"paco_lvis": "pan"}, supercategory="hand-held", support="table", size=0.42)
def pan(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Frying pans, woks and sauce pans with a long handle at the rear; some have a lid on."""
    style = pick(rng, *PANS)
    tinted(b, "main", "metal", METALS + DARKS + BRIGHTS[:1])
    tinted(b, "inside", "metal", METALS + DARKS)
    tinted(b, "grip", pick(rng, "plastic", "wood", "metal"), DARKS)
    radius = uniform(rng, 0.08, 0.1) if style == "sauce" else uniform(rng, 0.11, 0.15)
    profile = silhouette(rng, PANS[style], radius, radius * uniform(rng, *PAN_DEPTHS[style]), 0.01)
    height, wall, floor = float(profile[-1, 1]), 0.0035, 0.006
    lip, r0 = 0.92 * height, float(profile[0, 0])
    use = {name: functional("pan", name) for name in ("base", "side", "rim", "bowl")}
    b.piece("bottom", lathe([(0, 0), (r0, 0)], segments=28), functions=use["base"])
    b.piece("side", lathe(between(profile, 0, lip), segments=28), functions=use["side"])
    high = between(profile, lip, height)
    crown = np.concatenate([high, [(high[-1, 0] - wall / 2, height + 0.001)], shifted(high[::-1], -wall)])
    b.piece("rim", lathe(crown, segments=28), functions=use["rim"])
    b.piece("inner side", lathe(shifted(between(profile, floor, lip), -wall)[::-1], segments=28), "inside", use["bowl"])
    b.piece("base", lathe([(radius_at(profile, floor) - wall, floor), (0, floor)], segments=28), "inside", use["bowl"])
    v = Vessel(profile, wall, floor)
    vessel_points(b, v)
    z0, length = 0.85 * height, uniform(rng, 0.14, 0.22)
    y0, rise = v.radius(z0), uniform(rng, 0.0, 0.05)
    line = smooth(
        [(0, y0 - 0.002, z0 - 0.004), (0, y0 + 0.25 * length, z0 + 0.5 * rise), (0, y0 + length, z0 + rise)], 4
    )
    wide = np.interp(np.arange(len(line)), [0, 3, len(line) - 1], [0.016, 0.02, uniform(rng, 0.024, 0.034)])
    b.piece("handle", strap(line, wide, uniform(rng, 0.01, 0.015)), "grip")
    b.keypoint("handle", "joint", line[0], "rear", "front")
    b.keypoint("handle", "center", line[4] + [0, 0, 0.006], "rear", "middle")
    b.keypoint("handle", "end", line[-1], "rear", "rear")
    if chance(rng, 0.25):
        dome = [(radius + 0.002, 0), (radius + 0.002, 0.004), (0.7 * radius, 0.02), (0.3 * radius, 0.028), (0, 0.03)]
        b.piece("lid", lathe([(0, 0), *dome], segments=28).move(z=height), "main")
        knob = [(0, 0), (0.008, 0), (0.007, 0.012), (0.017, 0.018), (0.015, 0.026), (0, 0.028)]
        b.piece("lid", lathe(knob, segments=14).move(z=height + 0.028), "grip")


@category("tray", flavours={"paco_lvis": "tray"}, supercategory="hand-held", support="table", size=0.42)
def tray(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Rectangular, oval and round serving trays; some have a handle bow at both ends."""
    kind = pick(rng, "wood", "plastic", "metal")
    palette = () if kind == "wood" else METALS if kind == "metal" else BRIGHTS + DARKS + WHITES
    tinted(b, "main", kind, palette, "grain" if kind == "wood" else "plain")
    tinted(b, "floor", kind, palette, "grain" if kind == "wood" else "plain", "checks")
    half, aspect, depth = uniform(rng, 0.15, 0.23), uniform(rng, 0.6, 0.8), uniform(rng, 0.022, 0.05)
    shape = pick(rng, "rectangle", "rectangle", "oval", "round")
    aspect = 1.0 if shape == "round" else aspect
    square = rounded(2, 2 * aspect, uniform(rng, 0.08, 0.25), segments=7)
    outline = square if shape == "rectangle" else superellipse(1, aspect, 2.0, points=32)
    foot, wall = uniform(rng, 0.86, 0.95) * half, 0.004
    use = {name: functional("tray", name) for name in ("base", "surface")}

    def turned(part: str, points: list[tuple[float, float]], slot: str, functions: Mapping[str, str]) -> None:
        b.piece(part, lathe(points, outline=outline), slot, functions)

    turned("bottom", [(0, 0), (foot, 0)], "main", use["base"])
    turned("outer side", [(foot, 0), (half - 0.004, 0.9 * depth)], "main", {})
    lip = [
        (half - 0.004, 0.9 * depth),
        (half + 0.008, 0.92 * depth),
        (half + 0.008, depth),
        (half - 0.004 - wall, depth),
    ]
    turned("rim", lip, "main", {})
    turned("inner wall", [(half - 0.004 - wall, depth), (foot - wall, 0.006)], "main", {})
    turned("base", [(foot - wall, 0.006), (0, 0.006)], "floor", use["surface"])
    circle_points(b, "rim", "edge", half, depth, "top", aspect)
    circle_points(b, "base", "inner edge", foot - wall, 0.006, "bottom", aspect)
    b.keypoint("body", "inner center", (0, 0, 0.006), "bottom", "middle")
    if chance(rng, 0.5):
        bow = np.array([(0, -0.05, 0), (0, -0.045, 0.022), (0, 0, 0.028), (0, 0.045, 0.022), (0, 0.05, 0)])
        for sign in (1, -1):
            b.piece("rim", tube(smooth(bow, 3), 0.0055, sides=6).move(x=sign * half, z=depth - 0.003), "main")


@category("bucket", flavours={"paco_lvis": "bucket"}, supercategory="hand-held", support="floor", size=0.34)
def bucket(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Tapered pail with ears, a bow handle standing up or fallen to the side, and sometimes a cover."""
    kind = pick(rng, "metal", "plastic", "wood")
    tinted(b, "main", kind, () if kind == "wood" else METALS if kind == "metal" else BRIGHTS, "plain", "stripes")
    tinted(b, "inside", kind, () if kind == "wood" else METALS if kind == "metal" else BRIGHTS)
    tinted(b, "wire", "metal", METALS)
    radius = uniform(rng, 0.12, 0.16)
    height = radius * uniform(rng, 1.5, 2.1)
    low = uniform(rng, 0.66, 0.82)
    rib = 0.015 if kind != "wood" else 0.0
    profile = np.array([(low, 0), (low + 0.01, 0.04), (0.94, 0.82), (0.94 + rib, 0.83), (0.95 + rib, 0.87), (1, 1)])
    profile *= [radius, height]
    parts = {"base": "base", "bottom": "bottom", "body": "body", "rim": "rim", "inner": "inner body"}
    v = vessel(b, profile, 0.005, parts, "bucket", inside="inside", base=0.05, rim=0.06)
    bead = torus(radius, 0.006, segments=28, sides=6).move(z=height - 0.002)
    b.piece("rim", bead, functions=functional("bucket", "rim"))
    vessel_points(b, v)
    ear = height * 0.88
    for word, sign in (("left", 1), ("right", -1)):
        x = sign * (radius + 0.004)
        b.piece("loop", tile(0.03, 0.036, 0.006, 0.012).rotate("y", 90).move(x=x, z=ear), "wire")
        b.keypoint("handle", "joint", (x, 0, ear), "top", word)
    fallen = chance(rng, 0.35)
    reach = radius + 0.008
    bow = arc(1, 0, 180, points=17) * [reach, 1, uniform(rng, 0.95, 1.15) * reach]
    grip = tube(bow[7:10] * [1, 1, 1], 0.011, sides=8)
    tilt = uniform(rng, 98, 104) * (1 if chance(rng, 0.5) else -1) if fallen else uniform(rng, -12, 12)
    for mesh, slot in ((tube(bow, 0.0035, sides=6), "wire"), (grip, tinted(b, "grip", "plastic", DARKS + BRIGHTS))):
        b.piece("handle", mesh.rotate("x", tilt).move(z=ear), slot)
    angle = np.radians(tilt)
    crest = np.array([0, -np.sin(angle), np.cos(angle)]) * (bow[8, 2] + 0.01) + [0, 0, ear]
    b.keypoint("handle", "center", crest, "top", "middle")
    if not fallen and chance(rng, 0.25):
        lid = [(radius + 0.01, -0.016), (radius + 0.01, 0.004), (0.8 * radius, 0.01), (0, 0.01)]
        tinted(b, "cover", "plastic", WHITES + BRIGHTS)
        b.piece("cover", lathe([(radius + 0.004, -0.016), *lid], segments=28).move(z=height), "cover")
