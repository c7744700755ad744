"""Storage of furnished rooms: cabinet, chest of drawers, wardrobe, bookcase, shelf, kitchen island."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..objects import ObjectBuilder, category
from ..shapes import Mesh, merge
from ._forms import WHITE, Frame, block, near, pick, ranked
from ._furniture import back_corners, corners, front, handle, legs, metallic, wooden

_BOOKS = (
    (0.6, 0.15, 0.12),
    (0.15, 0.25, 0.45),
    (0.2, 0.4, 0.25),
    (0.8, 0.7, 0.4),
    (0.25, 0.2, 0.2),
    (0.85, 0.83, 0.78),
)


@dataclass(frozen=True)
class Carcass:
    """An open box: outer width, depth, the heights of its floor and its top, and the board thickness."""

    w: float
    d: float
    low: float
    high: float
    board: float = 0.022

    @property
    def face(self) -> float:
        return -self.d / 2


def _looks(b: ObjectBuilder) -> None:
    wooden(b)
    wooden(b, "front")
    metallic(b, "handle")
    b.material("inset", "wood", "paint", "glass")


def _carcass(f: Frame, c: Carcass, *, side: str = "", top: str = "", back: str = "", keypoints: bool = True) -> None:
    """Side walls, top, floor and back; the names are the parts they belong to."""
    tall, mid = c.high - c.low, (c.high + c.low) / 2
    f.both(side, block(c.board, c.d, tall, ((c.w - c.board) / 2, 0, mid)), "main")
    f.piece(top, block(c.w + 0.012, c.d + 0.012, c.board, (0, 0, c.high - c.board / 2)), "main")
    behind = block(c.w - 0.01, 0.012, tall - 0.01, (0, c.d / 2 - 0.006, mid))
    f.piece(back, merge(behind, block(c.w - c.board, c.d - 0.01, c.board, (0, 0.004, c.low + c.board / 2))), "main")
    if keypoints:
        corners(f, "top", c.w / 2, c.d / 2, c.high)
        for name, z in (("bottom", c.low),):
            f.pair("side", "corner", (c.w / 2, c.face, z), "", f"front {name}")


def _doors(f: Frame, c: Carcass, low: float, high: float, count: int, *, style: str, inset: str = "") -> None:
    """Doors side by side; handles meet in the middle of each pair."""
    wide = (c.w - 2 * 0.004) / count
    for k in range(count):
        x0 = c.w / 2 - 0.004 - (k + 1) * wide
        at = ("right", "left")[k % 2] if count > 1 else "left"
        word = ranked(k, count, "left", "right")
        front(f, "door", (x0, low, x0 + wide, high), c.face, style=style, at=at, inset=inset, where=word)


def _drawers(f: Frame, c: Carcass, low: float, high: float, rows: int, columns: int, *, style: str) -> None:
    wide, tall = (c.w - 0.008) / columns, (high - low) / rows
    for k in range(rows):
        where = ranked(k, rows, "bottom", "top")
        for j in range(columns):
            x0 = -c.w / 2 + 0.004 + j * wide
            word = f"{where} {('right', 'left')[j]}" if columns == 2 else where
            front(
                f,
                "drawer",
                (x0, low + k * tall, x0 + wide, low + (k + 1) * tall),
                c.face,
                style=style,
                where=word.strip(),
            )


def _feet(f: Frame, c: Carcass, rng: np.random.Generator, part: str) -> None:
    legs(f, part, c.w / 2 - 0.05, c.d / 2 - 0.05, c.low, 0.028, style=pick(rng, "taper", "square", "turned"))


@category("cabinet", flavours={"ade20k_part_234": "cabinet"}, supercategory="furniture", support="floor", size=1.1)
def cabinet(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Low or tall: doors below, drawers or an open shelf above, on a skirt."""
    _looks(b)
    tall = rng.random() < 0.35
    w = near(rng, 0.85 if tall else 1.15, 0.2)
    c = Carcass(w, near(rng, 0.45), near(rng, 0.08, 0.3), near(rng, 1.6 if tall else 0.85, 0.12), 0.025)
    f = Frame(b)
    _carcass(f, c, side="side", top="top", back="front")
    f.piece("skirt", block(c.w - 0.04, c.d - 0.05, c.low, (0, 0.01, c.low / 2)), "main")
    style, inset = handle(rng), "inset" if rng.random() < 0.5 else ""
    low, high = c.low + 0.004, c.high - c.board
    split = low + (high - low) * float(rng.uniform(0.6, 0.8))
    arrangement = pick(rng, "doors", "drawers", "shelf", "shelf")
    count = int(rng.integers(1, 4)) if w > 0.8 else 2
    if arrangement == "doors":
        _doors(f, c, low, high, count + 1 if count == 1 else count, style=style, inset=inset)
        return
    _doors(f, c, low, split, max(count, 2), style=style, inset=inset)
    if arrangement == "drawers":
        _drawers(f, c, split, high, 1, 2, style=style)
    else:
        for z in (split, (split + high) / 2) if tall else (split,):
            f.piece("shelf", block(c.w - 2 * c.board, c.d - 0.02, 0.02, (0, 0.005, z + 0.01)), "main")


