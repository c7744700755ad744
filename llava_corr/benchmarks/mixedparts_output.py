"""Scores of MixedParts as a table to read and a JSON file to keep.

``scores.json`` (schema 1; values are shares of 1, the table shows them times 100)::

    schema_version, benchmark "mixedparts", benchmark_version, name, versions {llava_corr, python, numpy, pycocotools}
    truth       identity of the samples; samples {path, count, tasks {task: count}}
    predictions {path, missing, sha256 of the file or null}
    settings    {text_model, resamples, seed, level}
    columns     {task or "mean": {metric: Score}}; Score = {name, value, interval [low, high] or null, n, convention,
                per_sample {sample id: value} or null}; a metric with nothing to average is absent
    metrics     {metric: {direction 1 | -1 | 0, headline, percent}} in the order of the table
    trail       {parser rule: times applied}
    findings    {counts {kind: n}, items [{kind, where, detail}]}; missing predictions are of kind missing_prediction
    against     null, or {name, predictions as above, columns {task or "mean": {metric: value}},
                differences {task or "mean": {metric: {value, interval, verdict}}}}: this file minus the other
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from .. import __version__
from ..metrics.intervals import Difference
from ..records import Score
from .mixedparts import VERSION, Result
from .mixedparts_metrics import METRICS, Metric

SCHEMA = 1
Differences = dict[str, dict[str, Difference]]


@dataclass
class Run:
    """A scored prediction file, its content's SHA-256, and the name it goes by in tables."""

    name: str
    path: str
    sha256: str | None
    result: Result

    def predictions(self) -> dict[str, Any]:
        missing = self.result.aligned.findings.counts().get("missing_prediction", 0)
        return {"path": self.path, "missing": missing, "sha256": self.sha256}


def to_json(run: Run, samples_path: str, against: Run | None = None, differences: Differences | None = None) -> Any:
    """The content of ``scores.json``; the schema is in the module's docstring."""
    result = run.result
    counts = {task: len(units.sample_ids) for task, units in result.aligned.tasks.items()}
    return {
        "schema_version": SCHEMA,
        "benchmark": "mixedparts",
        "benchmark_version": VERSION,
        "name": run.name,
        "versions": _versions(),
        "truth": result.truth,
        "samples": {"path": samples_path, "count": sum(counts.values()), "tasks": counts},
        "predictions": run.predictions(),
        "settings": result.settings,
        "columns": {
            name: {metric: score.model_dump(mode="json") for metric, score in column.scores.items()}
            for name, column in result.columns.items()
        },
        "metrics": {m.name: {"direction": m.direction, "headline": m.headline, "percent": m.percent} for m in METRICS},
        "trail": result.aligned.trail,
        "findings": {
            "counts": result.aligned.findings.counts(),
            "items": result.aligned.findings.to_json(),
        },
        "against": _against(against, differences) if against and differences is not None else None,
    }


def _against(run: Run, differences: Differences) -> dict[str, Any]:
    return {
        "name": run.name,
        "predictions": run.predictions(),
        "columns": {
            name: {metric: score.value for metric, score in column.scores.items()}
            for name, column in run.result.columns.items()
        },
        "differences": {
            name: {metric: difference._asdict() for metric, difference in row.items()}
            for name, row in differences.items()
        },
    }


def _versions() -> dict[str, str]:
    named = {package: metadata.version(package) for package in ("numpy", "pycocotools")}
    return {"llava_corr": __version__, "python": platform.python_version(), **named}


def table(run: Run) -> str:
    """Aligned text: a row per metric (headlines marked ``*``), a column per task and the mean, with intervals."""
    result = run.result
    columns = [f"{name} ({column.samples})" for name, column in result.columns.items()]

    def cell(metric: Metric, name: str) -> str:
        return _score_text(result.columns[name].scores.get(metric.name), metric)

    findings = result.aligned.findings.counts()
    trail = ", ".join(f"{count} {rule}" for rule, count in result.aligned.trail.items())
    level = f"{result.settings['level']:.0%}"
    return "\n".join(
        [
            f"{run.name}: MixedParts, truth {result.truth}; * headline; values x 100 except predictions_per_truth; "
            f"[{level} interval, {result.settings['resamples']} resamples of samples]; (samples)",
            *_grid(columns, list(result.columns), cell),
            f"findings: {', '.join(f'{count} {kind}' for kind, count in findings.items()) or 'none'}",
            f"parser rules applied: {trail or 'none'}",
        ]
    )


def comparison_table(run: Run, against: Run, differences: Differences) -> str:
    """Aligned text: the difference of every score with its paired interval and verdict."""

    def cell(metric: Metric, name: str) -> str:
        difference = differences[name].get(metric.name)
        if difference is None:
            return "-"
        text = _numbers(difference.value, difference.interval, metric, signed=True)
        return f"{text} {difference.verdict}" if difference.verdict else text

    title = f"{run.name} minus {against.name}: differences with paired intervals; the verdict is on {run.name}"
    return "\n".join([title, *_grid(list(differences), list(differences), cell)])


def _grid(titles: Sequence[str], names: Sequence[str], cell: Callable[[Metric, str], str]) -> list[str]:
    rows = [["", *titles]]
    rows += [[f"{m.name}{' *' if m.headline else ''}", *(cell(m, name) for name in names)] for m in METRICS]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _score_text(score: Score | None, metric: Metric) -> str:
    return "-" if score is None else _numbers(score.value, score.interval, metric)


def _numbers(value: float, interval: tuple[float, float] | None, metric: Metric, *, signed: bool = False) -> str:
    scale, digits = (100.0, 1) if metric.percent else (1.0, 2)
    form = f"{'+' if signed else ''}.{digits}f"
    text = f"{value * scale:{form}}"
    if interval is None:
        return text
    return f"{text} [{interval[0] * scale:{form}}, {interval[1] * scale:{form}}]"
