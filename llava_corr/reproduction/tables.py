"""``llava-corr tables``: the tables of a reproduction, as JSON and Markdown.

A row is scored once a seed; a table shows the mean over seeds. Against Calico of the same seed the difference is
paired over samples; it is "better" or "worse" only where the 95 % intervals of all seeds, two at least, say so.
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ReportError
from ..files import atomic_write, write_json
from ..report.scores_file import ScoresFile, read_scores
from .checks import commits, compared_with, faults
from .evidence import CONSISTENCY, gather, without_samples
from .images import by_images, seconds_a_sample
from .order import METRICS, order, verdict
from .stored import RunFacts, read_as, size_of, stages_of

logger = logging.getLogger(__name__)

COLUMNS = ("AP50", "mIoU", "Recall", "SS", "S-IoU", "mIoU_strict")
RATIO = "predictions_per_truth"
TASKS = ("mean", "common_objects", "common_parts", "unique_parts")
# test set -> what its table shows
SHOWN = {"none": ("false_segment_rate", "false_segment_rate_images")}
# title of a table on the test pairs -> its rows, in order
GROUPS = {
    "Main results (Table 1)": (
        "main", "main-drawn", "calico", "glamm", "lisa", "cascade", "label-set-all-parts", "label-set-main-object",
        "prior-only", "blind",
    ),
    "Ablations (Table 2)": ("calico", "new_projection", "no_qformer", "no_dino", "no_cem", "no_cam", "neither"),
    "Number of CAMs (Figure 8)": ("one_cam", "calico", "three_cams"),
}  # fmt: skip
# rows whose answers rest on more than pictures
SEES_TRUTH = ("main-drawn", "cascade", "label-set-all-parts", "label-set-main-object")
HEAD = """Pictures and data come from the **embedded world** and the models are tiny: nothing here is about photographs.

Scores are x 100. Brackets: 95 % intervals over test samples, one a seed; they do not hold what another seed would
change, and samples that share pictures make them a little too narrow. In the tables of rows, (difference from `calico`
of the same seed, verdict): "better" or "worse" only where the paired intervals of all seeds say so. `main` is trained
longer and compared with nothing; `main-drawn` are its masks for the true answers, compared with `main`. Rows with *
see the truth, the others by simulated parts: they show that the pipeline runs. mIoU is over matched masks, as in the
paper; mIoU_strict counts what is missed as 0. Rows: docs/reproduction.md; scores: docs/scores.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of llava-corr reproduce")
    parser.add_argument(
        "--results",
        type=Path,
        help="folder to commit: what the tables rest on joins that of earlier rows in its evidence/, and the tables of "
        "all of them are written into it (default: tables of --out, written there)",
    )


def run(args: argparse.Namespace) -> int:
    results = args.results or args.out
    found = collect(gather(args.out, args.results / "evidence") if args.results else args.out)
    write_json(results / "tables.json", found)
    text = markdown(found)
    with atomic_write(results / "tables.md") as handle:
        handle.write(text)
    logger.info("%s", text)
    return 0


def collect(out: Path) -> dict[str, Any]:
    """``tests``: test set -> row -> scores, comparison, cost; ``consistency``: check -> task -> metric; ``order``: the
    paper's claims about its rows; ``images``: the main row by the number of images; ``seconds_a_sample`` it takes to
    answer each test set; ``commits`` of the code that trained the rows; ``faults``: what makes them incomparable.

    Raises:
        ReportError: there are no scores, or those of one test set rest on different samples.
    """
    grouped: dict[str, dict[str, dict[str, ScoresFile]]] = defaultdict(lambda: defaultdict(dict))
    for path in sorted((out / "scores").glob("*-*.json")):
        name, _, test = path.stem.rpartition("-")
        row, _, seed = name.rpartition("-")
        row, seed = (row, seed) if seed.isdigit() else (name, "")
        grouped[test][row][seed] = read_scores(path)
    if not grouped:
        raise ReportError("no scores", where=str(out / "scores"), mend="run llava-corr reproduce first")
    for test, rows in grouped.items():
        if len({file.truth for seeds in rows.values() for file in seeds.values()}) > 1:
            raise ReportError(f"scores on {test} rest on different samples", where=str(out), mend="score them anew")
    for rows in grouped.values():  # an earlier version scored baselines once, against one seed
        for seeds in rows.values():
            if len(seeds) > 1:
                seeds.pop("", None)
    tests = {
        test: {row: _row(row, seeds) | {"cost": _cost(out, row, seeds)} for row, seeds in rows.items()}
        for test, rows in grouped.items()
    }
    checks = {name: out / "scores" / f"{name}.json" for name in CONSISTENCY}
    said = {name: without_samples(path)["tasks"] for name, path in checks.items() if path.exists()}
    pairs = grouped.get("pairs", {})
    numbers = sorted({seed for row in pairs.values() for seed in row if seed})
    trained = [f"{row}-{seed}" if seed else row for row, files in pairs.items() for seed in files]
    return {
        "tests": tests,
        "consistency": said,
        "order": order(out / "scores", numbers),
        "images": by_images(out),
        "seconds_a_sample": {test: seconds_a_sample(out, "main", test) for test in tests},
        "commits": commits(out, trained),
        "faults": faults(out, {row: sorted(files) for row, files in pairs.items()}),
    }


