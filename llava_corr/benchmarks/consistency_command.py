"""``llava-corr consistency``: does an answer follow the pictures, or their places and company?

llava-corr consistency swap-samples --samples test.jsonl --out swapped.jsonl
llava-corr predict --run RUN --samples swapped.jsonl --out p_swapped.jsonl
llava-corr consistency swap --samples test.jsonl --predictions p.jsonl --swapped p_swapped.jsonl --out swap.json
llava-corr consistency partner --samples test.jsonl --predictions p.jsonl --out partner.json
"""

from __future__ import annotations

import argparse
import sys

from ..errors import ConfigError, Findings
from ..files import refuse_overwriting, refuse_replacing_json, write_json
from ..record_files import iter_predictions, read_samples, refuse_replacing, write_samples
from ..records import Prediction, Sample, Score, Task
from .consistency import SUFFIX, partner_consistency, swap_consistency, swap_sample
from .mixedparts_units import truth_of
from .verified import require_verified

SCHEMA = 1
UNANSWERED = ("unanswered", "unanswered_swapped")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the checks of ``consistency``, each with its options."""
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    for name, description in (
        ("swap-samples", "write the samples with IMAGE1 and IMAGE2 exchanged, to be predicted"),
        ("swap", "compare the answers to samples and to swapped samples"),
        ("partner", "compare the whole objects of a picture between its partners"),
    ):
        check = checks.add_parser(name, help=description, description=description)
        check.add_argument("--samples", required=True, help="samples file (JSON lines), not swapped")
        check.add_argument("--out", required=True, help="samples file to write" if name == "swap-samples" else "JSON")
        if name == "swap-samples":
            continue
        check.add_argument("--predictions", required=True, help="answers to the samples")
        if name == "swap":
            check.add_argument("--swapped", required=True, help="answers to the swapped samples")
        check.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default 1000)")
        check.add_argument("--seed", type=int, default=0, help="seed of the resamples (default 0)")


def run(args: argparse.Namespace) -> int:
    """Writes ``args.out`` and shows a table on standard output; returns 0.

    Raises:
        LlavaCorrError: files that cannot be read, written, or that do not belong together.
    """
    read = [(f"--{name}", getattr(args, name, None)) for name in ("samples", "predictions", "swapped")]
    refuse_overwriting([("--out", args.out)], read)
    samples = read_samples(args.samples)
    if args.check == "swap-samples":
        refuse_replacing(args.out, Sample)
        count = write_samples(args.out, (swap_sample(sample) for sample in samples))
        sys.stdout.write(f"{count} swapped samples in {args.out}\n")
        return 0
    refuse_replacing_json("--out", args.out, "consistencies", ("check", "tasks"))
    if args.resamples < 0 or args.seed < 0:
        raise ConfigError(f"--resamples {args.resamples} and --seed {args.seed} must not be negative")
    settings = {"resamples": args.resamples, "seed": args.seed}
    findings = Findings()
    answers = _read(args.predictions)
    files = {"samples": args.samples, "predictions": args.predictions}
    if args.check == "swap":
        files["swapped"] = args.swapped
        scores = swap_consistency(samples, answers, _read(args.swapped), **settings, findings=findings)
    else:
        scores = partner_consistency(samples, answers, **settings, findings=findings)
    tasks = {task: {name: score.model_dump(mode="json") for name, score in row.items()} for task, row in scores.items()}
    head = {"schema_version": SCHEMA, "check": args.check, "files": files, "truth": truth_of(samples)}
    noted = {"counts": findings.counts(), "items": findings.to_json()}
    write_json(args.out, {**head, "settings": settings, "tasks": tasks, "findings": noted})
    left_out = len({item.where.removesuffix(SUFFIX) for item in findings.items if item.kind in UNANSWERED})
    sys.stdout.write(f"{_table(scores)}\n{left_out} of {len(samples)} samples left out; {findings.summary()}\n")
    return 0


def _read(path: str) -> list[Prediction]:
    require_verified(path)
    return list(iter_predictions(path))


def _table(scores: dict[Task, dict[str, Score]]) -> str:
    """A line per task and metric: value x 100 with its interval, and what it rests on."""
    lines = []
    for task, row in scores.items():
        for name, score in row.items():
            low_high = "" if score.interval is None else f" [{score.interval[0]:.1%}, {score.interval[1]:.1%}]"
            lines.append(f"{task:15}  {name:19}  {score.value:.1%}{low_high}  n {score.n}")
    return "\n".join(lines)
