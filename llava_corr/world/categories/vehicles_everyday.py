"""Vehicles of the everyday flavour: bicycle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, cylinder, lathe, merge, torus, tube
from ._forms import block, disc, pick, rod, smooth
from ._skins import around, rounded, skin, strap
from ._wares import BRIGHTS, DARKS, METALS, SKINS, WHITES, chance, tinted, uniform


@dataclass(frozen=True)
class BikeFrame:
    """Joints in the x = 0 plane as (0, y, z): hubs, bottom bracket, seat cluster, both ends of the head tube."""

    radius: float
    front: Floats
    rear: Floats
    bracket: Floats
    cluster: Floats
    head_top: Floats
    head_low: Floats


def _geometry(rng: np.random.Generator, step_through: bool) -> BikeFrame:
    radius = uniform(rng, 0.3, 0.35)
    base = uniform(rng, 0.98, 1.08)
    front, rear = np.array([0, -base / 2, radius]), np.array([0, base / 2, radius])
    bracket = np.array([0, rear[1] - uniform(rng, 0.4, 0.44), radius - uniform(rng, 0.03, 0.07)])
    lean = uniform(rng, 0.28, 0.34)
    seat = uniform(rng, 0.4, 0.5)
    cluster = bracket + np.array([0, lean * seat, seat])
    rake = uniform(rng, 0.3, 0.36)
    low = front + np.array([0, rake * (radius + 0.05), radius + 0.05])
    top = low + np.array([0, rake * 0.14, 0.14 + (0.05 if step_through else 0.0)])
    return BikeFrame(radius, front, rear, bracket, cluster, top, low)


@category("bicycle", flavours={"paco_lvis": "bicycle"}, supercategory="transportation", support="ground", size=1.7)
def bicycle(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Diamond, step-through and racing frames; flat, swept or drop handlebars; sometimes a basket in front."""
    style = pick(rng, "diamond", "step", "race")
    f = _geometry(rng, style == "step")
    tinted(b, "frame", "metal", BRIGHTS + DARKS + WHITES + METALS)
    tinted(b, "second", "metal", BRIGHTS + METALS + DARKS)
    tinted(b, "tyre", "rubber", DARKS)
    tinted(b, "metal", "metal", METALS)
    tinted(b, "saddle", "leather", DARKS + SKINS)
    tube_radius = uniform(rng, 0.014, 0.021)
    for place, hub, sides in (("front", f.front, 20), ("rear", f.rear, 24)):
        _wheel(b, hub, f.radius, uniform(rng, 0.013, 0.018) if style == "race" else uniform(rng, 0.018, 0.027), sides)
        b.keypoint("wheel", "center", hub + np.array([0.03, 0, 0]), place, "left")
        b.keypoint("wheel", "center", hub - np.array([0.03, 0, 0]), place, "right")
        b.keypoint("wheel", "edge", hub + np.array([0, 0, f.radius]), place, "top")
        b.keypoint("wheel", "edge", hub - np.array([0, 0, f.radius]), place, "bottom")
        sign = -1 if place == "front" else 1
        b.keypoint("wheel", "edge", hub + np.array([0, sign * f.radius, 0]), place, place)
    _tubes(b, f, tube_radius, style)
    _drive(b, f)
    _seat(b, rng, f, tube_radius)
    _steering(b, rng, f, tube_radius, style)


def _wheel(b: ObjectBuilder, hub: Floats, radius: float, thick: float, spokes: int) -> None:
    """Tyre, rim, hub and spokes in the plane x = 0."""
    at = {"x": 0.0, "y": float(hub[1]), "z": float(hub[2])}
    tyre = torus(radius - thick, thick, segments=32, sides=8)
    rim = lathe(
        [
            (radius - 2 * thick, -0.6 * thick),
            (radius - 1.6 * thick, 0),
            (radius - 2 * thick, 0.6 * thick),
            (radius - 2 * thick - 0.016, 0),
            (radius - 2 * thick, -0.6 * thick),
        ],
        segments=32,
    )
    axle = cylinder(0.018, 0.06, segments=10)
    for mesh, slot in ((tyre, "tyre"), (rim, "metal"), (axle, "metal")):
        b.piece("wheel", mesh.rotate("y", 90).move(**at), slot)
    long = radius - 2 * thick
    angle = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    spoke = block(0.0035, 0.0035, long, (0, 0, long / 2))
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    turned = [
        np.stack([np.broadcast_to(v[:, 0], (spokes, len(v))), c * v[:, 1] - s * v[:, 2], s * v[:, 1] + c * v[:, 2]], -1)
        for v in (spoke.vertices, spoke.normals)
    ]
    faces = (spoke.faces[None] + len(spoke.vertices) * np.arange(spokes)[:, None, None]).reshape(-1, 3)
    b.piece("wheel", Mesh(turned[0].reshape(-1, 3), faces, turned[1].reshape(-1, 3)).move(**at), "metal")


