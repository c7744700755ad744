"""The command line of training: ``scripts/train.py`` and ``llava-corr train``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from ..config import load_config, overfitted
from ..errors import ConfigError, LlavaCorrError

logger = logging.getLogger(__name__)


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``, which together name an experiment."""
    parser.add_argument(
        "--config",
        required=True,
        nargs="+",
        action="extend",
        help="YAML file, or a name in configs/; of several, each is laid over those before it",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override, may be repeated")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--dry-run", action="store_true", help="build everything, print the plan, take no step")
    parser.add_argument(
        "--overfit", type=int, metavar="N", help="train and validate on the first N samples only, in a run of its own"
    )
    # The DeepSpeed launcher passes its rank this way; the environment says the same.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=-1, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    config = load_config(args.config, args.set)
    if args.overfit is not None:
        if args.overfit < 1:
            raise ConfigError(f"--overfit {args.overfit}: there is nothing to train on", mend="take at least 1 sample")
        config = overfitted(config, args.overfit)
    from . import ranks
    from .sft import train

    train(config, dry_run=args.dry_run)
    if ranks.launched():
        ranks.leave()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the command line and trains; errors meant for the user come out as text, without a traceback."""
    parser = argparse.ArgumentParser(description="Train one experiment.")
    add_arguments(parser)
    rank_zero = int(os.environ.get("RANK", "0")) == 0
    logging.basicConfig(level=logging.INFO if rank_zero else logging.ERROR, format="%(message)s")
    try:
        return run(parser.parse_args(argv))
    except LlavaCorrError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command continues from the last checkpoint\n")
        return 130
