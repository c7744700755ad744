"""One parametric four-legged body: proportions, horns, ears, humps, tail, feet and markings tell species apart."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder
from ..shapes import Floats, rotation, tube
from ._forms import BLACK, DARK, PINK, Frame, Layers, ball, loft, outermost, placed, relief, rod, shifted, spikes
from ._quadruped_spec import PARTS, STANDING, Pose, Spec, head_markings, markings


def quadruped(b: ObjectBuilder, spec: Spec, pose: Pose = STANDING, phase: float = 0.0) -> None:
    """Adds the whole animal, standing on z = 0, head towards -y; ``phase`` shifts the markings."""
    _materials(b, spec)
    whole = Frame(b, np.diag([spec.height] * 3 + [1.0]))
    layers = markings(spec, phase)
    on_legs = [layer for layer in layers if spec.marking == "flank" or layer[0] != "under"]
    _trunk(whole, spec, layers, phase)
    top = _neck(whole, spec, layers)
    turn = placed(0, *top, ("x", spec.pitch + pose.nod), ("z", pose.yaw))
    _head(Frame(b, whole.matrix @ turn), spec, head_markings(spec, phase))
    for front in (True, False):
        for side in (1, -1):
            _leg(whole, spec, front, side, pose.stride * (1 if front == (side > 0) else -1), on_legs)
    _tail(whole, spec, pose.sway, layers)


def _materials(b: ObjectBuilder, spec: Spec) -> None:
    kind = "skin" if spec.snout else "fur"
    b.material("main", kind, colours=spec.coat, patterns=("plain", "plain", "noise"))
    b.material("under", kind, colours=spec.under or spec.coat)
    b.material("mark", kind, colours=spec.mark or (DARK,), fixed=True)
    b.material("eye", "plastic", colours=(BLACK, (0.15, 0.08, 0.02)), fixed=True)
    b.material("nose", "skin", colours=(spec.nose,), fixed=True)
    b.material("horn", "ceramic", colours=((0.35, 0.29, 0.2), (0.62, 0.55, 0.42), (0.2, 0.17, 0.14)))
    b.material("hoof", "ceramic" if spec.foot == "hoof" else kind, colours=(spec.hoof,))
    b.material("inner", "skin", colours=(PINK,))


def _trunk(f: Frame, s: Spec, layers: Layers, phase: float) -> None:
    y = s.length * np.array([-0.5, -0.37, -0.1, 0.16, 0.37, 0.5])
    top = np.array([1 - 0.3 * s.depth, 1 + s.hump, 1 - s.sway, 1 - 0.7 * s.sway, s.hip, s.hip - 0.25 * s.depth])
    tuck = s.depth * (0.5 + 0.5 * s.belly)
    low = np.array([1 - 0.85 * s.depth, 1 - s.depth, 1 - 0.35 * s.depth - 0.65 * tuck, 1 - tuck, 0, 0])
    low[4:] = s.hip - 0.95 * tuck, s.hip - 0.75 * tuck
    width = s.width * np.array([0.6, 0.92, 1, 0.93, 0.88, 0.55])
    stations = np.column_stack([np.zeros(6), y, (top + low) / 2, width, (top - low) / 2])
    fine = bool(s.marking)
    mesh = loft(stations, steps=9 if fine else 3, sides=24 if fine else 14, caps=(0.5, 0.6))
    if s.wool:
        mesh = relief(loft(stations, steps=8, sides=28, caps=(0.6, 0.6)), 0.06, 0.2, phase)
    f.painted(PARTS["body"], mesh, layers)
    for k in range(s.humps):
        at = (0, (k - (s.humps - 1) / 2) * 0.36 * s.length, 1.02 - s.sway)
        f.piece(
            PARTS["body"], loft([(*at, 0.55 * s.width, 0.24), (0, at[1], at[2] + 0.2, 0.25 * s.width, 0.1)]), "main"
        )
        f.keypoint("hump", "top", (0, at[1], at[2] + 0.2 + 0.15 * s.width), ("front", "rear")[k] if s.humps > 1 else "")
    if not s.humps:
        f.keypoint("back", "center", (0, y[2], top[2]), "", "middle")
    f.keypoint("shoulder", "top", (0, y[1], top[1]))
    f.keypoint("rump", "top", (0, y[4], top[4]))
    f.pair("flank", "center", (width[2], y[2], (top[2] + low[2]) / 2))
    chest = outermost(mesh, (0, y[0], 0.3 * top[0] + 0.7 * low[0]), (0, -1, 0))
    f.keypoint("chest", "center", chest)


def _neck(f: Frame, s: Spec, layers: Layers) -> tuple[float, float]:
    """Adds the neck; returns (y, z) of its top."""
    length, elevation, thick, thin = s.neck
    root = np.array([-0.38 * s.length, 1 - 0.38 * s.depth])
    way = np.array([-np.cos(np.radians(elevation)), np.sin(np.radians(elevation))])
    top = root + way * (length + 0.1)
    middle = (root + top) / 2 + s.neck_sag * np.array([0.3, -1.0])
    rows = [(0, *root, 0.75 * thick, thick), (0, *middle, 0.7 * (thick + thin) / 2, (thick + thin) / 2),
            (0, *top, 0.85 * thin, thin)]  # fmt: skip
    mesh = loft(rows, steps=5, sides=12)
    dark = [("mark", lambda c: np.ones(len(c), bool))] if s.marking == "panda" else []
    f.painted(PARTS["neck"], mesh, dark or (layers if s.marking in ("stripes", "spots", "patches") else []))
    if s.ruff:
        ring = loft([(0, *(root + way * 0.2), 1.15 * thick, 1.2 * thick), (0, *(top - way * 0.04), s.ruff, s.ruff)])
        f.piece(PARTS["neck"], ring, "under" if s.under else "main")
    return float(top[0]), float(top[1])


def _profile(s: Spec) -> tuple[Floats, float]:
    """Stations of the head in its own frame (nose towards -y), and the share of its length where the muzzle starts."""
    length, half, wide = s.head
    share, mh, mw = s.muzzle
    stop = 1 - share
    at = np.array([0.0, 0.16, 0.36 * (stop / 0.55), stop, (stop + 1) / 2, 0.97])
    height = np.array([0.7 * half, half, 0.97 * half, 0.45 * half + 0.55 * mh, 1.08 * mh, 0.85 * mh])
    width = np.array([0.7 * wide, wide, 0.98 * wide, 0.5 * (wide + mw), 1.04 * mw, 0.88 * mw])
    drop = -0.62 * (half - height) * (at > 0.2)
    return np.column_stack([np.zeros(6), (0.25 - at) * length, drop, width, height]), stop


def _skull_point(stations: Floats, k: float, degrees: float) -> Floats:
    """A point on the left of the head's surface at (fractional) station ``k``, this far above the horizontal."""
    low = min(int(k), len(stations) - 2)
    row = stations[low] + (k - low) * (stations[low + 1] - stations[low])
    angle = np.radians(degrees)
    return row[:3] + np.array([row[3] * np.cos(angle), 0, row[4] * np.sin(angle)])


