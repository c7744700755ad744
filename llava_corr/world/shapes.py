"""Meshes as plain arrays: the primitives of which category programs build their parts.

Every primitive is centred as its docstring says, has outward normals (smooth where the surface is round, split along
sharp edges), and lives in object coordinates: metres, z up, the object's front towards -y, its left towards +x.
Axis letters: V vertices, F triangles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Mesh:
    """Triangles with a normal per vertex.

    Attributes:
        vertices: V x 3.
        faces: F x 3 vertex indices, counter-clockwise seen from outside.
        normals: V x 3, unit length.
    """

    vertices: Floats
    faces: Ints
    normals: Floats

    def transform(self, matrix: ArrayLike) -> Mesh:
        """Applies a 4 x 4 affine matrix; mirrored meshes are turned inside out again."""
        matrix = np.asarray(matrix, float)
        linear = matrix[:3, :3]
        normals = self.normals @ np.linalg.inv(linear)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        faces = self.faces[:, ::-1] if np.linalg.det(linear) < 0 else self.faces
        return Mesh(self.vertices @ linear.T + matrix[:3, 3], faces, normals)

    def move(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        return Mesh(self.vertices + np.array([x, y, z]), self.faces, self.normals)

    def rotate(self, axis: str, degrees: float) -> Mesh:
        """Turns about the x, y or z axis through the origin, right-handed."""
        turn = rotation(axis, degrees)[:3, :3].T
        return Mesh(self.vertices @ turn, self.faces, self.normals @ turn)

    def scale(self, x: float, y: float | None = None, z: float | None = None) -> Mesh:
        return self.transform(np.diag([x, x if y is None else y, x if z is None else z, 1.0]))

    def mirror(self, axis: str = "x") -> Mesh:
        """Mirror image across the plane through the origin with this normal axis."""
        signs = np.ones(3)
        signs["xyz".index(axis)] = -1
        return Mesh(self.vertices * signs, self.faces[:, ::-1], self.normals * signs)

    def taper(self, top: float, axis: str = "z") -> Mesh:
        """Scales the cross-section linearly along ``axis``: 1 at the low end, ``top`` at the high end."""
        a = "xyz".index(axis)
        height = self.vertices[:, a]
        span = max(float(np.ptp(height)), 1e-9)
        factor = 1 + (top - 1) * (height - height.min()) / span
        vertices = self.vertices * factor[:, None]
        vertices[:, a] = height
        return Mesh(vertices, self.faces, self.normals)

    def bend(self, degrees: float, axis: str = "x") -> Mesh:
        """Bends the z axis into an arc that turns by ``degrees`` over the mesh's height (towards -y or +x)."""
        angle = np.radians(degrees)
        if abs(angle) < 1e-6:
            return self
        sideways = 1 if axis == "x" else 0
        z = self.vertices[:, 2]
        low, span = float(z.min()), max(float(np.ptp(z)), 1e-9)
        radius = span / angle
        theta = (z - low) / span * angle
        vertices, normals = self.vertices.copy(), self.normals.copy()
        sign = -1.0 if axis == "x" else 1.0
        offset = sign * self.vertices[:, sideways]
        vertices[:, sideways] = sign * (radius - (radius - offset) * np.cos(theta))
        vertices[:, 2] = low + (radius - offset) * np.sin(theta)
        across = sign * self.normals[:, sideways]
        normals[:, sideways] = sign * (across * np.cos(theta) + self.normals[:, 2] * np.sin(theta))
        normals[:, 2] = -across * np.sin(theta) + self.normals[:, 2] * np.cos(theta)
        return Mesh(vertices, self.faces, normals)


def rotation(axis: str, degrees: float) -> Floats:
    """4 x 4 rotation about a coordinate axis."""
    a = "xyz".index(axis)
    i, j = (a + 1) % 3, (a + 2) % 3
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[i, i] = matrix[j, j] = cosine
    matrix[i, j], matrix[j, i] = -sine, sine
    return matrix


