"""From a scene to everything that can be read off it: the picture, label buffers, depth, normals, points, keypoints.

Labels are those of the ray through the pixel centre; only the picture is anti-aliased.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lighting import Illumination, shade
from .objects import Keypoint3D
from .render import Geometry, Surface, see, surface_colours
from .scene import Scene
from .vectors import Float32s, dot

Bools = NDArray[np.bool_]

_SAMPLES = np.array([[-0.33, -0.2], [0.3, 0.33]], np.float32)
_GAMMA = (255 * np.linspace(0, 1, 4097) ** (1 / 2.2) + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class ProjectedKeypoint:
    """A semantic point in the picture: pixels, depth in metres, and whether the camera sees it."""

    keypoint: Keypoint3D
    xy: tuple[float, float]
    depth: float
    visible: bool


@dataclass
class Rendered:
    """One picture with its exact labels.

    Attributes:
        scene: what was rendered; item poses (object to world) and the camera are there.
        geometry: tables from piece to item.
        image: H x W x 3 uint8, sRGB.
        piece: H x W, index into ``geometry.pieces``, -1 for the sky.
        depth: H x W float32, metres along the optical axis, inf for the sky.
        normals: H x W x 3 float32, unit, world coordinates, towards the camera; 0 for the sky.
        points: H x W x 3 float32, world coordinates in metres; 0 for the sky.
    """

    scene: Scene
    geometry: Geometry
    image: NDArray[np.uint8]
    piece: NDArray[np.int32]
    depth: Float32s
    normals: Float32s
    points: Float32s

    @cached_property
    def item(self) -> NDArray[np.int32]:
        """H x W, index into ``scene.items``, -1 for the sky."""
        return np.append(self.geometry.piece_item, -1)[self.piece]

    def instance_mask(self, item: int) -> Bools:
        """H x W: the visible pixels of an item."""
        return self._mask([k for k, owner in enumerate(self.geometry.piece_item) if owner == item])

    def part_masks(self, item: int, flavour: str | None = None) -> dict[str, Bools]:
        """Part name -> visible pixels (H x W), in a flavour's names; parts without visible pixels are left out."""
        groups = self.part_pieces(item, flavour or self.scene.flavour)
        return {name: mask for name, pieces in groups.items() if (mask := self._mask(pieces)).any()}

    def functional_masks(self, item: int) -> dict[tuple[str, str], Bools]:
        """(function, functional part name) -> visible pixels (H x W)."""
        groups = self.function_pieces(item)
        return {name: mask for name, pieces in groups.items() if (mask := self._mask(pieces)).any()}

    def part_pieces(self, item: int, flavour: str) -> dict[str, list[int]]:
        """Part name -> indices of its pieces, in a flavour's names."""
        groups: dict[str, list[int]] = {}
        for k in np.flatnonzero(self.geometry.piece_item == item):
            name = self.geometry.pieces[k].part_in(flavour)
            if name:
                groups.setdefault(name, []).append(int(k))
        return groups

    def function_pieces(self, item: int) -> dict[tuple[str, str], list[int]]:
        """(function, part name) -> indices of its pieces."""
        groups: dict[tuple[str, str], list[int]] = {}
        for k in np.flatnonzero(self.geometry.piece_item == item):
            for function, name in self.geometry.pieces[k].functions.items():
                groups.setdefault((function, name), []).append(int(k))
        return groups

    def _mask(self, pieces: list[int]) -> Bools:
        table = np.zeros(len(self.geometry.pieces) + 1, bool)
        table[pieces] = True
        return table[self.piece]

    def keypoints(self, item: int) -> list[ProjectedKeypoint]:
        """All keypoints of an item, in its model's order.

        A point counts as visible when a pixel of its 3 x 3 neighbourhood shows the same item at the point's depth,
        give or take 2 % of the object's extent: keypoints lie on or near the surface.
        """
        placed = self.scene.items[item]
        found = placed.model.keypoints
        if not found:
            return []
        world = np.stack([k.at for k in found]) @ placed.pose[:3, :3].T + placed.pose[:3, 3]
        xy, depth = self.scene.camera.project(world)
        tolerance = 0.02 * float(np.linalg.norm(np.ptp(placed.corners(), axis=0)))
        seen = self._sees(item, xy, depth, tolerance)
        return [
            ProjectedKeypoint(k, (float(p[0]), float(p[1])), float(d), bool(s))
            for k, p, d, s in zip(found, xy, depth, seen, strict=True)
        ]

    def _sees(
        self, item: int, xy: NDArray[np.float64], depth: NDArray[np.float64], tolerance: float
    ) -> NDArray[np.bool_]:
        height, width = self.item.shape
        inside = (depth > 0) & (xy >= 0).all(1) & (xy < [width, height]).all(1)
        x, y = np.floor(np.where(inside[:, None], xy, 0)).astype(int).T
        dy, dx = np.arange(9) // 3 - 1, np.arange(9) % 3 - 1
        at = np.clip(y[:, None] + dy, 0, height - 1), np.clip(x[:, None] + dx, 0, width - 1)
        near = (self.item[at] == item) & (np.abs(self.depth[at] - depth[:, None]) <= tolerance)
        return near.any(1) & inside