def _head(f: Frame, s: Spec, layers: Layers) -> None:
    length, _, wide = s.head
    stations, _ = _profile(s)
    f.painted(
        PARTS["head"], loft(stations, steps=5 if layers else 3, sides=16 if layers else 12, caps=(0.8, 0.5)), layers
    )
    tip = stations[-1] + np.array([0, -0.03 * length, 0, 0, 0])
    _muzzle(f, s, tip, stations)
    eye = _skull_point(stations, 2.6, 38)
    size = max(0.15 * wide, 0.012)
    if s.marking == "panda":
        f.both(PARTS["head"], ball(2.6 * size, 1.6 * size, 3 * size, shifted(eye, 0.01, 0.02 * length, -0.012)), "mark")
        size *= 1.1
        eye = eye + np.array([0, -0.03 * length, 0])
    f.both(PARTS["eye"], ball(size, size, size, eye, segments=8), "eye")
    f.pair("eye", "center", shifted(eye, 0.6 * size, -0.6 * size, 0))
    _ears(f, s, stations)
    _horns(f, s, stations)
    if s.beard:
        chin = np.array([0, stations[4, 1], stations[4, 2] - stations[4, 4]])
        rows = [(*chin, 0.03, 0.04), (0, chin[1] + 0.03, chin[2] - s.beard, 0.008, 0.01)]
        f.piece(PARTS["head"], loft(rows, caps=(0.3, 0.3)), "under")
        f.keypoint("beard", "tip", (0, chin[1] + 0.03, chin[2] - s.beard))
    crown = _skull_point(stations, 1.0, 90)
    f.keypoint("head", "top", (0, crown[1], crown[2]))