def cross(a: Floats, b: Floats) -> Floats:
    """Vector product over the last axis (several times faster on small arrays than NumPy's general one)."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


def merge(*meshes: Mesh) -> Mesh:
    """One mesh out of several."""
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, offsets, strict=True)]),
        np.concatenate([m.normals for m in meshes]),
    )


def _grid(points: Floats, *, close_u: bool = False) -> tuple[Floats, Ints]:
    """Quads between the rows of an R x C x 3 grid, as triangles; ``close_u`` joins the last column to the first."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1) if close_u else index[:, 1:]
    left = index if close_u else index[:, :-1]
    a, b, c, d = left[:-1].ravel(), right[:-1].ravel(), right[1:].ravel(), left[1:].ravel()
    return points.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def _flat(vertices: Floats, faces: Ints) -> Mesh:
    """Splits all edges: one normal per triangle."""
    corners = vertices[faces]
    normals = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    keep = length[:, 0] > 1e-14
    corners, normals = corners[keep], normals[keep] / length[keep]
    return Mesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3), np.repeat(normals, 3, axis=0))


def box(x: float, y: float, z: float, *, bevel: float = 0.0) -> Mesh:
    """Box with these side lengths, centred at the origin; ``bevel`` rounds the edges by that radius."""
    if bevel > 0:
        bevel = min(bevel, 0.49 * x, 0.49 * y, 0.49 * z)
        outline = rounded_rectangle(x, y, bevel)
        inset = rounded_rectangle(x - 2 * bevel * 0.7, y - 2 * bevel * 0.7, bevel * 0.4, segments=len(outline) // 4)
        half = z / 2
        rows = np.stack(
            [
                np.column_stack([ring, np.full(len(ring), h)])
                for ring, h in (
                    (inset, -half),
                    (outline, -half + bevel * 0.7),
                    (outline, half - bevel * 0.7),
                    (inset, half),
                )
            ]
        )
        vertices, faces = _grid(rows, close_u=True)
        n = len(outline)
        fan = np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], 1)
        return _flat(vertices, np.concatenate([faces, fan[:, ::-1], fan + 3 * n]))
    corners = np.array([[i, j, k] for k in (-1, 1) for j in (-1, 1) for i in (-1, 1)], float) * [x / 2, y / 2, z / 2]
    quads = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    return _flat(corners, faces)


def rounded_rectangle(x: float, y: float, radius: float, *, segments: int = 4) -> Floats:
    """Outline of a rectangle with round corners, counter-clockwise, ``4 * segments`` x 2."""
    radius = min(radius, x / 2, y / 2)
    angles = np.linspace(0, np.pi / 2, segments)
    corner = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    points = []
    for k, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        turn = np.array([[0, -1], [1, 0]])
        points.append(corner @ np.linalg.matrix_power(turn, k).T + [sx * (x / 2 - radius), sy * (y / 2 - radius)])
    return np.concatenate(points)


def lathe(profile: ArrayLike, *, segments: int = 20, sharp: float = 40.0, outline: ArrayLike | None = None) -> Mesh:
    """Turns a profile of (radius, z) points, listed from bottom to top along the outside, about the z axis.

    A hollow vessel continues over the rim and down the inside. Edges sharper than ``sharp`` degrees stay crisp.
    ``outline`` (S x 2, counter-clockwise around the origin) takes the place of the unit circle, so that radius 1
    lies on it: rectangular trays, oval baskets, bodies of guitars.
    """
    points = np.asarray(profile, float)
    points = points[np.concatenate([[True], np.hypot(*np.diff(points, axis=0).T) > 1e-9])]
    steps = np.diff(points, axis=0)
    outward = np.column_stack([steps[:, 1], -steps[:, 0]]) / np.hypot(*steps.T)[:, None]
    joined = np.einsum("kc,kc->k", outward[1:], outward[:-1]) > np.cos(np.radians(sharp))
    near, far = outward.copy(), outward.copy()  # normals at the lower and upper end of every step
    near[1:] += outward[:-1] * joined[:, None]
    far[:-1] += outward[1:] * joined[:, None]
    ends = np.stack([points[:-1], points[1:]], 1)[:, :, None]
    slopes = np.stack([near, far], 1)[:, :, None]
    ring, side, support = _unit_outline(segments, outline)
    vertices = np.empty((len(steps), 2, len(ring), 3))
    vertices[..., :2], vertices[..., 2] = ends[..., :1] * ring, ends[..., 1]
    normals = np.empty_like(vertices)
    normals[..., :2], normals[..., 2] = slopes[..., :1] * side, slopes[..., 1] * support
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    faces = _grid(vertices[0], close_u=True)[1] + (2 * len(ring) * np.arange(len(steps)))[:, None, None]
    mesh = Mesh(vertices.reshape(-1, 3), faces.reshape(-1, 3), normals.reshape(-1, 3))
    return mesh if points[:, 0].min() > 1e-7 else _drop_degenerate(mesh)


