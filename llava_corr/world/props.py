"""Unlabelled things: grounds, walls, windows, rugs, trees, rocks, hills, tufts of grass, shapes that distract.

None of them is a class of any taxonomy of the world. Their shapes and looks come from the numbered families of
:mod:`.surfaces`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import trimesh
from numpy.typing import NDArray

from .materials import Look, choose_colour, jitter, linear, pick, recipe, recipe_numbers, shade_of
from .noise import noise
from .objects import ObjectBuilder, ObjectModel
from .scene import Placed, pose
from .shapes import Mesh, box, cylinder, ellipsoid, extrude, lathe, merge, torus, tube
from .surfaces import FAMILY_SEED, surface_look

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]


def backdrop(mesh: Mesh, surface: str, family: int, *, at: Floats | None = None, yaw: float = 0.0) -> Placed:
    """A mesh in world size with a surface's look."""
    look, unit = surface_look(surface, family)
    return _single(mesh, look, at=np.zeros(3) if at is None else at, yaw=yaw, unit=unit)


def _single(mesh: Mesh, look: Look, *, at: Floats, yaw: float = 0.0, scale: float = 1.0, unit: float = 1.0) -> Placed:
    builder = ObjectBuilder("prop")
    builder.piece("", mesh, "main")
    return Placed(builder.build(), pose(at=at, yaw=yaw, scale=scale), {"main": look}, unit=unit)


def quad(corners: Floats) -> Mesh:
    """A flat four-cornered face (4 x 3, counter-clockwise seen from its front)."""
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    normal /= np.linalg.norm(normal)
    return Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), np.tile(normal, (4, 1)))


def plane(surface: str, family: int, frame: Floats, width: float, height: float) -> Placed:
    """A rectangle from the origin of its frame (4 x 4: width along its x, height along its y, front towards its z)."""
    look, unit = surface_look(surface, family)
    mesh = quad(np.array([[0, 0, 0], [width, 0, 0], [width, height, 0], [0, height, 0.0]]))
    builder = ObjectBuilder("plane")
    builder.piece("", mesh, "main")
    return Placed(builder.build(), frame, {"main": replace(look, flat=True)}, unit=unit)


def ground(surface: str, family: int, *, half: float = 120.0) -> Placed:
    """A large horizontal square around the origin."""
    return plane(surface, family, pose(at=np.array([-half, -half, 0.0])), 2 * half, 2 * half)


def wall(start: Floats, end: Floats, height: float, surface: str, family: int) -> Placed:
    """A vertical face from ``start`` to ``end`` (x, y); its front is on the left when walking that way."""
    along = np.append(start - end, 0.0)
    length = float(np.linalg.norm(along))
    frame = np.eye(4)
    frame[:3, 0] = along / length
    frame[:3, 1] = [0, 0, 1]
    frame[:3, 2] = np.cross(frame[:3, 0], frame[:3, 1])
    frame[:2, 3] = end
    return plane(surface, family, frame, length, height)


def rough(mesh: trimesh.Trimesh, scale: float, strength: float, offset: Floats) -> Mesh:
    """Moves the vertices of a ball in and out by noise and renews its normals."""
    vertices = np.asarray(mesh.vertices)
    shift = noise((vertices * scale + offset).astype(np.float32), octaves=3)[:, None]
    vertices = vertices * (1 + strength * shift)
    faces = np.asarray(mesh.faces)
    corners = vertices[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], flat)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Mesh(vertices, faces, normals)


@lru_cache(maxsize=4)
def _ball(subdivisions: int) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions)


@cache
def _rock(family: int) -> tuple[Mesh, Look]:
    rng = np.random.default_rng([FAMILY_SEED, family, 1])
    mesh = rough(_ball(2), rng.uniform(0.5, 1.0), rng.uniform(0.10, 0.18), rng.uniform(0, 8, 3))
    mesh = mesh.scale(1.0, rng.uniform(0.6, 1.0), rng.uniform(0.45, 0.8))
    tone = jitter(((0.50, 0.48, 0.45), (0.42, 0.40, 0.38), (0.60, 0.53, 0.44))[int(rng.integers(3))], rng)
    return mesh, Look("earth", "noise", linear(tone), linear(shade_of(tone, rng)), recipe("noise", family))


