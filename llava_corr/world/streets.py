"""Streets: cars, vans, trucks and buses at the kerb, people on the pavement, houses and trees behind.

The road runs along x; the houses stand at larger y, the camera looks at them from the road.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .casting import Actor, Stage, comparable
from .objects import Category
from .placement import Footprint, all_corners, footprint, frame, overlap
from .props import backdrop, ground, tree, window
from .scene import Placed, Scene
from .shapes import box
from .surfaces import draw_family
from .weather import daylight

Floats = NDArray[np.float64]
MIDDLE = 4.0
_FRONTS = ("brick", "plaster", "plaster", "concrete", "panels")


def is_street_thing(category: Category) -> bool:
    """Whether a category of the room flavour belongs outdoors."""
    return category.support == "ground"


def compose(stage: Stage, things: Sequence[Category]) -> Scene:
    """A street with two to five of these categories, now and then with a passer-by."""
    rng = stage.rng
    cast = [stage.actor(c) for c in stage.troupe(things, stage.count or int(rng.integers(2, 5)), pair=0.5)]
    people = [c for c in stage.categories if c.name == "person"]
    cast += [stage.actor(people[0]) for _ in range(int(rng.integers(0, 3)) if people else 0)]
    taken: list[Footprint] = []
    items = [_park(actor, taken, rng) for actor in cast]
    azimuth = float(rng.uniform(-62, 62))
    camera = frame(
        all_corners(items),
        azimuth=azimuth,
        elevation=float(rng.uniform(4, 18)),
        field_of_view=float(rng.uniform(35, 60)),
        fill=float(rng.uniform(1.1, 1.5)),
        size=stage.size,
    )
    light = daylight(rng, azimuth=np.radians(azimuth), scale=3.0)
    return Scene(stage.flavour, (*items, *_surroundings(stage, taken)), camera, light)


def _park(actor: Actor, taken: list[Footprint], rng: np.random.Generator) -> Placed:
    """Beside the others along the road, in one of two lanes, facing either way; people stand anywhere near."""
    scale = comparable(actor.category.size, rng, middle=MIDDLE, power=0.6, spread=0.06) / actor.extent
    walks = actor.category.name == "person"
    yaw = float(rng.uniform(-np.pi, np.pi) if walks else rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.12))
    bounds = actor.bounds()
    shape = footprint(bounds, scale, yaw)
    lane = float(rng.uniform(-2.5, 2.2)) if walks else float(rng.choice([-1.6, 1.2]))
    along = float(rng.uniform(-2.0, 2.0))
    step = 0.25 if rng.random() < 0.5 else -0.25
    placed = shape.moved(np.array([along, lane]))
    while any(overlap(placed.grown(0.15), other) for other in taken):
        placed = placed.moved(placed.centre + np.array([step, 0.0]))
    taken.append(placed)
    at = np.append(placed.centre - shape.centre, -bounds[0, 2] * scale)
    return actor.stand(at, yaw=yaw, scale=scale)


def _surroundings(stage: Stage, taken: Sequence[Footprint]) -> list[Placed]:
    """Asphalt, a raised pavement behind the vehicles, houses with windows, street trees."""
    rng = stage.rng
    kerb = max(float(shape.corners()[:, 1].max()) for shape in taken) + 0.15
    family = draw_family(stage.split, rng)
    pavement = box(160.0, 6.0, 0.14)
    out = [
        ground("asphalt", family),
        backdrop(pavement, "concrete", draw_family(stage.split, rng), at=np.array([0.0, kerb + 3.0, 0.07])),
    ]
    front = kerb + float(rng.uniform(2.0, 3.5))
    x = -16.0
    while x < 16.0:
        width, height = float(rng.uniform(4, 8)), float(rng.uniform(4, 11))
        if rng.random() < 0.85:
            out += _house(stage, x + width / 2, front + float(rng.uniform(0, 0.6)), width, height)
        x += width + (0.0 if rng.random() < 0.7 else float(rng.uniform(1, 4)))
    for _ in range(int(rng.integers(0, 4))):
        spot = np.array([rng.uniform(-9, 9), kerb + rng.uniform(0.5, 1.2), 0.1])
        height, yaw = float(rng.uniform(3.5, 6)), float(rng.uniform(0, 6))
        out.append(tree(draw_family(stage.split, rng), at=spot, height=height, yaw=yaw))
    return out


def _house(stage: Stage, x: float, y: float, width: float, height: float) -> list[Placed]:
    """A block with rows of windows on the street side."""
    rng = stage.rng
    family = draw_family(stage.split, rng)
    front = str(rng.choice(_FRONTS))
    frame_at = np.array([x, y + 2.0, height / 2])
    out = [backdrop(box(width, 4.0, height), front, family, at=frame_at)]
    glass, columns = draw_family(stage.split, rng), max(int(width // 2.2), 1)
    for row in range(min(int(height // 2.8), 2)):
        for column in range(columns):
            at = np.array([x + (column + 0.5 - columns / 2) * width / columns, y - 0.01, 1.7 + 2.8 * row])
            out.append(window(glass, rng, width=0.9, height=1.3, at=at, yaw=0.0, pane=(0.16, 0.20, 0.26)))
    return out
