"""Helpers that several families of category programs share: lofts, quick primitives, mirrored pairs, markings.

Everything is in object coordinates (metres, z up, front -y, the object's own left +x).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..objects import ObjectBuilder
from ..shapes import Floats, Mesh, _grid, box, cross, cylinder, ellipsoid, extrude, rotation

Part = str | Mapping[str, str]

BLACK = (0.03, 0.03, 0.03)
DARK = (0.12, 0.1, 0.1)
WHITE = (0.92, 0.92, 0.9)
IVORY = (0.86, 0.8, 0.66)
STEEL = (0.62, 0.63, 0.65)
PINK = (0.85, 0.55, 0.52)


@lru_cache(maxsize=32)
def _unit_ellipsoid(segments: int) -> Mesh:
    return ellipsoid(1, 1, 1, segments=segments)


@lru_cache(maxsize=1)
def _unit_box() -> Mesh:
    return box(1, 1, 1)


@lru_cache(maxsize=32)
def _unit_cylinder(segments: int) -> Mesh:
    return cylinder(1, 1, segments=segments)


def ball(x: float, y: float, z: float, at: ArrayLike = (0, 0, 0), *, segments: int = 12) -> Mesh:
    """Ellipsoid with these half-axes around a point."""
    return _placed(_unit_ellipsoid(segments), (x, y, z), at)


def block(x: float, y: float, z: float, at: ArrayLike = (0, 0, 0)) -> Mesh:
    """Sharp-edged box with these side lengths around a point."""
    return _placed(_unit_box(), (x, y, z), at)


def soft_block(x: float, y: float, z: float, at: ArrayLike = (0, 0, 0), *, bevel: float = 0.03) -> Mesh:
    """Box with round edges around a point (cushions, casings)."""
    px, py, pz = np.asarray(at, float)
    return box(x, y, z, bevel=bevel).move(px, py, pz)


def disc(radius: float, height: float, at: ArrayLike = (0, 0, 0), *, axis: str = "z", segments: int = 16) -> Mesh:
    """Cylinder around a point, along a coordinate axis."""
    mesh = _unit_cylinder(segments).scale(radius, radius, height)
    if axis != "z":
        mesh = mesh.rotate("y", 90) if axis == "x" else mesh.rotate("x", 90)
    px, py, pz = np.asarray(at, float)
    return mesh.move(px, py, pz)


def _placed(mesh: Mesh, size: tuple[float, float, float], at: ArrayLike) -> Mesh:
    scale = np.array(size, float)
    return Mesh(mesh.vertices * scale + np.asarray(at, float), mesh.faces, _unit(mesh.normals / scale))


def rod(start: ArrayLike, end: ArrayLike, radius: float, tip: float | None = None, *, sides: int = 8) -> Mesh:
    """Straight capped bar between two points; ``tip`` is another radius at the end (legs, spindles, pipes)."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = b - a
    length = max(float(np.linalg.norm(along)), 1e-9)
    along = along / length
    helper = np.array([1.0, 0.0, 0.0]) if abs(along[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    u = cross(along, helper)
    u /= np.linalg.norm(u)
    frame = np.column_stack([u, cross(along, u), along])
    unit = _unit_cylinder(sides)
    scale = np.where(unit.vertices[:, 2] < 0, radius, radius if tip is None else max(tip, 1e-4))
    local = unit.vertices * np.column_stack([scale, scale, np.full(len(scale), length)])
    slope = 0.0 if tip is None else (radius - tip) / length
    tilt = np.where(np.abs(unit.normals[:, 2]) < 0.5, slope, 0.0)
    normals = unit.normals + np.column_stack([np.zeros((len(tilt), 2)), tilt])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(local @ frame.T + (a + b) / 2, unit.faces, normals @ frame.T)


@lru_cache(maxsize=64)
def _catmull_rom(stations: int, steps: int) -> Floats:
    """Samples x stations matrix that turns station rows into points of the curve through them."""
    rows = np.eye(stations)
    padded = np.concatenate([2 * rows[:1] - rows[1:2], rows, 2 * rows[-1:] - rows[-2:-1]])
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return np.concatenate([curve.reshape(-1, stations), rows[-1:]])


def smooth(stations: ArrayLike, steps: int) -> Floats:
    """Catmull-Rom curve through the rows of an S x C array, ``steps`` samples per span."""
    rows = np.asarray(stations, float)
    return _catmull_rom(len(rows), steps) @ rows


@lru_cache(maxsize=64)
def _ring(sides: int, boxy: float) -> tuple[Floats, Floats]:
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    cosine, sine = np.cos(angles), np.sin(angles)
    norm = (np.abs(cosine) ** boxy + np.abs(sine) ** boxy) ** (1 / boxy)
    return cosine / norm, sine / norm


@lru_cache(maxsize=128)
def _ring_faces(rows: int, sides: int) -> np.ndarray:
    return _grid(np.zeros((rows, sides, 3)), close_u=True)[1]


def _unit(vectors: Floats) -> Floats:
    """Unit vectors along the last axis; zero stays zero."""
    length = np.sqrt(np.einsum("...k,...k->...", vectors, vectors))
    return vectors / np.maximum(length, 1e-12)[..., None]


def _difference(values: Floats) -> Floats:
    """Central differences along the first axis, one-sided at the ends (direction only)."""
    return np.concatenate([values[1:2] - values[:1], values[2:] - values[:-2], values[-1:] - values[-2:-1]])


def loft(
    stations: ArrayLike, *, steps: int = 3, sides: int = 12, caps: tuple[float, float] = (0.6, 0.6), boxy: float = 2.0
) -> Mesh:
    """Smooth closed skin through elliptical cross-sections.

    Args:
        stations: S x 5 rows (x, y, z, half width along x, half height across the path); the path must not run along x.
        steps: rings per span. sides: points per ring.
        caps: how far the rounded ends reach, in units of the end's radius (0 for flat).
        boxy: exponent of the cross-section (2 ellipse, larger nearer to a rectangle).
    """
    rows = smooth(stations, steps)
    rows[:, 3:] = np.maximum(rows[:, 3:], 1e-4)
    tangent = _difference(rows[:, :3])
    tangent[:, 0] = 0  # rings stay parallel to the x axis, so that left and right mirror
    rows, tangent = _with_caps(rows, _unit(tangent), caps)
    cosine, sine = _ring(sides, boxy)
    points = np.empty((len(rows), sides, 3))
    points[..., 0] = rows[:, :1] + rows[:, 3:4] * cosine
    points[..., 1] = rows[:, 1:2] + rows[:, 4:5] * sine * tangent[:, 2:]
    points[..., 2] = rows[:, 2:3] - rows[:, 4:5] * sine * tangent[:, 1:2]
    ring = np.concatenate([points[:, -1:], points, points[:, :1]], axis=1)
    a, f = ring[:, 2:] - ring[:, :-2], _difference(points)
    normals = np.stack([a[..., 1] * f[..., 2] - a[..., 2] * f[..., 1], a[..., 2] * f[..., 0] - a[..., 0] * f[..., 2],
                        a[..., 0] * f[..., 1] - a[..., 1] * f[..., 0]], -1)  # fmt: skip
    normals[0], normals[-1] = -tangent[0], tangent[-1]
    return Mesh(points.reshape(-1, 3), _ring_faces(len(rows), sides), _unit(normals).reshape(-1, 3))


_CAP_SINE, _CAP_COSINE = np.sin(np.radians([35.0, 65.0, 90.0])), np.array([0.82, 0.42, 0.001])


def _with_caps(rows: Floats, tangent: Floats, caps: tuple[float, float]) -> tuple[Floats, Floats]:
    """Adds three shrinking rings at both ends."""
    pieces, directions = [rows], [tangent]
    for end, reach in ((0, -caps[0]), (-1, caps[1])):
        cap = np.repeat(rows[end][None], 3, axis=0)
        cap[:, :3] += (reach * rows[end, 3:].min() * _CAP_SINE)[:, None] * tangent[end]
        cap[:, 3:] *= _CAP_COSINE[:, None]
        facing = np.repeat(tangent[end][None], 3, axis=0)
        pieces = [cap[::-1], *pieces] if end == 0 else [*pieces, cap]
        directions = [facing, *directions] if end == 0 else [*directions, facing]
    return np.concatenate(pieces), np.concatenate(directions)


def select(mesh: Mesh, faces: np.ndarray) -> Mesh:
    """The sub-mesh of some faces (bool per face), without unused vertices."""
    kept = mesh.faces[faces]
    used = np.zeros(len(mesh.vertices), bool)
    used[kept] = True
    renumber = np.cumsum(used) - 1
    return Mesh(mesh.vertices[used], renumber[kept], mesh.normals[used])


def outermost(mesh: Mesh, through: ArrayLike, way: ArrayLike) -> Floats:
    """The farthest point in direction ``way`` where the line through a point meets the mesh; the point if none does."""
    start, way = np.asarray(through, float), np.asarray(way, float)
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    slope = normal @ way
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.einsum("ij,ij->i", normal, a - start) / slope
        point = start + distance[:, None] * way
        inside = slope != 0
        for p, q in ((a, b), (b, c), (c, a)):
            inside &= np.einsum("ij,ij->i", np.cross(q - p, point - p), normal) >= -1e-9 * np.abs(slope)
    return start if not inside.any() else point[inside][np.argmax(distance[inside])]


def relief(mesh: Mesh, height: float, wave: float, phase: float = 0.0) -> Mesh:
    """Lumps of this height and wavelength on a smooth mesh (wool, foliage)."""
    v = mesh.vertices * (2 * np.pi / wave) + phase
    lumps = np.sin(v[:, 0] + np.sin(v[:, 1])) * np.sin(v[:, 1] + 0.7) * np.sin(v[:, 2] + np.sin(v[:, 0]))
    vertices = mesh.vertices + height * lumps[:, None] * mesh.normals
    corners = vertices[mesh.faces]
    flat = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = mesh.faces.T.ravel()
    normals = np.stack([np.bincount(index, np.tile(flat[:, k], 3), len(vertices)) for k in range(3)], 1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(vertices, mesh.faces, np.where(length > 1e-12, normals / np.maximum(length, 1e-12), mesh.normals))


def spikes(bases: ArrayLike, tips: ArrayLike, radius: float, *, sides: int = 6) -> Mesh:
    """Cones over horizontal rings around N x 3 bases, open below (teeth, crests, bristles)."""
    bases, tips = np.atleast_2d(np.asarray(bases, float)), np.atleast_2d(np.asarray(tips, float))
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    spokes = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(sides)])
    if tips[0, 2] < bases[0, 2]:
        spokes = spokes * (1, -1, 1)
    rings = bases[:, None] + radius * spokes
    flat = np.tile(spokes, (len(bases), 1, 1))
    vertices = np.concatenate([rings, np.repeat(tips[:, None], sides, axis=1)], axis=1).reshape(-1, 3)
    k = np.arange(sides)
    one = np.stack([k, np.roll(k, -1), k + sides], 1)
    faces = (one + 2 * sides * np.arange(len(bases))[:, None, None]).reshape(-1, 3)
    return Mesh(vertices, faces, np.concatenate([flat, flat], axis=1).reshape(-1, 3))


def cut(mesh: Mesh, test: Callable[[Floats], np.ndarray]) -> tuple[Mesh, Mesh]:
    """Parts a mesh in two: the faces at whose centre the test holds, and the others."""
    chosen = test(mesh.vertices[mesh.faces].mean(1))
    return select(mesh, chosen), select(mesh, ~chosen)


def wing(stations: ArrayLike, *, steps: int = 3, sides: int = 12) -> Mesh:
    """Loft towards the left: rows (outwards, forwards, up, half chord, half thickness)."""
    rows = np.asarray(stations, float)
    mesh = loft(rows[:, [1, 0, 2, 3, 4]], steps=steps, sides=sides, caps=(0.0, 1.0))
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return Mesh(mesh.vertices @ turned, mesh.faces, mesh.normals @ turned)


def upright(outline: ArrayLike, thickness: float, x: float = 0.0) -> Mesh:
    """Plate in the plane of symmetry (or parallel to it) with an outline of (y, z) points: fins, sails, panels."""
    return turned_up(extrude(outline, thickness)).move(x)


def turned_up(mesh: Mesh) -> Mesh:
    """Turns the axes x, y, z into y, z, x."""
    order = [2, 0, 1]
    return Mesh(mesh.vertices[:, order], mesh.faces, mesh.normals[:, order])


def shifted(point: ArrayLike, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Floats:
    return np.asarray(point, float) + np.array([x, y, z])


def mirrored(mesh: Mesh) -> Mesh:
    """Mirror image across the plane x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    return Mesh(mesh.vertices * flip, mesh.faces[:, ::-1], mesh.normals * flip)


Layers = Sequence[tuple[str, Callable[[Floats], np.ndarray]]]


@dataclass(frozen=True)
class Frame:
    """A builder seen from a local coordinate system (a head, a leg): what is added is moved by ``matrix`` first."""

    b: ObjectBuilder
    matrix: Floats = field(default_factory=lambda: np.eye(4))

    def piece(self, part: Part, mesh: Mesh, material: str = "main") -> None:
        self.b.piece(part, self.moved(mesh), material)

    def moved(self, mesh: Mesh) -> Mesh:
        """The mesh in object coordinates; the matrix must be a rotation times a uniform scale."""
        turn = self.matrix[:3, :3].T
        scale = np.sqrt(turn[0] @ turn[0])
        return Mesh(mesh.vertices @ turn + self.matrix[:3, 3], mesh.faces, mesh.normals @ (turn / scale))

    def both(self, part: Part, mesh: Mesh, material: str = "main") -> None:
        """Adds a mesh made for the left side and its mirror image."""
        self.piece(part, mesh, material)
        self.piece(part, mirrored(mesh), material)

    def painted(self, part: Part, mesh: Mesh, layers: Layers, base: str = "main") -> None:
        """Adds a mesh whose faces take the material of the first layer that holds at their centre, else ``base``."""
        if not layers:
            self.piece(part, mesh, base)
            return
        a, c, d = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
        centres = (a + c + d) / 3
        mesh = self.moved(mesh)
        left = np.ones(len(centres), bool)
        for material, test in layers:
            chosen = left & test(centres)
            if chosen.any():
                self.b.piece(part, select(mesh, chosen), material)
            left &= ~chosen
        if left.any():
            self.b.piece(part, select(mesh, left), base)

    def keypoint(self, part: str, point: str, at: ArrayLike, part_position: str = "", point_position: str = "") -> None:
        moved = self.matrix[:3, :3] @ np.asarray(at, float) + self.matrix[:3, 3]
        self.b.keypoint(part, point, moved, part_position, point_position)

    def pair(self, part: str, point: str, at: ArrayLike, part_position: str = "", point_position: str = "") -> None:
        """Adds a keypoint of the left side and its mirror twin of the right side."""
        x, y, z = np.asarray(at, float)
        for word, sign in (("left", 1.0), ("right", -1.0)):
            self.keypoint(part, point, (sign * x, y, z), f"{part_position} {word}".strip(), point_position)


def placed(x: float = 0, y: float = 0, z: float = 0, *turns: tuple[str, float]) -> Floats:
    """4 x 4 matrix: the turns (axis, degrees) in the given order, then the shift."""
    matrix = np.eye(4)
    for axis, degrees in turns:
        matrix = rotation(axis, degrees) @ matrix
    matrix[:3, 3] = x, y, z
    return matrix


def compass(x: float, y: float) -> str:
    """Where a point lies around the z axis, in eight words: "front", "front left", "left", ..."""
    words = ("front", "front left", "left", "rear left", "rear", "rear right", "right", "front right")
    return words[round(float(np.degrees(np.arctan2(x, -y))) / 45) % 8]


def ranked(index: int, count: int, low: str, high: str) -> str:
    """Words for the ``index``-th of up to five things in a row: low, "middle low", middle, "middle high", high."""
    words = {1: ("",), 2: (low, high), 3: (low, "middle", high), 4: (low, f"middle {low}", f"middle {high}", high)}
    return words.get(count, (low, f"middle {low}", "middle", f"middle {high}", high))[index]


def settle(b: ObjectBuilder) -> None:
    """Shifts what was built so that it stands on z = 0."""
    low = min(float(p.mesh.vertices[:, 2].min()) for p in b.pieces)
    if abs(low) > 1e-3:
        b.pieces[:] = [replace(p, mesh=p.mesh.move(z=-low)) for p in b.pieces]
        b.keypoints[:] = [replace(k, at=shifted(k.at, z=-low)) for k in b.keypoints]


def pick(rng: np.random.Generator, *options: str) -> str:
    """One of several discrete styles."""
    return options[int(rng.integers(len(options)))]


def near(rng: np.random.Generator, value: float, spread: float = 0.1) -> float:
    """A value within plus or minus ``spread`` (relative) of ``value``."""
    return float(value * rng.uniform(1 - spread, 1 + spread))
