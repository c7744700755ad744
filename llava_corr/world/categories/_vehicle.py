"""What cars, buses, vans and trucks share: looks, body skins, panes, wheels, lights, bumpers, mirrors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..objects import ObjectBuilder
from ..shapes import Mesh, merge, torus
from ._forms import BLACK, DARK, WHITE, Frame, Part, ball, block, disc, upright

_PAINTS = (
    WHITE,
    (0.7, 0.71, 0.73),
    (0.12, 0.12, 0.13),
    (0.7, 0.12, 0.1),
    (0.12, 0.25, 0.55),
    (0.85, 0.7, 0.15),
    (0.2, 0.4, 0.28),
    (0.55, 0.4, 0.3),
)


@dataclass(frozen=True)
class Chassis:
    """Length, half width, wheel radius, the y of both axles, and the height of the body's floor (metres)."""

    length: float
    half: float
    wheel: float
    front: float
    rear: float
    floor: float


def named(paco: str, ade: str) -> Part:
    return {"paco_lvis": paco, "ade20k_part_234": ade}


def vehicle_looks(b: ObjectBuilder) -> None:
    b.material("main", "paint", colours=_PAINTS)
    b.material("second", "paint", colours=_PAINTS)
    b.material("glass", "glass", colours=((0.1, 0.14, 0.18), (0.18, 0.24, 0.28)), fixed=True)
    b.material("tyre", "rubber", colours=(BLACK,), fixed=True)
    b.material("rim", "metal", colours=((0.75, 0.76, 0.78), (0.3, 0.3, 0.32)))
    b.material("trim", "plastic", "metal", colours=(DARK, (0.6, 0.6, 0.62)))
    b.material("lamp", "emissive", "glass", colours=((1.0, 0.97, 0.85),), fixed=True)
    b.material("tail", "plastic", colours=((0.8, 0.05, 0.05),), fixed=True)
    b.material("signal", "plastic", colours=((0.95, 0.55, 0.05),), fixed=True)
    b.material("plate", "metal", colours=(WHITE, (0.95, 0.85, 0.3)), fixed=True)


def shell(outline: ArrayLike, half: ArrayLike) -> Mesh:
    """Symmetric skin over a side outline of (y, z) points (counter-clockwise seen from the left, +x).

    ``half`` is the half width per point; both sides are closed by flat-shaded walls (the outline must be star-shaped).
    """
    points, width = np.asarray(outline, float), np.asarray(half, float)
    left = np.column_stack([width, points])
    right = left * (-1, 1, 1)
    n = len(left)
    k, m = np.arange(n), np.roll(np.arange(n), -1)
    hull = np.concatenate([left, right])
    skin = np.concatenate([np.stack([k, k + n, m], 1), np.stack([m, k + n, m + n], 1)])
    centre = left.mean(0)
    walls = [
        np.stack([side[k], side[m], np.broadcast_to(mid, side.shape)], 1)
        for side, mid in ((left, centre), (right, centre * (-1, 1, 1)))
    ]
    corners = np.concatenate([hull[skin], walls[0], walls[1][:, ::-1]])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    keep = length[:, 0] > 1e-12
    corners, normals = corners[keep], normals[keep] / length[keep]
    return Mesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), np.repeat(normals, 3, axis=0))


def wheels(f: Frame, c: Chassis, spokes: int) -> None:
    """Four wheels with tyres, rims and keypoints at the hubs."""
    wide = 0.62 * c.wheel
    x = c.half - 0.2 * wide
    tyre = torus(0.78 * c.wheel, 0.24 * c.wheel, segments=24, sides=10).rotate("y", 90).scale(1.25, 1, 1)
    face = disc(0.66 * c.wheel, 0.5 * wide, axis="x", segments=20)
    bars = [block(0.05, 0.1 * c.wheel, 1.2 * c.wheel).rotate("x", 180.0 * k / spokes) for k in range(spokes)]
    star = merge(disc(0.16 * c.wheel, 0.09, axis="x"), *bars).move(0.27 * wide)
    for word, y in (("front", c.front), ("rear", c.rear)):
        f.both("wheel", tyre.move(x, y, c.wheel), "tyre")
        f.both(named("rim", "wheel"), face.move(x, y, c.wheel), "trim")
        f.both(named("rim", "wheel"), star.move(x, y, c.wheel), "rim")
        f.pair("wheel", "center", (x + 0.27 * wide + 0.045, y, c.wheel), word)
        turn = np.radians(np.linspace(0, 180, 13))
        arch = np.column_stack([y + 1.13 * c.wheel * np.cos(turn), c.wheel + 1.13 * c.wheel * np.sin(turn)])
        f.both("", upright(arch, 0.03, c.half - 0.02), "tyre")


