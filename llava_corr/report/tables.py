"""The tables of the report: scores with intervals and conventions, and plain facts of any nesting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..records import Score
from .inputs import MACRO, DifferenceRow, Metric, ScoreRow

MAIN_SCORES = (
    "AP50",
    "mIoU",
    "Recall",
    "SS",
    "S-IoU",
    "mIoU_strict",
    "Recall_nonbreaking",
    "predictions_per_truth",
    "false_segment_rate",
)
_BETTER = {1: "↑ better", -1: "↓ better"}


class Cell(NamedTuple):
    """A value and its interval as text (empty where there is none), what hovering over it tells, and a verdict."""

    value: str
    interval: str
    hint: str = ""
    verdict: str = ""


class Header(NamedTuple):
    """A column of the score table: its heading, which direction is better, its convention in words."""

    title: str
    better: str
    convention: str


class Group(NamedTuple):
    """The rows of one task: models with one cell, or None, per column."""

    task: str
    rows: list[tuple[str, list[Cell | None]]]


class ScoreTable(NamedTuple):
    headers: list[Header]
    groups: list[Group]


class FactTable(NamedTuple):
    """A table of plain values; ``header`` is empty for name-value rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


def words(name: Any) -> str:
    """A name with its underscores as spaces."""
    return str(name).replace("_", " ")


def score_tables(rows: Sequence[ScoreRow], metrics: Mapping[str, Metric]) -> list[ScoreTable]:
    """The table of the main scores, then one of all others; tables without scores are left out."""
    names = list(dict.fromkeys(row.score.name for row in rows))
    main = [name for name in MAIN_SCORES if name in names] or names
    rest = [name for name in names if name not in main]
    return [_score_table(rows, chosen, metrics) for chosen in (main, rest) if chosen]


def _score_table(rows: Sequence[ScoreRow], names: Sequence[str], metrics: Mapping[str, Metric]) -> ScoreTable:
    """Macro mean first, then tasks; models in the order of the rows."""
    tasks = sorted(dict.fromkeys(row.task for row in rows), key=lambda task: task != MACRO)
    models = list(dict.fromkeys(row.model for row in rows))
    scores = {(row.task, row.model, row.score.name): row.score for row in rows}
    conventions = {name: _convention(name, rows) for name in names}
    groups = []
    for task in tasks:
        lines = []
        for model in models:
            found = [scores.get((task, model, name)) for name in names]
            if any(found):
                lines.append((model, [_cell(score, metrics, conventions) if score else None for score in found]))
        groups.append(Group(words(task), lines))
    better = {name: _BETTER.get(metrics.get(name, Metric()).direction, "") for name in names}
    return ScoreTable([Header(words(name), better[name], conventions[name]) for name in names], groups)


def difference_table(rows: Sequence[DifferenceRow], metrics: Mapping[str, Metric]) -> ScoreTable:
    """Paired differences of the main scores: one group per task, one row per pair of models."""
    present = {row.name for row in rows}
    names = [name for name in MAIN_SCORES if name in present] or sorted(present)
    tasks = sorted(dict.fromkeys(row.task for row in rows), key=lambda task: task != MACRO)
    pairs = list(dict.fromkeys((row.model, row.other) for row in rows))
    found = {(row.task, row.model, row.other, row.name): row for row in rows}
    groups = [
        Group(
            words(task),
            [
                (f"{model} minus {other}", [_difference(found.get((task, model, other, n)), metrics) for n in names])
                for model, other in pairs
            ],
        )
        for task in tasks
    ]
    return ScoreTable([Header(words(name), "", "paired difference") for name in names], groups)


def shown_value(name: str, value: float, metrics: Mapping[str, Metric], *, signed: bool = False) -> str:
    """A value as tables show it: times 100 with one decimal, or plain with two."""
    if not math.isfinite(value):
        return "–"
    percent = metrics.get(name, Metric()).percent
    return f"{100 * value if percent else value:{'+' if signed else ''}.{1 if percent else 2}f}"