def _muzzle(f: Frame, s: Spec, tip: Floats, stations: Floats) -> None:
    _, mh, mw = s.muzzle
    if s.snout:
        f.piece(PARTS["nose"], rod(shifted(tip[:3], 0, 0.05, 0), tip[:3] - [0, 0.025, 0], 1.05 * mw, sides=12), "inner")
        f.both(
            PARTS["nose"], ball(0.2 * mw, 0.02, 0.3 * mh, shifted(tip[:3], 0.35 * mw, -0.025, 0), segments=8), "nose"
        )
        f.keypoint("nose", "tip", tip[:3] - [0, 0.03, 0])
    else:
        at = tip[:3] + np.array([0, -0.012, 0.45 * tip[4]])
        f.piece(PARTS["nose"], ball(0.5 * mw, 0.4 * mw, 0.38 * mh, at, segments=8), "nose")
        f.keypoint("nose", "tip", at - [0, 0.4 * mw, 0])
    corner = _skull_point(stations, 3.5, -30)
    f.pair("mouth", "corner", corner)
    if s.open_mouth:
        jaw = stations[3:].copy()
        jaw[:, 3:] *= (0.8, 0.35)
        jaw[:, 2] -= stations[3:, 4] * 1.05 + np.array([0.0, 0.35, 0.7]) * s.head[1] * 0.5
        f.piece(PARTS["head"], loft(jaw, sides=10), "main")
        tongue = jaw[-1, :3] + [0, 0.03, jaw[-1, 4]]
        f.piece(PARTS["head"], ball(0.5 * mw, 0.08, 0.012, tongue, segments=8), "inner")
        along = (0.0, 0.024, 0.047, 0.07)
        roots = np.array([(x * mw, tip[1] + 0.02 + y, tip[2] - 0.8 * mh) for y in along for x in (-0.62, 0.62)])
        f.piece(PARTS["teeth"], spikes(roots, shifted(roots, 0, 0, -0.03), 0.01), "tooth")


def _ears(f: Frame, s: Spec, stations: Floats) -> None:
    style, size = s.ears
    root = _skull_point(stations, 0.9, 52)
    if style == "pointed":
        tip = root + (rotation("x", -5) @ rotation("y", 18))[:3, :3] @ np.array([0, 0, 0.96 * size])
        mesh = rod((0, 0, -0.25 * size), (0, 0, size), 0.42 * size, 0.05 * size, sides=10).scale(1, 0.45, 1)
        mesh = mesh.rotate("y", 18).rotate("x", -5).move(*root)
        f.both(PARTS["ear"], mesh, "main")
        inner = rod((0, 0, 0), (0, 0, 0.75 * size), 0.27 * size, 0.03 * size, sides=8).scale(1, 0.4, 1)
        f.both(PARTS["ear"], inner.rotate("y", 18).rotate("x", -5).move(*(shifted(root, 0, -0.1 * size, 0))), "inner")
    elif style == "round":
        tip = root + np.array([0.3 * size, 0, 0.75 * size])
        f.both(
            PARTS["ear"],
            ball(0.5 * size, 0.22 * size, 0.5 * size, shifted(root, 0.15 * size, 0, 0.25 * size)),
            _ear_look(s),
        )
    elif style == "droop":
        root = _skull_point(stations, 1.0, 35)
        tip = root + np.array([0.1 * size, -0.08 * size, -size])
        rows = [(*(shifted(root, 0, 0, 0.03)), 0.1 * size, 0.2 * size), (*(shifted((root + tip) / 2, 0.12 * size)),
                0.1 * size, 0.36 * size), (*tip, 0.05 * size, 0.2 * size)]  # fmt: skip
        f.both(PARTS["ear"], loft(rows, sides=8), "ear")
    else:  # a leaf that sticks out sideways
        root = _skull_point(stations, 0.9, 25)
        lift = {"leaf": 20.0, "hang": -25.0}[style]
        mesh = ball(0.55 * size, 0.18 * size, 0.26 * size, (0.45 * size, 0, 0)).rotate("y", -lift).move(*root)
        f.both(PARTS["ear"], mesh, "main")
        tip = root + size * np.array([np.cos(np.radians(lift)), 0, np.sin(np.radians(lift))])
    f.pair("ear", "tip", tip)


