"""Builds a world on disk: pictures, the public formats' annotation files, full labels, difficulty.

Layout below ``root``::

    paco_lvis/  partimagenet/  ade20k_part_234/    each as the public data set lays itself out, and in each
        annotations_{split}.jsonl                  full labels: also keypoints and functional parts
    unseen/{flavour}/                              test pictures of held-out categories, if asked for
    world.json  difficulty.json  difficulty.md     written last: with world.json in place the world is complete

Work is cut into chunks of pictures. A chunk's rows are written when all its pictures are; an interrupted build
continues with the first missing chunk, and what it then makes is the same to the byte, whatever the number of
processes.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ..errors import ConfigError, Finding, Findings
from ..files import atomic_write, read_json, read_rows, write_json
from ..record_files import parse_record, write_records
from ..records import AnnotatedImage
from ..registry import did_you_mean
from .catalogue import all_categories, get_category
from .compose import FLAVOURS, WORLD_SPLITS, World, format_split, make_picture
from .difficulty import SceneFacts, measure, scene_facts, write_sheet
from .writers import ade20k_part_234, paco_lvis, partimagenet

logger = logging.getLogger(__name__)

WORLD_VERSION = 1
QUALITY = 92
CHUNK = 32
MEASURE_EVERY = 8  # every eighth picture is also measured for occlusion
Counts = Mapping[str, Mapping[str, int]]
_WRITERS = {"paco_lvis": paco_lvis.write, "partimagenet": partimagenet.write, "ade20k_part_234": ade20k_part_234.write}
_WORK = ".build"


@dataclass(frozen=True)
class _Chunk:
    root: str
    world: World
    flavour: str
    split: str
    start: int
    stop: int

    @property
    def rows_path(self) -> Path:
        return Path(self.root) / _WORK / f"{self.flavour}-{self.split}-{self.start:07d}.jsonl"


def finished_world(root: Path) -> dict[str, Any]:
    """What ``world.json`` holds.

    Raises:
        ConfigError: no world was built there to its end, or the file is broken.
    """
    if not (root / "world.json").exists():
        mend = f"build one: llava-corr world --out {root}; an interrupted one continues by the command that began it"
        raise ConfigError("there is no finished world", where=str(root), mend=mend)
    found: dict[str, Any] = read_json(root / "world.json", ConfigError)
    return found


def build_world(
    root: str | Path,
    *,
    counts: Counts,
    seed: int = 0,
    size: int = 256,
    processes: int | None = None,
    unseen: Sequence[str] = (),
) -> dict[str, Any]:
    """Renders and writes a world; returns what ``world.json`` holds.

    Args:
        root: folder to build in; an interrupted build of the same plan continues there.
        counts: flavour -> split -> number of pictures; splits are train, val, test, and unseen (needs ``unseen``).
        seed: of everything.
        size: height and width of the pictures in pixels.
        processes: worker processes; all cores by default. Has no effect on what is written.
        unseen: categories that train, val and test never show.

    Raises:
        ConfigError: unknown names, senseless numbers, or the folder holds another world.
        StorageError: a file could not be written; the same call continues where it stopped.
    """
    root = Path(root)
    plan = _plan(counts, seed, size, unseen)
    if _finished(root, plan):
        logger.info("%s holds this world already", root)
        return read_json(root / "world.json", ConfigError)
    world = World(seed, size, tuple(plan["unseen"]))
    chunks = [
        _Chunk(str(root), world, flavour, split, start, min(start + CHUNK, count))
        for flavour, splits in plan["counts"].items()
        for split, count in splits.items()
        for start in range(0, count, CHUNK)
    ]
    write_json(root / _WORK / "plan.json", plan)
    _run(chunks, processes or os.cpu_count() or 1)
    return _finish(root, plan, chunks)


def flavour_root(root: str | Path, flavour: str, split: str) -> Path:
    """Folder of a flavour's files; held-out categories have theirs under ``unseen``."""
    return Path(root) / "unseen" / flavour if split == "unseen" else Path(root) / flavour


def _plan(counts: Counts, seed: int, size: int, unseen: Sequence[str]) -> dict[str, Any]:
    for name in unseen:
        get_category(name)
    for flavour, splits in counts.items():
        if flavour not in FLAVOURS:
            raise ConfigError(f"unknown flavour {flavour!r}", mend=did_you_mean(flavour, FLAVOURS))
        for split, count in splits.items():
            if split not in WORLD_SPLITS:
                raise ConfigError(f"unknown split {split!r}", mend=did_you_mean(split, WORLD_SPLITS))
            if count < 0:
                raise ConfigError(f"{count} pictures asked for", where=f"{flavour} {split}", mend="use 0 or more")
            if split == "unseen" and count and not unseen:
                raise ConfigError(
                    "pictures of unseen categories need to know which", where=flavour, mend="name them with unseen=..."
                )
    if size < 32 or seed < 0:
        raise ConfigError(f"size {size}, seed {seed}", mend="size is at least 32 pixels, seed at least 0")
    kept = {f: {s: n for s in WORLD_SPLITS if (n := counts[f].get(s, 0))} for f in FLAVOURS if f in counts}
    return {
        "version": WORLD_VERSION,
        "seed": seed,
        "size": size,
        "counts": {f: splits for f, splits in kept.items() if splits},
        "unseen": sorted(unseen),
        "categories": list(all_categories()),
    }


