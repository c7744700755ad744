"""The command line of the feature cache: ``llava-corr cache``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..config import load_config
from ..errors import ConfigError
from ..files import write_json
from .command import add_experiment

logger = logging.getLogger(__name__)

WHOLE = "build.json"  # in the cache's folder: what the last build that came to its end did


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--out", metavar="FOLDER", help="of the cache; by default data.features, or data/cache/NAME")
    parser.add_argument("--batch-size", type=int, default=8, help="pictures at once (default 8)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="that features are stored in; by default what training computes in (training.bf16)",
    )


def run(args: argparse.Namespace) -> int:
    config = load_config(args.config, args.set)
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size {args.batch_size}: nothing would be looked at", mend="take at least 1")
    folder = Path(args.out or config.data.features or Path("data", "cache", config.name))
    import torch

    from .cache_building import build_cache

    dtype = getattr(torch, args.dtype) if args.dtype else None
    built = build_cache(config, folder, batch_size=args.batch_size, dtype=dtype)
    write_json(folder / WHOLE, {name: getattr(built, name) for name in ("pictures", "added", "seconds", "bytes")})
    rate = f" in {built.seconds:.1f} s, {built.added / built.seconds:.1f} pictures/s" if built.added else ""
    logger.info("%d pictures, %d of them added%s", built.pictures, built.added, rate)
    logger.info("%.3f GB in %s", built.bytes / 1e9, folder)
    logger.info("train on them with --set data.features=%s", folder)
    return 0
