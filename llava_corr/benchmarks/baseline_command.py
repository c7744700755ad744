"""``llava-corr baseline``: samples in, a prediction file out that is scored like any model's.

llava-corr baseline prior-only --train train.jsonl --samples test.jsonl --out prior.jsonl
llava-corr baseline label-set --detections detections.jsonl --samples test.jsonl --out p.jsonl --threshold 0.7
llava-corr baseline simulate-detector --world ROOT --split test --out detections.jsonl --miss-small 0.6
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigError, Findings
from ..files import file_hash, refuse_overwriting, write_json
from ..record_files import read_samples, refuse_replacing, write_records
from ..records import Prediction
from . import BASELINES, simulate_command
from .detections import DetectionIndex, read_detections
from .label_sets import RULES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the baselines, each with its options."""
    baselines = parser.add_subparsers(dest="baseline", required=True, metavar="BASELINE")
    description = "one constant answer per task, fitted on training samples"
    prior = baselines.add_parser("prior-only", help=description, description=description)
    prior.add_argument("--train", required=True, help="samples file the constant answer is fitted on")
    prior.add_argument("--seed", type=int, default=0, help="seed of the choice of training images (default 0)")
    description = "compare what a part detector found in each image"
    labels = baselines.add_parser("label-set", help=description, description=description)
    labels.add_argument("--detections", required=True, help="detections, rows (.jsonl) or COCO results (.json)")
    labels.add_argument("--annotations", help="file with the images and categories of COCO results, if they lack them")
    labels.add_argument(
        "--threshold", type=float, default=0.0, help="detections with scores above it count (default 0; VLPart: 0.7)"
    )
    labels.add_argument("--rule", choices=RULES, default=RULES[0], help=f"what part tasks compare (default {RULES[0]})")
    labels.add_argument(
        "--by-file-name", action="store_true", help="detections of an image file in another folder are taken for it"
    )
    for sub in (prior, labels):
        sub.add_argument("--samples", required=True, help="samples file to answer")
        sub.add_argument("--out", required=True, help="prediction file to write")
    description = "a chat model, a language model and a segmenter in a row"  # cli.VARIANTS leads it elsewhere
    baselines.add_parser("cascade", help=description, description=description)
    description = "write the detections of a simulated detector of stated quality, for label-set"
    simulate_command.add_arguments(baselines.add_parser("simulate-detector", help=description, description=description))


def run(args: argparse.Namespace) -> int:
    """Writes the baseline's predictions, or the simulated detections; returns the exit status 0.

    Raises:
        LlavaCorrError: unusable samples, detections or annotations, a file that cannot be written.
    """
    if args.baseline == "simulate-detector":
        return simulate_command.run(args)
    inputs = [(f"--{name}", getattr(args, name, None)) for name in ("train", "samples", "detections", "annotations")]
    outputs = [("--out", args.out)] + ([("--out", _report(args.out))] if args.baseline == "label-set" else [])
    refuse_overwriting(outputs, inputs)
    refuse_replacing(args.out, Prediction)
    answers = _prior_only(args) if args.baseline == "prior-only" else _label_set(args)
    count = write_records(args.out, answers)
    sys.stdout.write(f"{args.baseline}: {count} predictions in {args.out}\n")
    return 0


def _prior_only(args: argparse.Namespace) -> Iterable[Prediction]:
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed} must not be negative", mend="correct the argument")
    predict = BASELINES.load("prior-only")
    return predict(read_samples(args.train), read_samples(args.samples), seed=args.seed)


def _label_set(args: argparse.Namespace) -> Iterable[Prediction]:
    """The answers; what they rest on is written beside the prediction file."""
    if not (math.isfinite(args.threshold) and 0 <= args.threshold < 1):
        raise ConfigError(f"--threshold {args.threshold} keeps nothing or is no score", mend="scores lie in [0, 1]")
    findings = Findings()
    images = read_detections(args.detections, args.annotations, findings=findings)
    predict = BASELINES.load("label-set")
    index = DetectionIndex(images, args.detections, by_file_name=args.by_file_name)
    answers = list(predict(read_samples(args.samples), index, threshold=args.threshold, rule=args.rule))
    scores = [item.score for image in images for item in image.detections]
    kept = sum(score > args.threshold for score in scores)
    asked = [[item.score for item in image.detections] for image in index.rows_found()]
    bare = sum(not own for own in asked)
    empty = sum(bool(own) and max(own) <= args.threshold for own in asked)
    report = {
        "baseline": "label-set",
        "rule": args.rule,
        "threshold": args.threshold,
        "detections": {"path": args.detections, "sha256": file_hash(args.detections)},
        "annotations": {"path": args.annotations, "sha256": file_hash(args.annotations)} if args.annotations else None,
        "samples": {"path": args.samples, "sha256": file_hash(args.samples)},
        "images": len(images),
        "images_asked_about": index.images_found,
        "by_file_name": args.by_file_name,
        "images_without_detections": bare,
        "images_with_none_kept": empty,
        "detections_read": len(scores),
        "detections_kept": kept,
        "finding_counts": findings.counts(),
        "findings": findings.to_json(),
    }
    write_json(_report(args.out), report)
    sys.stdout.write(
        f"{kept} of {len(scores)} detections in {len(images)} images score above {args.threshold:g}; "
        f"{findings.summary()}\n"
        f"{index.images_found} images asked about: {bare} without any detection, {empty} with none above the "
        "threshold\n"
    )
    return answers


def _report(out: str) -> Path:
    return Path(f"{out}.label-set.json")
