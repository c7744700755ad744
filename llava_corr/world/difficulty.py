"""How hard a set of pictures is: object counts, part areas, occlusion, one-coloured objects, and the targets for them.

Two parts of a picture's difficulty cannot be read off its labels and are noted while it is rendered
(:class:`SceneFacts`): which objects are of one colour, and how much of each part other things hide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic_write, write_json
from ..records import AnnotatedImage, Record
from .picture import Rendered
from .render import Geometry

HIDDEN_BELOW = 0.95
TARGETS = {"least_objects_in_clutter": 3, "median_part_share": 0.02, "hidden_parts": 0.30, "one_colour_objects": 0.50}


class SceneFacts(Record):
    """What only the renderer knows about a picture.

    Attributes:
        image_id: of the picture.
        one_colour: per labelled object, whether all its parts that may vary share one colour.
        visible_shares: per labelled part, its visible pixels over those it would have if nothing but its own object
            were there and the picture had no border; None where that was not measured.
    """

    image_id: str
    one_colour: tuple[bool, ...]
    visible_shares: tuple[float, ...] | None = None


def scene_facts(rendered: Rendered, record: AnnotatedImage, *, measure_hidden: bool) -> SceneFacts:
    """Facts about the objects that the record names."""
    index_of = {item.instance_id: k for k, item in enumerate(rendered.scene.items) if item.category}
    chosen = [index_of[thing.instance_id] for thing in record.objects]
    shares: list[float] = []
    for index, thing in zip(chosen, record.objects, strict=True):
        if measure_hidden:
            alone = unoccluded_areas(rendered, index)
            shares += [min(part.mask.area / max(alone[part.name], 1), 1.0) for part in thing.parts]
    return SceneFacts(
        image_id=record.image_id,
        one_colour=tuple(rendered.scene.items[index].one_colour for index in chosen),
        visible_shares=tuple(round(s, 4) for s in shares) if measure_hidden else None,
    )


def unoccluded_areas(rendered: Rendered, index: int) -> dict[str, int]:
    """Part name -> pixels it would cover if its object stood alone, up to one picture beyond each border."""
    camera = rendered.scene.camera
    item = rendered.scene.items[index]
    xy, depth = camera.project(item.corners())
    low = np.array([-camera.width, -camera.height])
    high = np.array([2 * camera.width, 2 * camera.height])
    if depth.min() > 1e-3:
        low = np.maximum(low, np.floor(xy.min(0)).astype(int))
        high = np.minimum(high, np.ceil(xy.max(0)).astype(int))
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    centres = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32) + np.float32(0.5)
    rays = camera.directions(centres)
    geometry = Geometry((item,))
    hits = geometry.cast(np.broadcast_to(camera.position.astype(np.float32), rays.shape).copy(), rays)
    counts = np.bincount(hits.piece, minlength=len(geometry.pieces))
    areas: dict[str, int] = {}
    for piece, count in zip(geometry.pieces, counts, strict=True):
        name = piece.part_in(rendered.scene.flavour)
        areas[name] = areas.get(name, 0) + int(count)
    return areas


def measure(images: Sequence[AnnotatedImage], facts: Sequence[SceneFacts]) -> dict[str, Any]:
    """The difficulty of one set: plain numbers with the conventions in their names; None where nothing was measured."""
    counts = np.array([len(image.objects) for image in images])
    pairs = [len({o.category for o in image.objects}) < len(image.objects) for image in images]
    parts = [
        part.mask.area / (image.height * image.width)
        for image in images for thing in image.objects for part in thing.parts
    ]  # fmt: skip
    colours = [flag for fact in facts for flag in fact.one_colour]
    shares = np.array([share for fact in facts for share in fact.visible_shares or ()])
    return {
        "images": len(images),
        "objects": int(counts.sum()),
        "parts": len(parts),
        "categories": len({thing.category for image in images for thing in image.objects}),
        "objects_per_image": {str(n): int((counts == n).sum()) for n in np.unique(counts)},
        "least_objects": int(counts.min()) if len(counts) else 0,
        "mean_objects": _mean(counts),
        "images_with_a_pair": _mean(np.array(pairs)),
        "part_share_quartiles": [round(float(q), 5) for q in np.percentile(parts, [25, 50, 75])] if parts else None,
        "median_part_share": round(float(np.median(parts)), 5) if parts else None,
        "hidden_parts": _mean(shares < HIDDEN_BELOW),
        "hidden_parts_measured_on": len(shares),
        "one_colour_objects": _mean(np.array(colours)),
    }


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 4) if len(values) else None


def tag(row: Mapping[str, Any]) -> str:
    """One string that names a set's difficulty, for tables: ``o4.6-a0.8-h31-c50``.

    Mean objects per image, median part share of the image in percent, partly hidden parts and one-coloured objects in
    percent.
    """

    def show(value: float | None, factor: float, digits: int) -> str:
        return "?" if value is None else f"{value * factor:.{digits}f}"

    return (
        f"o{show(row['mean_objects'], 1, 1)}-a{show(row['median_part_share'], 100, 1)}"
        f"-h{show(row['hidden_parts'], 100, 0)}-c{show(row['one_colour_objects'], 100, 0)}"
    )


def write_sheet(folder: str | Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes ``difficulty.json`` and ``difficulty.md`` into a folder; ``rows`` maps "flavour split" to measurements."""
    folder = Path(folder)
    write_json(
        folder / "difficulty.json", {"targets": TARGETS, "sets": {k: {**v, "tag": tag(v)} for k, v in rows.items()}}
    )
    with atomic_write(folder / "difficulty.md") as handle:
        handle.write(to_markdown(rows))


def to_markdown(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A table, one row per set, with the targets above it."""
    lines = [
        "# Difficulty of this embedded world",
        "",
        "Targets: at least 3 objects in clutter scenes; median part at most 2 % of the image; about 30 % of parts",
        f"partly hidden (under {HIDDEN_BELOW:.0%} of their unoccluded pixels show); half the objects in one colour.",
        "",
        "| set | images | objects/image (least) | with a pair | median part | partly hidden | one colour | tag |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['images']} | {row['mean_objects']} ({row['least_objects']}) | "
            f"{_percent(row['images_with_a_pair'])} | {_percent(row['median_part_share'])} | "
            f"{_percent(row['hidden_parts'])} | {_percent(row['one_colour_objects'])} | {tag(row)} |"
        )
    return "\n".join(lines) + "\n"


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.1f} %"
