"""Where objects go: footprints that do not overlap, tight clutter, cameras that hold everything in view.

Two objects cannot meet when their upright boxes do not: every check here is about oriented rectangles on the ground.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .camera import Camera, look_at
from .scene import Placed

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Footprint:
    """An oriented rectangle on the ground: centre (x, y), half side lengths, angle in radians."""

    centre: Floats
    half: Floats
    angle: float

    def axes(self) -> Floats:
        """2 x 2: the unit vectors along its sides, as rows."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cosine, sine], [-sine, cosine]])

    def corners(self) -> Floats:
        """4 x 2."""
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return self.centre + (signs * self.half) @ self.axes()

    def grown(self, margin: float) -> Footprint:
        return Footprint(self.centre, self.half + margin, self.angle)

    def moved(self, to: Floats) -> Footprint:
        return Footprint(to, self.half, self.angle)


def overlap(first: Footprint, second: Footprint) -> bool:
    """Whether two rectangles share an area (separating axes; in plain numbers, which is fastest for two)."""
    x, y = float(second.centre[0] - first.centre[0]), float(second.centre[1] - first.centre[1])
    a, b = (float(v) for v in first.half)
    c, d = (float(v) for v in second.half)
    if math.hypot(x, y) >= math.hypot(a, b) + math.hypot(c, d):
        return False
    turn = second.angle - first.angle
    cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
    for angle, near, far, width, depth in ((first.angle, a, b, c, d), (second.angle, c, d, a, b)):
        u, v = math.cos(angle), math.sin(angle)
        if abs(x * u + y * v) >= near + width * cosine + depth * sine:
            return False
        if abs(y * u - x * v) >= far + width * sine + depth * cosine:
            return False
    return True


def footprint(bounds: Floats, scale: float, yaw: float) -> Footprint:
    """The rectangle of an object with these bounds (2 x 3, object coordinates), turned and scaled at the origin."""
    middle = bounds.mean(0)[:2] * scale
    cosine, sine = np.cos(yaw), np.sin(yaw)
    centre = np.array([cosine * middle[0] - sine * middle[1], sine * middle[0] + cosine * middle[1]])
    return Footprint(centre, np.ptp(bounds, axis=0)[:2] / 2 * scale, yaw)


def pack(
    shape: Footprint, others: Sequence[Footprint], rng: np.random.Generator, *, gap: float, stretch: float = 1.0
) -> Footprint:
    """Slides a rectangle outwards from near the middle to the first place free of the others; always succeeds.

    Args:
        gap: least distance to the others.
        stretch: more than 1 spreads the cluster along x rather than y.
    """
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle) * stretch, np.sin(angle) / stretch])
    direction /= np.linalg.norm(direction)
    start = rng.normal(0, 0.3, 2) * shape.half.min()
    grown = shape.grown(gap)
    way = 0.0
    for enters, leaves in sorted(_passage(grown, start, direction, other) for other in others):
        if enters < way + 1e-9:
            way = max(way, leaves)
    return shape.moved(start + direction * way)


def _passage(moving: Footprint, start: Floats, direction: Floats, other: Footprint) -> tuple[float, float]:
    """Between which distances along its way (from ``start``) a rectangle overlaps another; (inf, inf) for never."""
    x, y = float(other.centre[0] - start[0]), float(other.centre[1] - start[1])
    dx, dy = float(direction[0]), float(direction[1])
    enters, leaves = -math.inf, math.inf
    for axis_of, across in ((moving, other), (other, moving)):
        turn = across.angle - axis_of.angle
        cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
        near, far = (float(v) for v in axis_of.half)
        width, depth = (float(v) for v in across.half)
        u, v = math.cos(axis_of.angle), math.sin(axis_of.angle)
        for apart, speed, reach in (
            (x * u + y * v, dx * u + dy * v, near + width * cosine + depth * sine),
            (y * u - x * v, dy * u - dx * v, far + width * sine + depth * cosine),
        ):
            if abs(speed) > 1e-12:
                enters = max(enters, (apart - math.copysign(reach, speed)) / speed)
                leaves = min(leaves, (apart + math.copysign(reach, speed)) / speed)
            elif abs(apart) >= reach:
                return math.inf, math.inf
    return (enters, leaves) if enters < leaves else (math.inf, math.inf)


def frame(
    corners: Floats, *, azimuth: float, elevation: float, field_of_view: float, fill: float, size: tuple[int, int],
    shift: Floats | None = None,
) -> Camera:  # fmt: skip
    """The camera in this direction that is as near as it can be with all points inside ``fill`` of the picture.

    Args:
        corners: N x 3 world points that should be seen.
        azimuth: degrees; 0 looks along +y (at the objects' fronts), positive stands further to +x.
        elevation: degrees above the horizon.
        fill: share of the half width that the points may reach; above 1 some are cut off.
        shift: moves the target (x, y, z), which pans the picture.
    """
    low, high = corners.min(0), corners.max(0)
    target = (low + high) / 2
    a, e = np.radians(azimuth), np.radians(elevation)
    away = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
    probe = look_at(target + away, target, field_of_view=field_of_view, size=size)
    local = (corners - target) @ probe.rotation.T
    limit = fill * np.array([size[1], size[0]]) / 2 / probe.focal
    distance = float((np.abs(local[:, :2]) / limit - local[:, 2:]).max())
    distance = max(distance, float(-local[:, 2].min()) + 0.05)
    moved = target + (0 if shift is None else shift)
    return look_at(moved + away * distance, moved, field_of_view=field_of_view, size=size)


def all_corners(items: Sequence[Placed]) -> Floats:
    """The box corners of several items, N x 3."""
    return np.concatenate([item.corners() for item in items])
