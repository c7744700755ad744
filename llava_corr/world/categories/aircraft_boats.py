"""Airplanes and boats of PartImageNet."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, extrude, merge
from ._forms import (
    DARK,
    STEEL,
    WHITE,
    Frame,
    ball,
    block,
    cut,
    disc,
    loft,
    near,
    pick,
    rod,
    shifted,
    smooth,
    upright,
    wing,
)

PAINTS = (WHITE, (0.75, 0.78, 0.82), (0.75, 0.15, 0.12), (0.15, 0.3, 0.6), (0.9, 0.75, 0.2), (0.25, 0.4, 0.3))


@category("airplane", flavours={"partimagenet": "airplane"}, supercategory="transportation", support="sky", size=15.0)
def airplane(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """An airliner, a propeller plane, a fighter or a biplane."""
    b.material("main", "paint", colours=PAINTS)
    b.material("wing", "paint", "metal", colours=((0.8, 0.81, 0.83), *PAINTS))
    b.material("fin", "paint", colours=PAINTS)
    b.material("glass", "glass", colours=((0.1, 0.13, 0.17),), fixed=True)
    b.material("engine", "metal", "paint", colours=(STEEL, (0.85, 0.85, 0.86), (0.3, 0.3, 0.32)))
    b.material("dark", "metal", colours=(DARK,), fixed=True)
    {"liner": _liner, "propeller": _propeller, "fighter": _fighter, "biplane": _propeller}[
        style := pick(rng, "liner", "liner", "liner", "propeller", "fighter", "biplane")
    ](Frame(b), rng, style)


def _fuselage(f: Frame, rows: list, nose: float, caps: tuple[float, float] = (1.3, 0.6)) -> None:
    """Skin along y; what lies before y = ``nose`` is the head."""
    head, rest = cut(loft(rows, steps=6, sides=18, caps=caps), lambda c: c[:, 1] < nose)
    f.piece("head", head, "main")
    f.piece("body", rest, "main")


def _planes(f: Frame, part: str, rows: list, material: str) -> None:
    """A pair of wings or tail planes with keypoints at tips and roots."""
    f.both(part, wing(rows, steps=2, sides=10), material)
    x, y, z = rows[-1][0], -rows[-1][1], rows[-1][2]
    f.pair(part, "tip", (x, y, z))
    root, chord = rows[0], rows[0][3]
    f.pair(part, "root", (root[0] + 0.1 * x, -root[1] - 0.95 * chord, root[2]), "", "front")


def _fin(f: Frame, base: float, length: float, sweep: float, bottom: float, height: float, thick: float) -> None:
    outline = [(base, bottom), (base + length, bottom), (base + 0.8 * length + sweep, bottom + height),
               (base + 0.35 * length + sweep, bottom + height)]  # fmt: skip
    f.piece("tail", upright(outline, thick), "fin")
    f.keypoint("tail", "tip", (0, *outline[2]), "", "top")


def _liner(f: Frame, rng: np.random.Generator, _: str) -> None:
    length, r = near(rng, 25.0, 0.1), near(rng, 1.9)
    rows = [(0, -0.5 * length, -0.2 * r, 0.35 * r, 0.35 * r), (0, -0.46 * length, -0.1 * r, 0.75 * r, 0.75 * r), (0,
            -0.38 * length, 0, r, r), (0, 0, 0, r, r), (0, 0.2 * length, 0, r, r), (0, 0.36 * length, 0.25 * r, 0.65 *
            r, 0.7 * r), (0, 0.5 * length, 0.55 * r, 0.15 * r, 0.18 * r)]  # fmt: skip
    _fuselage(f, rows, -0.36 * length)
    f.piece("head", block(1.3 * r, 0.12 * r, 0.3 * r, (0, -0.462 * length, 0.5 * r)), "glass")
    windows = [block(0.04, 0.014 * length, 0.24 * r, (r, y * length, 0.28 * r)) for y in np.arange(-0.32, 0.26, 0.04)]
    f.both("body", merge(*windows), "glass")
    span, sweep = near(rng, 0.48) * length, near(rng, 0.2) * length
    wings = [(0.5 * r, 0.06 * length, -0.6 * r, 0.11 * length, 0.2 * r),
             (0.4 * span, 0.05 * length - 0.4 * sweep, -0.3 * r, 0.06 * length, 0.14 * r),
             (span, 0.03 * length - sweep, 0.35 * r, 0.022 * length, 0.05 * r)]  # fmt: skip
    _planes(f, "wing", wings, "wing")
    tail = [
        (0.2 * r, -0.44 * length, 0.5 * r, 0.05 * length, 0.1 * r),
        (0.18 * length, -0.5 * length, 0.7 * r, 0.02 * length, 0.05 * r),
    ]
    _planes(f, "tail", tail, "fin")
    _fin(f, 0.36 * length, 0.13 * length, 0.08 * length, 0.6 * r, near(rng, 0.17) * length, 0.16 * r)
    for k in range(2 if rng.random() < 0.35 else 1):
        x, y = (0.32 + 0.28 * k) * span, -0.02 * length + (0.26 + 0.3 * k) * sweep - 0.05 * length
        _jet(f, (x, y, -1.05 * r + 0.4 * r * k), 0.5 * r, 0.075 * length, "front" if k == 0 else "middle")
    f.keypoint("nose", "tip", (0, -0.5 * length - 0.45 * r, -0.2 * r))
    f.pair("windshield", "corner", (0.65 * r, -0.462 * length, 0.55 * r))


def _jet(f: Frame, at: tuple[float, float, float], radius: float, half: float, place: str) -> None:
    x, y, z = at
    hull = loft([(x, y - half, z, 0.9 * radius, 0.9 * radius), (x, y, z, radius, radius), (x, y + half, z, 0.55 *
                radius, 0.55 * radius)], caps=(0.0, 0.4))  # fmt: skip
    f.both("engine", hull, "engine")
    f.both("engine", disc(0.78 * radius, 0.04 * half, (x, y - 1.01 * half, z), axis="y"), "dark")
    f.both("engine", block(0.15 * radius, 1.2 * half, 0.9 * radius, (x, y + 0.2 * half, z + 0.9 * radius)), "wing")
    f.pair("engine", "center", (x, y - 1.03 * half, z), place)


def _propeller(f: Frame, rng: np.random.Generator, style: str) -> None:
    length, r = near(rng, 7.5), near(rng, 0.62)
    rows = [(0, -0.44 * length, 0, 0.75 * r, 0.75 * r), (0, -0.3 * length, 0, r, r),
            (0, -0.05 * length, 0.05 * r, r, 1.1 * r),
            (0, 0.25 * length, 0.15 * r, 0.55 * r, 0.6 * r),
            (0, 0.5 * length, 0.3 * r, 0.15 * r, 0.22 * r)]  # fmt: skip
    _fuselage(f, rows, -0.14 * length, caps=(0.3, 0.6))
    f.piece("head", ball(0.72 * r, 0.11 * length, 0.62 * r, (0, -0.08 * length, 0.95 * r), segments=14), "glass")
    f.piece("engine", disc(0.82 * r, 0.09 * length, (0, -0.46 * length, 0), axis="y"), "engine")
    nose = -0.52 * length
    f.piece(
        "engine", rod((0, nose + 0.04 * length, 0), (0, nose - 0.03 * length, 0), 0.3 * r, 0.03 * r, sides=12), "fin"
    )
    count, turn = int(rng.integers(2, 4)), float(rng.uniform(0, 180))
    for k in range(count):
        blade = (
            ball(0.1 * r, 0.04 * r, 0.8 * r, (0, 0, 0.8 * r), segments=10)
            .rotate("y", turn + 360 * k / count)
            .move(0, nose)
        )
        f.piece("engine", blade, "dark")
    span = near(rng, 0.58) * length
    biplane = style == "biplane"
    levels = (-0.55 * r, 1.9 * r) if biplane else ((1.25 * r,) if rng.random() < 0.5 else (-0.4 * r,))
    for z, place in zip(levels, ("bottom", "top"), strict=False):
        rise = 0.04 * span
        plan = [(0.0, 0.15 * length, z, 0.1 * length, 0.12 * r),
                (0.6 * span, 0.15 * length, z + 0.6 * rise, 0.095 * length, 0.1 * r),
                (span, 0.13 * length, z + rise, 0.07 * length, 0.05 * r)]  # fmt: skip
        f.both("wing", wing(plan, steps=2, sides=10), "wing")
        f.pair("wing", "tip", (span, -0.13 * length, z + rise), place if biplane else "")
    if biplane:
        for x in (0.35 * span, 0.75 * span):
            for y in (-0.2 * length, -0.1 * length):
                f.both("wing", rod((x, y, -0.5 * r), (x, y, 1.95 * r), 0.05 * r, sides=6), "dark")
    tail = [
        (0.05 * r, -0.42 * length, 0.3 * r, 0.07 * length, 0.06 * r),
        (0.19 * length, -0.44 * length, 0.3 * r, 0.045 * length, 0.04 * r),
    ]
    _planes(f, "tail", tail, "fin")
    _fin(f, 0.36 * length, 0.15 * length, 0.05 * length, 0.3 * r, near(rng, 0.15) * length, 0.1 * r)
    for x, y in ((0.9 * r, -0.25 * length),):
        f.both("body", rod((0.5 * r, y, -0.7 * r), (x, y, -1.6 * r), 0.06 * r, sides=6), "dark")
        f.both("body", disc(0.36 * r, 0.2 * r, (x, y, -1.65 * r), axis="x"), "dark")
        f.pair("wheel", "center", (x + 0.1 * r, y, -1.65 * r))
    f.keypoint("nose", "tip", (0, nose - 0.03 * length, 0))


def _fighter(f: Frame, rng: np.random.Generator, _: str) -> None:
    length, r = near(rng, 15.0), near(rng, 0.85)
    rows = [(0, -0.5 * length, -0.1 * r, 0.08 * r, 0.08 * r), (0, -0.36 * length, 0, 0.55 * r, 0.5 * r), (0, -0.15 *
            length, 0.05 * r, 0.95 * r, 0.8 * r), (0, 0.2 * length, 0, 1.1 * r, 0.75 * r), (0, 0.44 * length, 0, 0.8 *
            r, 0.65 * r)]  # fmt: skip
    _fuselage(f, rows, -0.16 * length, caps=(1.0, 0.1))
    f.piece("head", ball(0.42 * r, 0.1 * length, 0.55 * r, (0, -0.24 * length, 0.55 * r), segments=14), "glass")
    f.both("engine", disc(0.36 * r, 0.07 * length, (0.4 * r, 0.46 * length, 0), axis="y"), "engine")
    f.both("engine", disc(0.28 * r, 0.01 * length, (0.4 * r, 0.497 * length, 0), axis="y"), "dark")
    f.pair("engine", "center", (0.4 * r, 0.505 * length, 0), "rear")
    span = near(rng, 0.33) * length
    wings = [(0.6 * r, -0.08 * length, 0, 0.23 * length, 0.12 * r), (0.55 * span, -0.16 * length, 0, 0.12 * length,
             0.08 * r), (span, -0.23 * length, 0, 0.04 * length, 0.03 * r)]  # fmt: skip
    _planes(f, "wing", wings, "wing")
    tail = [
        (0.5 * r, -0.4 * length, 0, 0.08 * length, 0.07 * r),
        (0.17 * length, -0.47 * length, 0, 0.03 * length, 0.03 * r),
    ]
    _planes(f, "tail", tail, "wing")
    twin = rng.random() < 0.5
    if not twin:
        _fin(f, 0.28 * length, 0.17 * length, 0.08 * length, 0.5 * r, 0.18 * length, 0.12 * r)
    else:
        outline = [
            (0.28 * length, 0),
            (0.44 * length, 0),
            (0.47 * length, 0.15 * length),
            (0.4 * length, 0.15 * length),
        ]
        f.both("tail", upright(outline, 0.1 * r).rotate("y", 14).move(0.75 * r, 0, 0.3 * r), "fin")
        lean = np.sin(np.radians(14)) * 0.15 * length
        f.pair("tail", "tip", (0.75 * r + lean, 0.47 * length, 0.3 * r + 0.146 * length), "", "top")
    f.keypoint("nose", "tip", (0, -0.5 * length - 0.08 * r, -0.1 * r))
    f.keypoint("cockpit", "top", (0, -0.24 * length, 1.1 * r))


def _hull(length: float, half: float, deep: float, deck: float, bow: float, stern: float) -> Mesh:
    """Lower half of a boat-shaped loft closed by a flat deck at z = ``deck``, bow towards -y."""
    rows = [(0, -0.5 * length - bow, deck, 0.02 * half, 0.1 * deep), (0, -0.4 * length, deck, 0.45 * half, 0.6 * deep),
            (0, -0.15 * length, deck, 0.92 * half, 0.95 * deep), (0, 0.2 * length, deck, half, deep),
            (0, 0.5 * length, deck, stern * half, 0.75 * deep)]  # fmt: skip
    mesh = loft(rows, steps=4, sides=20, caps=(0.2, 0.02), boxy=2.4)
    above = mesh.vertices[:, 2] > deck - 1e-9
    vertices, normals = mesh.vertices.copy(), mesh.normals.copy()
    vertices[above, 2] = deck
    normals[above] = (0, 0, 1)
    return Mesh(vertices, mesh.faces, normals)


def _gunwale(
    f: Frame, length: float, half: float, deck: float, bow: float, stern: float, thick: float, rise: float
) -> None:
    rows = np.array(
        [
            (-0.5 * length - bow, 0.02),
            (-0.4 * length, 0.45),
            (-0.15 * length, 0.92),
            (0.2 * length, 1.0),
            (0.5 * length, stern),
        ]
    )
    side = smooth(rows, 4)
    path = np.column_stack([side[:, 1] * half, side[:, 0], np.full(len(side), deck + 0.5 * rise)])
    outline = np.concatenate([path[:, :2], (path[::-1, :2] - (thick, 0))])
    wall = extrude(outline, rise).move(0, 0, deck + 0.5 * rise)
    f.both("body", wall, "trim")
    back = (2 * stern * half, thick, rise)
    f.piece("body", block(*back, (0, 0.5 * length - 0.5 * thick, deck + 0.5 * rise)), "trim")


def _sail(f: Frame, luff: tuple[Floats, Floats], clew: Floats, belly: float, place: str) -> None:
    """Curved triangle between two points of a mast or stay and the clew, blown to the object's left."""
    low, high = luff
    n = 9
    s, t = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    edge = low + (high - low) * t[..., None]
    width = (clew - low) * (1 - t[..., None])
    points = edge + width * s[..., None]
    depth = belly * np.sin(np.pi * s * 0.9) * np.sin(np.pi * np.clip(0.15 + 0.85 * t, 0, 1)) * (1 - 0.6 * t)
    points[..., 0] += depth
    f.piece("sail", _cloth(points), "sail")
    f.keypoint("sail", "corner", high, place, "top")
    f.keypoint("sail", "corner", clew, place, "rear bottom")
    f.keypoint("sail", "corner", low, place, "front bottom")


