"""Birds (standing and flying), fish, sharks and whales of PartImageNet."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats
from ._forms import (
    BLACK,
    DARK,
    WHITE,
    Frame,
    ball,
    cut,
    loft,
    near,
    outermost,
    pick,
    placed,
    rod,
    settle,
    shifted,
    upright,
    wing,
)

PLUMAGE = (
    (0.2, 0.35, 0.65),
    (0.75, 0.2, 0.15),
    (0.4, 0.3, 0.2),
    (0.85, 0.7, 0.2),
    (0.3, 0.5, 0.25),
    WHITE,
    (0.25, 0.25, 0.28),
)
BILL = ((0.9, 0.6, 0.1), (0.25, 0.22, 0.2), (0.85, 0.35, 0.15), (0.8, 0.7, 0.4))
# legs, neck, bill length, bill half thickness, body length and half width: metres for a bird of the size of a pigeon
BIRDS: dict[str, tuple[float, float, float, float, float, float]] = {
    "song": (0.07, 0.03, 0.045, 0.014, 0.2, 0.065),
    "duck": (0.06, 0.13, 0.085, 0.018, 0.34, 0.1),
    "heron": (0.34, 0.3, 0.13, 0.014, 0.32, 0.08),
    "raptor": (0.09, 0.05, 0.055, 0.022, 0.3, 0.085),
    "parrot": (0.06, 0.05, 0.05, 0.03, 0.24, 0.07),
}


def _plumage(b: ObjectBuilder) -> None:
    b.material("main", "feather", colours=PLUMAGE, patterns=("plain", "noise"))
    b.material("wing", "feather", colours=PLUMAGE, patterns=("plain", "stripes"))
    b.material("breast", "feather", colours=(WHITE, (0.8, 0.45, 0.2), (0.85, 0.75, 0.55), (0.75, 0.7, 0.68)))
    b.material("bill", "ceramic", colours=BILL, fixed=True)
    b.material("eye", "plastic", colours=(BLACK,), fixed=True)
    b.material("leg", "skin", colours=BILL)


def _bird_head(f: Frame, style: str, radius: float, bill: float, thick: float) -> None:
    """Head at the origin of the frame, bill towards -y."""
    f.piece("head", ball(0.85 * radius, 1.05 * radius, 0.95 * radius, segments=14), "main")
    root, tip = np.array([0, -0.85 * radius, -0.1 * radius]), np.array([0, -0.85 * radius - bill, -0.25 * radius])
    if style == "duck":
        f.piece("head", ball(1.3 * thick, 0.6 * bill, 0.4 * thick, (root + tip) / 2, segments=12), "bill")
    elif style in ("raptor", "parrot"):
        rows = [(*root, thick, 1.2 * thick), (0, root[1] - 0.7 * bill, root[2], 0.7 * thick, 0.8 * thick),
                (0, root[1] - 0.8 * bill, root[2] - 1.1 * thick, 0.15 * thick, 0.2 * thick)]  # fmt: skip
        f.piece("head", loft(rows, sides=8, caps=(0, 0.5)), "bill")
        tip = np.array(rows[-1][:3])
    else:
        f.piece("head", rod(root, tip, thick, 0.1 * thick, sides=8), "bill")
    if style == "parrot":
        crest = upright(
            [(-0.3 * radius, 0.7 * radius), (0.9 * radius, 0.4 * radius), (1.2 * radius, 1.8 * radius)], 0.01
        )
        f.piece("head", crest, "wing")
    eye = radius * np.array([0.72, -0.55, 0.3])
    f.both("head", ball(0.16 * radius, 0.16 * radius, 0.16 * radius, eye, segments=8), "eye")
    f.pair("eye", "center", eye * 1.08)
    f.keypoint("bill", "tip", tip)
    f.keypoint("head", "top", (0, 0, 0.95 * radius))


def _trunk(f: Frame, length: float, half: float, tail: float, spread: float) -> None:
    """Body with its tail, centred, breast towards -y."""
    rows = [(0, -0.42 * length, 0.1 * half, 0.6 * half, 0.6 * half), (0, -0.2 * length, 0, half, 1.05 * half), (0,
            0.12 * length, 0.02 * half, 0.85 * half, 0.85 * half), (0, 0.42 * length, 0.25 * half, 0.3 * half, 0.3 *
            half)]  # fmt: skip
    mesh = loft(rows, steps=5, sides=18, caps=(0.8, 0.8))
    f.painted("body", mesh, [("breast", lambda c: (c[:, 2] < -0.15 * half) & (c[:, 1] < 0.2 * length))])
    fan = [(0, 0.34 * length, 0.25 * half, 0.3 * half, 0.16 * half),
           (0, 0.5 * length + 0.5 * tail, 0.2 * half, (0.4 + 0.5 * spread) * half, 0.07 * half),
           (0, 0.5 * length + tail, 0.1 * half, (0.5 + spread) * half, 0.03 * half)]  # fmt: skip
    f.piece("tail", loft(fan, sides=10, caps=(0, 0.3)), "wing")
    f.keypoint("tail", "tip", fan[-1][:3])
    f.keypoint("tail", "base", (0, 0.4 * length, 0.45 * half))
    f.keypoint("breast", "center", outermost(mesh, (0, -0.3 * length, -0.35 * half), (0, -1, 0)))
    f.keypoint("back", "center", (0, -0.05 * length, 0.95 * half), "", "middle")


def _bird_neck(f: Frame, length: float, half: float, neck: float, size: float) -> Floats:
    """Adds the neck; returns where the head sits."""
    root = np.array([0, -0.36 * length, 0.3 * half])
    head = shifted(root, 0, -0.1 * length - 0.15 * neck, neck + 0.9 * size)
    middle = shifted((root + head) / 2, 0, -0.1 * neck)
    if neck > 0.08:
        middle = shifted(root, 0, -0.22 * neck, 0.4 * neck)
    rows = [(*root, 0.6 * half, 0.6 * half), (*middle, 0.45 * size + 0.15 * half, 0.45 * size + 0.15 * half),
            (*head, 0.6 * size, 0.6 * size)]  # fmt: skip
    f.piece("body", loft(rows, steps=5, sides=12), "main")
    return head


@category("bird", flavours={"partimagenet": "bird"}, supercategory="animals", support="ground", size=0.5)
def bird(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A standing song bird, duck, heron, raptor or parrot with folded wings."""
    _plumage(b)
    style = pick(rng, *BIRDS)
    legs, neck, bill, thick, length, half = (near(rng, v, 0.15) for v in BIRDS[style])
    size = near(rng, {"song": 0.042, "duck": 0.05, "heron": 0.04, "raptor": 0.055, "parrot": 0.052}[style])
    tilt = float(rng.uniform(15, 35)) if style in ("song", "raptor", "parrot") else float(rng.uniform(0, 12))
    lift = legs + half
    f = Frame(b, placed(0, 0, lift, ("x", -tilt)))
    _trunk(f, length, half, near(rng, 0.5 if style == "parrot" else 0.28) * length, float(rng.uniform(0, 0.4)))
    level = Frame(b, placed(0, 0, lift))
    head = f.matrix[:3, :3] @ _bird_neck(f, length, half, neck, size) + f.matrix[:3, 3]
    _bird_head(Frame(b, placed(*head, ("z", float(rng.uniform(-40, 40))))), style, size, bill, thick)
    folded = [(0.82 * half, -0.32 * length, 0.15 * half, 0.12 * half, 0.4 * half), (0.95 * half, 0, 0.1 * half, 0.16 *
              half, 0.62 * half), (0.4 * half, 0.52 * length, 0.2 * half, 0.06 * half, 0.12 * half)]  # fmt: skip
    f.both("wing", loft(folded, steps=4, sides=10), "wing")
    f.pair("wing", "tip", folded[-1][:3])
    f.pair("wing", "center", shifted(folded[1][:3], 0.16 * half))
    _bird_legs(level, half, legs, lift)
    settle(b)


