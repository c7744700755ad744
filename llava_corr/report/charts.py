"""Charts as inline SVG: curves over training steps, and values with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from .svg import add_line, add_text, circle, new_svg

_BINS = 120
_LOG_RANGE = 20.0


class Curve(NamedTuple):
    """A curve: finite values over steps (both 1-d, same length), and how many values were not finite."""

    name: str
    steps: NDArray[np.float64]
    values: NDArray[np.float64]
    dropped: int = 0


class IntervalRow(NamedTuple):
    """A value with its interval (low, high), or None; ``group`` rows of one kind stand together."""

    label: str
    group: str
    value: float
    interval: tuple[float, float] | None


class _Frame(NamedTuple):
    """The plot area in SVG units and the data range it shows."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.top + self.height * (1 - (value - low) / (high - low))


def curve_svg(curve: Curve, *, may_be_log: bool = True, width: int = 360, height: int = 190) -> str:
    """One panel; more than 240 points become 120 bins: their means as a line, their extremes as a band.

    ``may_be_log`` allows a log axis for positive values whose highest is 20 times the lowest or more.
    """
    svg = new_svg(width, height, f"{curve.name} over steps")
    low, high = float(curve.values.min()), float(curve.values.max())
    log = may_be_log and low > 0 and high / low >= _LOG_RANGE
    frame = _Frame(56, 26, width - 68, height - 58, _span(curve.steps), (low, high) if log else _padded(low, high), log)
    add_text(svg, 0, 14, curve.name + (" (log axis)" if log else ""), "title")
    _axes(svg, frame)
    steps, means, lows, highs = _binned(curve)
    if len(curve.values) > len(means):
        band = [*zip(steps, highs, strict=True), *reversed(list(zip(steps, lows, strict=True)))]
        ET.SubElement(svg, "polygon", {"points": _points(frame, band), "class": "band"})
    if len(means) == 1:
        ET.SubElement(svg, "circle", circle(frame.x(steps[0]), frame.y(means[0]), 3, "dot"))
    else:
        ET.SubElement(svg, "polyline", {"points": _points(frame, zip(steps, means, strict=True)), "class": "line"})
    return ET.tostring(svg, encoding="unicode")


def intervals_svg(rows: Sequence[IntervalRow], axis: str, width: int = 640) -> str:
    """Dots with 95 % whiskers, one line per row, grouped; the axis starts at 0."""
    row_height, group_height, left = 20, 26, 170
    groups = list(dict.fromkeys(row.group for row in rows))
    height = len(rows) * row_height + len(groups) * group_height + 44
    highest = max((row.interval[1] if row.interval else row.value) for row in rows)
    svg = new_svg(width, height, axis)
    body = height - 40
    frame = _Frame(left, 4, width - left - 20, body - 4, (0.0, max(highest * 1.05, 1e-9)), (0.0, 1.0), False)
    for tick in _ticks(*frame.x_range, 8):
        add_line(svg, frame.x(tick), 4, frame.x(tick), body, "grid")
        add_text(svg, frame.x(tick), body + 14, _number(tick), "tick middle")
    add_text(svg, frame.left + frame.width / 2, height - 6, axis, "tick middle")
    y = 0.0
    for group in groups:
        add_text(svg, 0, y + 18, group, "title")
        y += group_height
        for row in (r for r in rows if r.group == group):
            add_text(svg, 12, y + 13, row.label, "tick")
            if row.interval:
                add_line(svg, frame.x(max(row.interval[0], 0)), y + 9, frame.x(row.interval[1]), y + 9, "line")
            ET.SubElement(svg, "circle", circle(frame.x(row.value), y + 9, 4, "dot"))
            y += row_height
    return ET.tostring(svg, encoding="unicode")


def _axes(svg: ET.Element, frame: _Frame) -> None:
    bottom = frame.top + frame.height
    y_ticks = _log_ticks(*frame.y_range) if frame.log else _ticks(*frame.y_range, 5)
    for tick in y_ticks:
        add_line(svg, frame.left, frame.y(tick), frame.left + frame.width, frame.y(tick), "grid")
        add_text(svg, frame.left - 6, frame.y(tick) + 4, _number(tick), "tick end")
    for tick in _ticks(*frame.x_range, 4):
        add_text(svg, frame.x(tick), bottom + 16, _number(tick), "tick middle")
    add_text(svg, frame.left + frame.width, bottom + 30, "step", "tick end")
    add_line(svg, frame.left, bottom, frame.left + frame.width, bottom, "axis")


def _binned(curve: Curve) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Steps, means, minima and maxima of at most 120 bins of neighbouring points (all points up to 240)."""
    order = np.argsort(curve.steps, kind="stable")
    steps, values = curve.steps[order], curve.values[order]
    if len(values) <= 2 * _BINS:
        return steps, values, values, values
    starts = np.linspace(0, len(values), _BINS + 1).astype(int)[:-1]
    counts = np.diff(np.append(starts, len(values)))
    return (
        np.add.reduceat(steps, starts) / counts,
        np.add.reduceat(values, starts) / counts,
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
    )


def _span(steps: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(steps.min()), float(steps.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _padded(low: float, high: float) -> tuple[float, float]:
    if low >= 0 and low <= 0.5 * high:
        low = 0.0
    room = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return (low if low == 0.0 else low - room), high + room


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round values within [low, high], steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    ticks = [
        m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
    ]
    inside = [t for t in ticks if low <= t <= high]
    tens = [t for t in inside if f"{t:e}"[0] == "1"]
    return tens if len(tens) >= 3 else inside[:: max(1, len(inside) // 5)]


def _number(value: float) -> str:
    text = f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else "0" if float(text) == 0 else text


def _points(frame: _Frame, pairs: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in pairs)