def _row(row: str, seeds: Mapping[str, ScoresFile]) -> dict[str, Any]:
    first = next(iter(seeds.values()))
    columns = {task: list(scores) for task, scores in first.columns.items()}
    return {
        "seeds": sorted(seeds),
        "scores": {task: {c: _mean(_values(seeds, task, c)) for c in names} for task, names in columns.items()},
        "intervals": {task: {c: _intervals(seeds, task, c) for c in names} for task, names in columns.items()},
        "against": {task: {c: _verdict(row, seeds, task, c) for c in COLUMNS} for task in TASKS},
    }


def _values(seeds: Mapping[str, ScoresFile], task: str, column: str) -> list[float]:
    found = (f.columns.get(task, {}).get(column) for f in seeds.values())
    return [score.value for score in found if score is not None and score.value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _intervals(seeds: Mapping[str, ScoresFile], task: str, column: str) -> list[Any]:
    """Of each seed by itself: they hold the noise of samples, not that of seeds."""
    return [f.columns[task][column].interval for f in seeds.values() if column in f.columns.get(task, {})]


def _verdict(row: str, seeds: Mapping[str, ScoresFile], task: str, column: str) -> dict[str, Any] | None:
    """A seed that is not compared with what it should be says nothing, and leaves the others undecided."""
    found = []
    for seed, file in seeds.items():
        against = file.against
        fits = against is not None and against.name == compared_with(f"{row}-{seed}" if seed else row)
        found.append(against.differences.get(task, {}).get(column) if against and fits else None)
    there = [difference for difference in found if difference is not None]
    if not there:
        return None
    return {
        "difference": _mean([difference.value for difference in there]),
        "of_each_seed": [[d.value, d.interval] if d else [None, None] for d in found],
        "verdict": verdict([d.interval if d else None for d in found], "better", "worse"),
    }


def _cost(out: Path, row: str, seeds: Iterable[str]) -> dict[str, Any] | None:
    """Steps, seconds of training and of answering the pairs (all tries together), and what a pair takes; of a baseline
    the seconds alone."""
    spent = stages_of(out).stage_seconds
    names = [f"{row}-{seed}" if seed else row for seed in seeds]
    cost = {
        f"{name}_seconds": _mean([spent[key] for run in (*names, row) if (key := f"{stage}: {run}{end}") in spent])
        for name, stage, end in (("align", "train", "-align"), ("train", "train", ""), ("predict", "predict", " pairs"))
    }
    names = [name for name in names if (out / name / "run.json").exists()]
    if not names:
        return cost if cost["predict_seconds"] is not None else None
    facts = read_as(RunFacts, out / names[0] / "run.json")
    return cost | {
        "steps": facts.steps,
        "trainable_parameters": facts.trainable_parameters,
        **size_of(out / names[0]).model_dump(),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """All tables; scores are x 100, differences from Calico of the same seed in brackets."""
    tests = found["tests"]
    pairs = tests.get("pairs", {})
    blocks = [HEAD, f"Trained at commit {', '.join(found['commits']) or '-'}."]
    blocks += [f"**Not comparable: {fault}.**" for fault in found["faults"]]
    for title, rows in _groups(pairs):
        blocks += [f"### {title}, mean of the tasks", _table(rows, "mean", (*COLUMNS, RATIO))]
        blocks += [f"{title}, strict mIoU by task", _by_task(rows)]
    if found["order"]:
        blocks += ["### What the paper says of its rows, mean of the tasks", _order(found["order"])]
    for test, rows in tests.items():
        if test != "pairs":
            columns = SHOWN.get(test, (*COLUMNS, RATIO))
            spent = _shown(found["seconds_a_sample"].get(test), "{:.2f}")
            blocks += [f"### Test set: {test}", _table(rows, "mean", columns), f"{spent} seconds a sample (main)."]
    if found["images"]:
        blocks += ["### Number of images (main): mean over samples of strict mIoU", _images(found["images"])]
    if pairs:
        blocks += ["### Cost", _costs(pairs)]
    for name, tasks in found["consistency"].items():
        blocks += [f"### Consistency: {name}", _consistency(tasks)]
    return "\n\n".join(blocks) + "\n"


def _groups(rows: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Titles of the tables and what is there of their rows; those of a user's own come last, with Calico."""
    others = [row for row in rows if not any(row in names for names in GROUPS.values())]
    for title, names in (GROUPS | ({"Other rows": ("calico", *others)} if others else {})).items():
        if found := {name: rows[name] for name in names if name in rows}:
            yield title, found


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _table(rows: Mapping[str, Any], task: str, columns: Sequence[str]) -> str:
    return _lines(
        ["row", *columns],
        ([_title(row), *(_cell(values, task, column) for column in columns)] for row, values in rows.items()),
    )


def _by_task(rows: Mapping[str, Any]) -> str:
    return _lines(
        ["row", *TASKS[1:]],
        (
            [_title(row), *(_cell(values, task, "mIoU_strict", spans=True) for task in TASKS[1:])]
            for row, values in rows.items()
        ),
    )


def _title(row: str) -> str:
    return f"{row} *" if row in SEES_TRUTH else row


def _order(claims: Sequence[Mapping[str, Any]]) -> str:
    """The difference in favour of each claim, of each seed."""

    def result(claim: Mapping[str, Any], metric: str) -> str:
        said, values = claim["verdicts"][metric], _differences(claim["of_each_seed"][metric])
        return f"{said}: {values}" if said else values or "-"

    return _lines(
        ["better", "than", "paper's mIoU", *METRICS],
        (
            [c["better"], c["worse"], "-" if c["paper"] is None else f"{c['paper']:+.1f}"]
            + [result(c, metric) for metric in METRICS]
            for c in claims
        ),
    )


def _differences(of_each_seed: Sequence[Any]) -> str:
    def span(interval: Sequence[float] | None) -> str:
        return f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]" if interval else ""

    return "; ".join(
        "not compared" if value is None else f"{100 * value:+.1f}{span(interval)}" for value, interval in of_each_seed
    )


def _cell(values: Mapping[str, Any], task: str, column: str, *, spans: bool = False) -> str:
    """A score with its own interval, or with the difference from Calico; ``spans``: that of each seed."""
    value = values["scores"].get(task, {}).get(column)
    if value is None:
        return "-"
    scale, digits = (1, 2) if column == RATIO else (100, 1)
    text = f"{scale * value:.{digits}f}"
    against = values["against"].get(task, {}).get(column)
    if against and spans:
        return f"{text} ({against['verdict']}: {_differences(against['of_each_seed'])})"
    if against:
        return f"{text} ({scale * against['difference']:+.1f}, {against['verdict']})"
    spans_of = (span for span in values["intervals"][task][column] if span)
    own = [f"[{scale * low:.{digits}f}, {scale * high:.{digits}f}]" for low, high in spans_of]
    return " ".join((text, *own))


def _images(found: Mapping[str, Any]) -> str:
    rows = []
    for count, values in found.items():
        cells = []
        for task in TASKS[1:]:
            mean = values["tasks"].get(task)
            span = mean and mean["interval"] and " [" + ", ".join(f"{100 * end:.1f}" for end in mean["interval"]) + "]"
            cells.append(f"{100 * mean['value']:.1f}{span or ''}, n {mean['n']}" if mean else "-")
        rows.append([count, *cells, str(values["tokens"]), f"{values['teraflops']:.5f}"])
    return _lines(["images", *TASKS[1:], "their tokens", "TFLOPs"], rows)


def _costs(rows: Mapping[str, Any]) -> str:
    shapes = {
        "steps": ("steps", "{}"),
        "align_seconds": ("alignment, s", "{:.0f}"),
        "train_seconds": ("training, s", "{:.0f}"),
        "predict_seconds": ("answering, s", "{:.0f}"),
        "trainable_parameters": ("trained parameters", "{:,}"),
        "tokens_per_image": ("tokens an image", "{}"),
        "teraflops": ("TFLOPs a pair", "{:.5f}"),
    }
    costs = {row: values["cost"] for row, values in rows.items() if values["cost"]}
    return _lines(
        ["row", *(title for title, _ in shapes.values())],
        (
            [_title(row), *(_shown(cost.get(name), shape) for name, (_, shape) in shapes.items())]
            for row, cost in costs.items()
        ),
    )


def _shown(value: Any, shape: str) -> str:
    return "-" if value is None else shape.format(value)


def _consistency(tasks: Mapping[str, Any]) -> str:
    rows = [
        [task, name, _shown(score["value"], "{:.3f}"), _between(score["interval"]), str(score["n"])]
        for task, scores in tasks.items()
        for name, score in scores.items()
    ]
    return _lines(["task", "measure", "value", "95 % interval", "n"], rows)


def _between(interval: Sequence[float] | None) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "-"