def _finished(root: Path, plan: dict[str, Any]) -> bool:
    """Whether the folder holds this world; refuses a folder that holds another one."""
    for path in (root / "world.json", root / _WORK / "plan.json"):
        if not path.exists():
            continue
        there = read_json(path, ConfigError)
        changed = [f"{k}: {there.get(k)!r} there, {plan[k]!r} now" for k in plan if there.get(k) != plan[k]]
        if changed:
            raise ConfigError(
                "this folder holds another world: " + "; ".join(changed),
                where=str(path),
                mend="build in another folder, or delete this one first",
            )
        if path.name == "world.json":
            return True
    return False


def _run(chunks: Sequence[_Chunk], processes: int) -> None:
    """Makes the missing chunks, with one progress line."""
    missing = [chunk for chunk in chunks if not _complete(chunk)]
    total = sum(chunk.stop - chunk.start for chunk in chunks)
    done = total - sum(chunk.stop - chunk.start for chunk in missing)
    with tqdm(total=total, initial=done, desc="world", unit="image", disable=None) as bar:
        for count in _each(missing, min(processes, max(len(missing), 1))):
            bar.update(count)


def _each(chunks: Sequence[_Chunk], processes: int) -> Iterator[int]:
    if processes == 1:
        yield from map(_make_chunk, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_make_chunk, chunks)


def _make_chunk(chunk: _Chunk) -> int:
    """Renders a chunk's pictures, then writes its rows; returns the number of pictures."""
    with threadpool_limits(1, "blas"):  # the products are small: threads would only wait for each other
        rows = [_make_row(chunk, index) for index in range(chunk.start, chunk.stop)]
    with atomic_write(chunk.rows_path) as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)
    return len(rows)


def _make_row(chunk: _Chunk, index: int) -> dict[str, Any]:
    """Renders and writes one picture; what is to be known of it."""
    findings = Findings()
    rendered, record = make_picture(chunk.world, chunk.flavour, chunk.split, index, findings)
    path = flavour_root(chunk.root, chunk.flavour, chunk.split) / record.path
    with atomic_write(path, "wb") as handle:
        handle.write(encode_jpeg(rendered.image))
    facts = scene_facts(rendered, record, measure_hidden=index % MEASURE_EVERY == 0)
    return {"image": record.model_dump(), "facts": facts.model_dump(), "findings": findings.to_json()}


def encode_jpeg(pixels: Any) -> bytes:
    """H x W x 3 uint8 as JPEG."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getvalue()


def _complete(chunk: _Chunk) -> bool:
    """Whether a chunk's rows and all its pictures are there."""
    if not chunk.rows_path.exists():
        return False
    folder = flavour_root(chunk.root, chunk.flavour, chunk.split)
    rows = [json.loads(line) for _, line in read_rows(chunk.rows_path, ConfigError)]
    return len(rows) == chunk.stop - chunk.start and all(
        (path := folder / row["image"]["path"]).exists() and path.stat().st_size > 0 for row in rows
    )


def _finish(root: Path, plan: dict[str, Any], chunks: Sequence[_Chunk]) -> dict[str, Any]:
    """Writes annotation files, full labels and the difficulty sheet, and ``world.json`` last."""
    sheet, counted = {}, Findings()
    everything: dict[str, tuple[list[AnnotatedImage], list[SceneFacts]]] = {}
    for flavour, splits in plan["counts"].items():
        for split in splits:
            images, facts = _rows([c for c in chunks if (c.flavour, c.split) == (flavour, split)], counted)
            folder = flavour_root(root, flavour, split)
            _WRITERS[flavour](folder, format_split(split), images)
            write_records(folder / f"annotations_{format_split(split)}.jsonl", images)
            sheet[f"{flavour} {split}"] = measure(images, facts)
            together = everything.setdefault(split, ([], []))
            together[0].extend(images)
            together[1].extend(facts)
    sheet |= {f"all {split}": measure(*together) for split, together in everything.items()}
    write_sheet(root, sheet)
    result = {**plan, "difficulty": sheet, "left_out": counted.counts()}
    write_json(root / "world.json", result)
    shutil.rmtree(root / _WORK)
    logger.info("world in %s: %s", root, counted.summary())
    return result


def _rows(chunks: Sequence[_Chunk], counted: Findings) -> tuple[list[AnnotatedImage], list[SceneFacts]]:
    images, facts = [], []
    for chunk in chunks:
        for number, line in read_rows(chunk.rows_path, ConfigError):
            row = json.loads(line)
            where = f"{chunk.rows_path}, row {number}"
            images.append(parse_record(AnnotatedImage, json.dumps(row["image"]), where, ConfigError))
            facts.append(parse_record(SceneFacts, json.dumps(row["facts"]), where, ConfigError))
            counted.items += [Finding(**finding) for finding in row["findings"]]
    return images, facts
