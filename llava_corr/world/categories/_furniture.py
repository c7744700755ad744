"""What furniture families share: colours, legs, fronts with handles, corner keypoints."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder
from ..shapes import Mesh, lathe, merge
from ._forms import DARK, STEEL, WHITE, Frame, Part, ball, block, pick, rod, soft_block

WOODS = ((0.55, 0.36, 0.2), (0.4, 0.25, 0.14), (0.72, 0.53, 0.33), (0.3, 0.19, 0.12), (0.8, 0.66, 0.47))
LACQUERS = (WHITE, (0.85, 0.83, 0.76), (0.25, 0.28, 0.32), (0.55, 0.65, 0.68), (0.4, 0.5, 0.42), (0.15, 0.15, 0.16))
CLOTHS = ((0.55, 0.5, 0.45), (0.3, 0.36, 0.48), (0.65, 0.3, 0.25), (0.35, 0.42, 0.34), (0.75, 0.7, 0.6), (0.25, 0.25,
          0.27), (0.8, 0.62, 0.3))  # fmt: skip
BRASS = (0.75, 0.6, 0.3)
_INSET = 0.985  # corner points lie a little inside the edge, so that they are seen from most sides


def wooden(b: ObjectBuilder, slot: str = "main", *, lacquer: bool = True) -> str:
    """A slot of wood or lacquered wood."""
    kinds = ("wood", "wood", "paint") if lacquer else ("wood",)
    return b.material(slot, *kinds, patterns=("grain", "plain"))


def upholstered(b: ObjectBuilder, slot: str = "cloth") -> str:
    return b.material(
        slot, "fabric", "fabric", "leather", colours=CLOTHS, patterns=("plain", "checks", "stripes", "noise")
    )


def metallic(b: ObjectBuilder, slot: str = "metal") -> str:
    return b.material(slot, "metal", colours=(STEEL, DARK, BRASS))


def corners(f: Frame, part: str, x: float, y: float, z: float, *, where: str = "", centre: float = 0.0) -> None:
    """Keypoints at the four corners of a horizontal rectangle with these half sizes around (0, centre)."""
    for word, sign in (("front", -1), ("rear", 1)):
        for side, way in (("left", 1), ("right", -1)):
            f.keypoint(part, "corner", (way * _INSET * x, centre + sign * _INSET * y, z), where, f"{word} {side}")


def back_corners(f: Frame, part: str, x: float, y: float, low: float, high: float) -> None:
    """Keypoints at the corners of an upright rectangle across the object."""
    rim = 0.02 * (high - low)
    for word, z in (("bottom", low + rim), ("top", high - rim)):
        for side, way in (("left", 1), ("right", -1)):
            f.keypoint(part, "corner", (way * _INSET * x, y, z), "", f"{word} {side}")


def leg_mesh(style: str, height: float, thick: float) -> Mesh:
    """One leg that stands on the origin; ``thick`` is its half width."""
    if style == "square":
        return block(2 * thick, 2 * thick, height, (0, 0, height / 2))
    if style == "turned":
        shares = (
            (0, 0.6),
            (0.12, 0.55),
            (0.16, 0.95),
            (0.2, 0.6),
            (0.5, 1.05),
            (0.72, 0.65),
            (0.76, 1.0),
            (0.8, 0.8),
            (1, 1.0),
        )
        return lathe([(0, 0), *((r * thick, t * height) for t, r in shares), (0, height)], segments=10)
    return rod((0, 0, 0), (0, 0, height), 0.62 * thick, thick, sides=10)


def legs(
    f: Frame, part: Part, x: float, y: float, height: float, thick: float, *, style: str = "taper", splay: float = 0.0,
    material: str = "main", centre: float = 0.0, keypoints: bool = True,
) -> None:  # fmt: skip
    """Four legs below (x, y) corners; ``splay`` moves the feet outwards by this share of the height."""
    for word, sy in (("front", -1), ("rear", 1)):
        for side, sx in (("left", 1), ("right", -1)):
            top, foot = np.array([sx * x, centre + sy * y, height]), np.array([sx * x, centre + sy * y, 0.0])
            if splay:
                foot[:2] += splay * height * np.array([sx, sy])
                mesh = rod(foot, top, 0.62 * thick, thick, sides=10)
            else:
                mesh = leg_mesh(style, height, thick).move(top[0], top[1])
            f.piece(part, mesh, material)
            if keypoints:
                f.keypoint("leg", "end", foot, f"{word} {side}")


def frame_of_bars(x: float, y: float, z: float, width: float, deep: float, *, centre: float = 0.0) -> Mesh:
    """Four bars under a top: half sizes x and y to the bars' middle, at height z."""
    return merge(
        block(2 * x + width, width, deep, (0, centre - y, z)), block(2 * x + width, width, deep, (0, centre + y, z)),
        block(width, 2 * y, deep, (x, centre, z)), block(width, 2 * y, deep, (-x, centre, z)),
    )  # fmt: skip


