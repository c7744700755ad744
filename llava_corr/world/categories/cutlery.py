"""Blades and spoons: knife, spoon, scissors. They lie flat, the tip to the front, the grip to the rear."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats, Mesh, lathe, merge, rotation, tube
from ._forms import disc, near, pick, select, smooth
from ._skins import plate, repeated, skin, strap, superellipse
from ._wares import BRIGHTS, DARKS, METALS, chance, functional, posed, tinted, uniform

# Spine and edge of a blade in units of its width (x, edge at -0.5) over its length (0 heel, 1 tip).
BLADES = {
    "chef": (((0, 0.5), (0.5, 0.42), (0.85, 0.12), (1, -0.22)), ((0, -0.5), (0.5, -0.5), (0.8, -0.42), (1, -0.22))),
    "carving": (((0, 0.5), (0.6, 0.5), (0.9, 0.3), (1, 0.0)), ((0, -0.5), (0.6, -0.5), (0.9, -0.3), (1, 0.0))),
    "bread": (((0, 0.5), (0.6, 0.5), (0.97, 0.5), (1, 0.1)), ((0, -0.5), (0.6, -0.5), (0.9, -0.4), (1, 0.1))),
    "table": (((0, 0.3), (0.4, 0.38), (0.9, 0.42), (1, 0.1)), ((0, -0.3), (0.4, -0.5), (0.85, -0.45), (1, 0.1))),
    "santoku": (((0, 0.5), (0.6, 0.48), (0.88, 0.3), (1, -0.4)), ((0, -0.5), (0.5, -0.5), (0.85, -0.48), (1, -0.4))),
    "cleaver": (((0, 0.5), (0.4, 0.5), (0.8, 0.5), (1, 0.42)), ((0, -0.5), (0.4, -0.5), (0.8, -0.5), (1, -0.36))),
}
WIDTHS = {"chef": 0.22, "carving": 0.14, "bread": 0.13, "table": 0.16, "santoku": 0.27, "cleaver": 0.5}


def grip(length: float, width: float, thick: float, bow: float, flare: float) -> Mesh:
    """Handle along +y from the origin: oval sections that bow to one side and widen (or narrow) towards the end."""
    t = np.linspace(0, 1, 9)
    half = width / 2 * np.interp(t, [0, 0.2, 0.6, 0.9, 1], [0.9, 0.85, 1.0, flare, 0.75 * flare])
    ring = superellipse(1, 1, 2.8, points=14)
    sections = np.empty((9, 14, 3))
    sections[..., 0] = ring[:, 0] * half[:, None] - bow * width * np.sin(np.pi * t)[:, None]
    sections[..., 1] = (length * t)[:, None]
    sections[..., 2] = ring[:, 1] * thick / 2 * np.interp(t, [0, 0.9, 1], [1, 1, 0.8])[:, None]
    return skin(sections)


@category("knife", flavours={"paco_lvis": "knife"}, supercategory="hand-held", support="table", size=0.3)
def knife(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Kitchen, bread, table knives and cleavers; the edge faces the object's right (-x)."""
    style = pick(rng, *BLADES)
    tinted(b, "blade", "metal", METALS)
    tinted(b, "edge", "metal", ((0.85, 0.86, 0.88),))
    metal_grip = style == "table" and chance(rng, 0.6)
    tinted(
        b, "grip", "metal" if metal_grip else pick(rng, "wood", "plastic"), METALS if metal_grip else DARKS + BRIGHTS
    )
    length = uniform(rng, 0.11, 0.22)
    width = length * near(rng, WIDTHS[style], 0.15)
    thick = uniform(rng, 0.015, 0.021)
    mid = thick / 2
    spine, edge = (smooth(curve, 6) for curve in BLADES[style])
    t = np.linspace(0, 1, 25)
    spine_x = width * np.interp(t, spine[:, 0], spine[:, 1])
    edge_x = width * np.interp(t, edge[:, 0], edge[:, 1])
    if style == "bread":
        edge_x = edge_x + 0.05 * width * np.cos(np.arange(25) * np.pi) * (t < 0.95)
    _blade(b, spine_x, edge_x, -length * t, mid)
    handle_length = uniform(rng, 0.09, 0.125)
    handle_width = max(uniform(rng, 0.02, 0.028), 0.3 * min(width, 0.09))
    shift = width * 0.5 - handle_width * 0.55 if style in ("chef", "santoku", "cleaver", "bread") else 0.0
    handle = grip(handle_length, handle_width, thick, uniform(rng, -0.15, 0.2), uniform(rng, 0.8, 1.25))
    b.piece("handle", handle.move(x=shift, z=mid), "grip")
    if not metal_grip and chance(rng, 0.6):
        rivets = repeated(disc(0.0032, thick + 0.001), [(shift, handle_length * k, mid) for k in (0.25, 0.5, 0.75)])
        b.piece("handle", rivets, "blade")
    b.keypoint("blade", "tip", (spine_x[-1], -length, mid), "front", "front")
    b.keypoint("blade", "edge", (edge_x[12], -length / 2, mid), "front", "right middle")
    b.keypoint("blade", "spine", (spine_x[12], -length / 2, mid), "front", "left middle")
    b.keypoint("blade", "corner", (edge_x[0], 0, mid), "front", "rear right")
    b.keypoint("handle", "joint", (shift, 0.004, thick * 0.9), "rear", "front")
    b.keypoint("handle", "center", (shift, handle_length / 2, thick), "rear", "middle")
    b.keypoint("handle", "end", (shift, handle_length, mid), "rear", "rear")
    posed(b)


