"""Buses, vans and trucks of ADE20K-Part-234."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import merge, rounded_rectangle
from ._forms import WHITE, Frame, block, disc, near, pick, rod, settle
from ._vehicle import Chassis, bumper, doors, lights, pane, shell, vehicle_looks, wheels


@category("bus", flavours={"ade20k_part_234": "bus"}, supercategory="transportation", support="ground", size=10.5)
def bus(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A long box with a row of windows, one or two decks, doors on the object's right side."""
    vehicle_looks(b)
    double = rng.random() < 0.25
    length, tall = near(rng, 10.0, 0.15), near(rng, 4.2 if double else 3.0, 0.05)
    c = Chassis(length, 1.25, 0.5, -0.3 * length, 0.28 * length, 0.38)
    f = Frame(b)
    _box(f, c, tall, round_=0.25, material="main")
    f.piece("", block(2 * c.half + 0.012, 0.94 * length, 0.3, (0, 0, 1.05)), "second")
    decks = ((1.4, 2.25), (2.75, 3.75)) if double else ((1.45, min(2.5, tall - 0.45)),)
    for z0, z1 in decks:
        _bus_windows(f, c, z0, z1, int(rng.integers(5, 9)))
    y0 = -0.5 * length
    f.piece(
        "window",
        pane(
            [
                (-0.88 * c.half, y0, 1.3),
                (0.88 * c.half, y0, 1.3),
                (0.88 * c.half, y0, decks[0][1] + 0.15),
                (-0.88 * c.half, y0, decks[0][1] + 0.15),
            ]
        ),
        "glass",
    )
    f.piece(
        "window",
        pane(
            [(0.7 * c.half, -y0, 1.6), (-0.7 * c.half, -y0, 1.6), (-0.7 * c.half, -y0, 2.4), (0.7 * c.half, -y0, 2.4)]
        ),
        "glass",
    )
    f.pair("windshield", "corner", (0.88 * c.half, y0 - 0.01, 1.3), "front", "bottom")
    f.pair("windshield", "corner", (0.88 * c.half, y0 - 0.01, decks[0][1] + 0.15), "front", "top")
    for x in (-0.5, 0.1):
        f.piece("wiper", rod((x, y0 - 0.03, 1.3), (x + 0.5, y0 - 0.03, 1.65), 0.02, sides=5), "trim")
    for word, y in (("front", c.front - 1.05), ("middle", 0.02 * length)):
        _bus_door(f, c, y, word)
    _ends(f, c, 0.95, 0.14, tall)
    if rng.random() < 0.7:
        f.piece("logo", block(1.5, 0.03, 0.26, (0, y0 - 0.01, tall - 0.28)), "lamp")
    wheels(f, c, 5)
    settle(b)


def _box(
    f: Frame, c: Chassis, tall: float, *, round_: float, material: str, y0: float | None = None, y1: float | None = None
) -> None:
    """A body with rounded front and rear seen from the side, and keypoints at the roof's corners."""
    y0, y1 = (-0.5 * c.length if y0 is None else y0), (0.5 * c.length if y1 is None else y1)
    outline = rounded_rectangle(y1 - y0, tall - c.floor, round_, segments=5)
    outline = outline + np.array([(y0 + y1) / 2, (tall + c.floor) / 2])
    f.piece("", shell(outline, np.full(len(outline), c.half)), material)
    f.pair("roof", "corner", (c.half, y0 + 0.3 * round_, tall - 0.3 * round_), "", "front")
    f.pair("roof", "corner", (c.half, y1 - 0.3 * round_, tall - 0.3 * round_), "", "rear")


def _bus_windows(f: Frame, c: Chassis, z0: float, z1: float, count: int) -> None:
    span = 0.9 * c.length / count
    panes = []
    for k in range(count):
        y = -0.45 * c.length + k * span
        panes.append(
            pane(
                [
                    (c.half, y + 0.06, z0),
                    (c.half, y + span - 0.06, z0),
                    (c.half, y + span - 0.06, z1),
                    (c.half, y + 0.06, z1),
                ]
            )
        )
    f.both("window", merge(*panes), "glass")


