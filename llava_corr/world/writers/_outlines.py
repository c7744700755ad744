"""Masks as COCO polygons that pycocotools rasterises back to the same pixels.

PartImageNet stores polygons. A polygon that runs along pixel edges loses nothing; holes, which a list of polygons
cannot express, are opened by cutting the mask through them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...records import Mask

Point = tuple[int, int]


def polygons(mask: Mask) -> list[list[float]]:
    """Flat polygons x0, y0, x1, y1, ... along pixel edges (integer coordinates), one or more per connected region."""
    x0, y0, x1, y1 = (int(v) for v in mask.box)
    pieces = _without_holes(mask.to_array()[y0:y1, x0:x1])
    return [
        [float(value + (x0, y0)[i % 2]) for i, value in enumerate(loop)] for piece in pieces for loop in _loops(piece)
    ]


def _without_holes(pixels: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Splits a mask by columns until no piece encloses background."""
    pieces = []
    rest = pixels
    while (columns := _columns_with_holes(rest)).size:
        cut = int(columns[0]) + 1
        piece, rest = rest.copy(), rest.copy()
        piece[:, cut:], rest[:, :cut] = False, False
        pieces.append(piece)
    return [*pieces, rest] if rest.any() else pieces


def _columns_with_holes(pixels: NDArray[np.bool_]) -> NDArray[np.intp]:
    regions, _ = ndimage.label(np.pad(~pixels, 1, constant_values=True))
    return np.flatnonzero((regions > regions[0, 0]).any(axis=0)[1:-1])


def _loops(pixels: NDArray[np.bool_]) -> list[list[int]]:
    """Outlines of the regions of a mask without holes."""
    ends = _edges(pixels)
    loops = []
    while ends:
        start = point = next(iter(ends))
        came: Point | None = None
        corners: list[int] = []
        while True:
            step = _next_step(ends, point, came)
            if step != came:
                corners += point
            point, came = (point[0] + step[0], point[1] + step[1]), step
            if point == start:
                break
        loops.append(corners)
    return loops


def _edges(pixels: NDArray[np.bool_]) -> dict[Point, list[Point]]:
    """Corner -> steps leaving it along the outline, foreground on the right-hand side (y points down)."""
    padded = np.pad(pixels, 1).astype(np.int8)
    ends: dict[Point, list[Point]] = {}
    down, right = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    for steps, forward, backward in ((down, (1, 0), (-1, 0)), (right, (0, -1), (0, 1))):
        for sign, step in ((1, forward), (-1, backward)):
            rows, columns = np.nonzero(steps == sign)
            for y, x in zip(rows.tolist(), columns.tolist(), strict=True):
                corner = (x + (step[0] < 0), y + (step[1] < 0))
                ends.setdefault(corner, []).append(step)
    return ends


def _next_step(ends: dict[Point, list[Point]], point: Point, came: Point | None) -> Point:
    """Takes one edge out of ``ends``; where two regions touch at a corner, it turns right and stays on its own."""
    steps = ends[point]
    right_turn = (-came[1], came[0]) if came is not None else steps[0]
    step = right_turn if right_turn in steps else steps[0]
    steps.remove(step)
    if not steps:
        del ends[point]
    return step
