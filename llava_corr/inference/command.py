"""``llava-corr predict``: a prediction file for a samples file."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import CheckpointError, ConfigError
from ..record_files import read_samples, write_records

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, help="run folder of training")
    parser.add_argument("--samples", type=Path, required=True, help="samples file to answer")
    parser.add_argument("--out", type=Path, required=True, help="prediction file to write (JSON lines)")
    parser.add_argument("--limit", type=int, default=None, help="answer only the first samples")
    parser.add_argument("--batch-size", type=int, default=None)


def run(args: argparse.Namespace) -> int:
    from ..config import load_config
    from .predictor import Predictor

    saved = args.run / "config.yaml"
    if not saved.is_file():
        above = args.run.resolve().parent
        mend = f"name the run itself: --run {args.run.parent}" if _is_run(above) else "name a run of training"
        raise CheckpointError("the run folder holds no config.yaml", where=str(args.run), mend=mend)
    if any(value is not None and value < 1 for value in (args.limit, args.batch_size)):
        raise ConfigError(f"--limit {args.limit} --batch-size {args.batch_size}", mend="both are counted from 1")
    config = load_config(saved)
    predictor = Predictor.from_pretrained(args.run / "model", max_new_tokens=config.prediction.max_new_tokens)
    samples = read_samples(args.samples)[: args.limit]
    batch_size = args.batch_size or config.prediction.batch_size
    count = write_records(args.out, predictor.predict(samples, batch_size=batch_size, blind=config.data.blind))
    logger.info("%d predictions in %s", count, args.out)
    return 0


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "model").is_dir()
