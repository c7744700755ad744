"""Charts: valid SVG, marks at the right places, no trouble with odd data."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.report.charts import Curve, IntervalRow, curve_svg, intervals_svg

finite = st.floats(-1e6, 1e6, allow_nan=False)


def curve(values, name="loss"):
    return Curve(name, np.arange(len(values), dtype=float), np.asarray(values, dtype=float))


def numbers(points):
    return np.array([[float(v) for v in pair.split(",")] for pair in points.split()])


@settings(max_examples=80, deadline=None)
@given(st.lists(finite, min_size=2, max_size=300))
def test_curves_stay_inside_the_picture(values):
    svg = ET.fromstring(curve_svg(curve(values)))
    points = numbers(svg.find("polyline").get("points"))
    assert (points[:, 0] >= 55).all()
    assert (points[:, 0] <= 349).all()
    assert (points[:, 1] >= 25).all()
    assert (points[:, 1] <= 159).all()


def test_higher_values_stand_higher_and_steps_go_right():
    points = numbers(ET.fromstring(curve_svg(curve([1.0, 2.0, 3.0]))).find("polyline").get("points"))
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) < 0).all()


def test_many_points_become_bins_with_a_band():
    values = np.random.default_rng(0).random(1000)
    svg = ET.fromstring(curve_svg(curve(values)))
    line, band = (numbers(svg.find(tag).get("points")) for tag in ("polyline", "polygon"))
    assert len(line) == 120
    assert len(band) == 240
    upper, lower = band[:120, 1], band[120:][::-1, 1]
    assert (upper <= line[:, 1] + 0.06).all()
    assert (lower >= line[:, 1] - 0.06).all()


def test_wide_ranges_use_a_log_axis():
    assert "loss (log axis)" in curve_svg(curve(np.geomspace(1e-3, 10, 50)))
    assert "log axis" not in curve_svg(curve(np.linspace(1, 10, 50)))
    assert "log axis" not in curve_svg(curve(np.linspace(0, 10, 50)))
    points = numbers(ET.fromstring(curve_svg(curve(np.geomspace(1e-3, 10, 50)))).find("polyline").get("points"))
    assert np.ptp(np.diff(points[:, 1])) < 0.25  # geometric growth is a straight line, to rounding


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0, 5.0], [-1.0, -1.0], [1e-12, 1e-12], [1e30, 2e30]])
def test_flat_and_extreme_values(values):
    ET.fromstring(curve_svg(curve(values)))


def test_single_step_is_a_dot():
    svg = ET.fromstring(curve_svg(Curve("loss", np.array([3.0]), np.array([2.0]))))
    assert svg.find("circle") is not None


def test_intervals_span_their_bounds_in_proportion():
    rows = [IntervalRow("a", "one", 50.0, (40.0, 60.0)), IntervalRow("b", "one", 25.0, None)]
    svg = ET.fromstring(intervals_svg(rows, "axis"))
    dots = [float(c.get("cx")) for c in svg.findall("circle")]
    whisker = next(line for line in svg.findall("line") if line.get("class") == "line")
    left, right = float(whisker.get("x1")), float(whisker.get("x2"))
    assert dots[0] == pytest.approx((left + right) / 2, abs=0.1)
    assert (dots[0] - 170) / (dots[1] - 170) == pytest.approx(2.0, abs=0.01)


def test_intervals_of_zeros_and_text_is_escaped():
    svg = intervals_svg([IntervalRow("<b>&", "one", 0.0, (0.0, 0.0))], "axis")
    assert "<b>" not in svg
    ET.fromstring(svg)
