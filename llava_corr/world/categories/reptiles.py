"""Snakes, lizards, crocodiles, turtles and frogs of PartImageNet."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, tube
from ._forms import BLACK, DARK, IVORY, Frame, ball, loft, near, placed, rod, select, settle, shifted, spikes

GREENS = ((0.3, 0.48, 0.2), (0.42, 0.5, 0.25), (0.25, 0.36, 0.2), (0.5, 0.42, 0.25), (0.35, 0.55, 0.3))
PALE = ((0.78, 0.75, 0.55), IVORY, (0.7, 0.68, 0.45))


def _eyes(f: Frame, at: ArrayLike, size: float, lid: str = "main") -> None:
    """Eyes on bulges of the head."""
    at = np.asarray(at, float)
    f.both("head", ball(size, size, size, at, segments=10), lid)
    f.both(
        "head",
        ball(0.5 * size, 0.7 * size, 0.6 * size, shifted(at, 0.62 * size, -0.2 * size, 0.2 * size), segments=8),
        "eye",
    )
    f.pair("eye", "center", shifted(at, 1.05 * size, -0.2 * size, 0.2 * size))


def _looks(b: ObjectBuilder, main: tuple, *, skin: str = "scales", patterns: tuple = ("plain", "noise")) -> None:
    b.material("main", skin, colours=main, patterns=patterns)
    b.material("under", skin, colours=PALE)
    b.material("mark", skin, colours=(DARK, (0.3, 0.2, 0.1), (0.75, 0.6, 0.2)), fixed=True)
    b.material("eye", "plastic", colours=(BLACK,), fixed=True)


def _sprawl(
    f: Frame, hip: tuple[float, float], lift: float, reach: float, thick: float, front: bool, swing: float
) -> None:
    """A pair of legs that stand out sideways from (x, y); the left swings forwards, the right backwards."""
    x, y = hip
    for side, way in ((1, swing), (-1, -swing)):
        ahead = way + (-0.3 if front else 0.3)
        start = np.array([side * 0.6 * x, y, lift])
        knee = np.array([side * (x + reach), y + ahead * reach, 1.05 * lift])
        foot = np.array([side * (x + 1.15 * reach), y + (ahead - 0.45) * reach, 0.35 * thick])
        f.piece("foot", tube(np.array([start, (start + knee) / 2, knee, (knee + foot) / 2, foot]), thick * np.array(
            [1.25, 1.15, 0.95, 0.8, 0.7])), "main")  # fmt: skip
        for turn in (-40, 0, 40):
            angle = np.radians(turn)
            toe = foot + 1.9 * thick * np.array([np.sin(angle), -np.cos(angle), 0])
            f.piece("foot", rod(foot, toe, 0.6 * thick, 0.22 * thick, sides=6), "main")
        words = f"{'front' if front else 'rear'} {'left' if side > 0 else 'right'}"
        f.keypoint("leg", "knee", knee, words)
        f.keypoint("paw", "tip", shifted(foot, 0, -1.9 * thick, 0), words)


def _wave(length: float, bend: float, phase: float, points: int = 7) -> Floats:
    """Sideways offsets of a crawling tail."""
    t = np.linspace(0, 1, points)
    return bend * length * t * np.sin(2.4 * t + phase)


def _tail(
    f: Frame, start: ArrayLike, length: float, half: float, bend: float, phase: float, tall: float = 1.0
) -> Floats:
    """A tail that tapers to a point on the ground; returns its tip."""
    x0, y0, z0 = np.asarray(start, float)
    t = np.linspace(0, 1, 7)
    thick = half * (1 - t) ** 0.8 + 0.04 * half
    x = x0 + _wave(length, bend, phase) - _wave(length, bend, phase)[0]
    rows = np.column_stack([x, y0 + length * t, z0 * (1 - t) + thick * t, thick, tall * thick])
    f.piece("tail", loft(rows, steps=3, sides=12, caps=(0.3, 1)), "main")
    f.keypoint("tail", "tip", rows[-1, :3])
    f.keypoint("tail", "base", (x0, y0, z0 + tall * half))
    return rows[:, :4]


@category("snake", flavours={"partimagenet": "snake"}, supercategory="animals", support="ground", size=0.8)
def snake(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Winding over the ground or coiled, head raised, often banded."""
    _looks(b, (*GREENS, (0.6, 0.3, 0.15), (0.2, 0.2, 0.22), (0.75, 0.6, 0.3)), patterns=("plain", "checks", "patches"))
    b.material("tongue", "skin", colours=((0.8, 0.1, 0.15),), fixed=True)
    thick = near(rng, 0.028, 0.2)
    t = np.linspace(0, 1, 70)
    if rng.random() < 0.5:
        turns = float(rng.uniform(1.4, 2.2))
        angle = 2 * np.pi * turns * (1 - t) + float(rng.uniform(0, 6))
        radius = 2.6 * thick + 2.1 * thick * 2 * turns * (1 - t) ** 1.2
        path = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), thick + 0.8 * thick * t])
    else:
        waves, wide = float(rng.uniform(1.2, 2.2)), near(rng, 0.13, 0.3)
        path = np.column_stack([wide * np.sin(2 * np.pi * waves * t), 0.75 * (0.5 - t), np.full(70, thick)])
    last = path[-1] - path[-2]
    way = last / np.linalg.norm(last)
    rise = float(rng.uniform(0.04, 0.2))
    s = np.linspace(0.12, 1, 12)[:, None]
    neck = path[-1] + way * 0.16 * s * (1.0 - 0.35 * s * (rise > 0.1)) + np.array([0, 0, rise]) * s**2
    path = np.concatenate([path, neck])
    grow = np.interp(np.linspace(0, 1, len(path)), (0, 0.25, 0.8, 1), (0.12, 0.9, 1, 0.72))
    mesh = tube(path, thick * grow, sides=12)
    f = Frame(b)
    _banded(f, mesh, len(path), 12, int(rng.integers(3, 6)) if rng.random() < 0.6 else 0)
    f.keypoint("tail", "tip", path[0])
    for share, word in ((0.3, "rear"), (0.55, "middle"), (0.8, "front")):
        k = int(share * len(path))
        f.keypoint("back", "center", shifted(path[k], 0, 0, thick * grow[k]), "", word)
    turn = np.degrees(np.arctan2(way[0], -way[1]))
    _snake_head(Frame(b, placed(*path[-1], ("x", float(rng.uniform(0, 15))), ("z", turn))), thick)
    settle(b)


