"""The tables of the report: scores with intervals and conventions, and plain facts of any nesting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..records import Score
from .inputs import MACRO, ScoreRow


class Column(NamedTuple):
    """How a score is shown: heading, whether a fraction is shown as percent, which direction is better."""

    title: str
    percent: bool
    better: str


COLUMNS: dict[str, Column] = {
    "ap50": Column("AP50", True, "higher"),
    "miou": Column("mIoU", True, "higher"),
    "recall": Column("Recall", True, "higher"),
    "ss": Column("SS", True, "higher"),
    "siou": Column("S-IoU", True, "higher"),
    "strict_miou": Column("strict mIoU", True, "higher"),
    "recall_nonbreaking": Column("non-breaking recall", True, "higher"),
    "predictions_per_truth": Column("predictions per truth", False, "near 1"),
    "false_segment_rate": Column("false-segment rate", True, "lower"),
}


class Cell(NamedTuple):
    """A value and its interval as text; the interval is empty where there is none."""

    value: str
    interval: str


class Header(NamedTuple):
    """A column of the score table: heading, better direction, and its convention in words."""

    key: str
    title: str
    better: str
    convention: str


class Group(NamedTuple):
    """The rows of one task: (model, number of samples, one cell or None per column)."""

    task: str
    rows: list[tuple[str, str, list[Cell | None]]]


class ScoreTable(NamedTuple):
    headers: list[Header]
    groups: list[Group]


class FactTable(NamedTuple):
    """A table of plain values; ``header`` is empty for name-value rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


def column_of(name: str) -> Column:
    """The known column of a score, or one named after it that shows plain values."""
    return COLUMNS.get(name, Column(name.replace("_", " "), False, ""))


def task_title(task: str) -> str:
    return task.replace("_", " ")


def score_table(rows: Sequence[ScoreRow]) -> ScoreTable:
    """Arranges score rows: macro mean first, then tasks; models in the given order; known columns first."""
    names = list(dict.fromkeys(row.score.name for row in rows))
    names = [n for n in COLUMNS if n in names] + [n for n in names if n not in COLUMNS]
    tasks = list(dict.fromkeys(row.task for row in rows))
    tasks = [t for t in tasks if t == MACRO] + [t for t in tasks if t != MACRO]
    models = list(dict.fromkeys(row.model for row in rows))
    scores = {(row.task, row.model, row.score.name): row.score for row in rows}
    groups = []
    for task in tasks:
        lines = []
        for model in models:
            found = [scores.get((task, model, name)) for name in names]
            if any(found):
                counts = sorted({score.n for score in found if score is not None})
                shown = str(counts[-1]) if counts else ""
                lines.append((model, shown, [_cell(score) for score in found]))
        groups.append(Group(task_title(task), lines))
    headers = [Header(n, column_of(n).title, column_of(n).better, _convention(n, rows)) for n in names]
    return ScoreTable(headers, groups)


def shown_value(name: str, value: float) -> str:
    """A value as the table shows it: percent with one decimal, other numbers with two."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f}" if column_of(name).percent else f"{value:.2f}"


def _cell(score: Score | None) -> Cell | None:
    if score is None:
        return None
    interval = ""
    if score.interval is not None:
        interval = " – ".join(shown_value(score.name, bound) for bound in score.interval)
    return Cell(shown_value(score.name, score.value), interval)


def _convention(name: str, rows: Sequence[ScoreRow]) -> str:
    """The distinct conventions that rows of this score state, so that a mixed table gives itself away."""
    texts = dict.fromkeys(row.score.convention for row in rows if row.score.name == name)
    return " / ".join(text for text in texts if text) or "no convention stated"


def fact_tables(facts: Mapping[str, Any]) -> list[FactTable]:
    """Tables for nested plain values.

    Single values share one name-value table; a mapping of mappings of single values becomes a matrix; a list of such
    mappings becomes rows; whatever is nested deeper becomes rows named by their path.
    """
    singles = {name: value for name, value in facts.items() if not _is_nested(value)}
    tables = [FactTable("", [], _pairs(singles))] if singles else []
    for name, value in facts.items():
        if _is_nested(value):
            tables.append(_nested_table(_words(name), value))
    return tables


def _nested_table(title: str, value: Any) -> FactTable:
    entries = dict(value) if isinstance(value, Mapping) else {str(k + 1): entry for k, entry in enumerate(value)}
    inner = list(entries.values())
    if len(inner) > 1 and all(isinstance(e, Mapping) and not any(map(_is_nested, e.values())) for e in inner):
        columns = list(dict.fromkeys(key for entry in inner for key in entry))
        rows = [[_words(n), *(plain(c, e[c]) if c in e else "" for c in columns)] for n, e in entries.items()]
        return FactTable(title, ["", *(_words(c) for c in columns)], rows)
    return FactTable(title, [], _pairs(_flat(entries)))


def _pairs(facts: Mapping[str, Any]) -> list[list[str]]:
    return [[_words(name), plain(name, value)] for name, value in facts.items()]


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name} / "))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _is_nested(value: Any) -> bool:
    """Whether a value needs a table of its own: a mapping, or a list of mappings."""
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


def plain(name: str, value: Any) -> str:
    """One value as text; a number of seconds is also given in hours and minutes."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return f"{text} s ({_duration(value)})" if "second" in name and value >= 60 else text
    if isinstance(value, int):
        return f"{value} s ({_duration(value)})" if "second" in name and value >= 60 else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain(name, entry) for entry in value)
    if isinstance(value, Mapping):
        return "–" if not value else ", ".join(f"{_words(k)} {plain(k, v)}" for k, v in value.items())
    return str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
