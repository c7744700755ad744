"""``llava-corr baseline simulate-detector``: annotated images in, degraded detections and their measured quality out.

llava-corr baseline simulate-detector --world ROOT --split test --out detections.jsonl \
    --miss-small 0.6 --miss-large 0.1 --wrong-name 0.1 --false-positives 2 --mask-iou 0.8 --score-noise 0.15
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from ..datasets.mixedparts.classes import SOURCES
from ..datasets.mixedparts.command import read_images, source_roots
from ..datasets.mixedparts.phrasings import SPLITS
from ..errors import ConfigError, Findings
from ..files import refuse_overwriting, write_json
from ..record_files import read_samples, refuse_replacing
from ..records import AnnotatedImage
from ..sources import SOURCES as READERS
from .detections import DetectedImage, write_detections
from .detector_quality import Quality, measure
from .simulated_detector import DetectorQuality, simulate

THRESHOLDS = (0.0, 0.5, 0.7)  # at which the quality is measured

_HELP = {
    "miss_small": "share missed of small things (default 0)",
    "miss_large": "share missed of large things (default 0)",
    "small": "share of the image up to which a thing is small (default 0.001)",
    "large": "share of the image from which on a thing is large (default 0.05)",
    "wrong_name": "share of found things with a comparable thing's name (default 0)",
    "false_positives": "mean number of detections of nothing per image (default 0)",
    "mask_iou": "mean IoU of the masks with the true ones (default 1)",
    "score_noise": "standard deviation of the noise on scores (default 0)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``simulate-detector``."""
    roots = parser.add_argument_group("where the annotations are (one of)")
    roots.add_argument("--source", action="append", metavar="NAME=ROOT", help=f"one of {', '.join(READERS.names())}")
    roots.add_argument("--world", metavar="ROOT", help=f"folder that holds {', '.join(SOURCES)}")
    parser.add_argument("--split", choices=SPLITS, default="test", help="split to detect in (default test)")
    parser.add_argument(
        "--without-test",
        action="append",
        default=[],
        metavar="NAME",
        help="as for llava-corr data: its val is the test",
    )
    parser.add_argument("--samples", help="detect only in the images of this samples file")
    parser.add_argument("--out", required=True, help="detections to write (.jsonl); OUT.quality.json says how good")
    parser.add_argument("--seed", type=int, default=0, help="of all degradations (default 0)")
    rates = parser.add_argument_group("rates (the defaults are a perfect detector)")
    for name, text in _HELP.items():
        default = DetectorQuality.model_fields[name].default
        rates.add_argument(f"--{name.replace('_', '-')}", type=float, default=default, help=text)


def run(args: argparse.Namespace) -> int:
    """Writes detections and quality, shows the quality; returns 0.

    Raises:
        LlavaCorrError: unusable arguments or annotations, files that cannot be written.
    """
    out, beside = Path(args.out), Path(f"{args.out}.quality.json")
    roots = source_roots(args.source or [], args.world)
    quality = _asked(args)
    unknown = sorted(set(args.without_test) - set(roots))
    if unknown:
        raise ConfigError(f"--without-test {', '.join(unknown)} is not among the sources", mend="correct the argument")
    files = [(f"--source {name}={root}:", root) for name, root in roots.items() if root.is_file()]
    refuse_overwriting([("--out", out), ("--out", beside)], [("--samples", args.samples), *files])
    if out.suffix.lower() == ".json":
        raise ConfigError(f"--out {out} would be read as COCO results", mend="name the file *.jsonl")
    refuse_replacing(out, DetectedImage)
    findings = Findings()
    images = [
        image
        for name, root in roots.items()
        for image in read_images(name, root, args.split, findings, name in args.without_test)
    ]
    images = _of_samples(images, args.samples) if args.samples else images
    rows = simulate(images, quality, seed=args.seed, findings=findings)
    measured = {str(t): measure(images, rows, threshold=t) for t in THRESHOLDS}
    base = out.resolve().parent
    write_detections(out, (row.model_copy(update={"image": _stored(row.image, base)}) for row in rows))
    report = {
        "asked": quality.model_dump(),
        "seed": args.seed,
        "split": args.split,
        "sources": {name: str(root) for name, root in roots.items()},
        "samples": args.samples,
        "images": len(rows),
        "measured_at_threshold": {t: {k: q.model_dump() for k, q in kinds.items()} for t, kinds in measured.items()},
        "finding_counts": findings.counts(),
        "findings": findings.to_json(),
    }
    write_json(beside, report)
    sys.stdout.write(_table(len(rows), args.out, measured) + f"\n{findings.summary()}\n")
    return 0


def _asked(args: argparse.Namespace) -> DetectorQuality:
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed} must not be negative", mend="correct the argument")
    try:
        return DetectorQuality(**{name: getattr(args, name) for name in _HELP})
    except ValidationError as cause:
        named = [("".join(f"--{name}: " for name in e["loc"]).replace("_", "-"), e["msg"]) for e in cause.errors()]
        faults = "; ".join(option + message for option, message in named)
        raise ConfigError(faults, mend="correct the arguments") from cause


def _of_samples(images: list[AnnotatedImage], path: str) -> list[AnnotatedImage]:
    wanted = {os.path.realpath(image.path) for sample in read_samples(path) for image in sample.images}
    known = {os.path.realpath(image.path) for image in images}
    absent = sorted(wanted - known)
    if absent:
        raise ConfigError(
            f"{len(absent)} of {len(wanted)} images of the samples are not annotated here; first: {absent[0]}",
            where=path,
            mend="give the sources and the split that the samples were built from",
        )
    return [image for image in images if os.path.realpath(image.path) in wanted]


def _stored(path: str, base: Path) -> str:
    """Relative where the image lies below the file's folder, so that the folder can be moved."""
    full = Path(path)
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(full)


def _table(count: int, out: str, measured: dict[str, dict[str, Quality]]) -> str:
    lines = [f"{count} images in {out}"]
    for threshold, kinds in measured.items():
        for kind, q in kinds.items():
            values = {"recall": q.recall, "precision": q.precision, "mean IoU": q.mean_iou, "wrong name": q.wrong_name}
            shown = ", ".join(f"{name} {'-' if v is None else f'{v:.3f}'}" for name, v in values.items())
            lines.append(f"score > {threshold}  {kind:8}  {shown}, {q.detections} for {q.truths}")
    return "\n".join(lines)