def _banded(f: Frame, mesh: Mesh, rings: int, sides: int, period: int) -> None:
    """Adds a tube whose rings alternate between two materials; ``period`` rings each, 0 for none."""
    if not period:
        f.piece("body", mesh, "main")
        return
    quads = (rings - 1) * sides
    ring = (np.arange(len(mesh.faces)) % quads) // sides
    band = (ring // period) % 2 == 1
    band[2 * quads :] = False
    f.piece("body", select(mesh, band), "mark")
    f.piece("body", select(mesh, ~band), "main")


def _snake_head(f: Frame, thick: float) -> None:
    rows = [(0, 0.6 * thick, 0, 0.75 * thick, 0.7 * thick),
            (0, -0.8 * thick, 0.1 * thick, 1.35 * thick, 0.85 * thick),
            (0, -2.2 * thick, 0, 1.0 * thick, 0.6 * thick),
            (0, -3.1 * thick, -0.05 * thick, 0.6 * thick, 0.4 * thick)]  # fmt: skip
    f.piece("head", loft(rows, sides=12), "main")
    f.both(
        "head",
        ball(0.28 * thick, 0.28 * thick, 0.28 * thick, (0.85 * thick, -1.9 * thick, 0.4 * thick), segments=8),
        "eye",
    )
    f.pair("eye", "center", (1.1 * thick, -1.95 * thick, 0.45 * thick))
    fork = np.array([0, -4.6 * thick, -0.2 * thick])
    f.piece("head", rod((0, -3.2 * thick, -0.15 * thick), fork, 0.1 * thick, sides=5), "tongue")
    f.both("head", rod(fork, fork + thick * np.array([0.4, -0.7, 0.1]), 0.09 * thick, 0.04 * thick, sides=5), "tongue")
    f.keypoint("nose", "tip", (0, -3.4 * thick, -0.05 * thick))
    f.keypoint("head", "top", (0, -0.8 * thick, 0.95 * thick))


@category("lizard", flavours={"partimagenet": "lizard"}, supercategory="animals", support="ground", size=0.4)
def lizard(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Slim, sprawling, with a long tail; some carry a crest like an iguana."""
    _looks(b, (*GREENS, (0.3, 0.55, 0.6), (0.75, 0.5, 0.2)), patterns=("plain", "dots", "stripes", "patches"))
    length, half = near(rng, 0.14), near(rng, 0.027)
    lift = near(rng, 0.04)
    twist = float(rng.uniform(-0.02, 0.02)) * (rng.random() < 0.7)
    rows = [(0, -0.5 * length, lift + 0.01, 0.62 * half, 0.62 * half), (0, -0.32 * length, lift, 0.95 * half, 0.8 *
            half), (twist, 0, lift, 1.05 * half, 0.85 * half), (0.4 * twist, 0.34 * length, lift, 0.85 * half, 0.75 *
            half), (0, 0.52 * length, lift, 0.6 * half, 0.6 * half)]  # fmt: skip
    f = Frame(b)
    f.painted("body", loft(rows, steps=4, sides=14), [("under", lambda c: c[:, 2] < lift - 0.35 * half)])
    swing = 0.0 if rng.random() < 0.3 else float(rng.uniform(-0.5, 0.5))
    _sprawl(f, (0.9 * half, -0.3 * length), lift, near(rng, 0.04), 0.3 * half, True, swing)
    _sprawl(f, (0.9 * half, 0.36 * length), lift, near(rng, 0.045), 0.34 * half, False, -swing)
    _tail(
        f,
        (0, 0.46 * length, lift),
        near(rng, 0.22),
        0.6 * half,
        float(rng.uniform(-0.5, 0.5)),
        float(rng.uniform(0, 1)),
    )
    head = Frame(b, placed(0, -0.5 * length, lift + 0.012, ("x", -12), ("z", float(rng.uniform(-25, 25)))))
    rows = [(0, 0.01, 0, 0.7 * half, 0.6 * half),
            (0, -0.02, 0.004, 1.0 * half, 0.75 * half), (0, -0.05, 0, 0.62 *
            half, 0.5 * half), (0, -0.068, -0.002, 0.35 * half, 0.3 * half)]  # fmt: skip
    head.piece("head", loft(rows, sides=12), "main")
    _eyes(head, (0.68 * half, -0.03, 0.42 * half), 0.3 * half)
    head.keypoint("nose", "tip", (0, -0.072, 0))
    if rng.random() < 0.4:
        root = np.array([(0, (-0.45 + 0.1 * k) * length, lift + 0.6 * half) for k in range(9)])
        f.piece("body", spikes(root, shifted(root, 0, 0.008, half), 0.008), "mark")
    f.keypoint("back", "center", (twist, 0, lift + 0.85 * half), "", "middle")
    settle(b)


@category("crocodile", flavours={"partimagenet": "crocodile"}, supercategory="animals", support="ground", size=3.2)
def crocodile(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A flat armoured body with a long toothed snout and a tall tail."""
    _looks(b, ((0.34, 0.38, 0.22), (0.3, 0.3, 0.22), (0.42, 0.4, 0.26), (0.25, 0.3, 0.2)))
    b.material("tooth", "ceramic", colours=(IVORY,), fixed=True)
    length, half = near(rng, 1.15), near(rng, 0.26)
    lift = near(rng, 0.28)
    deep = 0.68 * half
    rows = [(0, -0.52 * length, lift, 0.62 * half, 0.8 * deep), (0, -0.3 * length, lift, 0.9 * half, 0.95 * deep), (0,
            0, lift, half, deep), (0, 0.35 * length, lift, 0.85 * half, 0.9 * deep), (0, 0.55 * length, lift, 0.6 *
            half, 0.75 * deep)]  # fmt: skip
    f = Frame(b)
    f.painted("body", loft(rows, steps=4, sides=16, boxy=2.6), [("under", lambda c: c[:, 2] < lift - 0.5 * deep)])
    swing = 0.0 if rng.random() < 0.3 else float(rng.uniform(-0.4, 0.4))
    _sprawl(f, (0.85 * half, -0.32 * length), 0.75 * lift, 0.18, 0.065, True, swing)
    _sprawl(f, (0.85 * half, 0.38 * length), 0.75 * lift, 0.22, 0.08, False, -swing)
    bend = float(rng.uniform(-0.4, 0.4))
    spine = _tail(f, (0, 0.5 * length, lift), near(rng, 1.35), 0.6 * half, bend, float(rng.uniform(0, 1)), tall=1.15)
    crest = np.vstack([(spine[:-1] + spine[1:]) / 2, spine[1:-1]])
    root = crest[:, :3] + np.outer(0.9 * crest[:, 3], (0, 0, 1))
    f.piece("tail", spikes(root, shifted(root, 0, 0.06, 0.12), 0.055), "main")
    along = [(-0.42 + 0.14 * k) * length for k in range(7)]
    root = np.array([(side * 0.24 * half, y, lift + 0.8 * deep) for y in along for side in (-1, 1)])
    f.piece("body", spikes(root, shifted(root, 0, 0.04, 0.2 * deep + 0.07), 0.055), "main")
    head = Frame(b, placed(0, -0.5 * length, lift + 0.03, ("z", float(rng.uniform(-20, 20)))))
    _croc_head(head, near(rng, 0.75), 0.6 * half, float(rng.uniform(4, 22)))
    f.keypoint("back", "center", (0, 0, lift + deep), "", "middle")
    settle(b)


def _croc_head(f: Frame, length: float, half: float, gape: float) -> None:
    def jaw(z: float, thick: float) -> Mesh:
        rows = [(0, 0.08, z, half, 1.5 * thick), (0, -0.22 * length, z, 1.1 * half, 1.3 * thick), (0, -0.45 * length,
                z - 0.2 * thick, 0.62 * half, 0.8 * thick), (0, -0.8 * length, z - 0.2 * thick, 0.45 * half, 0.6 *
                thick), (0, -0.97 * length, z, 0.42 * half, 0.65 * thick)]  # fmt: skip
        return loft(rows, sides=14, boxy=2.8)

    upper, lower = (
        Frame(f.b, f.matrix @ placed(0, 0, 0.03, ("x", -0.6 * gape))),
        Frame(f.b, f.matrix @ placed(0, 0, -0.05, ("x", 0.4 * gape))),
    )
    upper.piece("head", jaw(0.02, 0.075), "main")
    lower.piece("head", jaw(-0.02, 0.05), "under")
    row = [((0.52 - 0.015 * k) * half, -(0.42 + 0.085 * k) * length) for k in range(7)]
    root = np.array([(side * x, y, -0.02) for x, y in row for side in (-1, 1)])
    upper.piece("head", spikes(root, shifted(root, 0, 0, -0.065), 0.018), "tooth")
    root = shifted(root, 0, -0.03, 0.02)
    lower.piece("head", spikes(root, shifted(root, 0, 0, 0.05), 0.015), "tooth")
    _eyes(upper, (0.55 * half, -0.2 * length, 0.12), 0.055)
    upper.both("head", ball(0.03, 0.04, 0.03, (0.2 * half, -0.95 * length, 0.07), segments=8), "main")
    upper.keypoint("nose", "tip", (0, -1.0 * length, 0.04))
    lower.keypoint("jaw", "tip", (0, -0.99 * length, -0.02))


@category("turtle", flavours={"partimagenet": "turtle"}, supercategory="animals", support="ground", size=0.45)
def turtle(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A domed or flat shell with scutes, four stout legs or flippers."""
    _looks(b, (*GREENS[:3], (0.4, 0.32, 0.2)), skin="skin")
    b.material("shell", "ceramic", colours=((0.36, 0.26, 0.14), (0.3, 0.34, 0.18), (0.5, 0.38, 0.2)))
    b.material("seam", "ceramic", colours=((0.68, 0.55, 0.28), DARK), fixed=True)
    sea = rng.random() < 0.4
    x, y = near(rng, 0.15), near(rng, 0.19)
    dome, base = near(rng, 0.075 if sea else 0.13), 0.06
    f = Frame(b)
    shell = ball(x, y, dome, (0, 0, base), segments=32)
    shell = select(shell, shell.vertices[shell.faces].mean(1)[:, 2] > base - 0.02)
    phase = float(rng.uniform(0, 6))
    rows = int(rng.integers(3, 5))

    def seam(c: Floats) -> np.ndarray:
        along = np.abs((c[:, 1] / y * rows / 2 + 0.5) % 1 - 0.5)
        return (along > 0.42) | (np.abs(np.abs(c[:, 0]) - 0.42 * x) < 0.04 * x)

    f.painted("body", shell, [("seam", seam)], "shell")
    f.piece("body", ball(1.06 * x, 1.06 * y, 0.025, (0, 0, base), segments=20), "shell")
    f.piece("body", ball(0.85 * x, 0.88 * y, 0.04, (0, 0, base - 0.012), segments=16), "under")
    swing = float(rng.uniform(-0.3, 0.3)) if phase > 1.5 else 0.0
    for front in (True, False):
        _turtle_legs(f, (0.68 * x, (-0.66 if front else 0.66) * y), front, sea, swing)
    neck = near(rng, 0.09)
    head = np.array([0, -y - neck, base + float(rng.uniform(0.01, 0.07))])
    f.piece(
        "head",
        loft([(0, -0.75 * y, base, 0.035, 0.035), (0, -y - 0.3 * neck, base + 0.005, 0.03, 0.03), (*head, 0.03, 0.03)]),
        "main",
    )
    h = Frame(b, placed(*head, ("z", float(rng.uniform(-30, 30)))))
    h.piece(
        "head",
        loft([(0, 0.02, 0, 0.03, 0.03), (0, -0.025, 0.003, 0.042, 0.038), (0, -0.06, -0.004, 0.026, 0.024)]),
        "main",
    )
    h.both("head", ball(0.009, 0.009, 0.009, (0.034, -0.035, 0.018), segments=8), "eye")
    h.pair("eye", "center", (0.042, -0.037, 0.02))
    h.keypoint("nose", "tip", (0, -0.075, -0.004))
    f.piece("tail", rod((0, 0.85 * y, base - 0.01), (0, 1.3 * y, 0.025), 0.022, 0.004), "main")
    f.keypoint("tail", "tip", (0, 1.3 * y, 0.025))
    f.keypoint("shell", "top", (0, 0, base + dome))
    f.keypoint("shell", "rim", (0, 1.06 * y, base), "rear")
    f.pair("shell", "rim", (1.06 * x, 0, base))
    settle(b)


def _turtle_legs(f: Frame, hip: tuple[float, float], front: bool, sea: bool, swing: float) -> None:
    x, y = hip
    for side in (1, -1):
        words = f"{'front' if front else 'rear'} {'left' if side > 0 else 'right'}"
        ahead = swing * side * (1 if front else -1)
        if sea:
            out = 0.2 if front else 0.09
            back = 0.55 if front else 0.7
            path = np.array([(side * 0.5 * x, y, 0.06), (side * (x + 0.5 * out), y + (ahead - 0.1 * front) * out, 0.05),
                             (side * (x + out), y + (ahead + back) * out, 0.02)])  # fmt: skip
            mesh = tube(path, (0.05, 0.055, 0.02), sides=10)
            flat = np.array([1, 1, 0.35])
            normals = mesh.normals / flat
            normals /= np.linalg.norm(normals, axis=1, keepdims=True)
            f.piece("foot", Mesh(mesh.vertices * flat + (0, 0, 0.025), mesh.faces, normals), "main")
            f.keypoint("paw", "tip", path[-1] * flat + (0, 0, 0.025), words)
        else:
            foot = np.array([side * (x + 0.035), y + (ahead - 0.1) * 0.08, 0.012])
            f.piece("foot", rod((side * 0.75 * x, 0.85 * y, 0.07), foot, 0.04, 0.032, sides=10), "main")
            f.piece("foot", ball(0.034, 0.042, 0.016, shifted(foot, 0, -0.012, 0.004), segments=10), "main")
            f.keypoint("paw", "tip", shifted(foot, 0, -0.052, 0.004), words)


@category("frog", flavours={"partimagenet": "frog"}, supercategory="animals", support="ground", size=0.14)
def frog(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Squatting, with goggle eyes, a wide mouth and folded hind legs."""
    _looks(b, ((0.35, 0.6, 0.2), (0.25, 0.5, 0.22), (0.5, 0.42, 0.2), (0.2, 0.45, 0.6), (0.75, 0.3, 0.15)), skin="skin",
           patterns=("plain", "dots", "patches"))  # fmt: skip
    w, tilt = near(rng, 0.038), float(rng.uniform(18, 34))
    body = Frame(b, placed(0, 0, 0.035, ("x", -tilt)))
    rows = [
        (0, -0.02, 0.004, 0.9 * w, 0.026),
        (0, 0.01, 0.002, w, 0.028),
        (0, 0.04, -0.002, 0.75 * w, 0.02),
        (0, 0.06, -0.004, 0.3 * w, 0.01),
    ]
    body.painted("body", loft(rows, steps=4, sides=16), [("under", lambda c: c[:, 2] < -0.008)])
    head = [(0, -0.01, 0.003, 0.88 * w, 0.024), (0, -0.035, 0.002, 0.86 * w, 0.02), (0, -0.06, -0.003, 0.5 * w, 0.012)]
    body.painted("head", loft(head, steps=4, sides=16, caps=(0.2, 0.8)), [("under", lambda c: c[:, 2] < -0.006)])
    body.piece("head", ball(0.72 * w, 0.034, 0.0016, (0, -0.037, -0.004), segments=14), "eye")
    _eyes(body, (0.62 * w, -0.034, 0.02), near(rng, 0.013))
    body.keypoint("nose", "tip", (0, -0.07, -0.003))
    body.pair("mouth", "corner", (0.72 * w, -0.037, -0.004))
    f = Frame(b)
    jump = float(rng.uniform(0, 0.012))
    knee, hip = (1.75 * w, 0.012 - jump, 0.03), (0.6 * w, 0.05, 0.018)
    ankle, toes = (1.25 * w, 0.062, 0.007), (1.9 * w, -0.012, 0.003)
    f.both("foot", tube(np.array([hip, np.add(hip, knee) / 2, knee]), (0.012, 0.016, 0.009), sides=10), "main")
    f.both("foot", tube(np.array([knee, np.add(knee, ankle) / 2, ankle]), (0.009, 0.01, 0.006), sides=8), "main")
    for spread in (-0.25, 0.0, 0.25):
        end = (toes[0] + spread * w, toes[1] + 0.004 * abs(spread), toes[2])
        f.both("foot", rod(ankle, end, 0.005, 0.0025, sides=6), "main")
    f.pair("leg", "knee", shifted(knee, 0.008), "rear")
    f.pair("paw", "tip", toes, "rear")
    arm = np.array([(0.75 * w, -0.03, 0.035), (1.15 * w, -0.022, 0.022), (1.0 * w, -0.045, 0.004)])
    f.both("foot", tube(arm, (0.009, 0.007, 0.005), sides=8), "main")
    for spread in (-0.3, 0.05, 0.4):
        f.both("foot", rod(arm[-1], shifted(arm[-1], spread * w, -0.015, -0.001), 0.004, 0.002, sides=6), "main")
    f.pair("paw", "tip", shifted(arm[-1], 0.05 * w, -0.015, -0.001), "front")
    body.keypoint("back", "center", (0, 0.012, 0.03), "", "middle")
    settle(b)
