"""The tables of a reproduction: means over seeds, paired verdicts that all seeds agree on, cost of every row."""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import ReportError
from .files import atomic_write, read_json, write_json
from .report.scores_file import ScoresFile, read_scores

logger = logging.getLogger(__name__)

COLUMNS = ("AP50", "mIoU", "Recall", "SS", "S-IoU", "mIoU_strict", "predictions_per_truth")
COMPARED = ("AP50", "mIoU", "Recall", "SS", "S-IoU", "mIoU_strict")
TASKS = ("mean", "common_objects", "common_parts", "unique_parts")
PERCENT = {name: 1.0 if name == "predictions_per_truth" else 100.0 for name in COLUMNS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of llava-corr reproduce")
    parser.add_argument("--results", type=Path, help="folder to write table.json and table.md into (default: --out)")


def run(args: argparse.Namespace) -> int:
    found = collect(args.out)
    results = args.results or args.out
    write_json(results / "table.json", found)
    text = markdown(found)
    with atomic_write(results / "table.md") as handle:
        handle.write(text)
    logger.info("%s", text)
    return 0


def collect(out: Path) -> dict[str, Any]:
    """test set -> row -> what its seeds scored, how they compare with Calico, and what they cost.

    Raises:
        ReportError: there are no scores, or those of one test set rest on different samples.
    """
    files = sorted((out / "scores").glob("*.json")) if (out / "scores").is_dir() else []
    grouped: dict[str, dict[str, dict[str, ScoresFile]]] = defaultdict(lambda: defaultdict(dict))
    for path in files:
        run_name, _, test = path.stem.rpartition("-")
        row, _, seed = run_name.rpartition("-") if run_name.rpartition("-")[2].isdigit() else (run_name, "", "0")
        grouped[test][row][seed] = read_scores(path)
    if not grouped:
        raise ReportError("no scores", where=str(out / "scores"), mend="run llava-corr reproduce first")
    for test, rows in grouped.items():
        truths = {file.truth for seeds in rows.values() for file in seeds.values()}
        if len(truths) > 1:
            raise ReportError(f"scores on {test} rest on different samples", where=str(out), mend="score them anew")
    return {
        test: {row: _row(seeds) | {"cost": _cost(out, row, seeds)} for row, seeds in rows.items()}
        for test, rows in grouped.items()
    }


def _row(seeds: Mapping[str, ScoresFile]) -> dict[str, Any]:
    return {
        "seeds": sorted(seeds),
        "scores": {task: {c: _mean(_values(seeds, task, c)) for c in COLUMNS} for task in TASKS},
        "intervals": {task: {c: _intervals(seeds, task, c) for c in COLUMNS} for task in TASKS},
        "against": {task: {c: _verdict(seeds, task, c) for c in COMPARED} for task in TASKS},
    }


def _values(seeds: Mapping[str, ScoresFile], task: str, column: str) -> list[float]:
    return [f.columns[task][column].value for f in seeds.values() if column in f.columns.get(task, {})]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _intervals(seeds: Mapping[str, ScoresFile], task: str, column: str) -> list[Any]:
    """Of each seed by itself: they hold the noise of samples, not that of seeds."""
    return [f.columns[task][column].interval for f in seeds.values() if column in f.columns.get(task, {})]


def _verdict(seeds: Mapping[str, ScoresFile], task: str, column: str) -> dict[str, Any] | None:
    """Paired differences of each seed; better or worse only where every seed says so."""
    found = [
        f.against.differences[task][column]
        for f in seeds.values()
        if f.against and column in f.against.differences.get(task, {})
    ]
    if not found:
        return None
    said = {difference.verdict or "undecided" for difference in found}
    return {
        "difference": _mean([difference.value for difference in found]),
        "of_each_seed": [[difference.value, difference.interval] for difference in found],
        "verdict": said.pop() if len(said) == 1 else "undecided",
    }


def _cost(out: Path, row: str, seeds: Iterable[str]) -> dict[str, Any]:
    """Seconds of training and of answering, steps, and TFLOPs of a training sample, of rows that were trained."""
    spent = (
        read_json(out / "stages.json", ReportError).get("stage_seconds", {}) if (out / "stages.json").exists() else {}
    )
    runs = [(f"{row}-{seed}", out / f"{row}-{seed}" / "run.json") for seed in seeds]
    runs = [(name, path) for name, path in runs if path.exists()]
    facts = [read_json(path, ReportError) for _, path in runs]
    answering = [spent[f"predict: {name} pairs"] for name, _ in runs if f"predict: {name} pairs" in spent]
    return {
        "steps": [fact.get("steps") for fact in facts],
        "train_seconds": _mean([fact["train_seconds"] for fact in facts if "train_seconds" in fact]),
        "predict_seconds": _mean(answering),
        "trainable_parameters": facts[0].get("trainable_parameters") if facts else None,
        "teraflops": _teraflops(runs[0][1].parent / "config.yaml") if runs else None,
    }


def _teraflops(config: Path) -> float | None:
    if not config.exists():
        return None
    from .config import load_config
    from .models.sizes import measure

    return float(measure(load_config(config)).to_json()["teraflops_per_sample"])


def markdown(found: Mapping[str, Any]) -> str:
    """A table for each test set: the mean of the tasks, and strict mIoU by task with verdicts."""
    blocks = []
    for test, rows in found.items():
        lines = [f"### {test}", "", f"| row | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
        for row, values in rows.items():
            cells = [_cell(values["scores"]["mean"][c], c, values["against"]["mean"].get(c)) for c in COLUMNS]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _cell(value: float | None, column: str, against: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    text = f"{value * PERCENT[column]:.{2 if PERCENT[column] == 1 else 1}f}"
    if against is None:
        return text
    return f"{text} ({against['difference'] * PERCENT[column]:+.1f}, {against['verdict']})"
