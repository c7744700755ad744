"""Command line of MixedParts.

    llava-corr data --source paco_lvis=/data/paco --source partimagenet=/data/pin --split all --count 10000 --out mixed
    llava-corr data --world work/world --split train --count 2000 --out work/mixedparts

Writes per split ``{split}.jsonl`` (the samples), ``{split}_statistics.json`` and ``.md``, and ``{split}_build.json``
(spec, seed, roots, refused draws, every finding).
"""

from __future__ import annotations

import argparse
import logging
import os
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ...errors import ConfigError, Findings, SampleError
from ...files import atomic_write, refuse_overwriting, write_json
from ...record_files import write_samples
from ...records import AnnotatedImage, Sample
from ...sources import SOURCES as READERS
from ...sources import jsonl
from . import classes
from .build import Builder
from .phrasings import SPLITS
from .pool import Pool
from .spec import MixedPartsSpec
from .statistics import Tally, to_markdown
from .views import ImageView, view_images

logger = logging.getLogger(__name__)

HELD_OUT_OF = 20
FEW = 5  # findings that an error shows
ENDINGS = (".jsonl", "_build.json", "_statistics.json", "_statistics.md")  # of the files of a split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``llava-corr data``."""
    roots = parser.add_argument_group("where the annotations are (one of)")
    roots.add_argument("--source", action="append", metavar="NAME=ROOT", help=f"one of {', '.join(READERS.names())}")
    roots.add_argument("--world", metavar="ROOT", help=f"folder that holds {', '.join(classes.SOURCES)}")
    parser.add_argument("--split", choices=[*SPLITS, "all"], default="all")
    parser.add_argument("--count", type=int, default=1000, help="samples per split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--spec", metavar="JSON", help="fields of MixedPartsSpec that differ from the defaults")
    parser.add_argument(
        "--without-test",
        action="append",
        default=[],
        metavar="NAME",
        help=f"this source has no test split: its val serves as test, 1 in {HELD_OUT_OF} of its train images as val",
    )


def run(args: argparse.Namespace) -> int:
    """Builds the splits asked for; returns 0.

    Raises:
        LlavaCorrError: unusable arguments, annotations or spec.
    """
    roots, splits = roots_and_splits(args)
    spec = MixedPartsSpec.from_json(args.spec) if args.spec else MixedPartsSpec()
    for split in splits:
        build_split(roots, spec, split, args.count, args.seed, Path(args.out), args.without_test)
    return 0


def roots_and_splits(args: argparse.Namespace) -> tuple[dict[str, Path], list[str]]:
    """Reader name -> root folder, and the splits to build.

    Test comes first: the split that a data set lacks, if any, so that it is missed before anything is written.

    Raises:
        LlavaCorrError: unusable arguments.
    """
    roots = source_roots(args.source or [], args.world)
    unknown = sorted(set(args.without_test) - set(roots))
    if unknown or args.count < 1 or args.seed < 0:
        raise ConfigError(
            f"--without-test {', '.join(unknown)} is not among the sources"
            if unknown
            else f"--count {args.count} --seed {args.seed}: samples are counted from 1, seeds from 0",
            mend="correct the argument",
        )
    splits = [*reversed(SPLITS)] if args.split == "all" else [args.split]
    if len(splits) > 1 and jsonl.SOURCE in roots:
        held = [split for split in splits if split != "test" or jsonl.SOURCE not in args.without_test]
        jsonl.refuse_missing_splits(roots[jsonl.SOURCE], held)
    written = [Path(args.out, split + ending) for split in splits for ending in ENDINGS]
    read = [
        (f"--source {name}={root}:", root if root.is_file() else root / f"{split}.jsonl")
        for name, root in roots.items()
        for split in SPLITS
        if name == jsonl.SOURCE  # no other format has files of these names
    ]
    refuse_overwriting([("--out", file) for file in written], [*read, ("--spec", args.spec)])
    return roots, splits


def source_roots(sources: list[str], world: str | None) -> dict[str, Path]:
    """Reader name -> root folder, from ``NAME=ROOT`` arguments or from a world's folder.

    Raises:
        ConfigError: neither or both are given, an argument has no ``=``, a source is given twice, no folder exists.
        RegistryError: no reader of that name.
    """
    if bool(sources) == bool(world):
        raise ConfigError("give either --source NAME=ROOT (once per source) or --world ROOT", mend="add one of them")
    if world:
        roots = {name: Path(world) / name for name in classes.SOURCES if (Path(world) / name).is_dir()}
        if not roots:
            raise ConfigError(
                f"no source folder in {world}",
                where=world,
                mend=f"expected one or more of: {', '.join(classes.SOURCES)}",
            )
        return roots
    pairs = [(name, root) for name, _, root in (text.partition("=") for text in sources)]
    for (name, root), text in zip(pairs, sources, strict=True):
        if not name or not root:
            raise ConfigError(f"--source {text!r} is not NAME=ROOT", mend="for example --source paco_lvis=/data/paco")
        READERS.load(name)
    if len(dict(pairs)) < len(pairs):
        raise ConfigError("a source is given twice", mend="give every source once")
    return {name: Path(root) for name, root in pairs}