def _tubes(b: ObjectBuilder, f: BikeFrame, r: float, style: str) -> None:
    """Top, down, seat and head tubes, seat stays (and chain stays), fork."""
    b.piece("seat tube", rod(f.bracket, f.cluster, r), "frame")
    b.piece("down tube", rod(f.bracket, f.head_low + np.array([0, 0.02, 0.03]), 1.15 * r), "frame")
    end = f.cluster * 0.98 if style != "step" else f.bracket + 0.35 * (f.cluster - f.bracket)
    start = f.head_top - np.array([0, 0, 0.02])
    if style == "step":
        bow = smooth([start - np.array([0, 0, 0.03]), (start + end) / 2 + np.array([0, 0.0, -0.04]), end], 4)
        b.piece("top tube", tube(bow, r), "frame")
        middle = bow[len(bow) // 2]
    else:
        b.piece("top tube", rod(start, end, r), "frame")
        middle = (start + end) / 2
    b.piece("head tube", rod(f.head_low, f.head_top, 1.35 * r, sides=10), "frame")
    b.keypoint("top tube", "center", middle + np.array([0, 0, r]), "middle", "middle")
    b.keypoint("down tube", "center", (f.bracket + f.head_low) / 2 + np.array([0, 0, 0.015]), "middle", "middle")
    b.keypoint("head tube", "top", f.head_top - np.array([0, 1.3 * r, 0.01]), "front", "front")
    b.keypoint("frame", "joint", f.cluster + np.array([0, r, 0]), "rear", "top")
    for sign in (1, -1):
        wide = np.array([sign * 0.045, 0, 0])
        near_frame = f.cluster - np.array([0, 0, 0.04]) + 0.3 * wide
        b.piece("seat stay", rod(near_frame, f.rear + wide, 0.55 * r), "frame")
        b.piece("", rod(f.bracket + 0.8 * wide, f.rear + wide, 0.6 * r), "frame")
        crown = f.head_low + np.array([sign * 0.04, 0, -0.01])
        blade = smooth([crown, 0.45 * crown + 0.55 * (f.front + wide) + np.array([0, 0.012, 0]), f.front + wide], 3)
        b.piece("fork", tube(blade, list(np.linspace(0.85 * r, 0.55 * r, len(blade)))), "second")
        b.keypoint("fork", "tip", f.front + 1.2 * wide, "front", "left" if sign > 0 else "right")
    b.piece("fork", block(0.1, 0.04, 0.035, f.head_low - np.array([0, 0, 0.012])), "second")


def _drive(b: ObjectBuilder, f: BikeFrame) -> None:
    """Chain ring and sprocket (gear) on the right (-x), chain, cranks and pedals."""
    x = -0.05
    teeth = lathe([(0.07, -0.003), (0.095, -0.003), (0.095, 0.003), (0.07, 0.003), (0.07, -0.003)], segments=24)
    spider = around(block(0.018, 0.075, 0.005).move(y=0.038), 5)
    at = {"y": float(f.bracket[1]), "z": float(f.bracket[2])}
    b.piece("gear", merge(teeth, spider).rotate("y", 90).move(x=x, **at), "metal")
    b.piece("gear", disc(0.04, 0.02, (x, f.rear[1], f.rear[2]), axis="x"), "metal")
    for top in (1, -1):
        a, c = f.bracket + np.array([x, 0, top * 0.093]), f.rear + np.array([x, 0, top * 0.038])
        b.piece("", strap([a, (a + c) / 2, c], 0.006, 0.008), "tyre")
    b.keypoint("gear", "center", f.bracket + np.array([x - 0.006, 0, 0]), "middle", "right")
    b.piece("", rod(f.bracket - np.array([0.07, 0, 0]), f.bracket + np.array([0.07, 0, 0]), 0.016), "metal")
    for word, sign in (("left", 1), ("right", -1)):
        root = f.bracket + np.array([sign * 0.065, 0, 0])
        foot = root + np.array([sign * 0.01, sign * 0.16, -sign * 0.05])
        b.piece("", rod(root, foot, 0.011, 0.008), "metal")
        b.piece("pedal", block(0.09, 0.09, 0.022, foot + np.array([sign * 0.055, 0, 0])), "tyre")
        b.keypoint("pedal", "center", foot + np.array([sign * 0.055, 0, 0.011]), f"middle {word}", "top")


def _seat(b: ObjectBuilder, rng: np.random.Generator, f: BikeFrame, r: float) -> None:
    """Seat post and a saddle that is wide at the rear and narrow at the front."""
    axis = (f.cluster - f.bracket) / np.linalg.norm(f.cluster - f.bracket)
    top = f.cluster + uniform(rng, 0.08, 0.18) * axis
    b.piece("seat tube", rod(f.cluster - 0.02 * axis, top, 0.75 * r), "metal")
    t = np.linspace(0, 1, 9)
    wide = uniform(rng, 0.065, 0.1)
    half = np.interp(t, [0, 0.15, 0.5, 0.75, 0.95, 1], [0.012, 0.022, 0.03, 0.9 * wide, wide, 0.6 * wide])
    y = top[1] - 0.15 + 0.27 * t
    z = top[2] + 0.03 + 0.015 * (2 * t - 1) ** 2
    ring = rounded(2, 2, 0.9, segments=4)
    sections = [
        np.column_stack([ring[:, 0] * w, np.full(16, yy), zz + ring[:, 1] * 0.022 * (0.6 + 0.4 * tt)])
        for w, yy, zz, tt in zip(half, y, z, t, strict=True)
    ]
    b.piece("saddle", skin(sections), "saddle")
    b.keypoint("saddle", "tip", (0, y[0], z[0]), "top", "front")
    b.keypoint("saddle", "center", (0, y[5], z[5] + 0.019), "top", "middle")
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint("saddle", "corner", (sign * 0.85 * wide, y[7], z[7] + 0.01), "top", f"rear {word}")


def _steering(b: ObjectBuilder, rng: np.random.Generator, f: BikeFrame, r: float, style: str) -> None:
    """Stem, handlebar with grips, and perhaps a basket in front of it."""
    axis = (f.head_top - f.head_low) / np.linalg.norm(f.head_top - f.head_low)
    rise = 0.03 if style == "race" else uniform(rng, 0.05, 0.12)
    clamp = f.head_top + rise * axis + np.array([0, -uniform(rng, 0.04, 0.09), 0.01])
    b.piece("stem", rod(f.head_top - 0.01 * axis, f.head_top + rise * axis, 0.8 * r), "second")
    b.piece("stem", rod(f.head_top + rise * axis, clamp, 0.8 * r), "second")
    b.keypoint("stem", "joint", clamp + np.array([0, 0, 0.8 * r]), "front top", "front")
    wide = uniform(rng, 0.2, 0.23) if style == "race" else uniform(rng, 0.26, 0.32)
    kind = "drop" if style == "race" else pick(rng, "flat", "swept") if style == "diamond" else "swept"
    half = {
        "flat": [(0, 0, 0), (0.3, 0, 0), (0.7, 0.02, 0.01), (1.0, 0.04, 0.01)],
        "swept": [(0, 0, 0), (0.3, -0.02, 0.03), (0.75, 0.0, 0.09), (0.98, 0.1, 0.09), (1.0, 0.2, 0.08)],
        "drop": [
            (0, 0, 0),
            (0.9, 0, 0),
            (1.0, -0.05, 0.0),
            (1.0, -0.1, -0.05),
            (1.0, -0.07, -0.12),
            (1.0, 0.03, -0.14),
        ],
    }[kind]
    points = np.array([(wide * x, y, z) for x, y, z in half]) + clamp
    for word, sign in (("left", 1), ("right", -1)):
        line = smooth(points, 4) * [sign, 1, 1]
        b.piece("handlebar", tube(line, 0.012), "metal")
        b.piece("handlebar", tube(line[-6:], 0.018), "tyre" if kind != "drop" else "saddle")
        b.keypoint("handlebar", "end", line[-1], f"front top {word}", "end" if False else word)
        b.keypoint("handlebar", "bend", line[len(line) // 2], f"front top {word}", "middle")
    b.keypoint("handlebar", "center", clamp + np.array([0, 0, 0.012]), "front top", "middle")
    if style != "race" and chance(rng, 0.4):
        tinted(b, "basket", pick(rng, "straw", "metal"), METALS + SKINS + DARKS)
        at = clamp + np.array([0, -0.16, -0.06])
        ring, height = rounded(0.34, 0.24, 0.05, segments=4), 0.2
        wall = [(1.0, height), (0.8, 0.0), (0.0, 0.0)]
        inside = lathe([(0.97 * s, z + 0.006) for s, z in wall], outline=ring)
        outside = lathe([(s, z) for s, z in wall[::-1]], outline=ring)
        b.piece("basket", merge(inside, outside).move(*(at - np.array([0, 0, height / 2]))), "basket")
        hoops = [
            tube(np.column_stack([np.vstack([ring, ring[:1]]) * s, np.full(17, z)]), 0.006, sides=5, caps=False)
            for s, z in ((1.0, height), (0.93, 0.65 * height), (0.86, 0.3 * height))
        ]
        b.piece("basket", merge(*hoops).move(*(at - np.array([0, 0, height / 2]))), "metal")