def _unit_outline(segments: int, outline: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Points (S x 2) that a lathe passes at radius 1, their outward normals (S x 2) and support distances (S)."""
    if outline is None:
        angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
        ring = np.column_stack([np.cos(angles), np.sin(angles)])
        return ring, ring, np.ones(segments)
    ring = np.asarray(outline, float)
    along = np.roll(ring, -1, axis=0) - np.roll(ring, 1, axis=0)
    side = np.column_stack([along[:, 1], -along[:, 0]])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    return ring, side, np.einsum("sc,sc->s", ring, side)


def _drop_degenerate(mesh: Mesh) -> Mesh:
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return Mesh(mesh.vertices, mesh.faces[area > 1e-14], mesh.normals)


def cylinder(radius: float, height: float, *, top: float | None = None, segments: int = 16) -> Mesh:
    """Capped cylinder along z, centred; ``top`` gives another radius at the upper end (0 for a cone)."""
    upper = radius if top is None else top
    half = height / 2
    return lathe([(0, -half), (radius, -half), (upper, half), (0, half)], segments=segments)


def ellipsoid(x: float, y: float, z: float, *, segments: int = 16) -> Mesh:
    """Ellipsoid with these half-axes, centred."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, max(segments // 2, 4) + 1)
    return lathe(list(zip(np.cos(angles), np.sin(angles), strict=True)), segments=segments, sharp=180).scale(x, y, z)


def torus(radius: float, thickness: float, *, segments: int = 20, sides: int = 8) -> Mesh:
    """Ring in the xy plane: ``radius`` to the middle of the tube, ``thickness`` the tube's radius."""
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    path = radius * np.column_stack([np.cos(angles), np.sin(angles), np.zeros(segments)])
    return tube(np.vstack([path, path[:1]]), thickness, sides=sides, caps=False)


def tube(path: ArrayLike, radius: ArrayLike, *, sides: int = 8, caps: bool = True) -> Mesh:
    """Round tube along a polyline (P x 3); ``radius`` is one number or one per point."""
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), len(path))
    tangent = np.gradient(path, axis=0)
    if np.abs(path[0] - path[-1]).max() < 1e-8:
        tangent[0] = tangent[-1] = path[1] - path[-2]
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    u = _carried_frame(tangent)
    v = cross(tangent, u)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    spokes = np.cos(angles)[None, :, None] * u[:, None] + np.sin(angles)[None, :, None] * v[:, None]
    vertices, faces = _grid(path[:, None] + radii[:, None, None] * spokes, close_u=True)
    mesh = Mesh(vertices, faces, spokes.reshape(-1, 3))
    if not caps:
        return mesh
    fan = np.stack([np.zeros(sides - 2, int), np.arange(1, sides - 1), np.arange(2, sides)], 1)
    start = Mesh(vertices[:sides], fan[:, ::-1], np.repeat(-tangent[:1], sides, axis=0))
    end = Mesh(vertices[-sides:], fan, np.repeat(tangent[-1:], sides, axis=0))
    return merge(mesh, start, end)


def _carried_frame(tangent: Floats) -> Floats:
    """A direction across the path at every point (P x 3), carried along it so that a tube does not twist."""
    tx, ty, tz = tangent[0].tolist()
    x, y, z = (ty, -tx, 0.0) if tx * tx + ty * ty >= 0.01 else (-tz, 0.0, tx)  # across the upright or the y axis
    carried = []
    for tx, ty, tz in tangent.tolist():  # plain floats: far quicker than arrays of three
        along = x * tx + y * ty + z * tz
        x, y, z = x - along * tx, y - along * ty, z - along * tz
        length = max((x * x + y * y + z * z) ** 0.5, 1e-12)
        x, y, z = x / length, y / length, z / length
        carried.append((x, y, z))
    return np.array(carried)


