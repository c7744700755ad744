"""Helpers of the everyday families: palettes, functional parts, turned bodies, hollow vessels, labels, handles.

Tools and dishes are built with the user at the rear (+y): handles point to the rear, tips and spouts to the front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from ...files import read_json, resource
from ..objects import ObjectBuilder
from ..shapes import Floats, Mesh, _grid, lathe, merge, rotation, tube
from ._forms import Part, pick, smooth
from ._skins import _unit, strap

Colour = tuple[float, float, float]

WHITES: tuple[Colour, ...] = ((0.93, 0.93, 0.91), (0.9, 0.87, 0.8), (0.86, 0.88, 0.9))
DARKS: tuple[Colour, ...] = ((0.05, 0.05, 0.06), (0.12, 0.12, 0.14), (0.16, 0.13, 0.12))
METALS: tuple[Colour, ...] = ((0.72, 0.73, 0.75), (0.6, 0.62, 0.65), (0.5, 0.5, 0.52))
WOODS: tuple[Colour, ...] = ((0.72, 0.53, 0.33), (0.55, 0.36, 0.2), (0.82, 0.66, 0.44), (0.38, 0.24, 0.15))
SKINS: tuple[Colour, ...] = ((0.45, 0.27, 0.15), (0.1, 0.08, 0.08), (0.62, 0.42, 0.25), (0.55, 0.12, 0.12))
BRIGHTS: tuple[Colour, ...] = (
    (0.8, 0.14, 0.12), (0.1, 0.32, 0.7), (0.95, 0.72, 0.1), (0.12, 0.5, 0.25), (0.92, 0.45, 0.1), (0.45, 0.2, 0.55),
)  # fmt: skip
CLEAR: tuple[Colour, ...] = ((0.8, 0.88, 0.9), (0.85, 0.9, 0.88), (0.7, 0.8, 0.75))
GLAZES: tuple[Colour, ...] = (
    *WHITES, (0.25, 0.42, 0.6), (0.7, 0.3, 0.22), (0.3, 0.5, 0.42), (0.85, 0.72, 0.45), (0.2, 0.22, 0.28),
)  # fmt: skip


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def chance(rng: np.random.Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


@cache
def functional_parts() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Function -> category -> functional part names, from ``data/taxonomies/functions.json``."""
    parts: Mapping[str, Mapping[str, Sequence[str]]] = read_json(resource("data", "taxonomies", "functions.json"))
    return parts


@cache
def functional(category: str, *names: str) -> Mapping[str, str]:
    """Functions of a piece: each function of the category that lists one of these functional part names, with it."""
    found = {}
    for function, categories in functional_parts().items():
        listed = categories.get(category, ())
        hit = next((name for name in names if name in listed), None)
        if hit is not None:
            found[function] = hit
    return found


def tinted(
    b: ObjectBuilder, slot: str, kind: str, colours: Sequence[Colour], *patterns: str, fixed: bool = False
) -> str:
    """A material slot of one kind with a palette; ``fixed`` keeps it on objects of one colour."""
    return b.material(slot, kind, colours=colours, patterns=patterns or ("plain",), fixed=fixed)


def dark(b: ObjectBuilder, slot: str = "dark", kind: str = "plastic") -> str:
    """A slot that stays dark: tyres, screens, slots."""
    return b.material(slot, kind, colours=DARKS[:1], fixed=True)


def silhouette(
    rng: np.random.Generator, control: ArrayLike, radius: float, height: float, jitter: float = 0.03
) -> Floats:
    """Smooth (radius, z) profile through control points given as fractions, each radius varied a little."""
    points = np.array(control, float)
    points[:, 0] *= 1 + rng.uniform(-jitter, jitter, len(points))
    curve = smooth(points, 3) if len(points) > 2 else points
    curve[:, 1] = np.maximum.accumulate(curve[:, 1])
    return curve * [radius, height]


def shifted(profile: Floats, radius: float = 0.0, z: float = 0.0) -> Floats:
    """The profile moved outwards and up."""
    return profile + np.array([radius, z])


def footed(profile: Floats, height: float) -> Floats:
    """The profile on a foot ring of this height."""
    r = float(profile[0, 0])
    return np.concatenate([[(1.04 * r, 0.0), (0.96 * r, height)], shifted(profile, z=height)])


def radius_at(profile: Floats, z: float) -> float:
    return float(np.interp(z, profile[:, 1], profile[:, 0]))


def between(profile: Floats, low: float, high: float) -> Floats:
    """The stretch of a profile between two heights."""
    z = profile[:, 1]
    middle = profile[(z > low + 1e-7) & (z < high - 1e-7)]
    return np.concatenate([[(radius_at(profile, low), low)], middle, [(radius_at(profile, high), high)]])