def handle(rng: np.random.Generator) -> str:
    return pick(rng, "knob", "bar", "upright", "cup")


def front(
    f: Frame, part: str, box: tuple[float, float, float, float], y: float, *, style: str = "knob", at: str = "center",
    material: str = "front", inset: str = "", thick: float = 0.02, where: str = "",
) -> None:  # fmt: skip
    """A drawer or door front in the plane y (facing -y) over (x0, z0, x1, z1), with its handle and keypoints."""
    x0, z0, x1, z1 = box
    gap = 0.008
    seam = f.b.material("seam", "paint", colours=(DARK,), fixed=True)  # joints show even on one-coloured objects
    wide, tall = x1 - x0 - 2 * gap, z1 - z0 - 2 * gap
    cx, cz = (x0 + x1) / 2, (z0 + z1) / 2
    f.piece(part, block(x1 - x0, 0.004, z1 - z0, (cx, y - 0.002, cz)), seam)
    f.piece(part, block(wide, thick, tall, (cx, y - thick / 2 - 0.001, cz)), material)
    if inset:
        f.piece(part, block(0.72 * wide, 0.008, 0.76 * tall, (cx, y - thick - 0.002, cz)), inset)
    x = {"center": cx, "left": x1 - 0.12 * wide, "right": x0 + 0.12 * wide}[at]
    grip = min(0.3 * wide, 0.14) if at == "center" else min(0.25 * tall, 0.2)
    f.piece(
        part,
        handle_mesh(style if at == "center" else style.replace("bar", "upright"), grip).move(x, y - thick, cz),
        "handle",
    )
    f.keypoint(f"{part} handle", "center", (x, y - thick - 0.025, cz), where)


def handle_mesh(style: str, length: float) -> Mesh:
    """A handle on the plane y = 0, standing out towards -y."""
    if style == "knob":
        return merge(
            rod((0, 0, 0), (0, -0.018, 0), 0.006, sides=8), ball(0.014, 0.012, 0.014, (0, -0.024, 0), segments=10)
        )
    if style == "cup":
        return ball(0.5 * length, 0.025, 0.016, (0, -0.004, 0), segments=12)
    bar = rod((-length / 2, -0.025, 0), (length / 2, -0.025, 0), 0.006, sides=8)
    ends = [rod((s * 0.42 * length, 0, 0), (s * 0.42 * length, -0.025, 0), 0.005, sides=6) for s in (-1, 1)]
    mesh = merge(bar, *ends)
    return mesh.rotate("y", 90) if style == "upright" else mesh


def cushion(x: float, y: float, z: float, at: tuple[float, float, float], *, bevel: float = 0.05) -> Mesh:
    """Upholstery: a box with wide round edges (side lengths)."""
    return soft_block(x, y, z, at, bevel=bevel)
