"""Stacked bars as inline SVG: shares of 1 that add up, a bar per line, with figures at the end of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from .svg import add_line, add_text, new_svg

_LABEL_WIDTH, _COLUMN_WIDTH, _ROW, _GROUP, _BAR = 170, 84, 22, 28, 16
_LEAST_NUMBERED = 0.055  # of the bar; narrower pieces have no room for their number


class Bar(NamedTuple):
    """A bar: ``pieces`` are (CSS class, share, what hovering tells), ``figures`` the texts behind it."""

    label: str
    group: str
    pieces: Sequence[tuple[str, float, str]]
    figures: Sequence[str]


def stacked_svg(bars: Sequence[Bar], headings: Sequence[str], label: str, width: int = 860) -> str:
    """Bars in their order, grouped; ``headings`` stand above the figures, which every bar has as many of."""
    groups = list(dict.fromkeys(bar.group for bar in bars))
    height = 20 + len(bars) * _ROW + len(groups) * _GROUP + 22
    svg = new_svg(width, height, label)
    full = width - _LABEL_WIDTH - _COLUMN_WIDTH * len(headings) - 14
    for k, heading in enumerate(headings):
        add_text(svg, _column(width, headings, k), 14, heading, "tick end")
    for tick in (0, 25, 50, 75, 100):
        x = _LABEL_WIDTH + full * tick / 100
        add_line(svg, x, 20, x, height - 20, "grid")
        add_text(svg, x, height - 6, f"{tick} %" if tick == 100 else str(tick), "tick middle")
    y = 20.0
    for group in groups:
        add_text(svg, 0, y + 19, group, "title")
        y += _GROUP
        for bar in (b for b in bars if b.group == group):
            _draw(svg, bar, y, full, [_column(width, headings, k) for k in range(len(headings))])
            y += _ROW
    return ET.tostring(svg, encoding="unicode")


def _column(width: int, headings: Sequence[str], k: int) -> float:
    return width - _COLUMN_WIDTH * (len(headings) - 1 - k)


def _draw(svg: ET.Element, bar: Bar, y: float, full: float, columns: Sequence[float]) -> None:
    add_text(svg, 12, y + 13, bar.label, "tick")
    x = float(_LABEL_WIDTH)
    for kind, share, hint in bar.pieces:
        if share <= 0:
            continue
        size = {"x": f"{x:.2f}", "y": f"{y:.1f}", "width": f"{share * full:.2f}", "height": str(_BAR)}
        piece = ET.SubElement(svg, "rect", {**size, "class": f"kind-{kind}"})
        ET.SubElement(piece, "title").text = hint
        if share >= _LEAST_NUMBERED:
            add_text(svg, x + share * full / 2, y + 12, f"{100 * share:.0f}", "onbar middle")
        x += share * full
    for column, figure in zip(columns, bar.figures, strict=True):
        add_text(svg, column, y + 13, figure, "tick end")
