"""How much of every labelled object and part of a built world shows, for one split, in a file of its own.

The annotation files keep what is visible only. A world is a function of its seed, so each scene is posed again (labels
only, no shading), compared with the labels on disk, and every object is cast alone. Nothing of the world is changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from ..errors import ConfigError, Findings
from ..files import read_rows
from ..record_files import parse_record, write_records
from ..records import AnnotatedImage, ImageObject, PictureOcclusion, VisibleArea
from .build import WORLD_VERSION, finished_world, flavour_root
from .compose import World, format_split, make_picture
from .difficulty import unoccluded_areas
from .picture import Rendered, render_labels


def write_occlusion(world: str | Path, split: str, out: str | Path | None = None) -> tuple[Path, int]:
    """Writes one row (:class:`PictureOcclusion`) per picture of a split, all flavours; returns the file and its rows.

    Args:
        world: folder of a finished world.
        split: train, val, test or unseen.
        out: ``occlusion_{split}.jsonl`` in the world's folder by default. Pictures below the file's folder are named
            relative to it, others by their full path.

    Raises:
        ConfigError: no finished world of this version, no picture of this split, or a scene that comes out otherwise
            than its labels on disk say.
        StorageError: the file could not be written.
    """
    root = Path(world)
    plan = finished_world(root)
    if plan.get("version") != WORLD_VERSION:
        raise ConfigError(
            f"the world is of version {plan.get('version')}, this program poses scenes of version {WORLD_VERSION}",
            where=str(root / "world.json"),
            mend="use the program that built it, or build it again in another folder",
        )
    flavours = [flavour for flavour, splits in plan["counts"].items() if splits.get(split)]
    if not flavours:
        raise ConfigError(f"the world has no pictures of split {split!r}", where=str(root), mend="choose with --split")
    path = Path(out) if out else root / f"occlusion_{split}.jsonl"
    drawn = World(plan["seed"], plan["size"], tuple(plan["unseen"]))
    return path, write_records(path, _rows(root, drawn, flavours, split, path.resolve().parent))


def _rows(root: Path, world: World, flavours: Sequence[str], split: str, base: Path) -> Iterator[PictureOcclusion]:
    for flavour in flavours:
        folder = flavour_root(root, flavour, split)
        file = folder / f"annotations_{format_split(split)}.jsonl"
        for number, line in tqdm(list(read_rows(file, ConfigError)), desc=flavour, unit="image", disable=None):
            where = f"{file}, row {number}"
            record = parse_record(AnnotatedImage, line, where, ConfigError)
            rendered, again = make_picture(world, flavour, split, int(record.image_id), Findings(), draw=render_labels)
            if _names(again) != _names(record):
                raise ConfigError(
                    "the scene that is posed now shows other objects or parts than the labels on disk",
                    where=where,
                    mend="use the program that built this world, or build it again in another folder",
                )
            full = (folder / record.path).resolve()
            stored = os.path.relpath(full, base) if full.is_relative_to(base) else str(full)
            yield PictureOcclusion(path=stored, areas=tuple(_areas(rendered, record)))


def _names(record: AnnotatedImage) -> list[tuple[str, str, list[str]]]:
    """What must agree; areas may differ by a pixel or two between machines."""
    return [(o.category, o.instance_id, [part.name for part in o.parts]) for o in record.objects]


def _areas(rendered: Rendered, record: AnnotatedImage) -> Iterator[VisibleArea]:
    index_of = {item.instance_id: k for k, item in enumerate(rendered.scene.items) if item.category}
    for thing in record.objects:
        alone = unoccluded_areas(rendered, index_of[thing.instance_id])
        yield _area(thing, None, thing.mask.area, sum(alone.values()))
        for part in thing.parts:
            yield _area(thing, part.name, part.mask.area, alone[part.name])


def _area(thing: ImageObject, part: str | None, visible: int, alone: int) -> VisibleArea:
    """Rays through a part's rim may miss it when it is cast alone: never less than what is seen."""
    return VisibleArea(category=thing.category, part=part, visible=visible, alone=max(alone, visible))