def _bird_legs(f: Frame, half: float, legs: float, lift: float) -> None:
    thin = 0.07 * half + 0.002
    hip, heel = np.array([0.42 * half, 0.1 * half, -0.7 * half]), np.array([0.45 * half, 0, -lift + thin])
    f.both("foot", rod(hip, heel, 1.4 * thin, thin, sides=7), "leg")
    for turn in (-35, 0, 35, 180):
        way = np.array([np.sin(np.radians(turn)), -np.cos(np.radians(turn)), 0])
        f.both("foot", rod(heel, heel + 0.55 * half * way, thin, 0.5 * thin, sides=6), "leg")
    f.pair("paw", "tip", shifted(heel, 0, -0.55 * half))


@category("flying bird", flavours={"partimagenet": "bird"}, supercategory="animals", support="sky", size=0.9)
def flying_bird(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A bird on the wing: both wings spread, raised or lowered alike."""
    _plumage(b)
    style = pick(rng, "song", "duck", "raptor")
    _, neck, bill, thick, length, half = (near(rng, v, 0.15) for v in BIRDS[style])
    f = Frame(b)
    _trunk(f, length, 0.8 * half, near(rng, 0.32) * length, float(rng.uniform(0.3, 1.0)))
    size = near(rng, 0.045)
    root, head = np.array([0, -0.36 * length, 0.1 * half]), np.array([0, -0.55 * length - neck, 0.2 * half])
    f.piece("body", loft([(*root, 0.55 * half, 0.55 * half), (*head, 0.7 * size, 0.7 * size)], steps=5), "main")
    _bird_head(Frame(b, placed(*head)), style, size, bill, thick)
    span, chord = near(rng, 1.35) * length, near(rng, 0.24) * length
    beat, sweep = float(rng.uniform(-0.4, 0.75)), float(rng.uniform(0.0, 0.35))
    rows = [(0.3 * half, 0.1 * length, 0.35 * half, chord, 0.1 * chord),
            (0.4 * span, 0.2 * length, 0.45 * beat * span, 1.0 * chord, 0.09 * chord),
            (0.75 * span, (0.16 - sweep) * length, 0.68 * beat * span, 0.7 * chord, 0.06 * chord),
            (span, (-0.05 - 2 * sweep) * length, 0.8 * beat * span, 0.2 * chord, 0.03 * chord)]  # fmt: skip
    f.both("wing", wing(rows, steps=4, sides=10), "wing")
    for name, row in (("tip", rows[-1]), ("center", rows[1])):
        f.pair("wing", name, (row[0], -row[1], row[2]))
    f.both("foot", rod((0.3 * half, 0.25 * length, -0.5 * half), (0.3 * half, 0.5 * length, -0.4 * half), 0.007), "leg")
    for turn in (-20, 20):
        end = (0.3 * half + 0.1 * turn / 100 * length, 0.62 * length, -0.42 * half)
        f.both("foot", rod((0.3 * half, 0.5 * length, -0.4 * half), end, 0.006, 0.003, sides=6), "leg")


def _swimmer(f: Frame, rows: list, head: float, layers: list, *, steps: int = 6, sides: int = 20) -> None:
    """Body skin along y, of which everything before y = ``head`` is the head."""
    front, rest = cut(loft(rows, steps=steps, sides=sides, caps=(0.9, 0.3)), lambda c: c[:, 1] < head)
    f.painted("head", front, layers)
    f.painted("body", rest, layers)


def _eyes(f: Frame, at: tuple[float, float, float], size: float, ring: bool) -> None:
    x, y, z = at
    if ring:
        f.both("head", ball(0.5 * size, size, size, (x - 0.25 * size, y, z), segments=10), "ring")
    f.both(
        "head", ball(0.4 * size, 0.55 * size, 0.55 * size, (x + (0.1 * size if ring else 0), y, z), segments=8), "eye"
    )
    f.pair("eye", "center", (x + 0.4 * size, y, z))


@category("fish", flavours={"partimagenet": "fish"}, supercategory="animals", support="water", size=0.35)
def fish(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """From slim to disc-like, with back, belly and breast fins and a forked or round tail."""
    bright = (
        (0.95, 0.5, 0.1),
        (0.95, 0.8, 0.2),
        (0.3, 0.5, 0.75),
        (0.6, 0.65, 0.7),
        (0.75, 0.25, 0.2),
        (0.4, 0.45, 0.3),
    )
    b.material("main", "scales", colours=bright, patterns=("plain", "stripes", "dots"))
    b.material("belly", "scales", colours=(WHITE, (0.85, 0.8, 0.7)))
    b.material("band", "scales", colours=(WHITE, BLACK, (0.2, 0.3, 0.6)), fixed=True)
    b.material("fin", "skin", colours=bright, patterns=("plain", "stripes"))
    b.material("eye", "plastic", colours=(BLACK,), fixed=True)
    b.material("ring", "plastic", colours=((0.95, 0.9, 0.6), WHITE), fixed=True)
    length, tall = near(rng, 0.26, 0.2), float(rng.uniform(0.15, 0.36))
    h, w = tall * length, 0.1 * length
    curve = 0.0 if rng.random() < 0.4 else float(rng.uniform(-0.06, 0.06)) * length
    rows = [(0, -0.5 * length, -0.02 * length, 0.25 * w, 0.22 * h), (0, -0.36 * length, 0, 0.8 * w, 0.65 * h),
            (0, -0.1 * length, 0.04 * h, w, h), (0.4 * curve, 0.2 * length, 0.02 * h, 0.7 * w, 0.72 * h),
            (curve, 0.46 * length, 0, 0.2 * w, 0.2 * h)]  # fmt: skip
    layers = [("belly", lambda c: c[:, 2] < -0.35 * h)]
    if rng.random() < 0.4:
        layers = [("band", lambda c: np.abs((c[:, 1] / length + 0.08) % 0.26 - 0.13) > 0.095)]
    _swimmer(Frame(b), rows, -0.26 * length, layers)
    f = Frame(b)
    _eyes(f, (0.72 * w, -0.37 * length, 0.18 * h), 0.04 * length, True)
    f.keypoint("mouth", "tip", (0, -0.51 * length, -0.02 * length))
    f.piece("head", ball(0.3 * w, 0.02 * length, 0.05 * h, (0, -0.515 * length, -0.06 * h), segments=8), "eye")
    _fish_fins(f, rng, length, h, w, curve)


def _fish_fins(f: Frame, rng: np.random.Generator, length: float, h: float, w: float, curve: float) -> None:
    fork, reach = float(rng.uniform(-0.06, 0.14)) * length, near(rng, 0.24) * length
    up = near(rng, 0.85) * max(h, 0.2 * length)
    base = 0.43 * length
    tail = [(base, -0.15 * h), (base + reach, -up), (base + reach - fork, 0), (base + reach, up), (base, 0.15 * h)]
    f.piece("tail", upright(tail, 0.12 * w, curve), "fin")
    f.keypoint("tail", "tip", (curve, base + reach, up), "", "top")
    f.keypoint("tail", "tip", (curve, base + reach, -up), "", "bottom")
    rise = near(rng, 0.5, 0.3) * h + 0.03 * length
    back = [
        (-0.22 * length, 0.72 * h),
        (0.3 * length, 0.4 * h),
        (0.32 * length, 0.5 * h + 0.5 * rise),
        (-0.05 * length, h + rise),
    ]
    f.piece("fin", upright(back, 0.1 * w), "fin")
    f.keypoint("fin", "tip", (0, *back[-1]), "top")
    low = [(0.08 * length, -0.7 * h), (0.22 * length, -h - 0.7 * rise), (0.32 * length, -0.4 * h)]
    f.piece("fin", upright(low, 0.1 * w), "fin")
    f.keypoint("fin", "tip", (0, *low[1]), "bottom")
    side = [(0.8 * w, 0.17 * length, -0.2 * h, 0.02 * length, 0.08 * w), (1.5 * w, 0.09 * length, -0.35 * h, 0.06 *
            length, 0.06 * w), (1.9 * w, 0.02 * length, -0.5 * h, 0.04 * length, 0.04 * w)]  # fmt: skip
    f.both("fin", wing(side, sides=8), "fin")
    f.pair("fin", "tip", (1.9 * w, -0.02 * length, -0.5 * h), "middle")


@category("shark", flavours={"partimagenet": "shark"}, supercategory="animals", support="water", size=3.5)
def shark(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A pointed torpedo with a tall triangular back fin, an uneven tail, gill slits and a pale belly."""
    b.material("main", "skin", colours=((0.4, 0.45, 0.5), (0.32, 0.37, 0.42), (0.45, 0.44, 0.4)))
    b.material("belly", "skin", colours=(WHITE, (0.82, 0.83, 0.82)))
    b.material("eye", "plastic", colours=(BLACK,), fixed=True)
    b.material("gill", "skin", colours=(DARK,), fixed=True)
    length, w = near(rng, 3.0, 0.2), near(rng, 0.3)
    h = near(rng, 1.05) * w
    curve = 0.0 if rng.random() < 0.4 else float(rng.uniform(-0.35, 0.35))
    rows = [(0, -0.5 * length, 0.1 * h, 0.25 * w, 0.18 * h), (0, -0.4 * length, 0.08 * h, 0.65 * w, 0.6 * h), (0,
            -0.15 * length, 0, w, h), (0.2 * curve, 0.15 * length, 0.02 * h, 0.75 * w, 0.72 * h), (0.7 * curve, 0.38 *
            length, 0.1 * h, 0.25 * w, 0.26 * h), (curve, 0.48 * length, 0.16 * h, 0.12 * w, 0.2 * h)]  # fmt: skip
    f = Frame(b)
    _swimmer(f, rows, -0.28 * length, [("belly", lambda c: c[:, 2] < -0.22 * h)])
    _eyes(f, (0.55 * w, -0.4 * length, 0.28 * h), 0.075, False)
    for k in range(4):
        x, y = (0.8 + 0.025 * k) * w, (-0.27 + 0.022 * k) * length
        f.both(
            "body" if y > -0.28 * length else "head", ball(0.03, 0.012, 0.3 * h, (x, y, 0.1 * h), segments=8), "gill"
        )
    f.piece("head", ball(0.42 * w, 0.08 * length, 0.05 * h, (0, -0.4 * length, -0.44 * h), segments=10), "gill")
    f.keypoint("nose", "tip", (0, -0.505 * length, 0.1 * h))
    rise = near(rng, 0.44)
    fin = [(0, -0.14 * length, 0.6 * h, 0.09 * w, 0.1 * length), (0, -0.07 * length, h + 0.45 * rise, 0.06 * w, 0.055
           * length), (0, 0.01 * length, h + rise, 0.02 * w, 0.012 * length)]  # fmt: skip
    f.piece("fin", loft(fin, sides=10), "main")
    f.keypoint("fin", "tip", fin[-1][:3], "top")
    for place, y, out, chord in (("front", -0.12, 1.0, 0.075), ("rear", 0.2, 0.4, 0.035)):
        side = [(0.5 * w, -y * length, -0.35 * h, chord * length, 0.1 * w), (w + 0.4 * out * 0.7, -(y + 0.05) *
                length, -0.6 * h, 0.65 * chord * length, 0.06 * w), (w + out * 0.7, -(y + 0.14) * length, -0.8 * h,
                0.1 * chord * length, 0.02)]  # fmt: skip
        f.both("fin", wing(side, sides=8), "main")
        f.pair("fin", "tip", (side[-1][0], -side[-1][1], side[-1][2]), place)
    _shark_tail(f, rng, length, h, w, curve)


def _shark_tail(f: Frame, rng: np.random.Generator, length: float, h: float, w: float, curve: float) -> None:
    base, up = 0.42 * length, near(rng, 0.7)
    tail = [(base, 0.0), (base + 0.13 * length, -0.55 * up), (base + 0.1 * length, 0.1 * h), (base + 0.25 * length, up),
            (base + 0.02 * length, 0.38 * h)]  # fmt: skip
    f.piece("tail", upright(tail, 0.12 * w, curve), "main")
    f.keypoint("tail", "tip", (curve, *tail[3]), "", "top")
    f.keypoint("tail", "tip", (curve, *tail[1]), "", "bottom")


@category("whale", flavours={"partimagenet": "whale"}, supercategory="animals", support="water", size=12.0)
def whale(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A baleen whale, a sperm whale with its square head, or an orca; the flukes lie flat."""
    style = pick(rng, "baleen", "sperm", "orca")
    dark = {"baleen": ((0.25, 0.32, 0.42), (0.32, 0.38, 0.44)), "sperm": ((0.3, 0.29, 0.3),), "orca": (BLACK,)}[style]
    b.material("main", "skin", colours=dark)
    b.material("belly", "skin", colours=(WHITE, (0.75, 0.76, 0.78)), fixed=style == "orca")
    b.material("eye", "plastic", colours=(WHITE if style == "orca" else BLACK,), fixed=True)
    length = near(rng, {"baleen": 13.0, "sperm": 12.0, "orca": 7.0}[style])
    h = near(rng, {"baleen": 0.115, "sperm": 0.115, "orca": 0.12}[style]) * length
    w = 0.95 * h
    lift = 0.0 if rng.random() < 0.4 else float(rng.uniform(-0.06, 0.09)) * length
    snout = {"baleen": (0.45, 0.3), "sperm": (0.7, 0.85), "orca": (0.35, 0.35)}[style]
    rows = [(0, -0.5 * length, 0, snout[0] * w, snout[1] * h), (0, -0.36 * length, 0, 0.85 * w, 0.9 * h), (0, -0.12 *
            length, 0, w, h), (0, 0.16 * length, 0.1 * h + 0.2 * lift, 0.68 * w, 0.68 * h), (0, 0.36 * length, 0.2 * h
            + 0.6 * lift, 0.3 * w, 0.3 * h), (0, 0.48 * length, 0.25 * h + lift, 0.12 * w, 0.14 * h)]  # fmt: skip
    f = Frame(b)
    _swimmer(
        f,
        rows,
        -0.27 * length,
        [("belly", lambda c: (c[:, 2] < -0.35 * h) & (c[:, 1] < 0.3 * length))] if style != "sperm" else [],
    )
    if style == "orca":
        f.both(
            "head", ball(0.06 * w, 0.05 * length, 0.12 * h, (0.82 * w, -0.33 * length, 0.4 * h), segments=10), "belly"
        )
    else:
        _eyes(f, (0.86 * w, -0.33 * length, -0.12 * h), 0.02 * length, False)
    f.keypoint("nose", "tip", (0, -0.5 * length - 0.9 * min(snout) * h, 0))
    f.keypoint("back", "center", (0, -0.12 * length, h), "", "middle")
    rise = {"baleen": 0.3, "sperm": 0.15, "orca": 1.1}[style] * h
    y = 0.18 * length if style != "orca" else -0.04 * length
    top = 0.75 * h + 0.25 * lift
    fin = [
        (0, y - 0.02 * length, top - 0.2 * h, 0.1 * w, 0.05 * length),
        (0, y + 0.03 * length, top + rise, 0.03 * w, 0.012 * length),
    ]
    f.piece("fin", loft(fin, steps=5, sides=8), "main")
    f.keypoint("fin", "tip", fin[-1][:3], "top")
    _whale_limbs(f, rng, length, h, w, lift)


def _whale_limbs(f: Frame, rng: np.random.Generator, length: float, h: float, w: float, lift: float) -> None:
    out = near(rng, 0.13) * length
    side = [(0.6 * w, 0.2 * length, -0.5 * h, 0.04 * length, 0.08 * w), (0.7 * w + 0.6 * out, 0.15 * length, -0.9 * h,
            0.035 * length, 0.05 * w), (0.7 * w + out, 0.08 * length, -1.1 * h, 0.01 * length, 0.02 * w)]  # fmt: skip
    f.both("fin", wing(side, sides=8), "main")
    f.pair("fin", "tip", (side[-1][0], -side[-1][1], side[-1][2]), "front")
    reach, z = near(rng, 0.15) * length, 0.25 * h + lift
    fluke = [(0.0, -0.47 * length, z, 0.05 * length, 0.1 * h), (0.5 * reach, -0.51 * length, z, 0.04 * length, 0.06 *
             h), (reach, -0.56 * length, z, 0.008 * length, 0.02 * h)]  # fmt: skip
    f.both("tail", wing(fluke, steps=4, sides=10), "main")
    f.pair("tail", "tip", (reach, 0.56 * length, z))
    f.keypoint("tail", "base", (0, 0.45 * length, z + 0.14 * h))
