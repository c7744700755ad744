"""``llava-corr data``: builds dialogues from annotated images, MixedParts or alignment samples."""

from __future__ import annotations

import argparse

from .alignment import command as alignment
from .mixedparts import command as mixedparts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``llava-corr data``."""
    parser.add_argument(
        "--dataset",
        choices=("mixedparts", "grand"),
        default="mixedparts",
        help="mixedparts: several images, their common and unique parts (default); grand: one image, for alignment",
    )
    mixedparts.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Builds the data set asked for; returns 0."""
    return alignment.run(args) if args.dataset == "grand" else mixedparts.run(args)
