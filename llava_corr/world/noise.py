"""Smooth noise in space: one small periodic volume, made once from a fixed seed, looked up by interpolation.

Lookups work on flat float32 columns, which is what numpy does fastest.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from .vectors import Float32s

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


@cache
def _channel(octaves: int) -> Float32s:
    return np.ascontiguousarray(_volume(octaves)[:, 0])


def noise(points: Float32s, *, octaves: int = 1) -> Float32s:
    """Noise at ``points`` (N x 3, or N x 2 for the plane z = 0, at half the cost), N values; a bump is about 1 unit."""
    cells, weights = zip(*(_cell(points[:, k]) for k in range(points.shape[1])), strict=True)
    table = _channel(octaves)
    steps = [(cell, (cell + 1) & (CELLS - 1)) for cell in cells]
    near_x, far_x = (c * (CELLS * CELLS) for c in steps[0])
    near_y, far_y = (c * CELLS for c in steps[1])
    rows = [near_x + near_y, near_x + far_y, far_x + near_y, far_x + far_y]
    if len(cells) == 3:
        near_z, far_z = steps[2]
        values = [_between(table.take(r + near_z), table.take(r + far_z), weights[2]) for r in rows]
    else:
        values = [table.take(r) for r in rows]
    near = _between(values[0], values[1], weights[1])
    return _between(near, _between(values[2], values[3], weights[1]), weights[0])


def noise_vectors(points: Float32s) -> Float32s:
    """Three independent values at ``points`` (N x 3), N x 3: the smooth noise, for displacements."""
    offsets = np.array([[0, 0, 0], [2.7, 5.1, 1.3], [6.2, 3.4, 4.8]], np.float32)
    return np.stack([noise(points + offset) for offset in offsets], 1)


def grain_vectors(points: Float32s, *, octaves: int = 3) -> Float32s:
    """Three values at ``points`` (N x 3 or N x 2), N x 3, constant within a cell: cheap, for fine relief."""
    index = np.zeros(len(points), np.int32)
    for k in range(points.shape[1]):
        index = index * CELLS + _cell(points[:, k])[0]
    return _volume(octaves).take(index, axis=0)[:, 1:]


def _cell(coordinate: Float32s) -> tuple[NDArray[np.int32], Float32s]:
    scaled = coordinate * np.float32(8)
    base = np.floor(scaled)
    return base.astype(np.int32) & (CELLS - 1), scaled - base


def _between(low: Float32s, high: Float32s, weight: Float32s) -> Float32s:
    high -= low
    high *= weight
    high += low
    return high