def rock(family: int, *, at: Floats, size: float, yaw: float) -> Placed:
    """A boulder of about this diameter, a third of it below the ground."""
    mesh, look = _rock(family)
    return _single(mesh, look, at=at + np.array([0, 0, 0.12 * size]), yaw=yaw, scale=size / 2, unit=2.0)


@cache
def _tree(family: int) -> tuple[ObjectModel, dict[str, Look]]:
    rng = np.random.default_rng([FAMILY_SEED, family, 2])
    builder = ObjectBuilder("tree")
    trunk = rng.uniform(0.25, 0.5)
    lean = rng.normal(0, 0.03, 2)
    builder.piece("", tube([[0, 0, -0.05], [lean[0], lean[1], trunk * 0.6], [lean[0] * 2, lean[1] * 2, trunk + 0.2]],
                           [0.045, 0.035, 0.02], sides=7), "bark")  # fmt: skip
    if rng.random() < 0.35:
        for k in range(3):
            z = trunk * 0.7 + k * 0.24
            builder.piece("", cylinder(0.26 - 0.07 * k, 0.34, top=0.0, segments=11).move(z=z + 0.17), "leaves")
    else:
        for _ in range(int(rng.integers(3, 6))):
            at = rng.normal(0, 1, 3) * [0.13, 0.13, 0.08] + [lean[0] * 2, lean[1] * 2, trunk + 0.28]
            blob = rough(_ball(2), 1.6, 0.13, rng.uniform(0, 8, 3)).scale(
                *(rng.uniform(0.13, 0.22) * np.array([1, 1, 0.85]))
            )
            builder.piece("", blob.move(*at), "leaves")
    green = jitter(
        ((0.24, 0.38, 0.15), (0.34, 0.44, 0.18), (0.20, 0.32, 0.20), (0.52, 0.46, 0.18))[int(rng.integers(4))], rng
    )
    bark = jitter((0.36, 0.27, 0.20), rng)
    looks = {
        "leaves": Look("leaves", "noise", linear(green), linear(green * 0.6), recipe("noise", family)),
        "bark": Look("wood", "grain", linear(bark), linear(bark * 0.6), recipe("grain", family)),
    }
    return builder.build(), looks


def tree(family: int, *, at: Floats, height: float, yaw: float) -> Placed:
    """A tree of about this height."""
    model, looks = _tree(family)
    return Placed(model, pose(at=at, yaw=yaw, scale=height), looks, unit=0.5)


def bush(family: int, *, at: Floats, size: float, yaw: float) -> Placed:
    """A round shrub of about this diameter."""
    _, looks = _tree(family)
    mesh = rough(_ball(2), 1.5, 0.14, np.full(3, family * 0.37)).scale(1, 1, 0.75)
    return _single(mesh, looks["leaves"], at=at + np.array([0, 0, 0.22 * size]), yaw=yaw, scale=size / 2, unit=1.0)


@cache
def _hills(family: int) -> Mesh:
    """A ring of hills with radius 1; heights up to about 0.1."""
    rng = np.random.default_rng([FAMILY_SEED, family, 3])
    count = 96
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    where = np.column_stack([ring * rng.uniform(1.0, 2.5), np.full(count, family * 0.61)]).astype(np.float32)
    height = np.maximum(0.045 + 0.022 * noise(where, octaves=3), 0.008) * rng.uniform(0.4, 1.5)
    rows = np.stack([np.column_stack([ring, np.full(count, -0.01)]), np.column_stack([ring * 1.25, height])])
    index = np.arange(count)
    nxt = np.roll(index, -1)
    faces = np.concatenate([np.stack([nxt, index, index + count], 1), np.stack([nxt, index + count, nxt + count], 1)])
    normals = np.column_stack([-ring * 0.5, np.full(count, 0.85)])
    return Mesh(rows.reshape(-1, 3), faces, np.concatenate([normals, normals]))


def hills(family: int, surface: str, radius: float) -> Placed:
    """Hills all around at this distance."""
    look, _ = surface_look(surface, family)
    return _single(_hills(family), look, at=np.zeros(3), scale=radius, unit=0.1)


