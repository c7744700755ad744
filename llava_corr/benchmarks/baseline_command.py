"""``llava-corr baseline prior-only``: samples in, a prediction file out that is scored like any model's."""

from __future__ import annotations

import argparse
import sys

from ..errors import ConfigError
from ..files import refuse_overwriting
from ..record_files import read_samples, refuse_replacing, write_records
from ..records import Prediction
from . import BASELINES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``baseline``."""
    parser.add_argument(
        "baseline", help=f"which baseline: {', '.join(BASELINES.names())} (or cascade: it has a help of its own)"
    )
    parser.add_argument("--train", required=True, help="samples file the constant answer is fitted on")
    parser.add_argument("--samples", required=True, help="samples file to answer")
    parser.add_argument("--out", required=True, help="prediction file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of training images (default 0)")


def run(args: argparse.Namespace) -> int:
    """Writes the baseline's predictions; returns the exit status 0.

    Raises:
        LlavaCorrError: an unknown baseline, unusable samples, a file that cannot be written.
    """
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed} must not be negative")
    refuse_overwriting([("--out", args.out)], [("--train", args.train), ("--samples", args.samples)])
    refuse_replacing(args.out, Prediction)
    predict = BASELINES.load(args.baseline)
    count = write_records(args.out, predict(read_samples(args.train), read_samples(args.samples), seed=args.seed))
    sys.stdout.write(f"{args.baseline}: {count} predictions in {args.out}\n")
    return 0
