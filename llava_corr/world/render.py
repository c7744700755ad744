"""Ray casting: a scene becomes geometry buffers (which piece, where, facing where) and a picture.

Embree finds the hits; everything else is numpy on flat float32 arrays. Light is computed in :mod:`.lighting`. Axis
letters: T triangles, H x W pixels, N rays or points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from .materials import KINDS, Look
from .objects import Piece
from .scene import Placed, Scene
from .textures import shade_points
from .vectors import Float32s, add_scaled, dot, normalise, scaled

Ints = NDArray[np.int32]


class Geometry:
    """The triangles of all items in one Embree scene, with tables from triangle to piece to item and look.

    Attributes:
        pieces: every piece of every item, in order.
        piece_item: item index per piece.
        piece_look: index into ``looks`` per piece.
        looks: (item index, look) pairs.
    """

    def __init__(self, items: tuple[Placed, ...]) -> None:
        self.items = items
        self.pieces: list[Piece] = []
        self.looks: list[tuple[int, Look]] = []
        piece_item, piece_look, counts = [], [], []
        vertices, corners, normals = [], [], []
        start = 0
        for index, item in enumerate(items):
            slots: dict[str, int] = {}
            points, directions = _to_world(item)
            vertices.append(points)
            offset = start
            for piece in item.model.pieces:
                if piece.material not in slots:
                    slots[piece.material] = len(self.looks)
                    self.looks.append((index, item.looks[piece.material]))
                self.pieces.append(piece)
                piece_item.append(index)
                piece_look.append(slots[piece.material])
                counts.append(len(piece.mesh.faces))
                corners.append(piece.mesh.faces + start)
                normals.append(directions.take(piece.mesh.faces + (start - offset), axis=0))
                start += len(piece.mesh.vertices)
        self.normals = np.concatenate(normals).reshape(-1, 9)
        self.triangle_piece = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self.piece_item = np.array(piece_item, np.int32)
        self.piece_look = np.array(piece_look, np.int32)
        self.embree = EmbreeScene()
        # Shared vertices: Embree's wrapper copies them one by one, which costs more than building the tree.
        TriangleMesh(self.embree, np.concatenate(vertices), np.concatenate(corners).astype(np.int32))

    def cast(self, origins: Float32s, directions: Float32s) -> Hits:
        """First hits of N rays."""
        found = self.embree.run(origins, directions, output=1)
        return Hits(self, directions, found)

    def blocked(self, origins: Float32s, directions: Float32s, reach: Float32s) -> NDArray[np.bool_]:
        """Whether anything lies within ``reach`` (in lengths of the direction) along N rays."""
        return self.embree.run(origins, directions, query="OCCLUDED", dists=reach) == 0

    def first_triangle(self, origins: Float32s, directions: Float32s, reach: Float32s) -> Ints:
        """Triangle that N rays hit first within ``reach``, or -1."""
        return self.embree.run(origins, directions, dists=reach)

    @cached_property
    def look_colours(self) -> Float32s:
        """Mean linear colour of every look."""
        return np.stack([0.6 * look.colour + 0.4 * look.second if look.pattern != "plain" else look.colour
                         for _, look in self.looks])  # fmt: skip

    def look_table(self, value: Callable[[Look], float]) -> Float32s:
        """A number per look."""
        return np.array([value(look) for _, look in self.looks], np.float32)


def _to_world(item: Placed) -> tuple[Float32s, Float32s]:
    """World vertices and normals of all pieces of an item, V x 3 float32 each."""
    turn = item.pose[:3, :3].T
    pieces = item.model.pieces
    points = np.concatenate([p.mesh.vertices for p in pieces]) @ turn + item.pose[:3, 3]
    scale = np.cbrt(np.linalg.det(item.pose[:3, :3]))
    normals = np.concatenate([p.mesh.normals for p in pieces]) @ (turn / scale)
    return points.astype(np.float32), normals.astype(np.float32)


class Hits:
    """The rays of a cast that hit something.

    Attributes:
        rays: indices of the rays that hit, M.
        triangle: T indices, M.
        distance: in lengths of the ray's direction, M.
        facing: geometric unit normal turned towards the ray's origin, M x 3.
    """

    def __init__(self, geometry: Geometry, directions: Float32s, found: dict[str, NDArray[Any]]) -> None:
        self.geometry = geometry
        rays = np.flatnonzero(found["primID"] >= 0)
        if len(rays) < len(directions):
            found = {name: values.take(rays, axis=0) for name, values in found.items() if name != "geomID"}
            directions = directions.take(rays, axis=0)
        self.rays, self.direction = rays, directions
        self.triangle, self.distance = found["primID"], found["tfar"]
        self._u, self._v = found["u"], found["v"]
        facing = found["Ng"]
        sign = np.where(dot(facing, self.direction) > 0, np.float32(-1), np.float32(1))
        sign /= np.sqrt(dot(facing, facing) + np.float32(1e-30))
        facing = scaled(facing, sign)
        self.facing = facing

    @property
    def piece(self) -> Ints:
        return self.geometry.triangle_piece.take(self.triangle)

    def smooth_normals(self) -> Float32s:
        """Interpolated unit normals turned towards the ray's origin, M x 3."""
        corner = self.geometry.normals.take(self.triangle, axis=0)
        u, v = self._u, self._v
        normal = scaled(corner[:, 0:3], 1 - u - v)
        add_scaled(normal, corner[:, 3:6], u)
        add_scaled(normal, corner[:, 6:9], v)
        sign = np.where(dot(normal, self.facing) < 0, np.float32(-1), np.float32(1))
        sign /= np.sqrt(dot(normal, normal) + np.float32(1e-20))
        return scaled(normal, sign)