@category(
    "chest of drawers",
    flavours={"ade20k_part_234": "chest of drawers"},
    supercategory="furniture",
    support="floor",
    size=1.0,
)
def chest_of_drawers(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Three to five rows of drawers on feet, some with an apron or one small door."""
    _looks(b)
    c = Carcass(near(rng, 0.9, 0.2), near(rng, 0.46), near(rng, 0.12, 0.3), near(rng, 0.98, 0.15))
    f = Frame(b)
    _carcass(f, c, side="front", top="front", back="front")
    style, rows = handle(rng), int(rng.integers(3, 6))
    low, high = c.low + 0.01, c.high - c.board
    if rng.random() < 0.15:
        split = low + (high - low) * 0.4
        _doors(f, c, low, split, 2, style=style)
        _drawers(f, c, split, high, rows - 1, 1, style=style)
    else:
        step = (high - low) / rows
        _drawers(f, c, low, high - step, rows - 1, 1, style=style)
        _drawers(f, c, high - step, high, 1, 2 if rng.random() < 0.5 else 1, style=style)
    _feet(f, c, rng, "leg")
    if rng.random() < 0.5:
        f.piece("apron", block(c.w - 0.08, 0.02, 0.05, (0, c.face + 0.02, c.low - 0.02)), "main")


@category("wardrobe", flavours={"ade20k_part_234": "wardrobe"}, supercategory="furniture", support="floor", size=2.0)
def wardrobe(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Tall, two or three doors, perhaps a mirror, drawers below, a cornice."""
    _looks(b)
    b.material("mirror", "metal", colours=((0.82, 0.86, 0.88),), fixed=True)
    count = int(rng.integers(2, 4))
    c = Carcass(count * near(rng, 0.52), near(rng, 0.58), near(rng, 0.1, 0.4), near(rng, 2.0, 0.06), 0.028)
    f = Frame(b)
    _carcass(f, c, side="front", top="top", back="front")
    if rng.random() < 0.6:
        f.piece("top", block(c.w + 0.07, c.d + 0.05, 0.05, (0, -0.01, c.high + 0.025)), "main")
    style, low = handle(rng), c.low + 0.006
    if rng.random() < 0.5:
        split = low + near(rng, 0.3)
        _drawers(f, c, low, split, 1, 2, style=style)
        low = split
    mirrored = rng.random() < 0.5
    _doors(
        f, c, low, c.high - c.board, count, style=style, inset="inset" if rng.random() < 0.5 and not mirrored else ""
    )
    if mirrored:
        wide, tall = 0.6 * c.w / count, 0.75 * (c.high - low)
        x = 0.0 if count == 3 else 0.25 * c.w
        z = (low + c.high) / 2
        f.piece("mirror", block(wide, 0.012, tall, (x, c.face - 0.026, z)), "mirror")
        f.keypoint("mirror", "center", (x, c.face - 0.032, z))
    _feet(f, c, rng, "leg")


def _books(f: Frame, rng: np.random.Generator, x0: float, x1: float, y: float, z: float, room: float) -> None:
    """A row of book spines along x on the board at height z, as three pieces of different colours."""
    x = x0 + 0.02
    heap: list[list[Mesh]] = [[], [], []]
    while x < x1 - 0.05:
        thick = float(rng.uniform(0.022, 0.055))
        tall = float(rng.uniform(0.62, 0.92)) * room
        heap[int(rng.integers(3))].append(block(thick * 0.94, 0.17, tall, (x + thick / 2, y, z + tall / 2)))
        x += thick
        if rng.random() < 0.08:
            x += 0.12
    for k, books in enumerate(heap):
        if books:
            f.piece("", merge(*books), f"book{k}")


@category("bookcase", flavours={"ade20k_part_234": "bookcase"}, supercategory="furniture", support="floor", size=1.8)
def bookcase(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """Boards full of books between two sides; doors or drawers at the bottom of some."""
    _looks(b)
    for k in range(3):
        b.material(f"book{k}", "paper", "fabric", colours=_BOOKS[k::3], patterns=("plain", "stripes"))
    c = Carcass(near(rng, 0.9, 0.2), near(rng, 0.32), 0.05, near(rng, 1.8, 0.12))
    f = Frame(b)
    _carcass(f, c, side="side", top="front", back="front")
    f.piece("front", block(c.w - 0.02, c.d - 0.03, c.low, (0, 0.008, c.low / 2)), "main")
    low, closed = c.low + c.board, rng.random()
    if closed < 0.4:
        split = low + near(rng, 0.4)
        if closed < 0.22:
            _doors(f, c, low, split, 2, style=handle(rng))
        else:
            _drawers(f, c, low, split, int(rng.integers(1, 3)), 1, style=handle(rng))
        low = split
    rows = int(rng.integers(3, 5)) + (closed >= 0.4)
    step = (c.high - low) / rows
    for k in range(rows):
        z = low + k * step
        f.piece("front", block(c.w - 2 * c.board, c.d - 0.02, c.board, (0, 0.004, z)), "main")
        f.pair(
            "shelf",
            "corner",
            (c.w / 2 - c.board, c.face + 0.006, z),
            ranked(k, rows, "bottom", "top"),
            "front",
        )
        if rng.random() < 0.85:
            _books(f, rng, -c.w / 2 + c.board, c.w / 2 - c.board, 0.03, z + c.board / 2, step - c.board)


@category("shelf", flavours={"ade20k_part_234": "shelf"}, supercategory="furniture", support="floor", size=1.5)
def shelf(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """An open rack: boards between four posts or side walls, boxes on them, perhaps a drawer or a door."""
    _looks(b)
    metallic(b)
    b.material("thing", "paper", "plastic", "straw")
    w, d, high = near(rng, 0.95, 0.25), near(rng, 0.38), near(rng, 1.45, 0.2)
    f = Frame(b)
    rows = int(rng.integers(3, 6))
    step = (high - 0.14) / (rows - 1)
    for k in range(rows):
        z = 0.12 + k * step
        f.piece("shelf", block(w, d, 0.025, (0, 0, z)), "main")
        where = {0: "bottom", rows - 1: "top"}.get(k, "middle")
        if where != "middle":
            corners(f, "shelf", w / 2, d / 2, z + 0.0125, where=where)
        for _ in range(int(rng.integers(0, 3)) if k < rows - 1 else 0):
            wide, tall = float(rng.uniform(0.12, 0.28)), float(rng.uniform(0.3, 0.75)) * step
            f.piece(
                "", block(wide, 0.6 * d, tall, (rng.uniform(-0.32, 0.32) * w, 0.1 * d, z + 0.0125 + tall / 2)), "thing"
            )
    style = pick(rng, "posts", "walls")
    if style == "posts":
        legs(f, "", w / 2 - 0.015, d / 2 - 0.015, high + 0.03, 0.016, style="square", material="metal")
    else:
        f.both("front", block(0.025, d, high + 0.02, (w / 2, 0, high / 2 + 0.01)), "main")
        back_corners(f, "side", w / 2, -d / 2, 0.0, high + 0.02)
    closed = rng.random()
    if closed < 0.5:
        c = Carcass(w - 0.03, d - 0.02, 0.12, 0.12 + step)
        if closed < 0.3:
            _drawers(f, c, 0.13, 0.11 + step, int(rng.integers(1, 3)), 1, style=handle(rng))
        else:
            _doors(f, c, 0.13, 0.11 + step, 2, style=handle(rng))


@category(
    "kitchen island",
    flavours={"ade20k_part_234": "kitchen island"},
    supercategory="furniture",
    support="floor",
    size=1.7,
)
def kitchen_island(b: ObjectBuilder, rng: np.random.Generator) -> None:
    """A free-standing block of cupboards under an overhanging worktop."""
    _looks(b)
    b.material(
        "stone",
        "ceramic",
        "wood",
        colours=(WHITE, (0.3, 0.3, 0.32), (0.6, 0.58, 0.55), (0.6, 0.42, 0.25)),
        patterns=("plain", "noise", "patches"),
    )
    c = Carcass(near(rng, 1.5, 0.2), near(rng, 0.75), 0.09, near(rng, 0.88, 0.04), 0.025)
    f = Frame(b)
    _carcass(f, c, side="side", top="", back="front", keypoints=False)
    over = near(rng, 0.06, 0.5)
    f.piece("top", block(c.w + 2 * over, c.d + 2 * over, 0.045, (0, 0, c.high + 0.022)), "stone")
    corners(f, "top", c.w / 2 + over, c.d / 2 + over, c.high + 0.045)
    f.piece("front", block(c.w - 0.06, c.d - 0.08, c.low, (0, 0, c.low / 2)), "main")
    style, count = handle(rng), int(rng.integers(2, 5))
    low, high = c.low, c.high - c.board
    inset = "inset" if rng.random() < 0.5 else ""
    if rng.random() < 0.65:
        split = high - near(rng, 0.18)
        _drawers(f, c, split, high, 1, 2, style=style)
        high = split
    _doors(f, c, low, high, count, style=style, inset=inset)
    f.pair("side", "corner", (c.w / 2, c.face, c.low), "", "front bottom")