def _ear_look(s: Spec) -> str:
    return "mark" if s.marking == "panda" else "main"


def _horns(f: Frame, s: Spec, stations: Floats) -> None:
    style, size = s.horns
    if not style:
        return
    root = _skull_point(stations, 1.2, 62)
    t = np.linspace(0, 1, 9)
    if style == "lyre":  # antelope: long, up and back in a slight S
        path = np.column_stack([0.22 * np.sin(2.6 * t), 0.45 * t**1.5, 1.0 * t])
    elif style == "side":  # ox: out and up
        path = np.column_stack([0.85 * np.sin(1.5 * t), -0.15 * t, 0.75 * t**2.2])
    elif style == "sweep":  # water buffalo: out and back
        path = np.column_stack([np.sin(2.2 * t), 0.7 * t, -0.15 * np.sin(3 * t) + 0.45 * t**2])
    elif style == "back":  # goat: up, then back
        path = np.column_stack([0.2 * t, 0.75 * t**1.8, 0.85 * np.sin(1.9 * t)])
    else:  # ram: a spiral beside the cheek
        angle = 5.2 * t
        path = np.column_stack([0.22 * t + 0.1, 0.34 - 0.34 * np.cos(angle), 0.36 * np.sin(angle)])
    thick = size * {"curl": 0.16, "lyre": 0.055, "back": 0.085}.get(style, 0.1)
    radii = thick * (1 - 0.85 * t) if style != "curl" else thick * (1 - 0.6 * t)
    path = root + size * path
    f.both(PARTS["head"], tube(path, radii, sides=8), "horn")
    f.pair("horn", "tip", path[-1])
    f.pair("horn", "base", path[1])


def _leg(f: Frame, s: Spec, front: bool, side: int, swing: float, layers: Layers) -> None:
    high, low = s.leg
    hip_y = (-0.34 if front else 0.36) * s.length
    hip_z = 1 - 0.62 * s.depth if front else s.hip - 0.5 * s.depth
    x = side * (0.62 if front else 0.6) * s.width
    bend = {True: (0.0, 0.035, -0.01, 0.0), False: (0.0, -0.06, 0.09, 0.03)}[front]
    down = (1.0, 0.62, 0.3, 0.06)
    points = np.array([(bend[k], (down[k] - 1) * hip_z) for k in range(4)])
    cosine, sine = np.cos(np.radians(swing)), np.sin(np.radians(swing))
    points = points @ np.array([[cosine, sine], [-sine, cosine]])
    points[:, 1] *= (0.03 + 0.5 * low - hip_z) / points[:, 1].min()  # the foot stays on the ground
    points += (hip_y, hip_z)
    deep = (1.25 * high, 1.0 * high, 1.1 * low, low) if front else (1.55 * high, 1.15 * high, 1.15 * low, low)
    wide = (0.9 * high, 0.85 * high, low, 0.95 * low)
    rows = [(x, *points[k], wide[k], deep[k]) for k in range(4)]
    fine = bool(s.marking)
    mesh = loft(rows, steps=6 if fine else 3, sides=12 if fine else 10, caps=(0.8, 0.2))
    f.painted(PARTS["leg"], mesh, layers)
    _foot(f, s, front, side, (x, *points[-1]), low)
    words = ("front" if front else "rear", "left" if side > 0 else "right")
    outer = np.sign(x) * np.array([1.0, 0, 0])
    f.keypoint("leg", "knee", np.array([x, *points[2]]) + outer * wide[2], " ".join(words))