def build_split(
    roots: Mapping[str, Path],
    spec: MixedPartsSpec,
    split: str,
    count: int,
    seed: int,
    out: Path,
    without_test: Collection[str] = (),
) -> Path:
    """Builds one split and writes its four files into ``out``; returns the samples file."""
    findings = Findings()
    pools = [
        pool
        for name, root in roots.items()
        for pool in load_pools(name, root, split, findings, without_test=name in without_test)
    ]
    _refuse_shared_names(pools)
    builder = Builder(pools, spec, split, seed)
    path = out / f"{split}.jsonl"
    tally = Tally()
    write_samples(path, _counted(builder.samples(count), tally))
    findings.extend(builder.findings)
    statistics = tally.to_json()
    write_json(out / f"{split}_statistics.json", statistics)
    with atomic_write(out / f"{split}_statistics.md") as handle:
        handle.write(to_markdown(statistics, f"MixedParts, {split}"))
    report = {
        "split": split,
        "count": count,
        "seed": seed,
        "sources": {name: str(root) for name, root in roots.items()},
        "without_test": sorted(without_test),
        "spec": spec.to_json(),
        "class_pairs": classes.pair_counts(),
        "refused_draws": dict(builder.refused.most_common()),
        "finding_counts": findings.counts(),
        "findings": findings.to_json(),
    }
    write_json(out / f"{split}_build.json", report)
    logger.info("%s: %d samples; %s", path, count, findings.summary())
    return path


def _counted(samples: Iterator[Sample], tally: Tally) -> Iterator[Sample]:
    for sample in samples:
        tally.add(sample)
        yield sample


def load_pools(name: str, root: Path, split: str, findings: Findings, *, without_test: bool = False) -> list[Pool]:
    """Reads one split into a pool per source that its rows name: pairs are made within one source.

    Sources without a curated list (users' own data) compare every class with itself only.

    Raises:
        AnnotationError: unreadable annotations.
        SampleError: fewer than two usable images.
    """
    images = noting_absent(read_images(name, root, split, findings, without_test), findings)
    views: dict[str, list[ImageView]] = {}
    for view in view_images(images, findings):
        views.setdefault(view.source, []).append(view)
    try:
        return [_pool(source, split, some) for source, some in (views or {name: []}).items()]
    except SampleError as cause:
        noted = "".join(f"\n    {item.kind} {item.where}: {item.detail}" for item in findings.items[:FEW])
        more = f"\n    ... {len(findings.items) - FEW} more" if len(findings.items) > FEW else ""
        listed = f"; what reading it noted:{noted}{more}" if noted else ""
        raise SampleError(f"{cause.what}{listed}", where=cause.where, mend=cause.mend) from cause


def _pool(source: str, split: str, views: list[ImageView]) -> Pool:
    if source in classes.SOURCES:
        return Pool(source, split, views, classes.comparable_classes(source))
    logger.info("%s has no list of comparable classes: every class is compared with itself only", source)
    return Pool(source, split, views, {c: frozenset({c}) for view in views for c in view.classes})


def _refuse_shared_names(pools: Sequence[Pool]) -> None:
    names = Counter(pool.source for pool in pools)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ConfigError(
            f"rows of two --source arguments name the source {twice[0]!r}",
            mend="give them different names in their rows, or put them into one file",
        )


def noting_absent(images: Iterator[AnnotatedImage], findings: Findings) -> Iterator[AnnotatedImage]:
    """Dialogues can be built before the pictures are there, but nobody should find out in training."""
    for image in images:
        if not os.path.isfile(image.path):  # False, too, for names that no file can have
            findings.add("picture_absent", image.path)
        yield image


def read_images(name: str, root: Path, split: str, findings: Findings, without_test: bool) -> Iterator[AnnotatedImage]:
    """The images of one split of a source; ``without_test``: see the argument of that name."""
    read = READERS.load(name)
    if not without_test:
        yield from read(root, split, findings=findings)
        return
    for image in read(root, "val" if split == "test" else "train", findings=findings):
        held_out = zlib.crc32(image.image_id.encode()) % HELD_OUT_OF == 0
        if split == "test" or held_out == (split == "val"):
            yield image