def _interval(
    name: str, bounds: tuple[float, float] | None, metrics: Mapping[str, Metric], signed: bool = False
) -> str:
    return " to ".join(shown_value(name, bound, metrics, signed=signed) for bound in bounds or ())


def _cell(score: Score, metrics: Mapping[str, Metric], conventions: Mapping[str, str]) -> Cell:
    own = "" if score.convention == conventions[score.name] else f"; {score.convention}"
    interval = _interval(score.name, score.interval, metrics)
    return Cell(shown_value(score.name, score.value, metrics), interval, f"n = {score.n}{own}")


def _difference(row: DifferenceRow | None, metrics: Mapping[str, Metric]) -> Cell | None:
    if row is None:
        return None
    value = shown_value(row.name, row.value, metrics, signed=True)
    return Cell(value, _interval(row.name, row.interval, metrics, signed=True), verdict=row.verdict)


def _convention(name: str, rows: Sequence[ScoreRow]) -> str:
    """The distinct conventions that rows of this score state, so that a mixed table gives itself away.

    A text that begins with another one only adds to it (which tasks a mean covers, say); its cell tells.
    """
    texts = sorted({row.score.convention for row in rows if row.score.name == name and row.score.convention})
    own = [text for text in texts if not any(text != other and text.startswith(other) for other in texts)]
    return " / ".join(own) or "no convention stated"


def fact_tables(facts: Mapping[str, Any]) -> list[FactTable]:
    """Tables for nested plain values.

    Single values share one name-value table; a mapping (or list) of mappings of single values becomes a
    matrix, turned so that it is not wider than long; whatever is nested deeper becomes rows named by their path.
    """
    singles = {name: value for name, value in facts.items() if not _is_nested(value)}
    tables = [FactTable("", [], _pairs(singles))] if singles else []
    for name, value in facts.items():
        if _is_nested(value):
            tables.append(_nested_table(words(name), value))
    return tables


def _nested_table(title: str, value: Any) -> FactTable:
    entries = dict(value) if isinstance(value, Mapping) else {str(k + 1): entry for k, entry in enumerate(value)}
    inner = list(entries.values())
    if len(inner) > 1 and all(isinstance(e, Mapping) and not any(map(_is_deep, e.values())) for e in inner):
        fields = list(dict.fromkeys(key for entry in inner for key in entry))
        cells = [[plain(str(f), e[f]) if f in e else "" for f in fields] for e in inner]
        names, columns = [words(n) for n in entries], [words(f) for f in fields]
        if len(columns) > len(names):  # the longer list reads better downwards
            names, columns, cells = columns, names, [list(line) for line in zip(*cells, strict=True)]
        return FactTable(title, ["", *columns], [[name, *line] for name, line in zip(names, cells, strict=True)])
    return FactTable(title, [], _pairs(_flat(entries), title))


def _pairs(facts: Mapping[str, Any], title: str = "") -> list[list[str]]:
    return [[words(name), plain(f"{title} {name}", value)] for name, value in facts.items()]


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


def _is_deep(value: Any) -> bool:
    """Whether a value does not fit into one cell: a mapping of mappings, or a list of mappings."""
    return _is_nested(value) and (not isinstance(value, Mapping) or any(map(_is_nested, value.values())))


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
        return f"{value} s ({_duration(value)})" if "second" in name and value >= 60 else _whole(name, value)
    if isinstance(value, list | tuple):
        return ", ".join(plain(name, entry) for entry in value)
    if isinstance(value, Mapping):
        return "–" if not value else ", ".join(f"{words(k)}: {plain(k, v)}" for k, v in value.items())
    return str(value)


def _whole(name: str, value: int) -> str:
    """Long counts with separators; seeds and short numbers as they are."""
    return str(value) if abs(value) < 100_000 or "seed" in name else f"{value:,}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
