"""Masks that err by a stated amount: shifted, grown or shrunk, with a wavy outline, until an IoU is reached."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..records import BoolArray, Mask

_STEPS = 12  # of the bisection
_FARTHEST = 4.0  # radii of the thing: a mask shifted that far no longer touches it
_WAVE = 0.15  # wavelength of the outline's waves, in radii
_WAVE_HEIGHT = 0.5
_CLOSE = 0.02


def noisy_mask(mask: Mask, iou: float, rng: np.random.Generator) -> Mask:
    """A mask whose IoU with ``mask`` is as close to ``iou`` as its pixels allow; the same mask for 1.

    The thing is shifted in a random direction, resized to between ``iou ** 0.5`` and ``iou ** -0.5`` of its area (as
    far as the image leaves room) and its outline is bent by smooth noise; how far, a bisection decides. Never empty.

    Args:
        mask: not empty.
        iou: in (0, 1].
    """
    if iou >= 1:
        return mask
    pixels = mask.to_array()
    rows, columns = _window(pixels)
    inside = pixels[rows, columns]
    noisy = np.zeros_like(pixels)
    noisy[rows, columns] = _bent(inside, iou, rng)
    return Mask.from_array(noisy)


def _window(pixels: BoolArray) -> tuple[slice, slice]:
    """Rows and columns around the foreground, with room for what may be added."""
    found = []
    for axis in (1, 0):
        filled = np.flatnonzero(pixels.any(axis=axis))
        room = 4 + (filled[-1] + 1 - filled[0]) // 2
        found.append(slice(max(0, int(filled[0]) - room), int(filled[-1]) + 1 + room))
    return found[0], found[1]


def _bent(inside: BoolArray, iou: float, rng: np.random.Generator) -> BoolArray:
    area = int(inside.sum())
    radius = math.sqrt(area / math.pi)
    depth = _depth(inside)
    wave = ndimage.gaussian_filter(rng.normal(size=inside.shape), max(1.0, _WAVE * radius), mode="nearest")
    wave /= max(float(wave.std()), 1e-9)
    angle = rng.uniform(0, 2 * math.pi)
    size = int(np.clip(round(area * iou ** (rng.uniform(-1, 1) / 2)), 1, inside.size))

    def at(strength: float, size: int) -> tuple[BoolArray, float]:
        shift = strength * radius * np.array([math.sin(angle), math.cos(angle)])
        moved = ndimage.shift(depth, shift, order=1, mode="nearest")
        height = moved + (1e-3 + strength * radius * _WAVE_HEIGHT) * wave
        chosen: BoolArray = np.zeros(inside.shape, dtype=bool)
        chosen.flat[np.argpartition(-height, size - 1, axis=None)[:size]] = True
        return chosen, float((chosen & inside).sum() / (chosen | inside).sum())

    low, high = 0.0, _FARTHEST
    best, reached = at(0.0, size)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        candidate, found = at(middle, size)
        if abs(found - iou) < abs(reached - iou):
            best, reached = candidate, found
        low, high = (middle, high) if found > iou else (low, middle)
    if abs(reached - iou) > _CLOSE:  # no room to go astray, as in a mask of the whole image: take from it alone
        candidate, found = at(0.0, max(1, round(area * iou)))
        best = candidate if abs(found - iou) < abs(reached - iou) else best
    return best


def _depth(inside: BoolArray) -> NDArray[np.float64]:
    """Pixels from the outline, positive inside."""
    if inside.all():
        inside = np.pad(inside, 1)
        return np.asarray(ndimage.distance_transform_edt(inside))[1:-1, 1:-1]
    return np.asarray(ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside))
