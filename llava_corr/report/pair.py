"""Two models on the same test samples, side by side: paired differences on top, then what they disagree on most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReportError
from ..records import Prediction, Sample
from .cards import Card, build_card
from .disagreement import DEFINITION, Disagreement, disagreement, most_disagreed
from .html import MAX_BYTES, per_sample_values, sample_counts, write_page
from .inputs import DifferenceRow, Metric, ReportInputs, ScoreRow, check_inputs
from .selection import Choice
from .tables import MAIN_SCORES, FactTable, difference_table, score_tables, shown_value, words

_RANKINGS = ("mIoU_strict", "mIoU")
_SAME = 1e-9
Values = Mapping[str, Mapping[str, float]]
"""Model -> sample id -> score."""


@dataclass(frozen=True)
class PairInputs:
    """Two runs on the same samples.

    Attributes:
        samples: the test samples.
        models: both names, the first is the one that verdicts are about.
        predictions: answers of each, at most one per sample.
        scores: of both, as in :class:`ReportInputs`; may be empty.
        metrics: score name -> how to read it.
        differences: first minus second, paired.
        notes: lines below the scores.
        title: heading of the page; "first against second" by default.
        sample_count: how many samples to show.
    """

    samples: Sequence[Sample]
    models: tuple[str, str]
    predictions: tuple[Sequence[Prediction], Sequence[Prediction]]
    scores: Sequence[ScoreRow] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    differences: Sequence[DifferenceRow] = ()
    notes: Sequence[str] = ()
    title: str | None = None
    sample_count: int = 24


def write_pair(inputs: PairInputs, out: str | Path, *, max_bytes: int = MAX_BYTES) -> int:
    """Writes the page to ``out``, whole or not at all; returns its size in bytes.

    Raises:
        LlavaCorrError: as :func:`html.write_report`; ReportError also for two models of one name.
    """
    return write_page("pair.html.jinja", _context(inputs), out, max_bytes)


def _context(inputs: PairInputs) -> dict[str, Any]:
    """What the template shows, by the names it uses."""
    first, second = inputs.models
    if first == second:
        raise ReportError(
            f"both models are named {first!r}", mend="give them names: --scores NAME=FILE, --against NAME=FILE"
        )
    answers = [_checked(inputs, k) for k in (0, 1)]
    ranking = next(
        (n for n in _RANKINGS if all(per_sample_values(inputs.scores, n).get(m) for m in inputs.models)), None
    )
    values = {model: per_sample_values(inputs.scores, ranking).get(model, {}) for model in inputs.models}
    found = {}
    for sample in inputs.samples:
        scores = values[first].get(sample.id), values[second].get(sample.id)
        own = answers[0].get(sample.id), answers[1].get(sample.id)
        found[sample.id] = disagreement(sample, own, scores if ranking else None)
    chosen = most_disagreed(inputs.samples, found, inputs.sample_count)
    tables = score_tables(inputs.scores, inputs.metrics)
    return {
        "title": inputs.title or f"{first} against {second}",
        "models": inputs.models,
        "counts": sample_counts(inputs.samples),
        "differences": difference_table(inputs.differences, inputs.metrics) if inputs.differences else None,
        "tables": tables,
        "notes": inputs.notes,
        "unanswered": {m: len(inputs.samples) - len(a) for m, a in zip(inputs.models, answers, strict=True)},
        "summary": [_summary(inputs, found, values, words(ranking) if ranking else None)],
        "definition": DEFINITION,
        "ranking": words(ranking or ""),
        "choice": _describe(len(chosen), len(inputs.samples)),
        "cards": [_card(inputs, sample, apart, answers, values, ranking) for sample, apart in chosen],
        "tasks": sorted(dict.fromkeys(sample.task for sample, _ in chosen)),
        "words": words,
    }


def _checked(inputs: PairInputs, number: int) -> dict[str, Prediction]:
    model = inputs.models[number]
    rows = [row for row in inputs.scores if row.model == model]
    return check_inputs(ReportInputs(inputs.samples, inputs.predictions[number], model, rows))


def _describe(shown: int, total: int) -> str:
    if shown == total:
        return f"All {total} samples, by falling disagreement."
    return (
        f"{shown} of {total} samples: of each task those on which the answers lie furthest apart, by falling "
        "disagreement. They are extremes and say nothing about the rest; the figures above do."
    )


def _summary(inputs: PairInputs, found: Mapping[str, Disagreement], values: Values, score: str | None) -> FactTable:
    """Per task: how far apart the answers are, and in how many samples each model has the higher score."""
    first, second = (values[model] for model in inputs.models)
    header = ["", "samples", "mean disagreement", "of the masks", "same masks and names"]
    if score:
        header += [f"{inputs.models[0]} higher in {score}", "equal", f"{inputs.models[1]} higher", "not scored"]
    rows = []
    for task in sorted({s.task for s in inputs.samples}):
        ids = [s.id for s in inputs.samples if s.task == task]
        apart = [found[i] for i in ids]
        row = [words(task), str(len(ids)), _mean([a.value for a in apart]), _mean([a.masks for a in apart])]
        row.append(str(sum(a.masks == 0 for a in apart)))
        if score:
            gaps = [first[i] - second[i] for i in ids if i in first and i in second]
            counts = (sum(g > _SAME for g in gaps), sum(abs(g) <= _SAME for g in gaps), sum(g < -_SAME for g in gaps))
            row += [*map(str, counts), str(len(ids) - len(gaps))]
        rows.append(row)
    return FactTable("", header, rows)


def _mean(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.0f}"


def _card(
    inputs: PairInputs,
    sample: Sample,
    apart: Disagreement,
    answers: Sequence[Mapping[str, Prediction]],
    values: Values,
    ranking: str | None,
) -> Card:
    score = "" if apart.score is None else f", score {100 * apart.score:.0f}"
    band = f"disagreement {100 * apart.value:.0f} (masks {100 * apart.masks:.0f}{score})"
    head = [
        (model, shown_value(ranking or "", values[model][sample.id], inputs.metrics))
        for model in inputs.models
        if sample.id in values[model]
    ]
    given = [(model, own.get(sample.id)) for model, own in zip(inputs.models, answers, strict=True)]
    card = build_card(Choice(sample, apart.value, band), given, head)
    own = [answer._replace(scores=_own_scores(inputs, answer.model, sample.id)) for answer in card.answers]
    return card._replace(answers=own)


def _own_scores(inputs: PairInputs, model: str, sample_id: str) -> tuple[tuple[str, str], ...]:
    """The main scores that one sample has by itself."""
    own = {
        row.score.name: row.score.per_sample[sample_id]
        for row in inputs.scores
        if row.model == model and row.score.per_sample and sample_id in row.score.per_sample
    }
    return tuple((words(n), shown_value(n, own[n], inputs.metrics)) for n in MAIN_SCORES if n in own)
