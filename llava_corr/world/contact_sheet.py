"""Contact sheets: pictures beside their label overlays.

One category from four angles (handy while writing its program), a few of them, or all::

    python -m llava_corr.world.contact_sheet --category mug --out mug.png
    python -m llava_corr.world.contact_sheet --category mug --category cat --out some.png
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..errors import Findings, LlavaCorrError
from ..files import atomic_write
from .camera import look_at
from .catalogue import all_categories, get_category, instance_looks, instance_shape
from .compose import World, make_picture
from .materials import Look, linear, recipe
from .objects import ObjectBuilder, ObjectModel
from .picture import Rendered, render
from .scene import Lighting, Placed, Scene, pose
from .shapes import box

logger = logging.getLogger(__name__)
Pixels = NDArray[np.uint8]

_COLOURS = np.array([
    [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48], [145, 30, 180], [70, 240, 240],
    [240, 50, 230], [210, 245, 60], [0, 128, 128], [170, 110, 40], [128, 0, 0], [0, 0, 160], [128, 128, 0],
    [250, 190, 212], [170, 255, 195],
])  # fmt: skip


def overlay(rendered: Rendered, flavour: str | None = None, *, keypoints: bool = True, names: bool = True) -> Pixels:
    """The picture with every part of every labelled object in a colour of its own, unnamed surface in grey."""
    out = rendered.image.astype(np.float32)
    labels: list[tuple[str, tuple[float, float], tuple[int, ...]]] = []
    points = []
    count = 0
    for index, item in enumerate(rendered.scene.items):
        if not item.category:
            continue
        whole = rendered.instance_mask(index)
        out[whole] = out[whole] * 0.5 + 90
        for name, mask in sorted(rendered.part_masks(index, flavour).items()):
            colour = _COLOURS[count % len(_COLOURS)]
            count += 1
            out[mask] = rendered.image[mask] * 0.35 + colour * 0.65
            y, x = np.nonzero(mask)
            middle = np.argsort(y)[len(y) // 2]
            labels.append((name, (float(x[middle]), float(y[middle])), tuple(int(c) for c in colour)))
        points += [p for p in rendered.keypoints(index) if keypoints]
    image = Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for point in points:
        u, v = point.xy
        if point.visible:
            draw.ellipse([u - 2.5, v - 2.5, u + 2.5, v + 2.5], fill=(255, 255, 255), outline=(0, 0, 0))
        else:
            draw.ellipse([u - 1.5, v - 1.5, u + 1.5, v + 1.5], outline=(120, 120, 120))
    for name, at, _ in labels if names else []:
        draw.text(at, name, fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0), anchor="mm",
                  font=ImageFont.load_default(9))  # fmt: skip
    return np.asarray(image)


def grid(rows: Sequence[Sequence[Pixels]], titles: Sequence[str] = (), *, gap: int = 4) -> Pixels:
    """Joins equally large pictures into one, row by row; a title stands above its row."""
    height, width = rows[0][0].shape[:2]
    band = 14 if titles else 0
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + band + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            top, left = gap + r * (height + band + gap) + band, gap + c * (width + gap)
            sheet[top : top + height, left : left + width] = tile
    image = Image.fromarray(sheet)
    draw = ImageDraw.Draw(image)
    for r, title in enumerate(titles):
        draw.text((gap, gap + r * (height + band + gap)), title, fill=(0, 0, 0), font=ImageFont.load_default(11))
    return np.asarray(image)


def _slab(x: float, y: float, z: float, colour: tuple[float, float, float]) -> tuple[ObjectModel, dict[str, Look]]:
    builder = ObjectBuilder("slab")
    builder.piece("", box(x, y, z), "main")
    tone = linear(colour)
    return builder.build(), {"main": Look("paper", "plain", tone, tone, recipe("plain", 0))}


def studio(model: ObjectModel, looks: dict[str, Look], category: str, flavour: str, support: str, turn: float,
           *, size: int = 256, field_of_view: float = 32.0) -> Scene:  # fmt: skip
    """One object alone on a plain floor (or wall, or ceiling), seen from azimuth ``turn`` (degrees, 0 is its front)."""
    low, high = model.bounds()
    extent = float(np.linalg.norm(high - low))
    middle = (low + high) / 2
    item = Placed(model, np.eye(4), looks, category, "studio", unit=float((high - low).max()))
    slab, slab_looks = _slab(40 * extent, 40 * extent, 0.1 * extent, (0.72, 0.73, 0.75))
    at = np.array([middle[0], middle[1], low[2] - 0.05 * extent])
    floor = Placed(slab, pose(at=at), slab_looks, unit=extent)
    away = np.radians(turn)
    raise_by = -0.3 if support == "ceiling" else 0.45
    direction = np.array([np.sin(away), -np.cos(away), raise_by])
    distance = 0.46 * extent / np.tan(np.radians(field_of_view) / 2) / np.linalg.norm(direction)
    camera = look_at(middle + direction * distance, middle, field_of_view=field_of_view, size=(size, size))
    items = (item,) if support in ("ceiling", "sky") else (item, floor)
    sun = np.array([np.sin(away - 0.9), -np.cos(away - 0.9), 1.5])
    lighting = Lighting(
        towards=sun / np.linalg.norm(sun), key=np.array([1.0, 0.96, 0.9]) * 1.5, zenith=np.array([0.85, 0.92, 1.0]),
        horizon=np.array([0.75, 0.78, 0.82]), below=np.array([0.3, 0.3, 0.3]), softness=0.12, reach=extent,
        exposure=0.62,
    )  # fmt: skip
    return Scene(flavour, items, camera, lighting)


def category_rows(name: str, *, seed: int = 0, instances: int = 2, size: int = 256) -> list[list[Pixels]]:
    """Pictures and overlays of a category from four angles: two rows per instance."""
    category = get_category(name)
    flavour = sorted(category.flavours)[0] if category.flavours else "paco_lvis"
    rows = []
    for number in range(instances):
        model = instance_shape(name, "train", number, seed)
        looks, _ = instance_looks(name, "train", number, seed)
        angles = [-35 + 20 * number, 55, 145, 235]
        views = [render(studio(model, looks, name, flavour, category.support, a, size=size)) for a in angles]
        rows += [[v.image for v in views], [overlay(v) for v in views]]
    return rows


def flavour_sheet(world: World, flavours: Sequence[str], split: str, *, rows: int = 3, columns: int = 3) -> Pixels:
    """Pictures beside their overlays: ``rows`` rows of ``columns`` pairs for each flavour."""
    tiles: list[list[Pixels]] = []
    titles: list[str] = []
    for flavour in flavours:
        for row in range(rows):
            views = [make_picture(world, flavour, split, row * columns + k, Findings())[0] for k in range(columns)]
            tiles.append([tile for view in views for tile in (view.image, overlay(view, keypoints=False, names=False))])
            titles.append(f"{flavour}, {split}" if row == 0 else "")
    return grid(tiles, titles)


def write_png(path: str | Path, pixels: Pixels) -> None:
    """Writes a PNG, whole or not at all."""
    with atomic_write(path, "wb") as handle:
        Image.fromarray(pixels).save(handle, format="PNG")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m llava_corr.world.contact_sheet``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--category", action="append", help="category to show; may be given several times; default all")
    parser.add_argument("--out", required=True, help="PNG file to write")
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = given.category or list(all_categories())
    rows, titles = [], []
    for name in names:
        found = category_rows(name, seed=given.seed, instances=given.instances, size=given.size)
        model = instance_shape(name, "train", 0, given.seed)
        triangles = sum(len(p.mesh.faces) for p in model.pieces)
        rows += found
        titles += [f"{name}: {len(model.pieces)} pieces, {triangles} triangles"] + [""] * (len(found) - 1)
    write_png(given.out, grid(rows, titles))
    logger.info("wrote %s: %d categories", given.out, len(names))
    return 0


if __name__ == "__main__":
    try:
        status = main()
    except LlavaCorrError as error:
        sys.stderr.write(f"error: {error}\n")
        status = 2
    raise SystemExit(status)
