"""Smooth noise in space: one small periodic volume, made once from a fixed seed, looked up by interpolation.

Four independent channels per cell, so that one look-up gives a colour variation and a direction to tilt a normal.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]

CELLS = 64
_SEED = 20240917


@cache
def _volume(octaves: int) -> Float32s:
    """(CELLS ** 3) x 4, mean 0, deviation about 1, periodic; ``octaves`` 1 is smooth, more is rougher."""
    rng = np.random.default_rng([_SEED, octaves])
    frequency = np.fft.fftfreq(CELLS, 1 / CELLS)
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(frequency, frequency, frequency, indexing="ij")))
    envelope = np.zeros_like(radius)
    for octave in range(octaves):
        envelope += 0.5**octave * 8.0 ** (-octave / 2) * np.exp(-(((radius / (4.0 * 2**octave)) - 1) ** 2) * 3)
    channels = []
    for _ in range(4):
        field = np.fft.ifftn(np.fft.fftn(rng.standard_normal(radius.shape)) * envelope).real
        channels.append((field - field.mean()) / field.std())
    return np.ascontiguousarray(np.stack(channels, -1).reshape(-1, 4), dtype=np.float32)


def noise(points: Float32s, *, octaves: int = 1) -> Float32s:
    """Noise at ``points`` (N x 3), as N x 4, mean 0, deviation about 1; one bump is about 1 unit long."""
    scaled = points * np.float32(8.0)
    base = np.floor(scaled)
    weight = (scaled - base).astype(np.float32)
    cell = base.astype(np.int32) & (CELLS - 1)
    step = (cell + 1) & (CELLS - 1)
    table = _volume(octaves)
    x0, x1 = cell[:, 0] * (CELLS * CELLS), step[:, 0] * (CELLS * CELLS)
    y0, y1 = cell[:, 1] * CELLS, step[:, 1] * CELLS
    z0, z1 = cell[:, 2], step[:, 2]
    wx, wy, wz = weight[:, 0:1], weight[:, 1:2], weight[:, 2:3]
    planes = []
    for x in (x0, x1):
        lines = []
        for y in (y0, y1):
            low = table.take(x + y + z0, axis=0)
            lines.append(low + wz * (table.take(x + y + z1, axis=0) - low))
        planes.append(lines[0] + wy * (lines[1] - lines[0]))
    return planes[0] + wx * (planes[1] - planes[0])


def noise_2d(points: Float32s, *, octaves: int = 1) -> Float32s:
    """The plane z = 0 of :func:`noise` at ``points`` (N x 2), as N x 4; half the cost."""
    scaled = points * np.float32(8.0)
    base = np.floor(scaled)
    weight = (scaled - base).astype(np.float32)
    cell = base.astype(np.int32) & (CELLS - 1)
    step = (cell + 1) & (CELLS - 1)
    table = _volume(octaves)
    x0, x1 = cell[:, 0] * (CELLS * CELLS), step[:, 0] * (CELLS * CELLS)
    y0, y1 = cell[:, 1] * CELLS, step[:, 1] * CELLS
    wx, wy = weight[:, 0:1], weight[:, 1:2]
    near = table.take(x0 + y0, axis=0)
    near = near + wy * (table.take(x0 + y1, axis=0) - near)
    far = table.take(x1 + y0, axis=0)
    far = far + wy * (table.take(x1 + y1, axis=0) - far)
    return near + wx * (far - near)