def render(scene: Scene) -> Rendered:
    """Renders a scene with all its labels."""
    camera, geometry = scene.camera, Geometry(scene.items)
    surface = see(geometry, scene)
    albedo, rough = surface_colours(geometry, surface, camera.focal)
    light = Illumination(geometry, scene.lighting, (camera.height, camera.width))
    colours = shade(geometry, surface, albedo, rough, light)
    rendered = _buffers(scene, geometry, surface)
    linear = _with_sky(scene, surface, colours, light)
    _smooth_edges(rendered, linear)
    developed = develop(linear, scene.lighting.exposure * _adaptation(linear))
    rendered.image = developed.reshape(camera.height, camera.width, 3)
    return rendered


def render_labels(scene: Scene) -> Rendered:
    """The label buffers alone, with an empty picture: one ray per pixel."""
    geometry = Geometry(scene.items)
    return _buffers(scene, geometry, see(geometry, scene))


def _buffers(scene: Scene, geometry: Geometry, surface: Surface) -> Rendered:
    height, width = scene.camera.height, scene.camera.width

    def spread(values: NDArray[Any], empty: float) -> NDArray[Any]:
        if len(values) == height * width:  # no sky: every pixel is there, in order
            return values.reshape(height, width, *values.shape[1:])
        out = np.full((height * width, *values.shape[1:]), empty, values.dtype)
        out[surface.pixel] = values
        return out.reshape(height, width, *values.shape[1:])

    return Rendered(
        scene=scene,
        geometry=geometry,
        image=np.zeros((height, width, 3), np.uint8),
        piece=spread(surface.piece, -1).astype(np.int32, copy=False),
        depth=spread(surface.depth, np.inf).astype(np.float32, copy=False),
        normals=spread(surface.normal, 0).astype(np.float32, copy=False),
        points=spread(surface.point, 0).astype(np.float32, copy=False),
    )


def _with_sky(scene: Scene, surface: Surface, colours: Float32s, light: Illumination) -> Float32s:
    camera = scene.camera
    if len(colours) == camera.height * camera.width:
        return colours
    linear = np.zeros((camera.height * camera.width, 3), np.float32)
    linear[surface.pixel] = colours
    empty = np.ones(len(linear), bool)
    empty[surface.pixel] = False
    if empty.any():
        direction = camera.directions(camera.pixel_centres()[empty])
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        linear[empty] = light.sky(direction)
    return linear


