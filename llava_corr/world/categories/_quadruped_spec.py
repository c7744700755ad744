"""What a four-legged animal is made from: proportions, pose, markings. :mod:`_quadruped` builds it.

All lengths of a :class:`Spec` are in units of the shoulder height; ``height`` is that height in metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..shapes import Floats
from ._forms import BLACK, DARK, Layers, Part, near

Colour = tuple[float, float, float]
# PartImageNet names head, body, foot and tail only; PACO's dog has finer parts.
PARTS: dict[str, Part] = {
    fine: {"partimagenet": coarse, "paco_lvis": fine}
    for fine, coarse in {
        "body": "body", "neck": "body", "head": "head", "ear": "head", "eye": "head", "nose": "head", "teeth": "head",
        "leg": "foot", "foot": "foot", "tail": "tail",
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """Proportions and looks of one animal; see the module docstring for units."""

    height: float
    # trunk
    length: float = 1.15
    depth: float = 0.45
    width: float = 0.17
    belly: float = 0.6  # 0: tucked up like a hound, 1: barrel
    hip: float = 1.0
    sway: float = 0.0
    hump: float = 0.0
    humps: int = 0
    wool: bool = False
    # neck and head
    neck: tuple[float, float, float, float] = (0.35, 45.0, 0.17, 0.12)  # length, elevation, half thickness low, high
    neck_sag: float = 0.0
    head: tuple[float, float, float] = (0.42, 0.11, 0.1)  # length, half height, half width
    muzzle: tuple[float, float, float] = (0.45, 0.06, 0.055)  # share of the length, half height, half width
    pitch: float = 15.0
    snout: bool = False
    open_mouth: bool = False
    ears: tuple[str, float] = ("pointed", 0.13)
    horns: tuple[str, float] = ("", 0.0)
    beard: float = 0.0
    ruff: float = 0.0
    # legs and tail
    leg: tuple[float, float] = (0.085, 0.045)  # half thickness high, low
    foot: str = "paw"
    tail: tuple[str, float, float] = ("hang", 0.5, 0.03)  # style, length, half thickness
    # looks
    coat: tuple[Colour, ...] = ((0.5, 0.35, 0.2),)
    under: tuple[Colour, ...] = ()  # belly and muzzle
    mark: tuple[Colour, ...] = ()
    marking: str = ""
    hoof: Colour = DARK
    nose: Colour = BLACK


@dataclass(frozen=True)
class Pose:
    """Degrees: how far the legs swing, the head turns and nods, the tail sways."""

    stride: float = 0.0
    yaw: float = 0.0
    nod: float = 0.0
    sway: float = 0.0


STANDING = Pose()


def draw_pose(rng: np.random.Generator) -> Pose:
    if rng.random() < 0.25:
        return STANDING
    return Pose(rng.uniform(-20, 20), rng.uniform(-35, 35), rng.uniform(-12, 15), rng.uniform(-25, 25))


def vary(spec: Spec, rng: np.random.Generator, spread: float = 0.09) -> Spec:
    """The same species with other proportions."""
    names = ("length", "depth", "width", "hump")
    changes: dict = {name: near(rng, getattr(spec, name), spread) for name in names}
    for name in ("neck", "head", "muzzle", "leg"):
        changes[name] = tuple(near(rng, v, spread) for v in getattr(spec, name))
    for name in ("ears", "horns", "tail"):
        style, *sizes = getattr(spec, name)
        changes[name] = (style, *(near(rng, v, 1.6 * spread) for v in sizes))
    return replace(spec, height=near(rng, spec.height, spread), **changes)


def _stripes(period: float, phase: float, share: float = 0.45) -> Layers:
    def test(c: Floats) -> np.ndarray:
        wave = c[:, 1] / period * 2 * np.pi + phase + 1.3 * np.sin(9 * c[:, 2] + phase) + 0.8 * np.sin(21 * c[:, 2])
        return np.sin(wave) > share

    return [("mark", test)]


def _spots(period: float, phase: float) -> Layers:
    def test(c: Floats) -> np.ndarray:
        p = c / period + phase
        cell = np.floor(p)
        jitter = 0.35 * np.sin(cell @ np.array([[12.9, 39.3, 73.1], [78.2, 11.1, 27.7], [37.7, 93.9, 51.3]]))
        inside = p - cell - 0.5 - 0.5 * jitter
        return np.einsum("ij,ij->i", inside, inside) < 0.17

    return [("mark", test)]


def markings(spec: Spec, phase: float) -> Layers:
    """Markings of trunk, legs and tail, in shoulder heights."""

    def under(c: Floats) -> np.ndarray:
        return (c[:, 2] < 1.05 - spec.depth) & (c[:, 2] > 0.9 - spec.depth) & (np.abs(c[:, 0]) < 0.8 * spec.width)

    if spec.marking == "panda":
        front = -0.17 * spec.length
        return [("mark", lambda c: (c[:, 2] < 0.97 - spec.depth) | ((c[:, 1] < front) & (c[:, 1] > front - 0.42)))]
    belly: Layers = [("under", under)] if spec.under else []
    if spec.marking == "stripes":
        return [*belly, *_stripes(0.16, phase)]
    if spec.marking == "spots":
        return [*belly, *_spots(0.13, phase)]
    if spec.marking == "patches":
        return [
            (
                "mark",
                lambda c: (
                    np.sin(4 * c[:, 1] + phase) + np.sin(5 * c[:, 2] + 2 * phase) + np.sin(6 * c[:, 0] + 3 * phase)
                    > 0.55
                ),
            )
        ]
    if spec.marking == "legs":
        return [*belly, ("mark", lambda c: c[:, 2] < 0.34)]
    if spec.marking == "flank":
        low, high = 1.03 - 0.86 * spec.depth, 1.03 - 0.62 * spec.depth
        return [*belly, ("mark", lambda c: (c[:, 2] < high) & (c[:, 2] > low)), ("under", lambda c: c[:, 2] < low)]
    return belly


def head_markings(spec: Spec, phase: float) -> Layers:
    """Markings of the head, in shoulder heights from the top of the neck."""
    length, half, wide = spec.head
    stop = length * (0.25 - 1 + spec.muzzle[0])
    muzzle: Layers = [("under", lambda c: (c[:, 1] < stop) & (c[:, 2] < 0.1 * half))] if spec.under else []
    if spec.marking == "stripes":
        crown = _stripes(0.1, phase, 0.4)[0][1]
        return [*muzzle, ("mark", lambda c: crown(c) & (c[:, 1] > stop))]
    if spec.marking == "spots":
        return [*muzzle, *_spots(0.1, phase)]
    if spec.marking == "mask":
        return [("mark", lambda c: (np.abs(np.abs(c[:, 0]) - 0.5 * wide) < 0.22 * wide) & (c[:, 2] > -0.2 * half)),
                ("under", lambda c: np.ones(len(c), bool))]  # fmt: skip
    if spec.marking == "face":
        return [("mark", lambda c: np.ones(len(c), bool))]
    return muzzle