def _bus_door(f: Frame, c: Chassis, y: float, word: str) -> None:
    x = -(c.half + 0.012)
    f.piece("door", block(0.03, 1.15, 2.0, (x, y, 1.42)), "second")
    for s in (-1, 1):
        f.piece("door", block(0.05, 0.46, 1.6, (x, y + s * 0.27, 1.5)), "glass")
    f.keypoint("door", "center", (x - 0.025, y, 1.42), f"{word} right")


def _ends(f: Frame, c: Chassis, lamp: float, size: float, tall: float) -> None:
    """Bumpers, lights and mirrors of box-shaped vehicles."""
    y0, y1 = -0.5 * c.length, 0.5 * c.length
    bumper(f, c, y0 - 0.02, c.floor + 0.15, 0.25, "trim", True)
    bumper(f, c, y1 + 0.02, c.floor + 0.15, 0.25, "trim", False)
    lights(f, c, (y0 - 0.01, lamp), (y1, lamp), size)
    f.both("mirror", block(0.12, 0.1, 0.32, (c.half + 0.2, y0 + 0.1, 0.62 * tall)), "trim")
    f.both(
        "mirror",
        rod((c.half - 0.03, y0 + 0.2, 0.62 * tall + 0.1), (c.half + 0.2, y0 + 0.1, 0.62 * tall + 0.15), 0.02, sides=5),
        "trim",
    )
    f.pair("mirror", "center", (c.half + 0.2, y0 + 0.05, 0.62 * tall))


def _snub_nose(f: Frame, c: Chassis, tall: float, y1: float, *, hood: bool, wiper: str) -> None:
    """The driver's cab of vans and trucks: sloping screen, side windows, doors, hood, wipers."""
    y0, half, roof = -0.5 * c.length, c.half, 0.9 * c.half
    sill, lean = 0.56 * tall, (0.75 if hood else 0.15)
    nose = sill - (0.22 if hood else 0.05)
    base = y0 + (0.5 if hood else 0.06)
    top = base + lean
    outline = [(y0, c.floor), (y0, nose), (base, sill), (top, tall), (y1, tall), (y1, c.floor)]
    widths = half * np.array([0.95, 0.95, 0.98, 0.9, 0.9, 0.98])
    f.piece("", shell(outline[::-1], widths[::-1]), "main")
    if hood:
        edges = (0.8 * half, y0 + 0.04, nose + 0.02), (0.88 * half, base - 0.03, sill - 0.01)
        (a, *front), (b, *rear) = edges
        f.piece("", pane([(-a, *front), (a, *front), (b, *rear), (-b, *rear)]), "main")

    def slope(share: float) -> tuple[float, float]:
        return base + share * (top - base), sill + share * (tall - sill)

    (p0, z0), (p1, z1) = slope(0.08), slope(0.86)
    f.piece(
        "window",
        pane([(-0.88 * half, p0, z0), (0.88 * half, p0, z0), (0.82 * roof, p1, z1), (-0.82 * roof, p1, z1)]),
        "glass",
    )
    f.pair("windshield", "corner", (0.88 * half, p0, z0), "front", "bottom")
    f.pair("windshield", "corner", (0.82 * roof, p1, z1), "front", "top")
    for x in (-0.45, 0.1):
        f.piece(wiper, rod((x * half, p0 - 0.03, z0), ((x + 0.4) * half, p0 + 0.04, z0 + 0.12), 0.014, sides=5), "trim")
    back = min(max(top + 0.75, c.front + 1.35 * c.wheel), y1 - 0.06)
    low, high = 0.972 * half, 0.911 * half
    side = [(low, p0 + 0.2, z0 + 0.02), (low, back - 0.08, z0 + 0.02), (high, back - 0.08, z1), (high, p1 + 0.12, z1)]
    f.both("window", pane(side, 0.02), "glass")
    doors(f, "door", c, (base + 0.12, back), sill, handle="door", where="front")