def _edges(rendered: Rendered) -> NDArray[np.intp]:
    """Flat indices of the pixels where the surface's piece or direction changes, or where it jumps out of its plane."""
    piece, normals, points = rendered.piece, rendered.normals, rendered.points
    edge = np.zeros(piece.shape, bool)
    for axis in (0, 1):
        near = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        far = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        bend = np.zeros(piece[near].shape, np.float32)
        rise = np.zeros(piece[near].shape, np.float32)
        for k in range(3):
            direction = normals[..., k]
            bend += direction[near] * direction[far]
            rise += direction[near] * (points[..., k][far] - points[..., k][near])
        jump = piece[near] != piece[far]
        jump |= bend < np.float32(0.85)
        jump |= np.abs(rise) > np.float32(0.03) * rendered.depth[near]
        jump &= (piece[near] >= 0) | (piece[far] >= 0)
        edge[near] |= jump
        edge[far] |= jump
    return np.flatnonzero(edge)


def _smooth_edges(rendered: Rendered, linear: Float32s) -> None:
    """Anti-aliases in place: two more rays per edge pixel, each takes the colour of the pixel that shows its surface.

    The ray through the centre is the third sample. The candidates are the pixel itself and the three neighbours on
    the ray's side; the one of the same piece with the nearest normal wins.
    """
    camera, geometry = rendered.scene.camera, rendered.geometry
    height, width = rendered.piece.shape
    pixel = _edges(rendered)
    if not len(pixel):
        return
    y, x = np.divmod(pixel, width)
    centre = np.stack([x, y], 1).astype(np.float32) + np.float32(0.5)
    rays = camera.directions((centre[:, None] + _SAMPLES).reshape(-1, 2))
    origin = np.broadcast_to(camera.position.astype(np.float32), rays.shape).copy()
    hits = geometry.cast(origin, rays)
    piece = np.full(len(rays), -1, np.int32)
    piece[hits.rays] = hits.piece
    normal = np.zeros((len(rays), 3), np.float32)
    normal[hits.rays] = hits.smooth_normals()
    step_x = np.tile(np.where(_SAMPLES[:, 0] > 0, 1, -1), len(pixel))
    step_y = np.tile(np.where(_SAMPLES[:, 1] > 0, 1, -1), len(pixel))
    across, down = np.repeat(x, len(_SAMPLES)), np.repeat(y, len(_SAMPLES))
    flat_piece, flat_normal = rendered.piece.ravel(), rendered.normals.reshape(-1, 3)
    best = np.repeat(pixel, len(_SAMPLES))
    lowest = np.full(len(rays), np.inf, np.float32)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column = np.clip(across + dx * step_x, 0, width - 1)
        at = np.clip(down + dy * step_y, 0, height - 1) * width + column
        cost = (flat_piece.take(at) != piece) * np.float32(10) + np.float32(0.02 * (dx + dy))
        cost -= dot(flat_normal.take(at, axis=0), normal)
        better = cost < lowest
        best[better], lowest[better] = at[better], cost[better]
    bounded = np.minimum(linear, np.float32(2.5))
    total = bounded.take(pixel, axis=0)
    for k in range(len(_SAMPLES)):
        total += bounded.take(best[k :: len(_SAMPLES)], axis=0)
    linear[pixel] = total / np.float32(len(_SAMPLES) + 1)


def _adaptation(linear: Float32s) -> float:
    """How much a camera would open up for a dark picture or close for a bright one: half of what evens them out."""
    brightness = float(np.minimum(linear, np.float32(2)).mean())
    return float(np.sqrt(0.36 / max(brightness, 0.03)))


def develop(linear: Float32s, exposure: float) -> NDArray[np.uint8]:
    """Linear light to 8-bit sRGB: exposure, a soft shoulder for bright light, gamma."""
    mapped = 1 - np.exp(linear * np.float32(-1.6 * exposure))
    return _GAMMA[(np.clip(mapped * np.float32(1.04), 0, 1) * 4096).astype(np.int32)]
