"""Cars, for PACO and ADE20K-Part-234: saloon, hatchback, estate, off-roader."""

from __future__ import annotations

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Floats
from ._forms import Frame, block, disc, near, pick, rod, settle
from ._vehicle import Chassis, bumper, doors, lights, mirrors, named, pane, shell, vehicle_looks, wheels


def _side_window(
    y0: float, y1: float, z0: float, z1: float, top0: float, top1: float, low: float, high: float
) -> Floats:
    """Corners on the left side: sill from y0 to y1 at z0, upper edge from top0 to top1 at z1, half widths low, high."""
    return np.array([(low, y0, z0), (low, y1, z0), (high, top1, z1), (high, top0, z1)])


@category(
    "car",
    flavours={"paco_lvis": "car", "ade20k_part_234": "car"},
    supercategory="transportation",
    support="ground",
    size=4.3,
)
def car(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Saloon, hatchback, estate or off-roader."""
    vehicle_looks(b)
    style = pick(rng, "saloon", "hatch", "estate", "offroad")
    length = near(rng, {"saloon": 4.4, "hatch": 3.7, "estate": 4.5, "offroad": 4.3}[style], 0.07)
    tall = near(rng, {"saloon": 1.42, "hatch": 1.48, "estate": 1.46, "offroad": 1.75}[style], 0.05)
    wheel = near(rng, 0.42 if style == "offroad" else 0.33, 0.08)
    c = Chassis(length, near(rng, 0.86, 0.05), wheel, -0.31 * length, 0.3 * length, 0.62 * wheel)
    f = Frame(b)
    sill, half, y0, y1 = 0.63 * tall, c.half, -0.5 * length, 0.5 * length
    bonnet = {"saloon": -0.2, "hatch": -0.24, "estate": -0.2, "offroad": -0.2}[style] * length
    boot = {"saloon": 0.3, "hatch": 0.49, "estate": 0.49, "offroad": 0.49}[style] * length
    nose = 0.8 * sill
    low = c.floor
    outline = [(y0, low + 0.1), (y0, nose - 0.06), (y0 + 0.1, nose + 0.02), (bonnet, sill), (boot, sill), (y1 - 0.03,
               sill - 0.03), (y1, sill - 0.12), (y1, low + 0.1), (y1 - 0.15, low), (y0 + 0.15, low)]  # fmt: skip
    widths = half * np.array([0.9, 0.9, 0.92, 0.98, 0.98, 0.93, 0.92, 0.92, 0.93, 0.93])
    skin = shell(outline[::-1], widths[::-1])
    middle = (y0 + 0.1 + bonnet) / 2
    f.piece("", skin, "main")
    f.piece(
        "hood",
        pane(
            [
                (-0.8 * half, y0 + 0.14, nose + 0.03),
                (0.8 * half, y0 + 0.14, nose + 0.03),
                (0.88 * half, bonnet - 0.04, sill),
                (-0.88 * half, bonnet - 0.04, sill),
            ]
        ),
        "main",
    )
    f.pair("hood", "corner", (0.8 * half, y0 + 0.14, nose + 0.035), "", "front")
    f.pair("hood", "corner", (0.88 * half, bonnet - 0.04, sill + 0.01), "", "rear")
    _cabin(f, c, style, (bonnet, boot, sill, tall))
    _car_details(f, c, rng, (y0, y1, nose, sill, middle))
    wheels(f, c, int(rng.integers(3, 7)))
    settle(b)


def _cabin(f: Frame, c: Chassis, style: str, size: tuple[float, float, float, float]) -> None:
    """Greenhouse: pillars and roof with panes, the doors below the side windows."""
    bonnet, boot, sill, tall = size
    half, roof = c.half, 0.78 * c.half
    lean = {"saloon": 0.62, "hatch": 0.5, "estate": 0.58, "offroad": 0.3}[style]
    a, d = bonnet + lean, boot - {"saloon": 0.62, "hatch": 0.42, "estate": 0.3, "offroad": 0.08}[style]
    outline = [(bonnet, sill), (a, tall), (d, tall), (boot, sill)]
    widths = np.array([0.94 * half, roof, roof, 0.94 * half])
    skin = shell(outline[::-1], widths[::-1])
    f.piece("", skin, "main")
    f.piece(
        named("roof", ""), pane([(-roof, a, tall), (roof, a, tall), (roof, d, tall), (-roof, d, tall)], 0.008), "main"
    )

    def at(share: float, front: bool) -> tuple[float, float]:
        """y of the sloping edge and half width at this share of the cabin's height."""
        y = bonnet + share * (a - bonnet) if front else boot + share * (d - boot)
        return y, (0.94 * half) * (1 - share) + roof * share

    (p0, w0), (p1, w1) = at(0.1, True), at(0.9, True)
    low, high = sill + 0.1 * (tall - sill), sill + 0.9 * (tall - sill)
    screen = [(-0.92 * w0, p0, low), (0.92 * w0, p0, low), (0.9 * w1, p1, high), (-0.9 * w1, p1, high)]
    f.piece(named("windshield", "window"), pane(screen), "glass")
    f.pair("windshield", "corner", screen[1], "front", "bottom")
    f.pair("windshield", "corner", screen[2], "front", "top")
    for x in (-0.45, 0.12):
        ends = (x * w0, p0 - 0.03, low - 0.01), ((x + 0.4) * w0, p0 + 0.03, low + 0.06)
        f.piece("wiper", rod(*ends, 0.012, sides=5), "trim")
    (q0, v0), (q1, v1) = at(0.12, False), at(0.88, False)
    z0, z1 = sill + 0.12 * (tall - sill), sill + 0.88 * (tall - sill)
    f.piece(
        "window", pane([(0.9 * v0, q0, z0), (-0.9 * v0, q0, z0), (-0.88 * v1, q1, z1), (0.88 * v1, q1, z1)]), "glass"
    )
    middle, gap = (bonnet + boot) / 2 + 0.12, 0.035
    front = _side_window(p0 + 0.14, middle - gap, z0, z1, p1 + 0.1, middle - gap, v0, v1)
    rear = _side_window(middle + gap, q0 - 0.1, z0, z1, middle + gap, q1 - 0.06, v0, v1)
    for corners in (front, rear):
        f.both(named("windowpane", "window"), pane(corners), "glass")
    hinge, end = p0 - 0.05, min(q0 + 0.08, c.rear + 0.3 * c.wheel)
    for word, span in (("front", (hinge, middle - 0.015)), ("rear", (middle + 0.015, end))):
        doors(f, named("", "door"), c, span, sill, handle=named("handle", "door"), where=word)
    f.both(named("runningboard", ""), block(0.06, 0.42 * c.length, 0.07, (0.95 * half, 0, c.floor + 0.05)), "trim")
    mirrors(f, (0.9 * half, p0 + 0.16, sill + 0.06), 0.1)
    f.pair("roof", "corner", (roof, a, tall), "", "front")
    f.pair("roof", "corner", (roof, d, tall), "", "rear")


def _car_details(
    f: Frame, c: Chassis, rng: np.random.Generator, size: tuple[float, float, float, float, float]
) -> None:
    y0, y1, nose, sill, middle = size
    half = c.half
    colour = "trim" if rng.random() < 0.5 else "main"
    bumper(f, c, y0 - 0.02, c.floor + 0.16, 0.2, colour, True)
    bumper(f, c, y1 + 0.02, c.floor + 0.16, 0.2, colour, False)
    lights(f, c, (y0 + 0.02, nose - 0.1), (y1, sill - 0.18), 0.1)
    f.piece(named("grille", ""), block(0.9 * half, 0.03, 0.14, (0, y0 - 0.005, nose - 0.12)), "trim")
    f.piece("logo", disc(0.05, 0.02, (0, y0 - 0.02, nose - 0.1), axis="y"), "rim")
    f.both(
        named("fender", ""),
        pane(
            [
                (0.93 * half, y0 + 0.25, 0.55 * nose + 0.1),
                (0.975 * half, middle, 2 * c.wheel + 0.04),
                (0.978 * half, middle, sill - 0.1),
                (0.93 * half, y0 + 0.25, nose - 0.03),
            ],
            0.01,
        ),
        "main",
    )
    f.piece(
        named("trunk", ""),
        pane(
            [
                (0.8 * half, y1 + 0.001, c.floor + 0.32),
                (-0.8 * half, y1 + 0.001, c.floor + 0.32),
                (-0.8 * half, y1 + 0.001, sill - 0.14),
                (0.8 * half, y1 + 0.001, sill - 0.14),
            ]
        ),
        "main",
    )
    if rng.random() < 0.3:
        f.piece(
            named("antenna", ""), rod((0.5 * half, 0.2, sill), (0.5 * half, 0.4, sill + 0.95), 0.012, sides=5), "trim"
        )
    f.both(
        named("splashboard", ""),
        block(0.22, 0.02, 0.16, (half - 0.12, c.rear + 1.15 * c.wheel, 0.9 * c.wheel)),
        "tyre",
    )
