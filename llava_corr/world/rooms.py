"""Furnished rooms: three to eight pieces of furniture along the walls and on the floor, lamps, pictures, windows, rugs.

The room is a box that is open towards the camera: x from -half to half, y from 0 (open) to depth (back wall), z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import streets
from .camera import Camera, look_at
from .casting import Actor, Stage, comparable
from .placement import Footprint, footprint, overlap
from .props import backdrop, ground, picture_frame, potted_plant, quad, wall, window
from .scene import Placed, Scene
from .shapes import box, cylinder
from .streets import is_street_thing
from .surfaces import draw_family
from .weather import lamplight

Floats = NDArray[np.float64]
STREET_SHARE = 0.125
_FLOORS = ("planks", "planks", "carpet", "tiles", "concrete")
_WALLS = ("plaster", "plaster", "plaster", "wallpaper", "panels", "brick")
_TOPS = frozenset({
    "table", "coffee table", "desk", "chest of drawers", "cabinet", "kitchen island", "shelf", "wardrobe",
    "bookcase", "stool", "ottoman", "bench",
})  # fmt: skip


@dataclass
class Room:
    """A room while it is being furnished.

    Attributes:
        half: half its width, metres.
        depth: from the open side to the back wall.
        height: of the ceiling.
        taken: what stands or hangs in it: footprint, low z, high z.
        hung: (wall index, centre along the wall, half width, low z, high z) of what hangs on walls.
        tops: free table tops: footprint and height.
    """

    half: float
    depth: float
    height: float
    taken: list[tuple[Footprint, float, float]] = field(default_factory=list)
    hung: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    tops: list[tuple[Footprint, float]] = field(default_factory=list)

    def inside(self, shape: Footprint) -> bool:
        corners = shape.corners()
        return bool(
            (np.abs(corners[:, 0]) <= self.half).all()
            and corners[:, 1].max() <= self.depth
            and corners[:, 1].min() >= -0.2
        )

    def free(self, shape: Footprint, low: float, high: float, margin: float = 0.02) -> bool:
        """Whether an upright box inside the room touches nothing."""
        return self.inside(shape) and not any(
            low < top and bottom < high and overlap(shape.grown(margin), other) for other, bottom, top in self.taken
        )

    def settle(self, item: Placed, margin: float = 0.02) -> Placed | None:
        """Takes an item in where it is, or gives None when something is there already."""
        turn = item.pose[:3, :3]
        scale = float(np.cbrt(np.linalg.det(turn)))
        shape = footprint(item.model.bounds(), scale, float(np.arctan2(turn[1, 0], turn[0, 0])))
        shape = shape.moved(shape.centre + item.pose[:2, 3])
        low, high = item.model.bounds()[:, 2] * scale + item.pose[2, 3]
        if not self.free(shape, float(low), float(high), margin):
            return None
        self.taken.append((shape, float(low), float(high)))
        return item

    def wall_is_free(self, side: int, along: float, half: float, low: float, high: float) -> bool:
        """Whether nothing hangs on this rectangle of a wall yet."""
        return not any(
            other == side and abs(middle - along) < width + half + 0.05 and low < top + 0.05 and bottom < high + 0.05
            for other, middle, width, bottom, top in self.hung
        )

    def wall_length(self, side: int) -> float:
        return 2 * self.half if side == 0 else self.depth

    def on_wall(self, side: int, along: float, off: float) -> tuple[Floats, float]:
        """Floor point ``along`` a wall (0 back, 1 left, 2 right) and ``off`` it, and the yaw that faces the room."""
        if side == 0:
            return np.array([along - self.half, self.depth - off]), 0.0
        if side == 1:
            return np.array([-self.half + off, self.depth - along]), np.pi / 2
        return np.array([self.half - off, self.depth - along]), -np.pi / 2


def compose(stage: Stage) -> Scene:
    """A room with its furniture; one picture in eight is a street where the categories have vehicles."""
    rng = stage.rng
    vehicles = [c for c in stage.categories if is_street_thing(c)]
    if vehicles and (rng.random() < STREET_SHARE or len(vehicles) == len(stage.categories)):
        return streets.compose(stage, vehicles)
    room = Room(float(rng.uniform(1.35, 2.1)), float(rng.uniform(2.3, 3.3)), float(rng.uniform(2.3, 2.7)))
    indoor = [c for c in stage.categories if not is_street_thing(c)]
    count = stage.count or int(rng.choice([3, 4, 5, 6, 7, 8], p=[0.25, 0.3, 0.2, 0.15, 0.06, 0.04]))
    cast = [stage.actor(c) for c in stage.troupe(indoor or stage.categories, count, pair=0.4)]
    order = {"wall": 1, "ceiling": 1, "table": 2}
    items = []
    stands: list[Placed] = []
    for actor in sorted(cast, key=lambda a: (order.get(a.category.support, 0), -a.category.size)):
        if actor.category.support == "table" and not room.tops:
            stands += _plinth(stage, room)
        placed = furnish(actor, room, rng)
        if placed is not None:
            items.append(placed)
    props = stands + _shell(stage, room) + _decoration(stage, room)
    camera = _camera(stage, room, items)
    lamp = np.array([rng.uniform(-0.6, 0.6) * room.half, rng.uniform(0.15, 0.55) * room.depth, room.height - 0.25])
    if rng.random() < 0.4:  # a bright window beside the camera
        lamp = np.array([rng.choice([-1, 1]) * (room.half - 0.2), rng.uniform(-0.4, 0.3) * room.depth, 1.7])
    light = lamplight(rng, position=lamp, softness=float(rng.uniform(0.12, 0.4)), reach=float(rng.uniform(0.7, 1.1)))
    return Scene(stage.flavour, (*items, *props), camera, light)


def furnish(actor: Actor, room: Room, rng: np.random.Generator) -> Placed | None:
    """Finds a place in the room for an object; None when thirty tries found none."""
    support = actor.category.support
    size = comparable(actor.category.size, rng, middle=1.0, power=0.62, spread=0.08)
    scale = min(size, 2.1) / actor.extent
    finders = {"wall": _hang, "ceiling": _suspend, "table": _on_top}
    find = finders.get(support, _on_floor)
    for attempt in range(30):
        placed = find(actor, scale * 0.985**attempt, room, rng)
        if placed is not None:
            return placed
    return _on_floor(actor, scale * 0.6, room, rng) if support == "table" else None


def _on_floor(actor: Actor, scale: float, room: Room, rng: np.random.Generator) -> Placed | None:
    """Against a wall, facing the room, or free on the floor."""
    bounds = actor.bounds()
    depth = float(np.ptp(bounds[:, 1])) * scale
    if rng.random() < 0.62:
        side = int(rng.choice([0, 0, 1, 2]))
        along = float(rng.uniform(0.08, 0.92)) * room.wall_length(side)
        spot, yaw = room.on_wall(side, along, depth / 2 + float(rng.uniform(0.015, 0.06)))
    else:
        spot = np.array([rng.uniform(-0.8, 0.8) * room.half, rng.uniform(0.1, 0.8) * room.depth])
        yaw = float(rng.choice([0, np.pi / 2, -np.pi / 2, np.pi], p=[0.4, 0.25, 0.25, 0.1]) + rng.normal(0, 0.35))
    shape = footprint(bounds, scale, yaw)
    item = room.settle(actor.stand(np.append(spot - shape.centre, -bounds[0, 2] * scale), yaw=yaw, scale=scale))
    height = float(np.ptp(bounds[:, 2])) * scale
    if item is not None and actor.label in _TOPS and 0.3 < height < 1.3:
        room.tops.append((shape.moved(spot), height))
    return item


def _hang(actor: Actor, scale: float, room: Room, rng: np.random.Generator) -> Placed | None:
    """On a wall, its back (largest y) against it, between eye level and the ceiling."""
    bounds = actor.bounds() * scale
    width, height = float(np.ptp(bounds[:, 0])), float(np.ptp(bounds[:, 2]))
    side = int(rng.choice([0, 0, 0, 1, 2]))
    low = float(rng.uniform(1.15, max(1.2, room.height - height - 0.2)))
    if height > 1.6:
        low = 0.0
    along = float(rng.uniform(width / 2, max(room.wall_length(side) - width / 2, width / 2 + 0.01)))
    if not room.wall_is_free(side, along, width / 2, low, low + height):
        return None
    spot, yaw = room.on_wall(side, along, 0.004)
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    offset = turn @ np.array([bounds[:, 0].mean(), bounds[1, 1]])
    item = room.settle(actor.stand(np.append(spot - offset, low - bounds[0, 2]), yaw=yaw, scale=scale), 0.0)
    if item is not None:
        room.hung.append((side, along, width / 2, low, low + height))
    return item


def _suspend(actor: Actor, scale: float, room: Room, rng: np.random.Generator) -> Placed | None:
    """From the ceiling, above the middle of the room; its top touches the ceiling."""
    bounds = actor.bounds() * scale
    drop = float(np.ptp(bounds[:, 2]))
    if drop > room.height - 1.5:
        return None
    yaw = float(rng.uniform(-np.pi, np.pi))
    spot = np.array([rng.uniform(-0.6, 0.6) * room.half, rng.uniform(0.45, 0.8) * room.depth])
    shape = footprint(actor.bounds(), scale, yaw)
    at = np.append(spot - shape.centre, room.height - bounds[1, 2] - 0.001)
    return room.settle(actor.stand(at, yaw=yaw, scale=scale), 0.0)


def _on_top(actor: Actor, scale: float, room: Room, rng: np.random.Generator) -> Placed | None:
    """On a free table top that is large enough."""
    bounds = actor.bounds()
    for index in rng.permutation(len(room.tops)):
        top, height = room.tops[int(index)]
        yaw = top.angle + float(rng.normal(0, 0.3))
        shape = footprint(bounds, scale, yaw)
        if shape.half.max() > top.half.min() * 0.9:
            continue
        slack = np.maximum(top.half - shape.half.max() * 1.1, 0)
        spot = top.centre + (rng.uniform(-0.6, 0.6, 2) * slack) @ top.axes()
        at = np.append(spot - shape.centre, height - bounds[0, 2] * scale + 0.001)
        item = room.settle(actor.stand(at, yaw=yaw, scale=scale), 0.0)
        if item is not None:
            room.tops.pop(int(index))
            return item
    return None


def _plinth(stage: Stage, room: Room) -> list[Placed]:
    """A plain block to put something on, where there is no table; it gets no label. Empty when no place is free."""
    rng = stage.rng
    side, height = float(rng.uniform(0.32, 0.5)), float(rng.uniform(0.35, 0.75))
    for _ in range(30):
        along = float(rng.uniform(0.1, 0.9)) * room.wall_length(0)
        spot, yaw = room.on_wall(0, along, side / 2 + 0.05)
        shape = Footprint(spot, np.full(2, side / 2), yaw)
        if room.free(shape, 0.0, height):
            room.taken.append((shape, 0.0, height))
            room.tops.append((shape, height))
            mesh = box(side, side, height, bevel=0.01)
            return [backdrop(mesh, "concrete", draw_family(stage.split, rng), at=np.append(spot, height / 2), yaw=yaw)]
    return []


def _shell(stage: Stage, room: Room) -> list[Placed]:
    """Floor, three walls, ceiling, skirting boards."""
    rng = stage.rng
    floor, paper = str(rng.choice(_FLOORS)), str(rng.choice(_WALLS))
    first, second = draw_family(stage.split, rng), draw_family(stage.split, rng)
    h, d, z = room.half, room.depth, room.height
    open_end = -4.0
    ceiling = np.array([[-h, open_end, z], [-h, d, z], [h, d, z], [h, open_end, z]])
    back, left, right = np.array([h, d]), np.array([-h, d]), np.array([h, open_end])
    accent = "plaster" if rng.random() < 0.4 else paper
    out = [
        ground(floor, first, half=8.0),
        wall(back, left, z, paper, second),
        wall(left, np.array([-h, open_end]), z, accent, second),
        wall(right, back, z, accent, second),
        backdrop(quad(ceiling), "plaster", 0),
    ]
    board = float(rng.uniform(0.06, 0.12))
    for x, y, length, yaw in (
        (0, d - 0.008, 2 * h, 0.0),
        (-h + 0.008, 0, 2 * d, np.pi / 2),
        (h - 0.008, 0, 2 * d, np.pi / 2),
    ):
        out.append(backdrop(box(length, 0.012, board), "plaster", 8, at=np.array([x, y, board / 2]), yaw=yaw))
    return out


def _decoration(stage: Stage, room: Room) -> list[Placed]:
    """A rug, windows and pictures where the walls are free, a plant in a corner."""
    rng = stage.rng
    out: list[Placed] = []
    if rng.random() < 0.55:
        x, y = float(rng.uniform(1.2, 2 * room.half * 0.8)), float(rng.uniform(0.9, 1.8))
        mesh = box(x, y, 0.012) if rng.random() < 0.7 else cylinder(y / 2, 0.012, segments=32)
        at = np.array([rng.uniform(-0.3, 0.3) * room.half, room.depth * rng.uniform(0.3, 0.6), -0.002])
        out.append(backdrop(mesh, "cloth", draw_family(stage.split, rng), at=at, yaw=float(rng.normal(0, 0.15))))
    for _ in range(int(rng.integers(1, 4))):
        side, opening = int(rng.choice([0, 0, 1, 2])), bool(rng.random() < 0.45)
        width, height = (rng.uniform(0.7, 1.3), rng.uniform(0.9, 1.3)) if opening else rng.uniform(0.3, 0.8, 2)
        low = float(rng.uniform(0.9, 1.05)) if opening else float(rng.uniform(1.2, 1.5))
        along = float(rng.uniform(width / 2 + 0.05, max(room.wall_length(side) - width / 2, width)))
        if low + height > room.height - 0.1 or not room.wall_is_free(side, along, width / 2, low, low + height):
            continue
        room.hung.append((side, along, float(width) / 2, low, low + float(height)))
        spot, yaw = room.on_wall(side, along, 0.0)
        make = window if opening else picture_frame
        at = np.append(spot, low + height / 2)
        out.append(make(draw_family(stage.split, rng), rng, width=float(width), height=float(height), at=at, yaw=yaw))
    if rng.random() < 0.35:
        for corner in (-1, 1):
            spot = np.array([corner * (room.half - 0.3), room.depth - 0.3])
            shape = Footprint(spot, np.full(2, 0.22), 0.0)
            if room.free(shape, 0.0, 1.3):
                room.taken.append((shape, 0.0, 1.3))
                out.append(potted_plant(draw_family(stage.split, rng), rng, at=np.append(spot, 0.0)))
                break
    return out


def _camera(stage: Stage, room: Room, items: Sequence[Placed]) -> Camera:
    """At the open side, at about eye level; of eight views the one that shows most objects at a fair size."""
    views = [_view(stage, room) for _ in range(8)]
    return max(views, key=lambda camera: sum(_in_view(camera, item) for item in items))


def _view(stage: Stage, room: Room) -> Camera:
    rng = stage.rng
    target = np.array([rng.uniform(-0.4, 0.4) * room.half, room.depth * rng.uniform(0.55, 0.8), rng.uniform(0.55, 1.1)])
    position = np.array([
        rng.uniform(-0.8, 0.8) * room.half, rng.uniform(-1.3, -0.1), rng.uniform(0.9, 1.9),
    ])  # fmt: skip
    return look_at(position, target, field_of_view=float(rng.uniform(52, 64)), size=stage.size)


def _in_view(camera: Camera, item: Placed) -> float:
    """How well an object's box sits in the picture: 1 for all of it, less when it is cut off or very large."""
    xy, depth = camera.project(item.corners())
    if depth.min() < 0.2:
        return -0.5
    size = np.array([camera.width, camera.height])
    low, high = xy.min(0), xy.max(0)
    area = float(np.prod(high - low))
    inside = float(np.prod(np.maximum(np.minimum(high, size) - np.maximum(low, 0), 0)))
    return inside / max(area, 1e-6) - max(inside / float(np.prod(size)) - 0.35, 0)