def _cloth(points: Floats, thickness: float = 0.03) -> Mesh:
    """Two-sided sheet over an R x C x 3 grid."""
    normals = np.cross(np.gradient(points, axis=0), np.gradient(points, axis=1))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), 0)
    normals[-1] = normals[-2]  # the upper edge of a triangular sail is a point, which has no normal
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel())
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    flat, out = points.reshape(-1, 3), normals.reshape(-1, 3)
    half = 0.5 * thickness * out
    return Mesh(np.concatenate([flat + half, flat - half]), np.concatenate([faces, faces[:, ::-1] + len(flat)]),
                np.concatenate([out, -out]))  # fmt: skip


@category("boat", flavours={"partimagenet": "boat"}, supercategory="transportation", support="water", size=11.0)
def boat(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A sailing boat, a two-masted ship with square sails, or a motor boat."""
    b.material("main", "paint", colours=PAINTS)
    b.material("trim", "wood", "paint", colours=((0.55, 0.36, 0.2), (0.4, 0.25, 0.14), WHITE))
    b.material("deck", "wood", colours=((0.72, 0.55, 0.36), (0.6, 0.44, 0.28)))
    b.material("mast", "wood", "metal", colours=((0.5, 0.35, 0.2), (0.75, 0.76, 0.78)))
    b.material(
        "sail",
        "fabric",
        colours=(WHITE, (0.92, 0.88, 0.76), (0.8, 0.25, 0.18), (0.25, 0.4, 0.65)),
        patterns=("plain", "stripes"),
    )
    b.material("glass", "glass", colours=((0.1, 0.14, 0.18),), fixed=True)
    b.material("rope", "straw", colours=((0.4, 0.33, 0.24),))
    style = pick(rng, "sail", "sail", "square", "motor")
    length = near(rng, {"sail": 8.0, "square": 14.0, "motor": 7.5}[style], 0.2)
    half, deep = near(rng, 0.16) * length, near(rng, 0.13) * length
    deck, bow, stern = 0.6 * deep, near(rng, 0.06) * length, near(rng, 0.7)
    f = Frame(b)
    hull = _hull(length, half, deep, deck, bow, stern)
    f.painted("body", hull, [("deck", lambda c: c[:, 2] > deck - 1e-6)])
    rise = near(rng, 0.035) * length
    _gunwale(f, length, half, deck, bow, stern, 0.02 * length, rise)
    top = deck + rise
    f.keypoint("bow", "tip", (0, -0.5 * length - bow, top))
    f.pair("stern", "corner", (stern * half, 0.5 * length, top), "rear", "top")
    f.pair("hull", "rim", (half, 0.2 * length, top), "", "middle")
    if style == "sail":
        _sloop(f, rng, length, deck)
    elif style == "square":
        for y, tall, place in ((-0.22, 0.85, "front"), (0.16, 1.0, "rear")):
            _square_mast(f, rng, y * length, deck, tall * length * 0.85, half, place)
        f.piece("body", block(1.3 * half, 0.2 * length, 0.1 * length, (0, 0.38 * length, deck + 0.05 * length)), "trim")
        f.piece(
            "body",
            rod((0, -0.5 * length, top), (0, -0.72 * length, top + 0.1 * length), 0.012 * length, 0.006 * length),
            "mast",
        )
    else:
        _cabin(f, rng, length, half, deck)


def _sloop(f: Frame, rng: np.random.Generator, length: float, deck: float) -> None:
    tall, y = near(rng, 1.15) * length, -0.08 * length
    f.piece("body", rod((0, y, deck), (0, y, deck + tall), 0.012 * length, 0.007 * length), "mast")
    boom, swing = near(rng, 0.46) * length, float(rng.uniform(-0.35, 0.35))
    low = np.array([0, y + 0.01 * length, deck + 0.13 * length])
    clew = low + boom * np.array([np.sin(swing), np.cos(swing), 0.02])
    f.piece("body", rod(low - (0, 0, 0.012 * length), clew - (0, 0, 0.012 * length), 0.009 * length), "mast")
    sign = 1.0 if swing > 0 else -1.0
    _sail(f, (low, shifted(low, 0, 0, 0.8 * tall)), clew, sign * 0.06 * length, "rear")
    if rng.random() < 0.75:
        foot = np.array([0, -0.5 * length, deck + 0.06 * length])
        head = np.array([0, y - 0.02 * length, deck + 0.75 * tall])
        end = np.array([sign * 0.06 * length, y - 0.04 * length, deck + 0.1 * length])
        _sail(f, (foot, head), end, sign * 0.04 * length, "front")
    f.piece("body", loft([(0, -0.02 * length, deck, 0.07 * length, 0.05 * length), (0, 0.16 * length, deck, 0.07 *
                         length, 0.045 * length)], boxy=4, caps=(0.5, 0.1)), "main")  # fmt: skip
    for x in (-0.13, 0.13):
        f.piece(
            "body",
            rod((x * length, y + 0.02 * length, deck), (0, y, deck + 0.95 * tall), 0.002 * length, sides=4),
            "rope",
        )
    f.keypoint("mast", "top", (0, y, deck + tall))


def _square_mast(
    f: Frame, rng: np.random.Generator, y: float, deck: float, tall: float, half: float, place: str
) -> None:
    f.piece("body", rod((0, y, deck), (0, y, deck + tall), 0.016 * tall, 0.009 * tall), "mast")
    f.keypoint("mast", "top", (0, y, deck + tall), place)
    full = near(rng, 0.09) * tall
    levels = ((0.12, 0.52, 1.25), (0.56, 0.92, 0.95)) if rng.random() < 0.7 else ((0.12, 0.92, 1.3),)
    for low, high, wide in levels:
        s, t = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 8))
        points = np.stack([s * wide * half * (1 - 0.14 * t), y - full * np.sin(np.pi * (0.08 + 0.84 * t)) * (1 - 0.5 *
                           s**2) - 0.03 * tall, deck + tall * (low + (high - low) * t)], -1)  # fmt: skip
        f.piece("sail", _cloth(points), "sail")
        for edge, word in ((0, "bottom"), (-1, "top")):
            spar = points[edge]
            f.piece("body", rod(spar[0], spar[-1], 0.009 * tall, sides=6), "mast")
            if low < 0.2:
                f.pair("sail", "corner", spar[-1], place, word)


def _cabin(f: Frame, rng: np.random.Generator, length: float, half: float, deck: float) -> None:
    tall, y = near(rng, 0.14) * length, near(rng, 0.02, 1.0) * length
    f.piece("body", block(1.15 * half, 0.3 * length, tall, (0, y, deck + 0.5 * tall)), "main")
    f.piece("body", block(1.17 * half, 0.24 * length, 0.4 * tall, (0, y, deck + 0.68 * tall)), "glass")
    f.piece("body", block(1.0 * half, 0.303 * length, 0.4 * tall, (0, y, deck + 0.68 * tall)), "glass")
    f.piece("body", block(1.3 * half, 0.36 * length, 0.06 * tall, (0, y + 0.01 * length, deck + tall)), "trim")
    f.piece("body", rod((0, y, deck + tall), (0, y, deck + 2.2 * tall), 0.006 * length), "mast")
    f.piece("body", block(0.5 * half, 0.07 * length, 0.11 * length, (0, 0.53 * length, deck)), "glass")
    f.pair("cabin", "corner", (0.575 * half, y - 0.15 * length, deck + tall), "front", "top")
    f.pair("cabin", "corner", (0.575 * half, y + 0.15 * length, deck + tall), "rear", "top")
    f.keypoint("mast", "top", (0, y, deck + 2.2 * tall))
