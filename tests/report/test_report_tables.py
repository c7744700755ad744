"""Score and fact tables: arrangement, figures, conventions."""

import pytest

from llava_corr.records import Score
from llava_corr.report.inputs import MACRO, DifferenceRow, Metric, ScoreRow
from llava_corr.report.tables import difference_table, fact_tables, plain, score_tables, shown_value

PERCENT = {"mIoU": Metric(1, True), "false_segment_rate": Metric(-1, True)}


def row(model, task, name, value, convention="c", interval=None):
    return ScoreRow(model, task, Score(name=name, value=value, interval=interval, n=7, convention=convention))


def test_macro_mean_comes_first_and_main_scores_stand_apart():
    rows = [row("a", "parts", "mIoU", 0.5), row("a", MACRO, "mIoU", 0.25), row("b", "parts", "extra", 2.0)]
    main, rest = score_tables(rows, PERCENT)
    assert [g.task for g in main.groups] == [MACRO, "parts"]
    assert [h.title for h in main.headers] == ["mIoU"]
    assert [h.title for h in rest.headers] == ["extra"]
    assert main.groups[1].rows == [("a", [("50.0", "", "n = 7", "")])]
    assert rest.groups[1].rows == [("b", [("2.00", "", "n = 7", "")])]


def test_a_benchmark_with_other_scores_has_one_table():
    (table,) = score_tables([row("a", "t", "pck", 0.5)], {})
    assert [h.title for h in table.headers] == ["pck"]


def test_absent_scores_leave_a_gap_and_intervals_have_units():
    rows = [row("a", "t", "mIoU", 0.5, interval=(0.4, 0.6)), row("b", "t", "false_segment_rate", 0.1)]
    (table,) = score_tables(rows, PERCENT)
    assert table.groups[0].rows[0] == ("a", [("50.0", "40.0 to 60.0", "n = 7", ""), None])
    assert [h.better for h in table.headers] == ["↑ better", "↓ better"]


def test_conventions_that_differ_are_all_told():
    (table,) = score_tables([row("a", "t", "mIoU", 0.5, "greedy"), row("b", "t", "mIoU", 0.5, "optimal")], PERCENT)
    assert table.headers[0].convention == "greedy / optimal"
    rows = [row("a", "t", "mIoU", 0.5, "greedy"), row("a", MACRO, "mIoU", 0.5, "greedy; mean over x")]
    (table,) = score_tables(rows, PERCENT)
    assert table.headers[0].convention == "greedy"
    assert table.groups[0].rows[0][1][0].hint == "n = 7; greedy; mean over x"


def test_differences():
    rows = [
        DifferenceRow("a", "b", "t", "mIoU", 0.1, (-0.02, 0.2), "undecided"),
        DifferenceRow("a", "b", MACRO, "mIoU", -0.1, None, ""),
    ]
    table = difference_table(rows, PERCENT)
    assert table.groups[0].rows == [("a minus b", [("-10.0", "", "", "")])]
    assert table.groups[1].rows == [("a minus b", [("+10.0", "-2.0 to +20.0", "", "undecided")])]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.12345, "12.3"), (float("nan"), "–"), (float("inf"), "–"), (1.0, "100.0")]
)
def test_shown_percent(value, shown):
    assert shown_value("mIoU", value, PERCENT) == shown


def test_fact_tables_by_shape():
    singles, matrix, rows, deep = fact_tables(
        {
            "seed": 3,
            "by_source": {"a": {"n": 1}, "b": {"n": 2, "m": 0.5}},
            "stages": [{"name": "x", "seconds": 90}, {"name": "y", "seconds": 5}],
            "stage_seconds": {"train": {"warm_up": 61}},
        }
    )
    assert singles.rows == [["seed", "3"]]
    assert matrix == ("by source", ["", "n", "m"], [["a", "1", ""], ["b", "2", "0.5"]])
    (turned,) = fact_tables({"sets": {"x": {"n": 1, "of": {"1": 2, "3": 4}, "q": [1, 2]}, "y": {"n": 2}}})
    assert turned == ("sets", ["", "x", "y"], [["n", "1", "2"], ["of", "1: 2, 3: 4", ""], ["q", "1, 2", ""]])
    assert rows.rows == [["1", "x", "90 s (1 min 30 s)"], ["2", "y", "5"]]
    assert deep.rows == [["train / warm up", "61 s (1 min 1 s)"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "yes"), (3, "3"), (1.23456, "1.235"), (123456.7, "123,457"), ([1, "a"], "1, a"), ({}, "–")],
)
def test_plain(value, text):
    assert plain("x", value) == text
