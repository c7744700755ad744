"""The few shapes that charts are made of, as inline SVG. No script, no font, no colour that a dark page would swallow:
lines and letters take a CSS class."""

from __future__ import annotations

from xml.etree import ElementTree as ET


def new_svg(width: int, height: int, label: str) -> ET.Element:
    view = f"0 0 {width} {height}"
    return ET.Element(
        "svg", {"viewBox": view, "width": str(width), "role": "img", "aria-label": label, "class": "chart"}
    )


def circle(x: float, y: float, radius: float, kind: str) -> dict[str, str]:
    return {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": str(radius), "class": kind}


def add_line(svg: ET.Element, x0: float, y0: float, x1: float, y1: float, kind: str) -> None:
    ends = {"x1": x0, "y1": y0, "x2": x1, "y2": y1}
    ET.SubElement(svg, "line", {**{name: f"{value:.1f}" for name, value in ends.items()}, "class": kind})


def add_text(svg: ET.Element, x: float, y: float, content: str, kind: str) -> None:
    ET.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": kind}).text = content
