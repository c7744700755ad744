"""``llava-corr data --dataset grand``: alignment samples from GranD, or from any other source put into its format.

    llava-corr data --dataset grand --source grand=/data/grand --split train --count 10000 --out work/alignment
    llava-corr data --dataset grand --world work/world --split train --count 2000 --out work/alignment

Writes per split ``{split}.jsonl`` (the samples) and ``{split}_build.json`` (seed, roots, tasks, every finding).
Other sources than ``grand`` are written as GranD files into a temporary folder and read from there: one door for all.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from ...errors import ConfigError, Findings
from ...files import write_json
from ...record_files import write_samples
from ...records import CaptionedImage, Sample
from ...sources import grand
from ...world.writers import grand as grand_writer
from ..mixedparts.command import noting_absent, read_images, roots_and_splits
from .build import Builder
from .phrasings import TASK_SHARES
from .subjects import Subject, subject

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Builds the splits asked for; returns 0.

    Raises:
        LlavaCorrError: unusable arguments or annotations.
    """
    if args.spec:
        raise ConfigError("--spec belongs to MixedParts", where=f"--dataset {args.dataset}", mend="leave it out")
    roots, splits = roots_and_splits(args)
    for split in splits:
        build_split(roots, split, args.count, args.seed, Path(args.out), args.without_test)
    return 0


def build_split(
    roots: Mapping[str, Path], split: str, count: int, seed: int, out: Path, without_test: Collection[str] = ()
) -> Path:
    """Builds one split and writes its two files into ``out``; returns the samples file."""
    findings = Findings()
    subjects = [
        found
        for name, root in roots.items()
        for found in load_subjects(name, root, split, findings, without_test=name in without_test)
    ]
    tasks: Counter[str] = Counter()
    path = out / f"{split}.jsonl"
    write_samples(path, _counted(Builder(subjects, split, seed).samples(count), tasks))
    report = {
        "split": split,
        "count": count,
        "seed": seed,
        "sources": {name: str(root) for name, root in roots.items()},
        "without_test": sorted(without_test),
        "task_shares": TASK_SHARES,
        "tasks": dict(tasks.most_common()),
        "images": len(subjects),
        "finding_counts": findings.counts(),
        "findings": findings.to_json(),
    }
    write_json(out / f"{split}_build.json", report)
    logger.info("%s: %d samples from %d images; %s", path, count, len(subjects), findings.summary())
    return path


def _counted(samples: Iterator[Sample], tasks: Counter[str]) -> Iterator[Sample]:
    for sample in samples:
        tasks[sample.task] += 1
        yield sample


def load_subjects(
    name: str, root: Path, split: str, findings: Findings, *, without_test: bool = False
) -> list[Subject]:
    """Reads one split of a source.

    Raises:
        AnnotationError: unreadable annotations, or an image id that two images have.
    """
    images = noting_absent(read_images(name, root, split, findings, without_test), findings)
    if name == grand.SOURCE:
        captioned = cast("list[CaptionedImage]", list(images))  # what that reader yields
    else:
        with TemporaryDirectory() as folder:
            shown = []
            for image in images:
                if image.objects:
                    shown.append(image)
                else:
                    findings.add("image_without_objects", f"{name}/{split} image {image.image_id}")
            grand_writer.write(Path(folder), split, shown, root)
            captioned = list(grand.read(folder, split, findings=findings, image_root=root)) if shown else []
    return [found for image in captioned if (found := subject(image, name, findings)) is not None]
