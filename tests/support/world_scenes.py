"""Small scenes with known geometry."""

import numpy as np

from llava_corr.world.camera import look_at
from llava_corr.world.materials import Look, linear, recipe
from llava_corr.world.objects import ObjectBuilder
from llava_corr.world.scene import Lighting, Placed, Scene
from llava_corr.world.shapes import box, ellipsoid

SUN = Lighting(
    towards=np.array([0.0, -0.6, 0.8]),
    key=np.full(3, 1.5),
    zenith=np.full(3, 0.4),
    horizon=np.full(3, 0.6),
    below=np.full(3, 0.2),
)


def looks_of(model, kind="plastic", pattern="plain"):
    tone = linear((0.7, 0.4, 0.3))
    return {slot: Look(kind, pattern, tone, linear((0.2, 0.2, 0.2)), recipe(pattern, 0)) for slot in model.materials}


def placed(build, *, at=(0, 0, 0), category="thing", name="a", kind="plastic", pattern="plain"):
    """An item from a function that fills an ObjectBuilder."""
    builder = ObjectBuilder(category or "prop")
    build(builder)
    model = builder.build()
    matrix = np.eye(4)
    matrix[:3, 3] = at
    return Placed(model, matrix, looks_of(model, kind, pattern), category, name)


def ball(radius, *, at=(0, 0, 0), name="ball", **more):
    def build(b):
        b.piece("body", ellipsoid(radius, radius, radius, segments=64))
        for axis, word in ((1, "rear"), (0, "left"), (2, "top")):
            for sign in (-1, 1):
                point = np.zeros(3)
                point[axis] = sign * radius
                words = {("rear", -1): "front", ("left", -1): "right", ("top", -1): "bottom"}
                b.keypoint("body", "pole", point, words.get((word, sign), word))

    return placed(build, at=at, name=name, **more)


def brick(size, *, at=(0, 0, 0), name="brick", **more):
    """A box whose lower half is part "lower" and whose upper half is part "upper"."""
    x, y, z = size

    def build(b):
        b.piece("lower", box(x, y, z / 2).move(z=-z / 4), functions={"stand-on": "foot"})
        b.piece("upper", box(x, y, z / 2).move(z=z / 4))

    return placed(build, at=at, name=name, **more)


def from_front(items, *, distance=5.0, height=0.0, view=40.0, size=128):
    camera = look_at([0, -distance, height], [0, 0, 0], field_of_view=view, size=(size, size))
    return Scene("paco_lvis", tuple(items), camera, SUN)