def tufts(
    rng: np.random.Generator, centre: Floats, spread: float, height: float, family: int, count: int = 30
) -> Placed:
    """Blades of grass strewn around a place."""
    root = np.column_stack([rng.normal(0, spread, (count, 2)), np.zeros(count)]).repeat(3, axis=0)
    root[:, :2] += rng.normal(0, 0.12 * height, (len(root), 2))
    lean = np.column_stack([rng.normal(0, 0.35, (len(root), 2)), rng.uniform(0.6, 1.0, len(root))]) * height
    side = np.column_stack([rng.normal(0, 1, (len(root), 2)), np.zeros(len(root))])
    side *= 0.07 * height / np.linalg.norm(side, axis=1, keepdims=True)
    vertices = np.stack([root - side, root + side, root + lean], 1).reshape(-1, 3)
    faces = np.arange(len(vertices)).reshape(-1, 3)
    normals = np.tile([0.0, 0.0, 1.0], (len(vertices), 1))
    look, unit = surface_look("grass", family)
    return _single(Mesh(vertices, faces, normals), look, at=centre, unit=unit)


def _flat_look(kind: str, colour: Colour, family: int, pattern: str = "plain", second: Colour | None = None) -> Look:
    tone = linear(colour)
    return Look(kind, pattern, tone, tone if second is None else linear(second), recipe(pattern, family))


def window(
    family: int,
    rng: np.random.Generator,
    *,
    width: float,
    height: float,
    at: Floats,
    yaw: float,
    pane: Colour | None = None,
) -> Placed:
    """A window with frame and bars, its middle at ``at`` on the wall; the front is -y.

    It is bright as seen from a room; with ``pane`` (sRGB) it is dark, reflecting glass as seen from the street.
    """
    builder = ObjectBuilder("window")
    thick = 0.06
    builder.piece("", box(width, 0.01, height), "sky")
    for x in (-width / 2, 0.0, width / 2) if rng.random() < 0.6 else (-width / 2, width / 2):
        builder.piece("", box(thick, 0.05, height + thick).move(x=x, y=-0.02), "frame")
    for z in (-height / 2, rng.uniform(-0.1, 0.3) * height, height / 2):
        builder.piece("", box(width + thick, 0.045, thick).move(z=z, y=-0.02), "frame")
    builder.piece("", box(width + 0.2, 0.12, 0.03).move(z=-height / 2 - 0.04, y=-0.05), "frame")
    if pane is None and rng.random() < 0.5:
        for sign in (-1, 1):
            folds = [(sign * (width / 2 + 0.02 + 0.03 * k), -0.07 - 0.03 * (k % 2)) for k in range(7)]
            rows = np.array([[[x, y, z] for x, y in folds] for z in (-height / 2 - 0.25, height / 2 + 0.1)])
            builder.piece("", _curtain(rows), "curtain")
    draw = np.random.default_rng([FAMILY_SEED, family, 4])
    cloth = jitter(choose_colour("fabric", draw), draw)
    looks = {
        "sky": _flat_look("emissive", (0.86, 0.93, 1.0), family, "gradient", (0.62, 0.80, 0.95)),
        "frame": _flat_look("paint", ((0.93, 0.92, 0.90), (0.42, 0.28, 0.18), (0.3, 0.31, 0.33))[family % 3], family),
        "curtain": Look("fabric", "plain", linear(cloth), linear(cloth), recipe("plain", family)),
    }
    used = {name: looks[name] for name in ("sky", "frame", "curtain")}
    if pane is not None:
        used["sky"] = _flat_look("ceramic", pane, family)
    return Placed(builder.build(), pose(at=at, yaw=yaw), used)


def _curtain(rows: Floats) -> Mesh:
    """A folded sheet between two rows of points (2 x P x 3)."""
    quads = [np.stack([rows[0, k], rows[0, k + 1], rows[1, k + 1], rows[1, k]]) for k in range(rows.shape[1] - 1)]
    return merge(*(quad(q) for q in quads))