@dataclass
class Surface:
    """What the camera sees, for the M pixels that are not sky.

    Attributes:
        pixel: flat index of each pixel in the image.
        look: index into the geometry's looks.
        point: world coordinates, M x 3.
        normal: smooth unit normal, M x 3.
        facing: geometric unit normal, M x 3.
        view: unit direction from the camera, M x 3.
        distance: from the camera, M.
        depth: along the optical axis, M.
    """

    pixel: NDArray[np.intp]
    piece: Ints
    look: Ints
    point: Float32s
    normal: Float32s
    facing: Float32s
    view: Float32s
    distance: Float32s
    depth: Float32s


def see(geometry: Geometry, scene: Scene) -> Surface:
    """Casts one ray through every pixel centre."""
    camera = scene.camera
    directions = camera.directions(camera.pixel_centres())
    origin = camera.position.astype(np.float32)
    hits = geometry.cast(np.broadcast_to(origin, directions.shape).copy(), directions)
    length = np.sqrt(dot(hits.direction, hits.direction))
    piece = hits.piece
    return Surface(
        pixel=hits.rays,
        piece=piece,
        look=geometry.piece_look.take(piece),
        point=origin + scaled(hits.direction, hits.distance),
        normal=hits.smooth_normals(),
        facing=hits.facing,
        view=scaled(hits.direction, 1 / length),
        distance=hits.distance * length,
        depth=hits.distance,
    )


def surface_colours(geometry: Geometry, surface: Surface, focal: float) -> tuple[Float32s, Float32s]:
    """Texture every visible point: linear albedo M x 3, and unit normals with the relief of rough kinds M x 3."""
    order = np.argsort(surface.look.astype(np.uint16), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    counts = np.bincount(surface.look, minlength=len(geometry.looks))
    slant = np.abs(dot(surface.facing, surface.view))
    stretch = (surface.distance / np.maximum(slant, np.float32(0.12))).take(order)
    points = surface.point.take(order, axis=0)
    albedo = np.empty((len(order), 3), np.float32)  # like ``points``, look by look
    tilt = np.zeros((len(order), 3), np.float32)
    start = 0
    for (index, look), count in zip(geometry.looks, counts, strict=True):
        span = slice(start, start + count)
        start += count
        if not count:
            continue
        if look.pattern == "plain" and not KINDS[look.kind].grit:
            albedo[span] = look.colour
            continue
        item = geometry.items[index]
        inverse = np.linalg.inv(item.pose) / item.unit
        local = points[span] @ inverse[:3, :3].T.astype(np.float32)
        local += inverse[:3, 3].astype(np.float32)
        step = np.float32(np.cbrt(abs(np.linalg.det(inverse[:3, :3]))) / focal)
        colour, relief = shade_points(look, local, stretch[span] * step)
        albedo[span] = colour
        if relief is not None:
            tilt[span] = relief
    normal = surface.normal + tilt.take(place, axis=0)
    normalise(normal)
    return albedo.take(place, axis=0), normal
