"""Things on a desk: pen, pencil, book, calculator, tape, newspaper."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, cylinder, lathe, merge
from ._forms import ball, block, pick, smooth
from ._skins import grid, repeated, skin, strap, tile
from ._wares import BRIGHTS, DARKS, METALS, WHITES, bands, chance, functional, posed, tinted, uniform
from .containers import corner_points


def lying_points(b: ObjectBuilder, part: str, front: float, rear: float, z: float, part_position: str) -> None:
    """Front end, middle and rear end along the top of a part that lies along y."""
    for word, y in (("front", front), ("middle", (front + rear) / 2), ("rear", rear)):
        b.keypoint(part, "end" if word != "middle" else "center", (0, y, z), part_position, word)


@category("pen", flavours={"paco_lvis": "pen"}, supercategory="hand-held", support="table", size=0.15)
def pen(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Click pens, capped pens with the cap on the rear end, and markers; a clip on the cap or barrel."""
    style = pick(rng, "click", "capped", "marker", "closed")
    colours = BRIGHTS + DARKS + WHITES
    tinted(b, "main", pick(rng, "plastic", "metal"), colours, "plain", "stripes")
    tinted(b, "grip", pick(rng, "rubber", "plastic", "metal"), DARKS + BRIGHTS)
    tinted(b, "cap", "plastic", colours)
    tinted(b, "tip", "metal", METALS)
    radius = uniform(rng, 0.007, 0.01) if style == "marker" else uniform(rng, 0.0045, 0.0065)
    length = uniform(rng, 0.115, 0.14)
    nose, hold = 0.13 * length, 0.42 * length
    # from the writing end (0) to the rear, radii as fractions
    plan = np.array([(0.12, 0), (0.35, 0.05), (0.75, 0.13), (0.95, 0.2), (1, 0.45), (1, 0.8), (0.9, 1)]) * [
        radius,
        length,
    ]
    tip, grip, barrel = bands(plan, nose, hold, segments=14)

    def lain(mesh: Mesh) -> Mesh:  # the writing end at the front, on the table
        return mesh.rotate("x", -90).move(y=-length / 2, z=radius)

    b.piece("tip", lain(tip), "tip", functional("pen", "tip"))
    b.piece("grip", lain(grip), "grip")
    b.piece("barrel", lain(barrel), "main", functional("pen", "barrel"))
    ball_point = ball(0.16 * radius, 0.16 * radius, 0.16 * radius, (0, 0, 0), segments=8)
    b.piece("tip", lain(ball_point), "tip", functional("pen", "ball"))
    if style == "click":
        button = cylinder(0.45 * radius, 0.08 * length, segments=10).move(z=1.03 * length)
        clip_z, clip = 0.98 * length, uniform(rng, 0.2, 0.3) * length
    else:
        button = _pen_cap(style, radius, length)
        clip_z, clip = (0.02 * length, -0.3 * length) if style == "closed" else (0.78 * length, -0.26 * length)
    b.piece("cap", lain(button), "cap")
    bow = np.array(
        [
            (0, radius, clip_z),
            (0, 1.75 * radius, clip_z - 0.02 * length),
            (0, 1.7 * radius, clip_z - 0.8 * clip),
            (0, 1.2 * radius, clip_z - clip),
        ]
    )
    b.piece("clip", lain(strap(bow, 0.7 * radius, 0.22 * radius).mirror("y")), "tip")
    b.keypoint("tip", "tip", (0, -length / 2, radius), "front", "front")
    lying_points(b, "barrel", -length / 2 + hold, length / 2, 1.9 * radius, "rear")
    b.keypoint("grip", "center", (0, -length / 2 + 0.3 * length, 1.97 * radius), "front", "middle")
    b.keypoint("clip", "tip", (0, -length / 2 + clip_z - clip, 2.3 * radius), "top", "rear" if clip < 0 else "front")
    posed(b, ("y", uniform(rng, -60, 60)))


def _pen_cap(style: str, radius: float, length: float) -> Mesh:
    """Cap over the writing end of a closed pen, else on its rear end (upright, the writing end at z = 0)."""
    low, high = (-0.06, 0.42) if style == "closed" else (0.72, 1.1)
    widths = {"capped": (1.08, 1.18, 1.18, 1.0), "marker": (1.18, 1.18, 1.12, 0.7), "closed": (0.7, 1.12, 1.18, 1.18)}
    levels = np.array([low, low + 0.01, 0.7 * high + 0.3 * low, high]) * length
    shell = zip(np.array(widths[style]) * radius, levels, strict=True)
    return lathe([(0, low * length), *shell, (0, high * length)], segments=14)