def picture_frame(
    family: int, rng: np.random.Generator, *, width: float, height: float, at: Floats, yaw: float
) -> Placed:
    """A framed abstract picture, its middle at ``at`` on the wall; the front is -y."""
    builder = ObjectBuilder("picture")
    builder.piece("", box(width, 0.025, height).move(y=-0.013), "frame")
    builder.piece("", box(width * 0.88, 0.01, height * 0.88).move(y=-0.025), "canvas")
    draw = np.random.default_rng([FAMILY_SEED, family, 5])
    tones = [jitter(choose_colour("fabric", draw), draw) for _ in range(2)]
    pattern = str(draw.choice(["patches", "noise", "stripes", "dots", "checks"]))
    looks = {
        "frame": _flat_look("wood", ((0.25, 0.17, 0.11), (0.70, 0.55, 0.35), (0.10, 0.10, 0.10))[family % 3], family),
        "canvas": Look("paper", pattern, linear(tones[0]), linear(tones[1]), recipe(pattern, family)),
    }
    return Placed(builder.build(), pose(at=at, yaw=yaw), looks, unit=max(width, height))


def potted_plant(family: int, rng: np.random.Generator, *, at: Floats) -> Placed:
    """A pot with long leaves, about a metre high."""
    builder = ObjectBuilder("plant")
    builder.piece("", cylinder(0.11, 0.24, top=0.15, segments=18).move(z=0.12), "pot")
    height = float(rng.uniform(0.5, 0.9))
    for k in range(int(rng.integers(9, 15))):
        turn = k * 2.4 + rng.normal(0, 0.2)
        lean = rng.uniform(0.15, 0.55)
        t = np.array([0, 0.35, 0.7, 1.0])
        out = 0.5 * lean * t * t
        points = np.stack([out * np.cos(turn), out * np.sin(turn), 0.22 + height * t * (1 - 0.25 * lean * t)], 1)
        blade = tube(points, [0.008, 0.03, 0.028, 0.003], sides=5, caps=False)
        builder.piece("", blade, "leaf")
    looks = {
        "pot": _flat_look("ceramic", ((0.74, 0.42, 0.30), (0.90, 0.89, 0.86), (0.25, 0.27, 0.30))[family % 3], family),
        "leaf": _flat_look("leaves", (0.24, 0.42, 0.18), family, "gradient", (0.40, 0.55, 0.25)),
    }
    return Placed(builder.build(), pose(at=at), looks)


def distractor(rng: np.random.Generator, split: str) -> tuple[ObjectModel, dict[str, Look]]:
    """A toy-like solid of about 1 m that belongs to no class, with a random look."""
    shape = int(rng.integers(7))
    a, b = rng.uniform(0.3, 0.5), rng.uniform(0.15, 0.3)
    star = [
        (np.cos(t) * r, np.sin(t) * r)
        for t, r in zip(np.linspace(0, 2 * np.pi, 11)[:-1], [a, a * 0.5] * 5, strict=True)
    ]
    mesh = (
        lambda: ellipsoid(a, a, a, segments=20).move(z=a),
        lambda: cylinder(a, a * 2, top=0.0, segments=20).move(z=a),
        lambda: torus(a * 0.7, b * 0.5, segments=20, sides=10).move(z=b * 0.5),
        lambda: extrude([(-a, -b), (a, -b), (-a, b)], 2 * b).rotate("x", 90).move(z=b),
        lambda: extrude(star, b).move(z=b / 2),
        lambda: lathe([(0, 0), (a, 0), (b * 0.6, a * 0.8), (a * 0.7, a * 1.4), (0, a * 1.8)], segments=18),
        lambda: merge(box(2 * a, b, b).move(z=b / 2), box(b, b, a).move(x=a - b / 2, z=b + a / 2)),
    )[shape]()
    builder = ObjectBuilder("distractor")
    builder.piece("", mesh, "main")
    kind = pick(("plastic", "wood", "metal", "fabric", "ceramic", "paint"), rng)
    pattern = pick(("plain", "stripes", "dots", "noise", "checks"), rng)
    tone = jitter(choose_colour(kind, rng), rng)
    number = pick(recipe_numbers(split), rng)
    look = Look(kind, pattern, linear(tone), linear(shade_of(tone, rng)), recipe(pattern, number))
    return builder.build(), {"main": look}
