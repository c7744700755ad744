"""A pinhole camera in OpenCV's convention: x right, y down, z forward; pixel centres at +0.5."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .vectors import Float32s

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Where a picture is taken from.

    Attributes:
        position: world coordinates of the pinhole, metres.
        rotation: 3 x 3, world to camera.
        focal: focal length in pixels.
        width: image width in pixels.
        height: image height in pixels; the principal point is the middle of the image.
    """

    position: Floats
    rotation: Floats
    focal: float
    width: int
    height: int

    def intrinsics(self) -> Floats:
        """3 x 3 matrix K: camera coordinates to homogeneous pixels."""
        return np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1.0]])

    def extrinsics(self) -> Floats:
        """4 x 4 matrix: homogeneous world coordinates to camera coordinates."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = -self.rotation @ self.position
        return matrix

    def directions(self, xy: NDArray[np.floating]) -> Float32s:
        """World directions through pixels (N x 2), scaled to depth 1: ``position + depth * direction`` is the point."""
        local = np.empty((len(xy), 3), np.float32)
        local[:, 0] = (xy[:, 0] - self.width / 2) / self.focal
        local[:, 1] = (xy[:, 1] - self.height / 2) / self.focal
        local[:, 2] = 1
        return local @ self.rotation.astype(np.float32)

    def pixel_centres(self) -> Float32s:
        """(H * W) x 2 pixel centres, row by row; read-only."""
        return _pixel_centres(self.height, self.width)

    def project(self, points: ArrayLike) -> tuple[Floats, Floats]:
        """Pixels (N x 2) and depths (N) of world points (N x 3); points behind the camera have depth <= 0."""
        local = (np.asarray(points, float) - self.position) @ self.rotation.T
        depth = local[:, 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        xy = local[:, :2] / safe[:, None] * self.focal + [self.width / 2, self.height / 2]
        return xy, depth


@lru_cache(maxsize=8)
def _pixel_centres(height: int, width: int) -> Float32s:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    centres = np.stack([x.ravel(), y.ravel()], 1) + np.float32(0.5)
    centres.setflags(write=False)
    return centres


def look_at(position: ArrayLike, target: ArrayLike, *, field_of_view: float, size: tuple[int, int]) -> Camera:
    """A camera at ``position`` that looks at ``target`` with the horizon level.

    Args:
        field_of_view: full angle across the longer side, degrees.
        size: (height, width) in pixels.
    """
    height, width = size
    origin = np.asarray(position, float)
    forward = np.asarray(target, float) - origin
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-6:
        right = np.array([1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    focal = max(height, width) / 2 / np.tan(np.radians(field_of_view) / 2)
    return Camera(origin, np.stack([right, down, forward]), float(focal), width, height)