def bands(
    profile: Floats,
    *tops: float,
    closed: tuple[bool, bool] = (True, True),
    segments: int = 24,
    outline: ArrayLike | None = None,
) -> list[Mesh]:
    """Cuts a turned solid at these heights: one mesh per band, with discs at the ends where ``closed``."""
    cuts = [float(profile[0, 1]), *tops, float(profile[-1, 1])]
    meshes = []
    for k, (low, high) in enumerate(pairwise(cuts)):
        stretch = between(profile, low, high)
        if k == 0 and closed[0]:
            stretch = np.concatenate([[(0.0, low)], stretch])
        if k == len(cuts) - 2 and closed[1]:
            stretch = np.concatenate([stretch, [(0.0, high)]])
        meshes.append(lathe(stretch, segments=segments, outline=outline))
    return meshes


def patch(profile: Floats, low: float, high: float, azimuth: float, width: float, offset: float = 0.0008) -> Mesh:
    """Curved label on a turned body: between two heights, ``width`` degrees wide around ``azimuth`` (0 +x, 90 +y).

    The label stands off by ``offset``; its border dips under the surface that carries it, so that no edge is open.
    """
    curve = between(profile, low, high)
    along = np.gradient(curve, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    angles = np.radians(azimuth + np.linspace(-width / 2, width / 2, max(int(width / 9), 2) + 1))
    rows, columns = ([0, *range(len(x)), len(x) - 1] for x in (curve, angles))
    curve, along, angles = curve[rows], along[rows], angles[columns]
    out = np.column_stack([along[:, 1], -along[:, 0]])
    widest = float(curve[:, 0].max())
    curve[[0, -1]] += along[[0, -1]] * np.array([[-offset], [offset]])
    angles[[0, -1]] += np.array([-1, 1]) * offset / widest
    lift = np.full((len(rows), len(columns), 1), offset)
    lift[[0, -1]] = lift[:, [0, -1]] = -0.0005 - 0.009 * widest  # below the facets of the body
    flat = curve[:, None] + lift * out[:, None]
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    points = np.concatenate([flat[..., :1] * ring, flat[..., 1:]], -1)
    level = np.broadcast_to(out[:, None], flat.shape)
    vertices, faces = _grid(points)
    return Mesh(vertices, faces, np.concatenate([level[..., :1] * ring, level[..., 1:]], -1).reshape(-1, 3))


def lettering(profile: Floats, low: float, high: float, azimuth: float, letters: int, size: float) -> Mesh:
    """A row of letter-like bars on a turned body, ``size`` degrees per letter."""
    full = patch(profile, low, high, azimuth, 0.62 * size)
    half = patch(profile, low, low + 0.55 * (high - low), azimuth, 0.62 * size)
    middle = (letters - 1) / 2
    return merge(*((full, half)[k % 3 == 1].rotate("z", (k - middle) * size) for k in range(letters)))


@dataclass(frozen=True)
class Vessel:
    """A finished hollow body: its outer profile and wall, for what is attached to it later."""

    profile: Floats
    wall: float
    floor: float
    aspect: float = 1.0

    @property
    def height(self) -> float:
        return float(self.profile[-1, 1])

    def radius(self, z: float) -> float:
        return radius_at(self.profile, z)


def vessel(
    b: ObjectBuilder,
    profile: Floats,
    wall: float,
    parts: Mapping[str, Part],
    category: str,
    *,
    material: str = "main",
    inside: str | None = None,
    rim_material: str | None = None,
    base: float = 0.08,
    rim: float = 0.05,
    floor: float | None = None,
    outline: ArrayLike | None = None,
    segments: int = 24,
) -> Vessel:
    """Adds an open vessel: foot, body, rim and inner wall (an open body has no lid over it).

    Args:
        profile: outer (radius, z) from foot to rim. wall: thickness at the rim.
        parts: taxonomy names for "base", "bottom" (underside), "body", "rim", "inner"; a missing one is no named part.
        category: whose functional parts the pieces carry.
        base, rim: heights of foot and rim in units of the vessel's height. floor: height of the inner floor.
    """
    height = float(profile[-1, 1])
    floor = 1.2 * wall if floor is None else floor
    foot, lip = base * height, (1 - rim) * height
    low, body, high = (between(profile, *span) for span in ((0, foot), (foot, lip), (lip, height)))
    thinner = np.array([wall, 0.0])
    r0 = low[0, 0]
    crown = [high, [(profile[-1, 0] - wall / 2, height + 0.4 * wall)], (high - thinner)[::-1]]
    cavity = between(profile, floor, lip) - thinner
    cavity[:, 0] = np.maximum(cavity[:, 0], 0.02 * r0)
    shapes = {
        "bottom": np.array([(0, 0), (0.8 * r0, 0)]),
        "base": np.concatenate([[(0.8 * r0, 0)], low]),
        "body": body,
        "rim": np.concatenate(crown),
        "inner": np.concatenate([cavity[::-1], [(0, floor)]]),
    }
    use = {
        "base": ("base",),
        "body": ("body", "side"),
        "rim": ("rim", "mouth"),
        "inner": ("interior", "bowl", "surface"),
    }
    slots = {"inner": inside or material, "rim": rim_material or material}
    for name, shape in shapes.items():
        mesh = lathe(shape, segments=segments, outline=outline)
        b.piece(parts.get(name, ""), mesh, slots.get(name, material), functional(category, *use.get(name, ("base",))))
    return Vessel(profile, wall, floor, 1.0 if outline is None else float(np.ptp(np.asarray(outline)[:, 1]) / 2))


SIDES = (("front", 0.0, -1.0), ("rear", 0.0, 1.0), ("left", 1.0, 0.0), ("right", -1.0, 0.0))


def circle_points(
    b: ObjectBuilder, part: str, point: str, radius: float, z: float, part_position: str = "", aspect: float = 1.0
) -> None:
    """Keypoints at the front, rear, left and right of a horizontal circle."""
    for word, x, y in SIDES:
        b.keypoint(part, point, (x * radius, y * radius * aspect, z), part_position, word)


def vessel_points(b: ObjectBuilder, v: Vessel) -> None:
    """Rim and base at four sides, and the middle of the inner floor."""
    circle_points(b, "rim", "edge", v.radius(v.height) - v.wall / 2, v.height, "top", v.aspect)
    circle_points(b, "base", "edge", v.radius(0), 0.0, "bottom", v.aspect)
    b.keypoint("body", "inner center", (0, 0, v.floor), "bottom", "middle")


LOOPS = {  # (reach, way down) of the knots between the two joints, as fractions
    "round": ((0.7, -0.02), (1.0, 0.5), (0.7, 1.02)),
    "strap": ((0.75, -0.02), (1.0, 0.45), (0.65, 0.98)),
    "square": ((0.75, 0.0), (1.0, 0.12), (1.0, 0.88), (0.75, 1.0)),
    "ear": ((0.6, -0.1), (1.0, 0.2), (0.7, 0.6), (0.2, 0.9)),
}


def loop_handle(
    rng: np.random.Generator,
    top: tuple[float, float],
    bottom: tuple[float, float],
    reach: float,
    size: float,
    styles: Sequence[str] = tuple(LOOPS),
) -> tuple[Mesh, Floats]:
    """Handle at the rear between two (y, z) points of a wall; also returns the line along its outside (P x 3)."""
    style = pick(rng, *styles)
    out, down = np.array([(0.0, 0.0), *LOOPS[style], (0.0, 1.0)]).T
    wall = np.asarray(top) + (np.asarray(bottom) - np.asarray(top)) * np.clip(down, 0, 1)[:, None]
    height = top[1] - down * (top[1] - bottom[1])
    outer = max(top[0], bottom[0]) + reach
    flat = smooth(np.column_stack([wall[:, 0] + out * (outer - wall[:, 0]), height]), 3)
    path = np.column_stack([np.zeros(len(flat)), flat])
    along = np.gradient(path, axis=0)
    outside = _unit(np.column_stack([np.zeros(len(path)), -along[:, 2], along[:, 1]]))
    if style == "strap" or (style == "square" and chance(rng, 0.5)):
        return strap(path, 2.4 * size, 1.1 * size), path + 0.55 * size * outside
    return tube(path, list(size * np.linspace(1.05, 0.85, len(path))), sides=7), path + 0.95 * size * outside


def handle_points(b: ObjectBuilder, path: Floats, part_position: str = "rear") -> None:
    """Both joints and the middle of a looped handle."""
    b.keypoint("handle", "joint", path[1], part_position, "top")
    b.keypoint("handle", "center", path[len(path) // 2], part_position, "middle")
    b.keypoint("handle", "joint", path[-2], part_position, "bottom")


def posed(b: ObjectBuilder, *turns: tuple[str, float]) -> None:
    """Turns everything built so far about coordinate axes, in this order, and sets it down on z = 0."""
    turn = np.eye(3)
    for axis, degrees in turns:
        turn = rotation(axis, degrees)[:3, :3] @ turn
    if turns:
        _apply(b, lambda m: Mesh(m.vertices @ turn.T, m.faces, m.normals @ turn.T), lambda at: turn @ at)
    down = -min(float(piece.mesh.vertices[:, 2].min()) for piece in b.pieces)
    _apply(b, lambda m: m.move(z=down), lambda at: at + np.array([0, 0, down]))


def mirrored(b: ObjectBuilder) -> None:
    """Turns everything built so far into its mirror image across x = 0; left and right change their names."""
    swap = {"left": "right", "right": "left"}
    _apply(b, lambda mesh: mesh.mirror("x"), lambda at: at * [-1, 1, 1])
    for k, kp in enumerate(b.keypoints):
        words = [tuple(swap.get(w, w) for w in place) for place in (kp.part_position, kp.point_position)]
        b.keypoints[k] = type(kp)(kp.part, kp.point, words[0], words[1], kp.at)


def _apply(b: ObjectBuilder, mesh: Callable[[Mesh], Mesh], point: Callable[[Floats], Floats]) -> None:
    for k, piece in enumerate(b.pieces):
        b.pieces[k] = type(piece)(piece.part, mesh(piece.mesh), piece.functions, piece.material)
    for k, kp in enumerate(b.keypoints):
        b.keypoints[k] = type(kp)(kp.part, kp.point, kp.part_position, kp.point_position, point(kp.at))
