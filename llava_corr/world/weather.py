"""Light presets: suns and skies, rooms with lamps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scene import Lighting

Floats = NDArray[np.float64]


def _sun(rng: np.random.Generator, azimuth: float, lowest: float, highest: float, widest: float = 1.7) -> Floats:
    """Unit vector to a sun that stands roughly behind or beside a camera at this azimuth (radians)."""
    turn = azimuth + rng.choice([-1, 1]) * rng.uniform(0.4 * widest, widest)
    height = np.radians(rng.uniform(lowest, highest))
    return np.array([np.sin(turn) * np.cos(height), -np.cos(turn) * np.cos(height), np.sin(height)])


def daylight(rng: np.random.Generator, *, azimuth: float, scale: float) -> Lighting:
    """Outdoors, from clear noon over low sun to overcast; ``scale`` is the size of the scene in metres."""
    mood = rng.choice(["clear", "hazy", "low", "overcast"], p=[0.45, 0.25, 0.18, 0.12])
    shift = np.array([1, 1, 1]) + rng.normal(0, 0.03, 3)
    presets = {
        "clear": ([2.1, 1.95, 1.70], [0.22, 0.38, 0.74], [0.62, 0.74, 0.90], 0.04, rng.uniform(0.1, 0.6)),
        "hazy": ([1.7, 1.6, 1.45], [0.36, 0.48, 0.70], [0.76, 0.80, 0.86], 0.09, rng.uniform(0.3, 0.8)),
        "low": ([2.2, 1.5, 0.9], [0.26, 0.36, 0.60], [0.95, 0.75, 0.56], 0.05, rng.uniform(0.1, 0.5)),
        "overcast": ([0.55, 0.55, 0.56], [0.72, 0.77, 0.84], [0.88, 0.90, 0.94], 0.35, 1.0),
    }
    key, zenith, horizon, softness, clouds = presets[str(mood)]
    span = (14, 28) if mood == "low" else (30, 65)
    return Lighting(
        towards=_sun(rng, azimuth, *span),
        key=np.array(key) * shift,
        zenith=np.array(zenith) * shift,
        horizon=np.array(horizon) * shift,
        below=np.array([0.30, 0.28, 0.24]),
        softness=float(softness),
        clouds=float(clouds),
        sky_offset=rng.uniform(0, 8, 2),
        reach=scale,
        haze=float(rng.uniform(150, 500) * scale),
        exposure=float(rng.uniform(0.75, 1.0)),
    )


def lamplight(rng: np.random.Generator, *, position: Floats, softness: float, reach: float) -> Lighting:
    """Indoors: one large lamp or window at ``position`` and light from all around; warm to cool."""
    warmth = rng.uniform(-0.07, 0.12)
    tint = np.array([1 + warmth, 1.0, 1 - 1.3 * warmth])
    strength = rng.uniform(1.1, 1.7)
    around = rng.uniform(0.26, 0.42)
    return Lighting(
        towards=np.array([0, 0, 1.0]),
        position=position,
        key=tint * strength,
        zenith=tint * around * 1.15,
        horizon=np.array([1.0, 1.0, 1.0]) * around,
        below=np.array([0.8, 0.75, 0.7]) * around * 0.8,
        softness=softness,
        reach=reach,
        exposure=float(rng.uniform(0.85, 1.1)),
    )


def studio_light(rng: np.random.Generator, *, azimuth: float, scale: float) -> Lighting:
    """Indoors on a table: a soft window far away on one side, white walls all around."""
    warmth = rng.uniform(-0.06, 0.12)
    tint = np.array([1 + warmth, 1.0, 1 - 1.3 * warmth])
    around = rng.uniform(0.2, 0.38)
    return Lighting(
        towards=_sun(rng, azimuth, 28, 65, widest=1.25),
        key=tint * rng.uniform(1.6, 2.3),
        zenith=np.array([1.0, 1.0, 1.0]) * around * 1.2,
        horizon=np.array([1.0, 0.98, 0.95]) * around,
        below=np.array([0.75, 0.70, 0.64]) * around * 0.7,
        softness=float(rng.uniform(0.05, 0.22)),
        clouds=0.0,
        reach=scale,
        exposure=float(rng.uniform(0.78, 1.05)),
    )


def underwater(rng: np.random.Generator, *, scale: float) -> Lighting:
    """Below the surface: light from above, everything far away sinks into blue or green haze."""
    green = rng.uniform(0, 1)
    deep = np.array([0.10, 0.30 + 0.08 * green, 0.42 - 0.12 * green])
    turn = rng.uniform(0, 2 * np.pi)
    return Lighting(
        towards=np.array([0.35 * np.cos(turn), 0.35 * np.sin(turn), 0.94]),
        key=np.array([0.75, 1.1, 1.15]),
        zenith=deep * 2.2,
        horizon=deep,
        below=deep * 0.5,
        softness=0.2,
        clouds=0.0,
        reach=scale,
        haze=float(rng.uniform(4, 9)),
        exposure=float(rng.uniform(0.8, 1.0)),
    )
