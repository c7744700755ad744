"""Everyday objects in clutter: three to eight on a table, a floor or outdoors, between shapes without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .casting import Actor, Stage, comparable
from .placement import Footprint, all_corners, footprint, frame, pack
from .props import backdrop, distractor, ground, hills, tree, tufts, wall
from .scene import Placed, Scene, pose
from .shapes import box
from .surfaces import draw_family
from .weather import daylight, studio_light

Floats = NDArray[np.float64]
_TABLES = ("tabletop", "tabletop", "marble", "cloth", "cloth", "planks")
_FLOORS = ("planks", "carpet", "tiles", "concrete")
_WALLS = ("plaster", "plaster", "wallpaper", "brick", "panels", "tiles")
_GROUNDS = ("grass", "grass", "sand", "earth", "pavement", "gravel", "asphalt")
MIDDLE = 0.34


def compose(stage: Stage) -> Scene:
    """A clutter scene."""
    rng = stage.rng
    count = stage.count or int(rng.choice([3, 4, 5, 6, 7, 8], p=[0.4, 0.3, 0.15, 0.08, 0.04, 0.03]))
    place = str(rng.choice(["table", "floor", "outdoors"], p=[0.45, 0.25, 0.3]))
    able = [c for c in stage.categories if c.support != "ceiling"]  # a ceiling fan cannot stand
    actors = [stage.actor(c) for c in stage.troupe(able or stage.categories, count, pair=0.4)]
    taken: list[Footprint] = []
    gap = float(rng.choice([0.004, 0.012, 0.03]))
    things = [_stand(actor, taken, rng, gap) for actor in actors]
    shapes = [_strew(stage, taken, rng, gap) for _ in range(int(rng.integers(0, 4)))]
    corners = all_corners(things)
    elevation = float(rng.uniform(22, 52) if place != "outdoors" else rng.uniform(16, 44))
    azimuth = float(rng.uniform(-180, 180))
    camera = frame(
        corners,
        azimuth=azimuth,
        elevation=elevation,
        field_of_view=float(rng.uniform(28, 58)),
        fill=float(rng.uniform(1.15, 1.4)),
        size=stage.size,
        shift=rng.normal(0, 0.04, 3) * np.ptp(corners, axis=0),
    )
    turn = np.radians(azimuth)
    if place == "outdoors":
        backdrops = _outdoors(stage, corners, turn)
        light = daylight(rng, azimuth=turn, scale=0.8)
    else:
        backdrops = _indoors(stage, corners, turn, _TABLES if place == "table" else _FLOORS)
        light = studio_light(rng, azimuth=turn, scale=0.6)
    return Scene(stage.flavour, (*things, *shapes, *backdrops), camera, light)


def _stand(actor: Actor, taken: list[Footprint], rng: np.random.Generator, gap: float) -> Placed:
    """Puts an object on the ground, next to those that stand already."""
    extent = comparable(actor.category.size, rng, middle=MIDDLE, power=0.1, spread=0.15)
    scale = extent / actor.extent
    yaw = float(rng.uniform(-np.pi, np.pi))
    bounds = actor.bounds()
    shape = footprint(bounds, scale, yaw)
    placed = pack(shape, taken, rng, gap=gap, stretch=1.0)
    taken.append(placed)
    at = np.append(placed.centre - shape.centre, -bounds[0, 2] * scale)
    return actor.stand(at, yaw=yaw, scale=scale)


def _strew(stage: Stage, taken: list[Footprint], rng: np.random.Generator, gap: float) -> Placed:
    model, looks = distractor(rng, stage.split)
    bounds = model.bounds()
    scale = MIDDLE * float(rng.uniform(0.35, 0.8)) / float(np.ptp(bounds, axis=0).max())
    yaw = float(rng.uniform(-np.pi, np.pi))
    shape = footprint(bounds, scale, yaw)
    placed = pack(shape, taken, rng, gap=gap)
    taken.append(placed)
    at = np.append(placed.centre - shape.centre, -bounds[0, 2] * scale)
    return Placed(model, pose(at=at, yaw=yaw, scale=scale), looks, unit=float(np.ptp(bounds, axis=0).max()))


def _indoors(stage: Stage, corners: Floats, turn: float, surfaces: tuple[str, ...]) -> list[Placed]:
    """A ground that fills the view, and a wall or two behind the objects."""
    rng = stage.rng
    floor = str(rng.choice(surfaces))
    family = draw_family(stage.split, rng)
    out = [ground(floor, family, half=12.0)]
    away = np.array([-np.sin(turn), np.cos(turn)])
    side = np.array([away[1], -away[0]])
    reach = float(np.abs(corners[:, :2] @ away).max())
    far = away * (reach + rng.uniform(0.1, 1.2))
    tilt = rng.uniform(-0.25, 0.25)
    along = side * np.cos(tilt) + away * np.sin(tilt)
    surface, number = str(rng.choice(_WALLS)), draw_family(stage.split, rng)
    out.append(wall(far + along * 8, far - along * 8, 6.0, surface, number))
    if rng.random() < 0.5:
        skirting = box(16.0, 0.012, float(rng.uniform(0.03, 0.08))).move(z=0.03)
        angle = float(np.arctan2(along[1], along[0]))
        out.append(backdrop(skirting, "plaster", number, at=np.append(far - away * 0.006, 0.0), yaw=angle))
    return out


def _outdoors(stage: Stage, corners: Floats, turn: float) -> list[Placed]:
    """Ground to the horizon, hills, a few trees far behind, grass around the objects."""
    rng = stage.rng
    surface = str(rng.choice(_GROUNDS))
    family = draw_family(stage.split, rng)
    out = [ground(surface, family), hills(family, "grass" if surface != "sand" else "sand", 90.0)]
    away = np.array([-np.sin(turn), np.cos(turn)])
    side = np.array([away[1], -away[0]])
    for _ in range(int(rng.integers(0, 4))):
        spot = away * rng.uniform(5, 18) + side * rng.normal(0, 5)
        height, yaw = float(rng.uniform(2.5, 5)), float(rng.uniform(0, 6))
        out.append(tree(draw_family(stage.split, rng), at=np.append(spot, 0.0), height=height, yaw=yaw))
    if surface in ("grass", "earth"):
        spread = float(np.abs(corners[:, :2]).max())
        out.append(tufts(rng, np.zeros(3), spread * 1.1, 0.07, family, count=40))
    return out