@category("pencil", flavours={"paco_lvis": "pencil"}, supercategory="hand-held", support="table", size=0.18)
def pencil(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Six-sided or round pencil: lead, sharpened cone, painted body, ferrule and eraser (some end plain)."""
    paint = ((0.9, 0.65, 0.1), *BRIGHTS, *DARKS)
    tinted(b, "main", "paint", paint, "plain", "stripes")
    tinted(b, "wood", "wood", ((0.85, 0.68, 0.45),))
    tinted(b, "lead", "paint", (*DARKS, *BRIGHTS))
    tinted(b, "ferrule", "metal", METALS, "stripes")
    tinted(b, "eraser", "rubber", ((0.85, 0.45, 0.45), (0.9, 0.9, 0.88)))
    radius, length = uniform(rng, 0.0036, 0.0048), uniform(rng, 0.1, 0.18)
    cone = uniform(rng, 4.2, 6) * radius
    sides = 6 if chance(rng, 0.7) else 14

    def lain(profile: Floats | list[tuple[float, float]], count: int = 14) -> Mesh:
        return lathe(profile, segments=count, sharp=25).rotate("x", -90).move(y=-length / 2, z=radius)

    lead = 0.28 * radius
    b.piece("lead", lain([(0, 0), (lead, 0.28 * cone)], 10), "lead", functional("pencil", "tip", "graphite"))
    b.piece("body", lain([(lead, 0.28 * cone), (0.97 * radius, cone)]), "wood")
    erasing = chance(rng, 0.75)
    end = length - (0.022 if erasing else 0)
    body = [(0.97 * radius, cone), (radius, cone), (radius, end), (0, end)]
    b.piece("body", lain(body, sides), "main", functional("pencil", "barrel"))
    b.keypoint("lead", "tip", (0, -length / 2, radius), "front", "front")
    b.keypoint("body", "joint", (0, cone - length / 2, 1.85 * radius), "front", "top")
    lying_points(b, "barrel", cone - length / 2 + 0.1 * length, end - length / 2, 1.85 * radius, "middle")
    if erasing:
        ridges = np.array([(1.0, 0), (1.08, 0.1), (1.0, 0.3), (1.08, 0.5), (1.0, 0.7), (1.08, 0.9), (1, 1)]) * [
            radius,
            0.013,
        ]
        b.piece("ferrule", lain(ridges + np.array([0, end])), "ferrule")
        b.piece(
            "eraser",
            lain([(0.95 * radius, end + 0.013), (0.95 * radius, length - 0.002), (0.6 * radius, length), (0, length)]),
            "eraser",
        )
        b.keypoint("eraser", "end", (0, length / 2, radius), "rear", "rear")
    posed(b)


@category("book", flavours={"paco_lvis": "book"}, supercategory=None, support="table", size=0.24)
def book(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Closed book lying or standing upright, or lying open with curved pages."""
    tinted(b, "cover", pick(rng, "paper", "leather", "fabric"), BRIGHTS + DARKS, "plain", "plain", "stripes", "patches")
    tinted(b, "title", "paint", (*WHITES, (0.85, 0.7, 0.3)))
    tinted(b, "page", "paper", WHITES[:2], "stripes", "plain")
    x, y, thick = uniform(rng, 0.12, 0.19), uniform(rng, 0.18, 0.25), uniform(rng, 0.014, 0.045)
    style = pick(rng, "lying", "standing", "open")
    if style == "open":
        _open_book(b, rng, x, y, max(thick, 0.02))
        return
    board, lip = 0.0028, 0.004
    use = functional("book", "cover")
    for z in (board / 2, thick - board / 2):
        b.piece("cover", block(x, y, board, (0, 0, z)), "cover", use)
    curve = np.array(
        [(-x / 2, 0, 0), (-x / 2 - 0.006, 0, thick * 0.25), (-x / 2 - 0.006, 0, thick * 0.75), (-x / 2, 0, thick)]
    )
    b.piece("cover", strap(smooth(curve, 3), y, board, "y"), "cover", use)
    b.piece("page", block(x - lip, y - 2 * lip, thick - 2 * board, (-lip / 2, 0, thick / 2)), "page")
    bars = [
        block(w * x, 0.012, 0.0008, (0, py * y, thick + 0.0002)) for w, py in ((0.6, 0.25), (0.4, 0.17), (0.3, -0.32))
    ]
    b.piece("cover", merge(*bars), "title", use)
    b.piece("cover", block(0.0012, 0.45 * y, 0.3 * thick, (-x / 2 - 0.0075, 0.05 * y, thick / 2)), "title", use)
    for word, z in (("bottom", 0.0), ("top", thick)):
        corner_points(b, "cover", x / 2, y / 2, z, word)
    b.keypoint("spine", "center", (-x / 2 - 0.0075, 0, thick / 2), "right", "middle")
    standing = (("x", 90.0), ("z", uniform(rng, -25, 25)))  # on its lower edge, the front cover to the front
    posed(b, *(standing if style == "standing" else ()))


def _open_book(b: ObjectBuilder, rng: np.random.Generator, x: float, y: float, thick: float) -> None:
    """Two blocks of pages that rise from the spine and fall to the fore edges, on flat boards."""
    t = np.linspace(0, 1, 9)
    for word, sign, share in (("left", 1, uniform(rng, 0.35, 0.65)), ("right", -1, 0.0)):
        share = share or 0.5
        b.piece("cover", block(x + 0.004, y, 0.003, (sign * x / 2, 0, 0.0015)), "cover", functional("book", "cover"))
        top = (
            thick * share * (0.25 + 1.1 * np.sin(np.pi * np.minimum(t * 1.25, 1)) ** 0.7 * (1 - 0.35 * t) + 0.2 * t)
            + 0.004
        )
        high = np.column_stack([sign * t * (x - 0.004), np.zeros(9), top])
        low = np.column_stack([sign * t * (x - 0.002), np.zeros(9), np.full(9, 0.003)])
        half = np.array([0, y / 2 - 0.004, 0])
        b.piece("page", skin(np.stack([high + half, low + half, low - half, high - half], 1), crisp=True), "page")
        lines = [(sign * x * 0.52, (k - 4) * y * 0.085) for k in range(9)]
        level = float(np.interp(0.52, t, top))
        slope = np.degrees(np.arctan2(top[6] - top[3], t[3] * x)) * -sign
        line = block(0.55 * x, 0.006, 0.0012).rotate("y", slope)
        b.piece("page", repeated(line, [(px, py, level + 0.0009) for px, py in lines]), "ink")
        for end, sy in (("front", -1), ("rear", 1)):
            b.keypoint(
                "page", "corner", (sign * (x - 0.004), sy * (y / 2 - 0.004), float(top[-1])), word, f"{end} {word}"
            )
        b.keypoint("page", "center", (sign * 0.52 * x, 0, level), word, "middle")
    tinted(b, "ink", "paint", ((0.3, 0.3, 0.32),))
    b.keypoint("spine", "end", (0, -y / 2, 0.004), "middle", "front")
    posed(b)


@category("calculator", flavours={"paco_lvis": "calculator"}, supercategory="hand-held", support="table", size=0.16)
def calculator(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Flat or wedge-shaped body with a display and a field of keys."""
    tinted(b, "main", "plastic", DARKS + WHITES + BRIGHTS)
    tinted(b, "key", "plastic", WHITES + DARKS[1:])
    tinted(b, "key2", "plastic", BRIGHTS)
    tinted(b, "display", "glass", ((0.6, 0.68, 0.58), (0.25, 0.3, 0.28)))
    x, y, thick = uniform(rng, 0.07, 0.11), uniform(rng, 0.11, 0.16), uniform(rng, 0.01, 0.016)
    columns, rows = int(rng.integers(4, 6)), int(rng.integers(4, 6))
    b.piece("body", tile(x, y, thick, uniform(rng, 0.004, 0.014), 0.002).move(z=thick / 2), "main")
    b.piece("body", tile(0.84 * x, 0.2 * y, 0.002, 0.004).move(y=0.33 * y, z=thick + 0.0005), "display")
    dx, dy = 0.86 * x / columns, 0.6 * y / rows
    key = tile(0.76 * dx, 0.68 * dy, 0.004, 0.25 * dy, 0.001)
    spots = grid(columns, rows, dx, dy, thick + 0.0015) + np.array([0, -0.13 * y, 0])
    last = spots[:, 0] > spots[:, 0].max() - 1e-6
    b.piece("key", repeated(key, spots[~last]), "key")
    b.piece("key", repeated(key, spots[last]), "key2")
    corner_points(b, "body", x / 2 - 0.003, y / 2 - 0.003, thick, "top")
    b.keypoint("display", "center", (0, 0.33 * y, thick + 0.0015), "rear", "middle")
    for word, index in (("front right", 0), ("front left", columns - 1), ("rear right", -columns), ("rear left", -1)):
        b.keypoint("key", "center", spots[index] + np.array([0, 0, 0.002]), word, "middle")
    if chance(rng, 0.5):
        posed(b, ("x", uniform(rng, 5, 15)))
