"""Mesh helpers of the everyday families: skins over free cross-sections, straps, plates, tiles, repeated copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..shapes import Floats, Mesh, cross, lathe, merge, tube
from ._forms import smooth


def skin(sections: ArrayLike, *, crisp: bool = False, caps: bool = True) -> Mesh:
    """Surface through P closed cross-sections of K points each (P x K x 3); ``crisp`` keeps the K edges sharp.

    Faces come in column order per section (see :func:`skin_faces`), turned outwards; a skin whose last section equals
    the first is a ring and gets no caps.
    """
    p = np.asarray(sections, float)
    q = _next(p, 1)
    ring = _closes(p)
    quads = cross(q[1:] - p[:-1], p[1:] - q[:-1])
    normals = np.zeros_like(p)
    normals[:-1] += quads
    normals[1:] += quads
    if ring:
        normals[0] = normals[-1] = quads[0] + quads[-1]
    if crisp:
        corners, normals = np.stack([p, q], 2), np.stack([normals, normals], 2)
    else:
        corners, normals = p, normals + np.concatenate([normals[:, -1:], normals[:, :-1]], axis=1)
    normals = _unit(normals.reshape(-1, 3))
    index = np.arange(len(normals)).reshape(corners.shape[:-1])
    left, right = (index[..., 0], index[..., 1]) if crisp else (index, _next(index, 1))
    a, b_, c, d = left[:-1].ravel(), right[:-1].ravel(), right[1:].ravel(), left[1:].ravel()
    faces = np.concatenate([np.stack([a, b_, c], 1), np.stack([a, c, d], 1)])
    mesh = Mesh(corners.reshape(-1, 3), faces, normals)
    if caps and not ring:
        mesh = merge(mesh, _cap(p[0][::-1]), _cap(p[-1]))
    return mesh if _volume(p) > 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1], -mesh.normals)


def skin_faces(mesh: Mesh, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Face mask of a skin from a (P - 1) x K grid of flags; caps are left out."""
    mask = np.zeros(len(mesh.faces), bool)
    flags = np.tile(inside.ravel(), 2)
    mask[: len(flags)] = flags
    return mask


def _closes(stations: Floats) -> bool:
    return bool(np.abs(stations[0] - stations[-1]).max() < 1e-9)


def _next(values: NDArray, axis: int = 0) -> NDArray:
    """The values shifted by one, cyclically."""
    return np.concatenate([values[1:], values[:1]]) if axis == 0 else np.concatenate([values[:, 1:], values[:, :1]], 1)


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("...c,...c->...", vectors, vectors))[..., None]
    return np.where(length > 1e-15, vectors / np.maximum(length, 1e-15), [0.0, 0.0, 1.0])


def _cap(ring: Floats) -> Mesh:
    count = len(ring)
    centre = ring.sum(0) / count
    normal = _unit(cross(ring - centre, _next(ring) - centre).sum(0))
    index = np.arange(count)
    faces = np.stack([np.full(count, count), index, _next(index)], 1)
    return Mesh(np.concatenate([ring, centre[None]]), faces, np.repeat(normal[None], count + 1, axis=0))


def _volume(sections: Floats) -> float:
    """Six times the signed volume of a skin with flat caps (only its sign is used)."""
    p = sections - sections.mean((0, 1))
    q = _next(p, 1)
    a, b_, c, d = p[:-1], q[:-1], q[1:], p[1:]
    total = float(np.sum(a * cross(b_, c)) + np.sum(a * cross(c, d)))
    for ring, sign in ((p[0], -1.0), (p[-1], 1.0)):
        centre = ring.mean(0)
        total += sign * float(np.sum(centre * cross(ring, _next(ring))))
    return total


def strap(path: ArrayLike, width: ArrayLike, thickness: ArrayLike, across: str = "x") -> Mesh:
    """Flat band along a path (P x 3) perpendicular to the ``across`` axis; sizes are one number or one per point."""
    path = np.asarray(path, float)
    side = np.eye(3)["xyz".index(across)]
    tangent = np.gradient(path, axis=0)
    if _closes(path):
        tangent[0] = tangent[-1] = path[1] - path[-2]
    normal = _unit(cross(tangent, side))
    half = np.broadcast_to(np.asarray(width, float), len(path))[:, None] / 2 * side
    up = np.broadcast_to(np.asarray(thickness, float), len(path))[:, None] / 2 * normal
    return skin(np.stack([path + half + up, path - half + up, path - half - up, path + half - up], 1), crisp=True)


