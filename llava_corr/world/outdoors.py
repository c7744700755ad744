"""One animal, airplane or boat per picture, outdoors: on the ground, in the air, on or under the water."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .casting import Actor, Stage
from .placement import Footprint, footprint, frame, overlap
from .props import bush, ground, hills, rock, tree, tufts
from .scene import Placed, Scene
from .surfaces import draw_family
from .weather import daylight, underwater

Floats = NDArray[np.float64]
_GROUNDS = ("grass", "grass", "grass", "earth", "sand", "snow", "gravel")
_SWIMMERS = frozenset({"fish", "shark", "whale"})
EXTENT = 1.0


def compose(stage: Stage) -> Scene:
    """One object with everything around it."""
    rng = stage.rng
    actor = stage.actor(stage.pick(stage.categories))
    support = actor.category.support
    if support == "water":
        return _diving(stage, actor) if actor.category.name in _SWIMMERS else _afloat(stage, actor)
    if support == "sky" and rng.random() < 0.75:
        return _flying(stage, actor)
    return _standing(stage, actor)


def _standing(stage: Stage, actor: Actor) -> Scene:
    rng = stage.rng
    item, place = _grounded(actor, rng)
    camera, turn = _view(stage, item, elevation=float(rng.uniform(4, 28)), fill=float(rng.uniform(0.52, 0.88)))
    surface, family = str(rng.choice(_GROUNDS)), draw_family(stage.split, rng)
    away = np.array([-np.sin(turn), np.cos(turn)])
    near = _in_front(stage, place, -away, family, surface)
    around = _landscape(stage, surface, family, away, place)
    return Scene(stage.flavour, (item, *near, *around), camera, daylight(rng, azimuth=turn, scale=0.8 * EXTENT))


def _grounded(actor: Actor, rng: np.random.Generator) -> tuple[Placed, Footprint]:
    scale = EXTENT / actor.extent
    yaw = float(rng.uniform(-np.pi, np.pi))
    bounds = actor.bounds()
    shape = footprint(bounds, scale, yaw)
    at = np.append(-shape.centre, -bounds[0, 2] * scale)
    return actor.stand(at, yaw=yaw, scale=scale), shape.moved(np.zeros(2))


def _view(stage: Stage, item: Placed, *, elevation: float, fill: float) -> tuple[Camera, float]:
    rng = stage.rng
    azimuth = float(rng.uniform(-180, 180))
    camera = frame(
        item.corners(),
        azimuth=azimuth,
        elevation=elevation,
        field_of_view=float(rng.uniform(24, 55)),
        fill=fill,
        size=stage.size,
        shift=rng.normal(0, 0.09 / fill, 3) * EXTENT * [1, 1, 0.6],
    )
    return camera, float(np.radians(azimuth))


def _in_front(stage: Stage, place: Footprint, towards: Floats, family: int, surface: str) -> list[Placed]:
    """Up to two things between camera and object that hide a share of it, and blades of grass at its feet."""
    rng = stage.rng
    side = np.array([towards[1], -towards[0]])
    out: list[Placed] = []
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.2, 0.3, 0.3, 0.2]))):
        number, yaw = draw_family(stage.split, rng), float(rng.uniform(0, 6))
        what = str(rng.choice(["bush", "rock", "trunk"], p=[0.4, 0.35, 0.25]))
        size = float({"bush": rng.uniform(0.25, 0.5), "rock": rng.uniform(0.2, 0.4), "trunk": 0.14}[what]) * EXTENT
        reach = float(np.abs(place.axes() @ towards) @ place.half) + size * 0.5
        spot = towards * (reach + rng.uniform(0, 0.12)) + side * rng.normal(0, 0.3) * EXTENT
        if overlap(Footprint(spot, np.full(2, size * 0.45), 0.0), place):
            continue
        make = {"bush": bush, "rock": rock}.get(what)
        at = np.append(spot, 0.0)
        out.append(
            make(number, at=at, size=size, yaw=yaw) if make else tree(number, at=at, height=2.4 * EXTENT, yaw=yaw)
        )
    if surface in ("grass", "earth"):
        out.append(tufts(rng, np.append(towards * 0.2, 0.0), 0.5 * EXTENT, 0.07 * EXTENT, family, count=50))
    return out


def _landscape(
    stage: Stage, surface: str, family: int, away: Floats, place: Footprint | None, *, trees: int = 6
) -> list[Placed]:
    """Ground to the horizon, hills, trees, bushes and rocks behind."""
    rng = stage.rng
    green = surface in ("grass", "earth", "snow")
    out = [ground(surface, family), hills(family, "grass" if green else "sand", 80.0)]
    side = np.array([away[1], -away[0]])
    for _ in range(int(rng.integers(0, trees + 1)) if surface != "sand" else 1):
        spot = away * rng.uniform(3.0, 16) + side * rng.normal(0, 5)
        at, yaw = np.append(spot, 0.0), float(rng.uniform(0, 6))
        number = draw_family(stage.split, rng)
        if green and rng.random() < 0.7:
            out.append(tree(number, at=at, height=float(rng.uniform(1.6, 4.0)), yaw=yaw))
        else:
            out.append(rock(number, at=at, size=float(rng.uniform(0.4, 1.6)), yaw=yaw))
    for _ in range(int(rng.integers(0, 4))):
        spot = away * rng.uniform(0.9, 3.0) + side * rng.normal(0, 1.2)
        size = float(rng.uniform(0.12, 0.4))
        if place is not None and overlap(Footprint(spot, np.full(2, size * 0.6), 0.0), place):
            continue
        number = draw_family(stage.split, rng)
        out.append(rock(number, at=np.append(spot, 0.0), size=size, yaw=float(rng.uniform(0, 6))))
    return out


def _flying(stage: Stage, actor: Actor) -> Scene:
    """High above the land, banked a little, seen from below, from the side or from above."""
    rng = stage.rng
    scale = EXTENT / actor.extent
    tilt = _tilt(*(rng.normal(0, 0.16, 2)))
    height = float(rng.uniform(4, 12))
    centre = actor.bounds().mean(0)
    yaw = float(rng.uniform(-np.pi, np.pi))
    item = actor.stand(np.array([0, 0, height]) - centre * scale, yaw=yaw, scale=scale, tilt=tilt)
    elevation = float(rng.uniform(-28, 24))
    camera, turn = _view(stage, item, elevation=elevation, fill=float(rng.uniform(0.52, 0.88)))
    away = np.array([-np.sin(turn), np.cos(turn)])
    land = str(rng.choice(["grass", "earth", "sand", "water", "snow"]))
    around = _landscape(stage, land, draw_family(stage.split, rng), away, None, trees=4)
    return Scene(stage.flavour, (item, *around), camera, daylight(rng, azimuth=turn, scale=0.8 * EXTENT))


def _tilt(pitch: float, roll: float) -> Floats:
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]])
    return about_x @ about_y


def _afloat(stage: Stage, actor: Actor) -> Scene:
    """On the water, a little below the waterline."""
    rng = stage.rng
    scale = EXTENT / actor.extent
    bounds = actor.bounds() * scale
    yaw = float(rng.uniform(-np.pi, np.pi))
    centre = footprint(actor.bounds(), scale, yaw).centre
    draught = 0.05 * float(np.ptp(bounds[:, 2]))
    item = actor.stand(np.append(-centre, -bounds[0, 2] - draught), yaw=yaw, scale=scale)
    camera, turn = _view(stage, item, elevation=float(rng.uniform(5, 26)), fill=float(rng.uniform(0.52, 0.88)))
    away = np.array([-np.sin(turn), np.cos(turn)])
    family = draw_family(stage.split, rng)
    out = [ground("water", family), hills(family, str(rng.choice(["grass", "sand"])), float(rng.uniform(40, 90)))]
    side = np.array([away[1], -away[0]])
    for _ in range(int(rng.integers(0, 5))):
        direction = away if rng.random() < 0.75 else -away
        spot = direction * rng.uniform(1.1, 4.0) + side * rng.normal(0, 1.0)
        if direction is not away:
            spot = -away * rng.uniform(0.75, 0.9) + side * rng.normal(0, 0.4)
        number, size = draw_family(stage.split, rng), float(rng.uniform(0.15, 0.4))
        if not overlap(
            Footprint(spot, np.full(2, size * 0.6), 0.0), footprint(actor.bounds(), scale, yaw).moved(np.zeros(2))
        ):
            out.append(rock(number, at=np.append(spot, 0.0), size=size, yaw=float(rng.uniform(0, 6))))
    return Scene(stage.flavour, (item, *out), camera, daylight(rng, azimuth=turn, scale=0.8 * EXTENT))


def _diving(stage: Stage, actor: Actor) -> Scene:
    """Under water, above a sandy bottom with rocks."""
    rng = stage.rng
    scale = EXTENT / actor.extent
    bounds = actor.bounds() * scale
    height = float(np.ptp(bounds[:, 2])) * 0.5 + float(rng.uniform(0.05, 0.5))
    yaw = float(rng.uniform(-np.pi, np.pi))
    tilt = _tilt(*(rng.normal(0, 0.14, 2)))
    item = actor.stand(np.array([0, 0, height]) - bounds.mean(0), yaw=yaw, scale=scale, tilt=tilt)
    camera, turn = _view(stage, item, elevation=float(rng.uniform(2, 26)), fill=float(rng.uniform(0.52, 0.88)))
    away = np.array([-np.sin(turn), np.cos(turn)])
    side = np.array([away[1], -away[0]])
    family = draw_family(stage.split, rng)
    out = [ground("sand", family, half=60.0)]
    for k in range(int(rng.integers(2, 8))):
        towards = -away * rng.uniform(0.75, 1.0) if k == 0 and rng.random() < 0.5 else away * rng.uniform(0.8, 4.0)
        size = float(rng.uniform(0.15, 0.55))
        number, yaw = draw_family(stage.split, rng), float(rng.uniform(0, 6))
        at = np.append(towards + side * rng.normal(0, 0.8), 0.0)
        out.append(
            bush(number, at=at, size=size, yaw=yaw) if rng.random() < 0.4 else rock(number, at=at, size=size, yaw=yaw)
        )
    return Scene(stage.flavour, (item, *out), camera, underwater(rng, scale=0.8 * EXTENT))
