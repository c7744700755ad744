"""Writes the report: one HTML page that holds its pictures, charts and tables and asks nothing of the network."""

from __future__ import annotations

import base64
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from ..drawing.images import jpeg_bytes
from ..errors import StorageError
from ..files import atomic_write
from ..records import Prediction, Sample
from .anatomy_file import check_anatomy
from .anatomy_section import anatomy_context
from .cards import Card, Picture, build_card
from .charts import Curve, IntervalRow, curve_svg, intervals_svg
from .inputs import MACRO, Metric, ReportInputs, ScoreRow, check_inputs
from .selection import Choice, choose_samples, describe_choice
from .tables import difference_table, fact_tables, score_tables, shown_value, words

logger = logging.getLogger(__name__)

MAX_BYTES = 6_000_000
_QUALITIES = (88, 80, 70, 60, 45)
_NOT_CURVES = frozenset({"step", "epoch", "time", "seconds", "wall_s", "timestamp"})
_PREFERRED_RANKINGS = ("mIoU_strict", "mIoU")
_LOSSES = ("language", "mask", "focal", "bce", "dice", "contrast", "object_contrast", "functional")


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
        ReportError: scores or an anatomy that do not belong to these samples.
        ImageError: an image is missing, broken, or of another size than its sample says.
        StorageError: the page cannot be written, or is too large even at the lowest picture quality.
    """
    return write_page("report.html.jinja", _context(inputs), out, max_bytes)


def write_page(name: str, context: Mapping[str, Any], out: str | Path, max_bytes: int) -> int:
    """Renders a template of this room and writes it; see :func:`write_report`."""
    template = _template(name)
    for quality in _QUALITIES:
        page = template.render(**context, picture=lambda p, q=quality: _data_uri(p, q)).encode("utf-8")
        if len(page) <= max_bytes:
            break
        logger.info("the page has %d bytes at picture quality %d; compressing harder", len(page), quality)
    else:
        raise StorageError(
            f"the page has {len(page)} bytes even at picture quality {_QUALITIES[-1]}, the limit is {max_bytes}",
            where=str(out),
            mend="show fewer samples (--show)",
        )
    with atomic_write(out, "wb") as handle:
        handle.write(page)
    return len(page)


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("llava_corr.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _data_uri(picture: Picture, quality: int) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_bytes(picture.pixels, quality)).decode("ascii")


def _context(inputs: ReportInputs) -> dict[str, Any]:
    """What the template shows, by the names it uses."""
    answers = check_inputs(inputs)
    ranking = _ranking(inputs)
    values = per_sample_values(inputs.scores, ranking)
    ranked = values.get(inputs.model, {})
    chosen = choose_samples(inputs.samples, ranked, inputs.sample_count, inputs.seed)
    curves, once = _curves(inputs.train_log or ())
    if inputs.anatomy:
        check_anatomy(inputs.anatomy, inputs.samples, answers)
    return {
        "inputs": inputs,
        "counts": sample_counts(inputs.samples),
        "unanswered": len(inputs.samples) - len(answers),
        "tables": score_tables(inputs.scores, inputs.metrics),
        "differences": difference_table(inputs.differences, inputs.metrics) if inputs.differences else None,
        "forest": Markup(_forest(inputs, ranking)) if ranking else None,
        "ranking": words(ranking or ""),
        "anatomy": anatomy_context(inputs.anatomy, inputs.samples, answers, inputs.seed) if inputs.anatomy else None,
        "cards": [_card(inputs, choice, answers, ranking, values) for choice in chosen],
        "tasks": list(dict.fromkeys(c.sample.task for c in chosen)),
        "choice": describe_choice(
            chosen, len(inputs.samples), words(ranking) if ranking and ranked else None, inputs.seed
        ),
        "curves": [(c, Markup(curve_svg(c, may_be_log=_curve_rank(c.name) == 0))) for c in curves],
        "once": fact_tables(once),
        "difficulty": fact_tables(inputs.difficulty or {}),
        "run": fact_tables(inputs.run or {}),
        "words": words,
    }


def _card(
    inputs: ReportInputs,
    choice: Choice,
    answers: Mapping[str, Prediction],
    ranking: str | None,
    values: Mapping[str, Mapping[str, float]],
) -> Card:
    given = [
        (model, shown_value(ranking or "", of_model[choice.sample.id], inputs.metrics))
        for model, of_model in values.items()
        if choice.sample.id in of_model
    ]
    return build_card(choice, [(inputs.model, answers.get(choice.sample.id))], given)


def sample_counts(samples: Sequence[Sample]) -> str:
    """A sentence: how many samples, by task and by source."""
    by_task = Counter(words(sample.task) for sample in samples)
    by_source = Counter(sample.source for sample in samples)
    tasks, sources = (", ".join(f"{n} {name}" for name, n in sorted(c.items())) for c in (by_task, by_source))
    return f"{len(samples)} test samples: {tasks}; from {sources}."


def _ranking(inputs: ReportInputs) -> str | None:
    """The score that ranks the samples: the asked one, else a preferred one, else any with per-sample values."""
    names = [row.score.name for row in inputs.scores if row.score.per_sample]
    if inputs.ranking is not None or not names:
        return inputs.ranking
    return next((name for name in _PREFERRED_RANKINGS if name in names), names[0])


def per_sample_values(rows: Sequence[ScoreRow], name: str | None) -> dict[str, dict[str, float]]:
    """Model -> sample id -> value of score ``name``, all tasks together; values that are not finite count as absent."""
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.score.name == name and row.score.per_sample:
            finite = {sample: v for sample, v in row.score.per_sample.items() if math.isfinite(v)}
            values.setdefault(row.model, {}).update(finite)
    return values


def _forest(inputs: ReportInputs, name: str) -> str:
    percent = inputs.metrics.get(name, Metric()).percent
    scale = 100.0 if percent else 1.0
    picked = [row for row in inputs.scores if row.score.name == name and math.isfinite(row.score.value)]
    picked.sort(key=lambda row: row.task != MACRO)
    lines = [
        IntervalRow(
            row.model,
            words(row.task),
            row.score.value * scale,
            None if row.score.interval is None else (row.score.interval[0] * scale, row.score.interval[1] * scale),
        )
        for row in picked
    ]
    return intervals_svg(lines, f"{words(name)}{' x 100' if percent else ''}, with 95 % intervals")


def _curves(log: Sequence[Mapping[str, Any]]) -> tuple[list[Curve], dict[str, float]]:
    """One curve per numeric column and stage, and the columns that occur once.

    Losses come first, then the learning rate, then the rest, each in order of appearance. A step that a resumed run
    logged again counts once, with its last value. Sums are left out: their means are there.
    """
    columns: dict[str, dict[float, float]] = {}
    for index, row in enumerate(log):
        stage = f" ({row['stage']})" if row.get("stage") else ""
        for name, value in row.items():
            if (
                name not in _NOT_CURVES
                and not name.endswith("_sum")
                and isinstance(value, int | float)
                and not isinstance(value, bool)
            ):
                columns.setdefault(name + stage, {})[float(row.get("step", index))] = float(value)
    curves, once = [], {}
    for name in sorted(columns, key=_curve_rank):
        steps, values = np.asarray(list(columns[name].items())).T
        finite = np.isfinite(values)
        if len(values) == 1:
            once[name] = float(values[0])
        elif finite.any():
            curves.append(Curve(name, steps[finite], values[finite], int((~finite).sum())))
    return curves, once


def _curve_rank(name: str) -> int:
    if name.startswith(("lr", "learning_rate")):
        return 1
    return 0 if "loss" in name or name.startswith(_LOSSES) else 2