@category("van", flavours={"ade20k_part_234": "van"}, supercategory="transportation", support="ground", size=5.0)
def van(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A delivery van or minibus with a short nose."""
    vehicle_looks(b)
    length, tall = near(rng, 4.9, 0.1), near(rng, 2.15, 0.1)
    c = Chassis(length, 0.98, near(rng, 0.36, 0.06), -0.32 * length, 0.3 * length, 0.26)
    f = Frame(b)
    y1 = 0.5 * length
    _snub_nose(f, c, tall, y1, hood=True, wiper="wiper")
    sill = 0.56 * tall
    if rng.random() < 0.55:
        panes = []
        for u, v in ((0.0, 0.95), (1.0, 1.9)):
            y = c.front + 1.6 * c.wheel + u * 0.25 * length, c.front + 1.6 * c.wheel + v * 0.25 * length
            panes.append(
                pane(
                    [
                        (0.972 * c.half, y[0] + 0.1, sill + 0.1),
                        (0.972 * c.half, y[1], sill + 0.1),
                        (0.915 * c.half, y[1], tall - 0.16),
                        (0.915 * c.half, y[0] + 0.1, tall - 0.16),
                    ],
                    0.02,
                )
            )
        f.both("window", merge(*panes), "glass")
    f.piece(
        "window",
        pane(
            [
                (0.75 * c.half, y1, sill + 0.1),
                (-0.75 * c.half, y1, sill + 0.1),
                (-0.7 * c.half, y1, tall - 0.2),
                (0.7 * c.half, y1, tall - 0.2),
            ]
        ),
        "glass",
    )
    _ends(f, c, 0.36 * tall, 0.11, tall)
    f.both("taillight", block(0.12, 0.05, 0.4, (0.86 * c.half, y1 + 0.01, 0.5 * tall)), "tail")
    f.piece("logo", disc(0.07, 0.03, (0, -0.5 * length - 0.01, 0.4 * tall), axis="y"), "rim")
    f.pair("roof", "corner", (0.9 * c.half, y1, tall), "", "rear")
    wheels(f, c, int(rng.integers(3, 7)))
    settle(b)


@category("truck", flavours={"ade20k_part_234": "truck"}, supercategory="transportation", support="ground", size=7.0)
def truck(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A cab before a box, an open bed or a tank."""
    vehicle_looks(b)
    b.material(
        "load",
        "paint",
        "metal",
        "wood",
        colours=(WHITE, (0.7, 0.7, 0.7), (0.2, 0.35, 0.5), (0.6, 0.45, 0.3), (0.7, 0.2, 0.15)),
    )
    length = near(rng, 6.8, 0.12)
    c = Chassis(length, 1.15, near(rng, 0.48, 0.06), -0.36 * length, 0.27 * length, 0.42)
    f = Frame(b)
    cab = -0.5 * length + near(rng, 2.0, 0.08)
    tall, y1 = near(rng, 2.4, 0.06), 0.5 * length
    hooded = rng.random() < 0.4
    _snub_nose(f, c, tall, cab, hood=hooded, wiper="")
    f.piece("", block(1.5, length - 2.0, 0.22, (0, cab / 2 + y1 / 2, c.floor + 0.35)), "trim")
    bed, long, y = 0.98, y1 - cab - 0.15, (cab + 0.15 + y1) / 2
    style = pick(rng, "box", "open", "tank")
    if style == "box":
        high = near(rng, 3.0, 0.08)
        f.piece("", block(2.3, long, high - bed, (0, y, (high + bed) / 2)), "load")
        top = high
    elif style == "open":
        top = bed + near(rng, 0.55, 0.2)
        f.piece("", block(2.3, long, 0.1, (0, y, bed)), "load")
        f.both("", block(0.06, long, top - bed, (1.13, y, (top + bed) / 2)), "load")
        f.piece(
            "",
            merge(*(block(2.3, 0.06, top - bed, (0, e, (top + bed) / 2)) for e in (y - long / 2, y + long / 2))),
            "load",
        )
    else:
        f.piece("", disc(0.85, long, (0, y, bed + 0.75), axis="y", segments=24), "load")
        top = bed + 1.3
    for word, e in (("front", y - long / 2), ("rear", y + long / 2)):
        f.pair("load", "corner", ((0.66 if style == "tank" else 1.15), e, top), word, "top")
    _ends(f, c, 0.4 * tall, 0.12, tall)
    f.piece("logo", disc(0.09, 0.03, (0, -0.5 * length - 0.01, 0.5 * tall), axis="y"), "rim")
    f.pair("roof", "corner", (0.9 * c.half, cab, tall), "", "middle")
    wheels(f, c, 5)
    settle(b)
