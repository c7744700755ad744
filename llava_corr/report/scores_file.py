"""Reads ``scores.json`` of a benchmark for the report (schema 1, see ``benchmarks/mixedparts_output.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..errors import PredictionError, ReportError
from ..files import file_hash
from ..records import Score
from .inputs import MACRO, DifferenceRow, Metric, ScoreRow
from .results_file import read_result

SCHEMA = 1
_MEAN = "mean"


class _Metric(BaseModel):
    direction: int = 0
    percent: bool = False


class _Files(BaseModel):
    path: str
    count: int | None = None
    sha256: str | None = None


class _Difference(BaseModel):
    value: float
    interval: tuple[float, float] | None = None
    verdict: str | None = None


class _Against(BaseModel):
    name: str
    predictions: _Files | None = None
    columns: dict[str, dict[str, float]] = {}
    differences: dict[str, dict[str, _Difference]] = {}


class _Findings(BaseModel):
    counts: dict[str, int] = {}


class ScoresFile(BaseModel):
    """The parts of ``scores.json`` that a report uses; further keys are passed over.

    Attributes:
        name: of the scored model.
        truth: identity of the samples.
        samples, predictions: the files that were scored; how many samples there were, what the answers' file held.
        settings: rules of scoring: text model, resamples.
        columns: task or ``"mean"`` -> metric -> score.
    """

    schema_version: int
    name: str
    truth: str
    samples: _Files
    predictions: _Files
    settings: dict[str, Any] = {}
    columns: dict[str, dict[str, Score]]
    metrics: dict[str, _Metric] = {}
    trail: dict[str, int] = {}
    findings: _Findings = _Findings()
    against: _Against | None = None

    def values(self) -> dict[str, dict[str, float]]:
        return {task: {name: score.value for name, score in scores.items()} for task, scores in self.columns.items()}

    def rows(self) -> list[ScoreRow]:
        return [
            ScoreRow(self.name, _task(task), score)
            for task, scores in self.columns.items()
            for score in scores.values()
        ]

    def metric_kinds(self) -> dict[str, Metric]:
        return {name: Metric(metric.direction, metric.percent) for name, metric in self.metrics.items()}

    def difference_rows(self) -> list[DifferenceRow]:
        if self.against is None:
            return []
        return [
            DifferenceRow(self.name, self.against.name, _task(task), name, d.value, d.interval, d.verdict or "")
            for task, differences in self.against.differences.items()
            for name, d in differences.items()
        ]

    def notes(self) -> list[str]:
        """What the scorer counted: findings, and parser rules applied."""
        lines = []
        for title, counts in (("findings", self.findings.counts), ("parser rules applied", self.trail)):
            if counts:
                listed = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
                lines.append(f"{self.name}, {title}: {listed}.")
        return lines


def read_scores(path: str | Path) -> ScoresFile:
    """Reads and checks one file.

    Raises:
        ReportError: missing or broken file, another schema version, wrong or missing fields (all are named).
    """
    return read_result(ScoresFile, path, "scores", SCHEMA, mend="score again")


def rests_on(file: ScoresFile, other: ScoresFile) -> bool:
    """Whether ``file`` was scored against the answers of ``other``: the same values and, where
    noted, the same file."""
    noted = file.against
    if noted is None or not noted.columns or noted.columns != other.values():
        return False
    hashes = {noted.predictions.sha256 if noted.predictions else None, other.predictions.sha256} - {None}
    return len(hashes) <= 1


def require_scored(file: ScoresFile, scores: str | Path, predictions: str | Path) -> None:
    """Refuses to show other answers beside scores than those that were scored.

    Raises:
        PredictionError: ``predictions`` cannot be read.
        ReportError: it holds something else than when it was scored.
    """
    if Path(predictions).exists() and not Path(predictions).is_file():
        return  # a pipe, to be read once
    if file.predictions.sha256 and file_hash(predictions, PredictionError) != file.predictions.sha256:
        raise ReportError(
            f"the answers are not those that {scores} was made of ({file.predictions.path} at that time)",
            where=str(predictions),
            mend="score this file, or pass the file that was scored",
        )


def merge_scores(files: Sequence[tuple[str, ScoresFile]]) -> dict[str, Any]:
    """The score arguments of :class:`ReportInputs` from (path, file) pairs; the first file's model is the drawn one.

    Raises:
        ReportError: two files that rest on different samples, or share a name.
    """
    merged: dict[str, Any] = {"scores": [], "metrics": {}, "differences": [], "notes": []}
    seen: dict[str, str] = {}
    for path, file in files:
        if file.truth != files[0][1].truth:
            raise ReportError(
                f"scores rest on truth {file.truth}, those of {files[0][0]} on {files[0][1].truth}",
                where=path,
                mend="score all models against the same samples file",
            )
        if file.name in seen:
            raise ReportError(
                f"two scores files are named {file.name!r}",
                where=f"{seen[file.name]} and {path}",
                mend="give them names with --scores NAME=FILE",
            )
        seen[file.name] = path
        merged["scores"] += file.rows()
        merged["metrics"] |= file.metric_kinds()
        merged["differences"] += file.difference_rows()
        merged["notes"] += file.notes()
    if files:
        merged["model"] = files[0][1].name
    return merged


def _task(name: str) -> str:
    return MACRO if name == _MEAN else name