def _foot(f: Frame, s: Spec, front: bool, side: int, ankle: tuple[float, float, float], low: float) -> None:
    x, y, _ = ankle
    words = f"{'front' if front else 'rear'} {'left' if side > 0 else 'right'}"
    if s.foot == "hoof":
        f.piece(PARTS["foot"], rod((x, y - 0.01, 0), (x, y, 0.09), 1.35 * low, 1.0 * low, sides=10), "hoof")
        reach = 1.35 * low
    else:
        reach = 2.2 * low if s.foot == "paw" else 2.9 * low
        look = "hoof" if s.hoof != DARK else ("mark" if s.marking in ("panda", "legs") else "main")
        mesh = ball(1.35 * low, reach, 0.05, (x, y - 0.4 * reach, 0.05), segments=10)
        f.piece(PARTS["foot"], mesh, look)
        reach *= 1.28  # the coarse ellipsoid is a little smaller than its half-axes
    f.keypoint("paw", "tip", (x, y - reach, 0.045), words)


def _direction(start: Floats, end: Floats) -> Floats:
    way = (end - start)[:3]
    return way / np.linalg.norm(way)


TAILS: dict[str, tuple[tuple[float, float], ...]] = {  # (backwards, upwards) in tail lengths
    "hang": ((0, 0), (0.16, -0.12), (0.24, -0.5), (0.3, -1.0)),
    "out": ((0, 0), (0.3, -0.16), (0.65, -0.4), (1.0, -0.42)),
    "up": ((0, 0), (0.28, 0.2), (0.35, 0.6), (0.2, 1.0)),
    "curl": ((0, 0), (0.2, 0.45), (-0.25, 0.75), (-0.5, 0.4)),
    "long": ((0, 0), (0.3, -0.25), (0.6, -0.45), (0.9, -0.3), (1.05, -0.02)),
    "plume": ((0, 0), (0.3, 0.02), (0.4, 0.4), (0.16, 0.82), (0.3, 1.05), (0.52, 0.95)),
    "cork": ((0, 0), (0.45, 0.25), (0.25, 0.7), (0.75, 0.65)),
    "stub": ((0, 0), (0.5, -0.3), (0.7, -0.8)),
}  # fmt: skip


def _tail(f: Frame, s: Spec, sway: float, layers: Layers) -> None:
    style, length, thick = s.tail
    bushy, tuft = style.endswith("+"), style.endswith("*")
    path = np.array(TAILS[style.rstrip("+*")]) * length + (0.5 * s.length - 0.02, s.hip - 0.3 * s.depth)
    share = np.linspace(0, 1, len(path))
    aside = np.sin(np.radians(sway)) * length * 0.5 * share**2
    grow = np.interp(share, (0, 0.25, 0.7, 1), (0.5, 1, 1.1, 0.35)) if bushy else 1 - 0.45 * share
    rows = np.column_stack([aside, path, thick * grow, thick * grow])
    mesh = loft(rows, steps=7, sides=10, caps=(0.8, 1.0))
    banded: Layers = []
    if s.marking in ("stripes", "spots"):
        banded = [("mark", lambda c: np.sin(c[:, 1] * 40 + c[:, 2] * 40) > 0.3)]
    elif bushy and s.under:
        end = rows[-1, 1:3]
        banded = [("under", lambda c: np.hypot(*(c[:, 1:] - end).T) < 0.3 * length)]
    f.painted(PARTS["tail"], mesh, banded)
    if tuft:
        end = rows[-1, :3]
        f.piece(PARTS["tail"], ball(2 * thick, 2 * thick, 4.5 * thick, end, segments=10), "tuft")
    f.keypoint("tail", "tip", rows[-1, :3] + 0.9 * rows[-1, 3] * _direction(rows[-2], rows[-1]))
    f.keypoint("tail", "base", shifted(0.5 * (rows[0] + rows[1])[:3], 0, 0, thick * grow[0]))
