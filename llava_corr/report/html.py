"""Writes the report: one HTML page that holds its pictures, charts and tables and asks nothing of the network."""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..drawing.images import jpeg_bytes
from ..errors import StorageError
from ..files import atomic_write
from .cards import Picture, build_card
from .charts import Curve, IntervalRow, curve_svg, intervals_svg
from .inputs import MACRO, ReportInputs, ScoreRow, check_inputs
from .selection import choose_samples, describe_choice
from .tables import column_of, fact_tables, score_table, shown_value, task_title

logger = logging.getLogger(__name__)

MAX_BYTES = 6_000_000
_QUALITIES = (88, 80, 70, 60, 45)
_NOT_CURVES = frozenset({"step", "epoch", "time", "seconds", "wall_s", "timestamp", "stage"})
_PREFERRED_SCORES = ("strict_miou", "miou")


def write_report(inputs: ReportInputs, out: str | Path, *, max_bytes: int = MAX_BYTES) -> int:
    """Writes the page to ``out``, whole or not at all; the same inputs give the same bytes.

    Args:
        inputs: what to show.
        out: the HTML file.
        max_bytes: pictures are compressed harder, in steps, until the page is no larger.

    Returns:
        The size of the page in bytes.

    Raises:
        SampleError: no samples.
        PredictionError: predictions that do not answer these samples.
        ImageError: an image is missing, broken, or of another size than its sample says.
        StorageError: the page cannot be written, or is too large even at the lowest picture quality.
    """
    context = _context(inputs)
    template = _template()
    for quality in _QUALITIES:
        page = template.render(**context, picture=lambda p, q=quality: _data_uri(p, q)).encode("utf-8")
        if len(page) <= max_bytes:
            break
        logger.info("the page has %d bytes at picture quality %d; compressing harder", len(page), quality)
    else:
        raise StorageError(
            f"the page has {len(page)} bytes even at picture quality {_QUALITIES[-1]}, the limit is {max_bytes}",
            where=str(out),
            mend="show fewer pairs",
        )
    with atomic_write(out, "wb") as handle:
        handle.write(page)
    return len(page)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("llava_corr.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _data_uri(picture: Picture, quality: int) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_bytes(picture.pixels, quality)).decode("ascii")


def _context(inputs: ReportInputs) -> dict[str, Any]:
    answers = check_inputs(inputs)
    ranking = _selection_score(inputs)
    values = _per_sample(inputs.scores, ranking) if ranking else {}
    shown_model = next(iter(answers), None)
    ranked = values.get(shown_model or "", {}) or next(iter(values.values()), {})
    chosen = choose_samples(inputs.samples, ranked, inputs.pair_count, inputs.seed)
    cards = []
    for choice in chosen:
        given = [
            (m, shown_value(ranking or "", v[choice.sample.id])) for m, v in values.items() if choice.sample.id in v
        ]
        prediction = answers[shown_model][choice.sample.id] if shown_model else None
        cards.append(build_card(choice, prediction, shown_model or "", given))
    curves = _curves(inputs.train_log or ())
    ranking_title = column_of(ranking).title if ranking else None
    return {
        "inputs": inputs,
        "model": shown_model,
        "counts": _counts(inputs),
        "table": score_table(inputs.scores) if inputs.scores else None,
        "forest": Markup(_forest(inputs.scores, ranking)) if ranking else None,
        "ranking": ranking_title,
        "cards": cards,
        "tasks": [(task, task_title(task)) for task in dict.fromkeys(c.sample.task for c in chosen)],
        "choice": describe_choice(chosen, len(inputs.samples), ranking_title if ranked else None, inputs.seed),
        "curves": [(c, Markup(curve_svg(c))) for c in curves],
        "difficulty": fact_tables(inputs.difficulty) if inputs.difficulty else None,
        "run": fact_tables(inputs.run) if inputs.run else None,
        "task_title": task_title,
    }


def _counts(inputs: ReportInputs) -> str:
    tasks = {task_title(t) for t in (s.task for s in inputs.samples)}
    sources = {s.source for s in inputs.samples}
    return f"{len(inputs.samples)} test pairs; tasks: {', '.join(sorted(tasks))}; sources: {', '.join(sorted(sources))}"


def _selection_score(inputs: ReportInputs) -> str | None:
    """Name of the score that ranks the pairs: the asked one, else a preferred one, else any with per-sample values."""
    names = [row.score.name for row in inputs.scores if row.score.per_sample]
    if inputs.selection_score is not None:
        return inputs.selection_score if inputs.selection_score in names else None
    return next((name for name in _PREFERRED_SCORES if name in names), names[0] if names else None)


def _per_sample(rows: Sequence[ScoreRow], name: str) -> dict[str, dict[str, float]]:
    """Model -> sample id -> value of score ``name``, all tasks together; values that are not finite count as absent."""
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.score.name == name and row.score.per_sample:
            finite = {sample: v for sample, v in row.score.per_sample.items() if math.isfinite(v)}
            values.setdefault(row.model, {}).update(finite)
    return values


def _forest(rows: Sequence[ScoreRow], name: str) -> str:
    scale = 100.0 if column_of(name).percent else 1.0
    picked = [row for row in rows if row.score.name == name and math.isfinite(row.score.value)]
    picked.sort(key=lambda row: row.task != MACRO)
    lines = [
        IntervalRow(
            row.model,
            task_title(row.task),
            row.score.value * scale,
            None if row.score.interval is None else (row.score.interval[0] * scale, row.score.interval[1] * scale),
        )
        for row in picked
    ]
    return intervals_svg(lines, f"{column_of(name).title}, with 95 % intervals")


def _curves(log: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """One curve per numeric column and stage: losses, then learning rate, then the rest, in order of appearance."""
    points: dict[str, list[tuple[float, float]]] = {}
    for index, row in enumerate(log):
        stage = f" ({row['stage']})" if row.get("stage") else ""
        for name, value in row.items():
            if name not in _NOT_CURVES and isinstance(value, int | float) and not isinstance(value, bool):
                points.setdefault(name + stage, []).append((float(row.get("step", index)), float(value)))
    curves = []
    for name in sorted(points, key=lambda n: 0 if "loss" in n else 1 if n.startswith(("lr", "learning_rate")) else 2):
        steps, values = np.asarray(points[name]).T
        finite = np.isfinite(values)
        if finite.any():
            curves.append(Curve(name, steps[finite], values[finite], int((~finite).sum())))
    return curves