def extrude(outline: ArrayLike, height: float, *, bevel: float = 0.0) -> Mesh:
    """Prism over a simple polygon (P x 2, counter-clockwise, may be concave), centred along z."""
    outline = np.asarray(outline, float)
    if _signed_area(outline) < 0:
        outline = outline[::-1]
    n = len(outline)
    rings = [outline, outline]
    heights = [-height / 2, height / 2]
    if bevel > 0:
        centre = outline.mean(0)
        inner = centre + (outline - centre) * (1 - bevel)
        rings, heights = [inner, outline, outline, inner], [-height / 2, -height / 4, height / 4, height / 2]
    rows = np.stack([np.column_stack([ring, np.full(n, h)]) for ring, h in zip(rings, heights, strict=True)])
    vertices, faces = _grid(rows, close_u=True)
    lid = _triangulate(outline)
    return _flat(vertices, np.concatenate([faces, lid[:, ::-1], lid + (len(rings) - 1) * n]))


def _signed_area(outline: Floats) -> float:
    x, y = outline.T
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _triangulate(outline: Floats) -> Ints:
    """Ear clipping of a counter-clockwise simple polygon; a fan where it is convex."""
    edges = np.diff(outline, axis=0, append=outline[:1])
    following = np.roll(edges, -1, axis=0)
    if np.all(edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] >= 0):
        n = len(outline)
        return np.stack([np.zeros(n - 2, int), np.arange(1, n - 1), np.arange(2, n)], 1)
    remaining = list(range(len(outline)))
    triangles: list[tuple[int, ...]] = []

    def side(a: Floats, b: Floats, p: Floats) -> Floats:
        return (b[0] - a[0]) * (p[..., 1] - a[1]) - (b[1] - a[1]) * (p[..., 0] - a[0])

    while len(remaining) > 3:
        for k in range(len(remaining)):
            i, j, m = remaining[k - 1], remaining[k], remaining[(k + 1) % len(remaining)]
            a, b, c = outline[i], outline[j], outline[m]
            if side(a, b, c) <= 1e-15:
                continue
            others = outline[[r for r in remaining if r not in (i, j, m)]]
            inside = (side(a, b, others) > 0) & (side(b, c, others) > 0) & (side(c, a, others) > 0)
            if not inside.any():
                triangles.append((i, j, m))
                remaining.pop(k)
                break
        else:  # only collinear points are left
            remaining.pop(0)
    triangles.append(tuple(remaining))
    return np.array(triangles)


def arc(radius: float, start: float, stop: float, *, points: int = 12, plane: str = "xz") -> Floats:
    """Points on a circle around the origin from ``start`` to ``stop`` degrees, ``points`` x 3, in the named plane."""
    angles = np.radians(np.linspace(start, stop, points))
    out = np.zeros((points, 3))
    out[:, "xyz".index(plane[0])] = radius * np.cos(angles)
    out[:, "xyz".index(plane[1])] = radius * np.sin(angles)
    return out


def sheet(height_at: ArrayLike, x: float, y: float, thickness: float) -> Mesh:
    """Slab over the rectangle x by y whose middle surface has the heights of an R x C grid (cushions, cloth, seats)."""
    heights = np.asarray(height_at, float)
    rows, columns = heights.shape
    gx, gy = np.meshgrid(np.linspace(-x / 2, x / 2, columns), np.linspace(-y / 2, y / 2, rows))
    top = np.stack([gx, gy, heights + thickness / 2], -1)
    bottom = np.stack([gx, gy, heights - thickness / 2], -1)
    vt, ft = _grid(top)
    vb, fb = _grid(bottom)
    index = np.arange(rows * columns).reshape(rows, columns)
    rim = np.concatenate([index[0, :-1], index[:-1, -1], index[-1, :0:-1], index[:0:-1, 0]])
    nxt = np.roll(rim, -1)
    count = rows * columns
    sides = np.concatenate([np.stack([rim + count, nxt + count, nxt], 1), np.stack([rim + count, nxt, rim], 1)])
    return _flat(np.concatenate([vt, vb]), np.concatenate([ft, fb[:, ::-1] + count, sides]))
