"""Procedural surface colour: a :class:`~llava_corr.world.materials.Look` evaluated at points in object coordinates.

Patterns are solid (a function of space), so they need no unwrapping; transitions are widened to the size of a pixel,
which keeps them free of aliasing. Axis letters: N points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .materials import KINDS, Look, Recipe
from .noise import grain_vectors, noise, noise_vectors
from .vectors import Float32s, add_scaled, dot

_TAU = np.float32(2 * np.pi)


def shade_points(look: Look, points: Float32s, footprint: Float32s) -> tuple[Float32s, Float32s | None]:
    """Colour and roughness of a look.

    Args:
        points: N x 3, object coordinates divided by the object's extent.
        footprint: N, size of a pixel in the same unit.

    Returns:
        Linear RGB, N x 3, and the tilt to add to the normal, N x 3, or None where the surface is smooth.
    """
    kind = KINDS[look.kind]
    turned = points if look.flat else points @ look.recipe.turn.T
    blend = _PATTERNS.get(look.pattern, _plain)(turned, footprint, look.recipe, look.flat)
    colour = np.empty((len(points), 3), np.float32)
    colour[:] = look.colour
    if blend is not None:
        add_scaled(colour, look.second - look.colour, blend)
    if not kind.grit and not kind.bump:
        return colour, None
    fine = points[:, :2] if look.flat else points
    fine = fine * np.float32(kind.fine) + look.recipe.offset[: fine.shape[1]]
    fade = np.clip(1.5 - footprint * np.float32(kind.fine * 1.2), 0.15, 1)  # detail below a pixel averages out
    brightness = np.clip(1 + np.float32(kind.grit) * noise(fine, octaves=3) * fade, 0.3, 1.8)
    for k in range(3):
        colour[:, k] *= brightness
    if not kind.bump:
        return colour, None
    fade *= np.float32(kind.bump)
    tilt = grain_vectors(fine)
    return colour, np.stack([tilt[:, k] * fade for k in range(3)], 1)


def _plain(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> None:
    return None


def _square(phase: Float32s, width: Float32s, recipe: Recipe) -> Float32s:
    """A square wave of period 1 with share ``recipe.share`` at 1, blurred over ``width`` (in periods)."""
    half = np.float32(recipe.share * 0.5)
    distance = half - np.abs(phase - np.round(phase))
    soft = np.float32(0.02 + 0.12 * (1 - recipe.crisp)) + width
    wave = np.clip(np.float32(0.5) + distance / (2 * soft), 0, 1)
    coarse = np.clip(width * 2 - np.float32(0.6), 0, 1)
    return wave + coarse * (np.float32(recipe.share) - wave)


def _wobbled(points: Float32s, recipe: Recipe) -> Float32s:
    if not recipe.wobble:
        return points * np.float32(recipe.frequency)
    shift = noise_vectors(points * np.float32(3) + recipe.offset)
    return points * np.float32(recipe.frequency) + shift * np.float32(recipe.wobble)


def _stripes(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    phase = _wobbled(points, recipe)[:, 0 if flat else 2]
    return _square(phase, footprint * np.float32(recipe.frequency), recipe)


def _checks(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    scaled = points * np.float32(recipe.frequency) + np.float32(0.13)
    width = footprint * np.float32(recipe.frequency)
    sign = np.ones(len(points), np.float32)
    soft = np.float32(0.05) + width
    for axis in range(3):
        triangle = np.float32(0.5) - np.abs(scaled[:, axis] * 0.5 - np.round(scaled[:, axis] * 0.5)) * 2
        sign *= np.clip(triangle / soft, -1, 1) * np.clip(np.float32(1.6) - width * 2, 0, 1)
    return np.float32(0.5) + np.float32(0.5) * sign


def _dots(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    scaled = points * np.float32(recipe.frequency)
    local = scaled - np.round(scaled)
    radius = np.float32(0.25 + 0.25 * recipe.share)
    distance = radius - np.sqrt(dot(local, local))
    soft = np.float32(0.04) + footprint * np.float32(recipe.frequency)
    return np.clip(np.float32(0.5) + distance / (2 * soft), 0, 1)


def _spot(points: Float32s, frequency: float, recipe: Recipe, flat: bool) -> Float32s:
    """Where to look noise up: scaled and shifted, N x 3, or N x 2 on a plane."""
    where = points[:, :2] if flat else points
    return where * np.float32(frequency) + recipe.offset[: where.shape[1]]


def _noise(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    value = noise(_spot(points, recipe.frequency, recipe, flat), octaves=3)
    return np.clip(np.float32(recipe.share) + value * np.float32(0.2 + 0.3 * recipe.crisp), 0, 1)


def _patches(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    value = noise(_spot(points, recipe.frequency, recipe, flat))
    soft = np.float32(0.08 + 0.2 * (1 - recipe.crisp)) + footprint * np.float32(recipe.frequency)
    return np.clip((value + np.float32(recipe.share - 0.5)) / soft + np.float32(0.5), 0, 1)


def _gradient(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    ramp = points[:, 2] * np.float32(2.2) - np.float32(recipe.share)
    return np.clip(ramp + np.float32(0.5), 0, 1)


def _grain(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    stretched = points * np.array([1, 0.12, 1] if flat else [1, 1, 0.12], np.float32)
    warp = noise(_spot(stretched, 3.5, recipe, flat), octaves=3)
    fibre = noise(_spot(stretched, 17, recipe, flat), octaves=3)
    across = points[:, 0] if flat else np.hypot(points[:, 0] + np.float32(0.4), points[:, 1] + np.float32(0.3))
    frequency = np.float32(recipe.frequency * 1.6)
    rings = np.float32(0.5) + np.float32(0.5) * np.sin(_TAU * (across * frequency + warp * np.float32(recipe.wobble)))
    fade = np.clip(np.float32(1.3) - footprint * frequency * 2, 0.1, 1)
    streaks = np.clip(np.float32(0.3) + np.float32(0.25) * fibre, 0, 1)
    return np.clip((rings * rings - np.float32(0.35)) * fade * np.float32(0.7) + np.float32(0.25) + streaks * 0.3, 0, 1)


def _weave(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    phase = points * np.float32(recipe.frequency * 4) * _TAU
    fade = np.clip(np.float32(1.2) - footprint * np.float32(recipe.frequency * 8), 0, 1)
    return np.float32(0.5) + np.float32(0.5) * fade * np.sin(phase[:, 0]) * np.sin(phase[:, 1] + phase[:, 2])


def _planks(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    """Boards along y, each of its own shade, with dark joints and grain along them."""
    across = points[:, 0] * np.float32(recipe.frequency)
    board = np.floor(across)
    tone = np.sin(board * np.float32(12.9898) + np.float32(4.1)) * np.float32(43.7585)
    tone = tone - np.floor(tone)
    along = points[:, 1] * np.float32(0.35 * recipe.frequency) + tone * 7
    end = np.abs(along - np.round(along))
    width = footprint * np.float32(recipe.frequency)
    edge = np.abs(across - np.round(across))
    joint = np.clip(1 - edge / (np.float32(0.02) + width), 0, 1) + np.clip(1 - end / (np.float32(0.008) + width), 0, 1)
    fibre = noise(np.stack([points[:, 0] * 9 + tone * 5, points[:, 1] * np.float32(1.1)], 1), octaves=3)
    joint /= 1 + 3 * width
    return np.clip(tone * np.float32(0.45) + fibre * np.float32(0.13) + np.float32(0.1) + joint * np.float32(0.8), 0, 1)


def _bricks(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    """Courses of bricks along x, one above the other along y, with joints at 1."""
    upwards = points[:, 1] * np.float32(recipe.frequency)
    row = np.floor(upwards)
    along = points[:, 0] * np.float32(recipe.frequency * 0.45) + row * np.float32(0.5)
    return _joints(along, upwards, footprint, recipe, row)


def _tiles(points: Float32s, footprint: Float32s, recipe: Recipe, flat: bool) -> Float32s:
    """A square grid on the plane with joints at 1."""
    scaled = points * np.float32(recipe.frequency)
    return _joints(scaled[:, 0], scaled[:, 1], footprint, recipe, np.floor(scaled[:, 1]))


def _joints(u: Float32s, v: Float32s, footprint: Float32s, recipe: Recipe, row: Float32s) -> Float32s:
    width = footprint * np.float32(recipe.frequency) + np.float32(0.012)
    joint = np.clip(1 - (np.abs(u - np.round(u)) - np.float32(0.02)) / width, 0, 1)
    joint = np.maximum(joint, np.clip(1 - (np.abs(v - np.round(v)) - np.float32(0.03)) / width, 0, 1))
    tone = np.sin(np.floor(u) * np.float32(78.233) + row * np.float32(12.9898)) * np.float32(43.7585)
    return np.clip(joint / (1 + 4 * width) + (tone - np.floor(tone)) * np.float32(0.25), 0, 1)


_PATTERNS: dict[str, Callable[[Float32s, Float32s, Recipe, bool], Float32s | None]] = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "noise": _noise,
    "patches": _patches,
    "gradient": _gradient,
    "grain": _grain,
    "weave": _weave,
    "planks": _planks,
    "bricks": _bricks,
    "tiles": _tiles,
}