def pane(corners: ArrayLike, lift: float = 0.012) -> Mesh:
    """A window pane over four corner points (counter-clockwise seen from outside), lifted off the body."""
    p = np.asarray(corners, float)
    normal = np.cross(p[1] - p[0], p[3] - p[0])
    normal /= np.linalg.norm(normal)
    top = p + lift * normal
    faces = np.array([(0, 1, 2), (0, 2, 3)])
    return Mesh(top, faces, np.repeat(normal[None], 4, axis=0))


def side_pane(x: float, y0: float, y1: float, z0: float, z1: float, lift: float) -> Mesh:
    """An upright rectangle on the object's left side."""
    return pane([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], lift)


def doors(f: Frame, part: Part, c: Chassis, y: tuple[float, float], sill: float, *, handle: Part, where: str) -> None:
    """A pair of side doors from the floor to the sill between two y, with seams and handles near their rear edge."""
    x, low = 0.984 * c.half, c.floor + 0.11
    f.both(part, side_pane(x, *y, low, sill - 0.02, 0.009), "main")
    f.both(part, merge(*(side_pane(x, e - 0.009, e + 0.009, low, sill, 0.013) for e in y)), "trim")
    grip = (x + 0.02, y[1] - 0.2, sill - 0.11)
    f.both(handle, block(0.03, 0.17, 0.032, grip), "trim")
    f.pair("handle", "center", (grip[0] + 0.015, *grip[1:]), where)


def lights(f: Frame, c: Chassis, front: tuple[float, float], rear: tuple[float, float], size: float) -> None:
    """Lamps, plates, mirrors' companions: (y, z) of the lamp centres at the front and the rear."""
    x = 0.76 * c.half
    f.both("headlight", ball(1.3 * size, 0.5 * size, 0.8 * size, (x, *front), segments=12), "lamp")
    f.pair("headlight", "center", (x, front[0] - 0.5 * size, front[1]), "front")
    f.both(
        named("turnsignal", ""),
        ball(0.45 * size, 0.4 * size, 0.6 * size, (x + 1.5 * size, front[0] + 0.04, front[1]), segments=8),
        "signal",
    )
    tail: Part = {"paco_lvis": "taillight", "ade20k_part_234": ""}
    f.both(tail, block(1.6 * size, 0.06, 1.3 * size, (x + 0.3 * size, *rear)), "tail")
    f.pair("taillight", "center", (x + 0.3 * size, rear[0] + 0.03, rear[1]), "rear")


def bumper(f: Frame, c: Chassis, y: float, z: float, tall: float, material: str, front: bool) -> None:
    f.piece("bumper", block(1.92 * c.half, 0.16, tall, (0, y, z)), material)
    sign = -1 if front else 1
    f.pair("bumper", "corner", (0.96 * c.half, y + sign * 0.08, z), "front" if front else "rear")
    f.piece(named("sign", "license plate"), block(0.46, 0.02, 0.12, (0, y + sign * 0.085, z)), "plate")


def mirrors(f: Frame, at: tuple[float, float, float], size: float) -> None:
    x, y, z = at
    f.both("mirror", ball(0.9 * size, 0.45 * size, 0.7 * size, (x + 0.9 * size, y, z), segments=10), "main")
    f.pair("mirror", "center", (x + 0.9 * size, y - 0.45 * size, z))
