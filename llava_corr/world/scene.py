"""A scene: objects with poses and looks, one camera, one set of lights. The renderer's only input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .materials import Look
from .objects import ObjectModel

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placed:
    """An object, or a piece of backdrop, in the world.

    Attributes:
        model: its shape in object coordinates.
        pose: 4 x 4, object to world: rotation, one scale, translation.
        looks: one look per material slot.
        category: class name in the flavour's taxonomy; "" for backdrop and distractors, which get no labels.
        instance_id: unique in the scene; the same shape with the same looks has the same id in any scene.
        one_colour: all slots that are not fixed share one look.
        unit: object coordinates that make one texture unit (an object's extent; 1 metre for backdrop).
    """

    model: ObjectModel
    pose: Floats
    looks: Mapping[str, Look]
    category: str = ""
    instance_id: str = ""
    one_colour: bool = False
    unit: float = 1.0

    def corners(self) -> Floats:
        """8 x 3: the corners of the object's box, in world coordinates."""
        low, high = self.model.bounds()
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        return corners @ self.pose[:3, :3].T + self.pose[:3, 3]


@dataclass(frozen=True)
class Lighting:
    """One key light (the sun or a lamp) and light from all around. Colours are linear RGB, any scale.

    Attributes:
        towards: unit vector to the sun; ignored where ``position`` is given.
        position: place of a lamp, or None for the sun.
        softness: radius of the sun's disc in radians, or of the lamp in metres.
        key: colour of the key light on a surface that faces it.
        zenith: sky overhead (outdoors) or ceiling light (indoors).
        horizon: sky at eye level.
        below: light that the far ground sends up.
        clouds: 0 clear to 1 overcast; where the noise of the sky is taken from is ``sky_offset``.
        reach: how far the ambient light is blocked, metres.
        haze: distance in metres at which 63 % of a surface's light is lost in the horizon's colour; 0 for clear air.
        exposure: multiplies everything before tone mapping.
    """

    towards: Floats
    key: Floats
    zenith: Floats
    horizon: Floats
    below: Floats
    position: Floats | None = None
    softness: float = 0.05
    clouds: float = 0.0
    sky_offset: Floats = field(default_factory=lambda: np.zeros(2))
    reach: float = 1.0
    haze: float = 0.0
    exposure: float = 1.0


@dataclass(frozen=True)
class Scene:
    """Everything the renderer needs.

    Attributes:
        flavour: data-set flavour, which decides the part names.
        items: labelled objects and backdrop together.
    """

    flavour: str
    items: tuple[Placed, ...]
    camera: Camera
    lighting: Lighting


def pose(*, at: NDArray[np.floating], yaw: float = 0.0, scale: float = 1.0, tilt: Floats | None = None) -> Floats:
    """4 x 4 object-to-world: a 3 x 3 ``tilt`` first, a turn by ``yaw`` radians about z, scale, move."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    matrix = np.eye(4)
    matrix[:3, :3] = scale * (turn if tilt is None else turn @ tilt)
    matrix[:3, 3] = at
    return matrix
