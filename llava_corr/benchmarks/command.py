"""``llava-corr score`` and ``eval/mixedparts.py``: samples and prediction files in, a table and ``scores.json`` out."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError, PredictionError
from ..files import file_hash, refuse_overwriting, refuse_replacing_json, write_json
from ..metrics.text import DEFAULT_MODEL, LabelEmbeddings, cache_name
from ..record_files import iter_predictions, read_samples
from ..records import Sample
from .mixedparts import RESAMPLES, compare, score
from .mixedparts_output import Run, comparison_table, table, to_json
from .verified import require_verified

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``score``."""
    parser.add_argument("--samples", required=True, help="samples file (JSON lines) that holds the truth")
    parser.add_argument("--predictions", required=True, help="prediction file (JSON lines) to score")
    parser.add_argument("--against", help="second prediction file on the same samples: differences, paired intervals")
    parser.add_argument("--name", help="name in tables; the prediction file's name by default")
    parser.add_argument("--against-name", help="name of the second file in tables")
    parser.add_argument("--out", required=True, help="scores.json to write; label embeddings are cached beside it")
    parser.add_argument(
        "--text-model", default=DEFAULT_MODEL, help=f"sentence-transformers folder or hub id (default {DEFAULT_MODEL})"
    )
    parser.add_argument("--embeddings", help="cache of label embeddings (.npz); default beside --out")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help=f"bootstrap resamples (default {RESAMPLES})")
    parser.add_argument("--seed", type=int, default=0, help="seed of the resamples (default 0)")


def run(args: argparse.Namespace) -> int:
    """Scores, writes ``args.out``, shows the table on standard output; returns the exit status 0.

    Raises:
        LlavaCorrError: files that cannot be read, written, or that do not belong together.
    """
    if args.resamples < 0 or args.seed < 0:
        raise ConfigError(
            f"--resamples {args.resamples} and --seed {args.seed} must not be negative",
            mend="--resamples 0 gives no intervals",
        )
    cache = Path(args.embeddings) if args.embeddings else Path(args.out).parent / cache_name(args.text_model)
    read = [("--samples", args.samples), ("--predictions", args.predictions), ("--against", args.against)]
    refuse_overwriting([("--out", args.out), ("--embeddings", cache)], read)
    refuse_replacing_json("--out", args.out, "scores", ("benchmark", "columns"))
    samples = read_samples(args.samples)
    embeddings = LabelEmbeddings(args.text_model, cache)
    first = _scored(args, samples, args.predictions, args.name, embeddings)
    second = _scored(args, samples, args.against, args.against_name, embeddings) if args.against else None
    differences = compare(first.result, second.result) if second else None
    embeddings.save()
    write_json(args.out, to_json(first, args.samples, second, differences))
    texts = [table(first)]
    if second and differences is not None:
        texts += [table(second), comparison_table(first, second, differences)]
    sys.stdout.write("\n\n".join(texts) + "\n")
    return 0


def _scored(
    args: argparse.Namespace, samples: Sequence[Sample], path: str, name: str | None, embeddings: LabelEmbeddings
) -> Run:
    predictions = list(iter_predictions(path))
    sha256 = file_hash(path, PredictionError) if Path(path).is_file() else None  # a pipe is read once
    require_verified(path)
    if not predictions:
        raise PredictionError("the file holds no prediction", where=path, mend="run llava-corr predict again")
    result = score(samples, predictions, embeddings, resamples=args.resamples, seed=args.seed, source=path)
    if missing := len({s.id for s in samples} - {p.sample_id for p in predictions}):
        logger.warning("%s: %d of %d samples have no prediction: scored as empty", path, missing, len(samples))
    return Run(name or Path(path).stem, path, sha256, result)