def _blade(b: ObjectBuilder, spine_x: Floats, edge_x: Floats, y: Floats, z: float) -> None:
    """Blade in four strips that serve different functions: spine, middle, edge, and the tip across all of them."""
    cut = int(0.84 * len(y))

    def strip(low: float, high: float, first: int, last: int) -> Mesh:
        rows = slice(first, last)
        curves, sizes = [], []
        for f in (low, high):
            curves.append(np.column_stack([edge_x + f * (spine_x - edge_x), y])[rows])
            sizes.append(0.0006 + 0.0022 * f)
        return plate(curves[0], curves[1], sizes[0], sizes[1]).move(z=z)

    b.piece("blade", strip(0, 0.16, 0, cut), "edge", functional("knife", "edge"))
    b.piece("blade", strip(0.16, 0.84, 0, cut), "blade", functional("knife", "blade"))
    b.piece("blade", strip(0.84, 1, 0, cut), "blade", functional("knife", "spine", "back"))
    b.piece("blade", strip(0, 1, cut - 1, len(y)), "blade", functional("knife", "tip"))


@category("spoon", flavours={"paco_lvis": "spoon"}, supercategory="hand-held", support="table", size=0.2)
def spoon(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Table, tea, soup and wooden spoons: a hollow bowl, a thin neck and a handle that widens to the rear."""
    wooden = chance(rng, 0.3)
    kind = "wood" if wooden else pick(rng, "metal", "metal", "plastic")
    tinted(b, "main", kind, () if wooden else METALS if kind == "metal" else BRIGHTS)
    tinted(b, "grip", kind if chance(rng, 0.7) else "plastic", () if wooden else METALS if kind == "metal" else BRIGHTS)
    half = uniform(rng, 0.016, 0.03)
    long = half * uniform(rng, 1.15, 1.7)
    depth, wall = half * uniform(rng, 0.4, 0.6), 0.0018 if not wooden else 0.004
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    egg = np.column_stack([np.cos(angle) * (1 + 0.12 * np.sin(angle)), np.sin(angle) * long / half])
    outer = np.array([(0, 0), (0.45, 0.08), (0.75, 0.34), (0.93, 0.7), (1, 1)]) * [half, depth]
    rim = [(half, depth), (half - wall / 2, depth + wall / 3), (half - wall, depth)]
    inner = np.array([(1, 1), (0.92, 0.7), (0.75, 0.36), (0.45, 0.1), (0, 0.02)]) * [half - wall, depth - wall] + [
        0,
        wall,
    ]
    centre = -long
    for curve, use in ((outer, "back"), (rim, "rim"), (inner, "bowl")):
        mesh = lathe(curve, outline=egg, sharp=60).move(y=centre)
        front = mesh.vertices[mesh.faces].mean(1)[:, 1] < centre - 0.62 * long
        b.piece("tip", select(mesh, front), functions=functional("spoon", "tip"))
        b.piece("bowl", select(mesh, ~front), functions=functional("spoon", use, "bowl"))
    length, rise = uniform(rng, 0.1, 0.17) + (0.06 if wooden else 0), uniform(rng, 0.006, 0.02)
    line = smooth(
        [(0, -0.006, depth), (0, 0.02, depth + rise), (0, 0.5 * length, depth + 0.6 * rise), (0, length, 0.008)], 4
    )
    end = half * uniform(rng, 0.35, 0.75)
    slim = 0.004 if not wooden else 0.008
    width = np.interp(
        np.arange(len(line)), [0, 2, 5, len(line) - 2, len(line) - 1], [2 * slim, slim, slim, 2 * end, 1.5 * end]
    )
    thick = wall * 1.3 if not wooden else 0.007
    b.piece("neck", strap(line[:6], width[:6], thick), "main")
    b.piece("handle", strap(line[5:], width[5:], thick), "grip")
    b.keypoint("bowl", "tip", (0, centre - long * 0.98, depth), "front", "front")
    b.keypoint("bowl", "inner center", (0, centre, wall), "front", "middle")
    for word, sign in (("left", 1), ("right", -1)):
        b.keypoint("bowl", "edge", (sign * (half - wall / 2), centre, depth), "front", word)
    b.keypoint("neck", "joint", (0, 0.0, float(np.interp(0, line[:, 1], line[:, 2]))), "middle", "front")
    b.keypoint("handle", "center", line[8], "rear", "middle")
    b.keypoint("handle", "end", line[-1], "rear", "rear")


@category("scissors", flavours={"paco_lvis": "scissors"}, supercategory="hand-held", support="table", size=0.2)
def scissors(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Two crossed blades on a screw, ring handles at the rear; opened by a random angle."""
    tinted(b, "blade", "metal", METALS)
    tinted(b, "edge", "metal", ((0.85, 0.86, 0.88),))
    tinted(b, "grip", pick(rng, "plastic", "plastic", "metal"), BRIGHTS + DARKS)
    tinted(b, "screw", "metal", METALS)
    length, width = uniform(rng, 0.075, 0.12), uniform(rng, 0.011, 0.016)
    ring = (uniform(rng, 0.014, 0.018), uniform(rng, 0.018, 0.03))
    opening = uniform(rng, 4, 26)
    thick, bar = 0.0022, uniform(rng, 0.0042, 0.006)
    arm = uniform(rng, 0.03, 0.045)
    middle = np.array([ring[0] + 0.006, arm + 0.85 * ring[1]])
    half = _half_scissors(length, width, thick, bar, arm, middle, ring)
    for sign in (1, -1):
        for part, mesh, slot, functions in half:
            mesh = mesh if sign > 0 else mesh.mirror("x")
            b.piece(part, mesh.rotate("z", -sign * opening).move(z=bar + sign * thick * 0.55), slot, functions)
        turn = rotation("z", -sign * opening)[:3, :3]
        side, other = ("left", "right") if sign > 0 else ("right", "left")
        z = np.array([0, 0, bar + sign * thick * 0.55])
        b.keypoint("blade", "tip", turn @ [sign * 0.16 * width, -length, 0] + z, f"front {other}", "front")
        b.keypoint(
            "blade", "edge", turn @ [sign * 0.37 * width, -length / 2, 0] + z, f"front {other}", f"middle {side}"
        )
        b.keypoint(
            "handle", "end", turn @ [sign * middle[0], middle[1] + ring[1] + 0.8 * bar, 0] + z, f"rear {side}", "rear"
        )
        b.keypoint(
            "handle", "edge", turn @ [sign * (middle[0] + ring[0] + 0.8 * bar), middle[1], 0] + z, f"rear {side}", side
        )
    b.piece("screw", disc(0.0045, 4.2 * thick, (0, 0, bar)), "screw")
    b.keypoint("screw", "center", (0, 0, bar + 2.1 * thick), "middle", "middle")
    posed(b)


def _half_scissors(
    length: float, width: float, thick: float, bar: float, arm: float, middle: Floats, ring: tuple[float, float]
) -> list[tuple[str, Mesh, str, dict[str, str]]]:
    """Blade to the front whose edge faces +x, shank and ring to the rear on the +x side; the screw is at the origin."""
    t = np.linspace(0, 1, 9)
    y = 0.01 - (length + 0.01) * t
    back = width * np.interp(t, [0, 0.5, 0.9, 1], [-0.5, -0.42, -0.08, 0.13])
    edge = width * np.interp(t, [0, 1], [0.5, 0.2])
    parts = []
    for low, high, rows, name in (
        (0.0, 0.25, slice(0, 8), "edges"),
        (0.25, 1.0, slice(0, 8), "blade"),
        (0.0, 1.0, slice(7, 9), "point"),
    ):
        a, c = (np.column_stack([edge + f * (back - edge), y])[rows] for f in (low, high))
        sizes = [thick * (0.35 + 0.65 * f) for f in (low, high)]
        slot = "edge" if name == "edges" else "blade"
        parts.append(("blade", plate(a, c, *sizes), slot, dict(functional("scissors", name))))
    shank = smooth([(0, 0.006, 0), (0.15 * middle[0], 0.5 * arm, 0), (0.55 * middle[0], arm, 0)], 3)
    angle = np.linspace(0, 2 * np.pi, 21)
    loop = np.column_stack([middle[0] + ring[0] * np.cos(angle), middle[1] + ring[1] * np.sin(angle), 0 * angle])
    loop[-1] = loop[0]
    handle = merge(
        strap(shank, [0.8 * width, *[2.2 * bar] * (len(shank) - 2), 1.8 * bar], 1.6 * bar, "z"),
        tube(loop, bar, sides=7, caps=False),
    )
    inner = loop.copy()
    inner[:, :2] = middle + (loop[:, :2] - middle) * [(r - bar) / r for r in ring]
    lining = strap(inner, 1.1 * bar, 0.5 * bar, "z")
    return [*parts, ("handle", handle, "grip", {}), ("finger hole", lining, "grip", {})]