def plate(a: ArrayLike, b: ArrayLike, thick_a: ArrayLike, thick_b: ArrayLike | None = None) -> Mesh:
    """Flat solid between two curves (P x 2 each, in the xy plane), centred on z = 0, with a thickness per curve."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    ta = np.broadcast_to(np.asarray(thick_a, float), len(a)) / 2
    tb = ta if thick_b is None else np.broadcast_to(np.asarray(thick_b, float), len(a)) / 2
    corners = [np.column_stack([c, z]) for c, z in ((a, ta), (b, tb), (b, -tb), (a, -ta))]
    return skin(np.stack(corners, 1), crisp=True)


def tile(x: float, y: float, z: float, corner: float, bevel: float = 0.0, *, segments: int = 5) -> Mesh:
    """Slab with round corners and bevelled upper and lower edges, centred (phones, laptops, trays)."""
    outline = rounded(x, y, corner, segments=segments) / (x / 2)
    half, inset, radius = z / 2, min(bevel, 0.45 * z), x / 2
    low, high = (0, radius - inset), (radius, radius)
    profile = [
        (low[0], -half), (low[1], -half), (high[0], -half + inset), (high[1], half - inset), (low[1], half), (0, half),
    ]  # fmt: skip
    return lathe(profile, outline=outline)


def rounded(x: float, y: float, radius: float, *, segments: int = 5) -> Floats:
    """Counter-clockwise outline of a rectangle with round corners, ``4 * segments`` x 2."""
    radius = min(radius, 0.499 * x, 0.499 * y)
    angles = np.linspace(0, np.pi / 2, segments)
    turns = (angles + np.pi / 2 * np.arange(4)[:, None]).ravel()
    signs = np.repeat([(1, 1), (-1, 1), (-1, -1), (1, -1)], segments, axis=0)
    return np.column_stack([np.cos(turns), np.sin(turns)]) * radius + signs * [x / 2 - radius, y / 2 - radius]


def superellipse(x: float, y: float, power: float = 2.5, *, points: int = 24) -> Floats:
    """Counter-clockwise outline with these half-axes: 2 an ellipse, larger nearer to a rectangle."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    cosine, sine = np.cos(angles), np.sin(angles)
    scale = (np.abs(cosine) ** power + np.abs(sine) ** power) ** (-1 / power)
    return np.column_stack([x * scale * cosine, y * scale * sine])


def repeated(mesh: Mesh, offsets: ArrayLike) -> Mesh:
    """Copies of a mesh at N x 3 offsets, as one mesh (keys, spokes, slats)."""
    shift = np.asarray(offsets, float)
    count = len(shift)
    vertices = (mesh.vertices[None] + shift[:, None]).reshape(-1, 3)
    faces = (mesh.faces[None] + (len(mesh.vertices) * np.arange(count))[:, None, None]).reshape(-1, 3)
    return Mesh(vertices, faces, np.tile(mesh.normals, (count, 1)))


def around(mesh: Mesh, count: int, *, start: float = 0.0, span: float = 360.0, axis: str = "z") -> Mesh:
    """Copies of a mesh turned about an axis, ``count`` of them over ``span`` degrees (lugs, spokes, vents)."""
    return merge(*(mesh.rotate(axis, start + span * k / count) for k in range(count)))


def grid(columns: int, rows: int, dx: float, dy: float, z: float = 0.0) -> Floats:
    """Centred grid of offsets, ``columns * rows`` x 3."""
    gx, gy = np.meshgrid((np.arange(columns) - (columns - 1) / 2) * dx, (np.arange(rows) - (rows - 1) / 2) * dy)
    return np.column_stack([gx.ravel(), gy.ravel(), np.full(columns * rows, z)])


def aim(mesh: Mesh, at: ArrayLike, direction: ArrayLike) -> Mesh:
    """Turns the z axis of a mesh into ``direction`` and moves its origin to ``at``."""
    z = np.asarray(direction, float)
    z = z / np.linalg.norm(z)
    x = cross(np.eye(3)[1 if abs(z[1]) < 0.9 else 0], z)
    x /= np.linalg.norm(x)
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([x, cross(z, x), z])
    matrix[:3, 3] = np.asarray(at, float)
    return mesh.transform(matrix)


def lie(mesh: Mesh, y: float = 0.0, z: float = 0.0) -> Mesh:
    """Lays an upright mesh down: its top points to the front, its foot lies at ``y``."""
    return mesh.rotate("x", 90).move(y=y, z=z)


def cord(points: ArrayLike, radius: float, *, steps: int = 4, sides: int = 6) -> Mesh:
    """Round cable along a smooth curve through the points."""
    return tube(smooth(points, steps), radius, sides=sides)
