"""What is read out of a language model's reply: the format itself, everything near it, and nothing from noise."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llava_corr.benchmarks.cascade_names import MAX_NAMES, RULES, read_names

CHAIR = '{"object": "chair", "parts": ["leg", "seat"]}'
WELL = f'{{"IMAGE1": [{CHAIR}], "IMAGE2": [{{"object": "table", "parts": ["leg"]}}]}}'
READ = [[("chair", ["leg", "seat"])], [("table", ["leg"])]]


def read(text, count=2, about_parts=True):
    """(names per picture, rules applied)"""
    names = read_names(text, count, about_parts=about_parts)
    assert len(names.images) == count
    rules = [line.split(" ")[0] for line in names.trail]
    assert set(rules) <= set(RULES)
    assert names.readable == ("names_unreadable" not in rules)
    return [[(o.name, o.parts) for o in image] for image in names.images], rules


def test_the_format_itself_leaves_no_trail():
    assert read(WELL) == (READ, [])
    assert read('{"IMAGE1": [], "IMAGE2": []}') == ([[], []], [])
    four = {f"IMAGE{k}": [{"object": "dog", "parts": []}] for k in (4, 2, 3, 1)}
    assert read(json.dumps(four), 4, False) == ([[("dog", [])]] * 4, [])


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (f"Sure! Here it is:\n```json\n{WELL}\n```\nAnything else?", ["names_surrounded"]),
        (f"<think>[1] {{maybe}} {WELL}</think>{WELL}", []),
        (f"IMAGE1: dog, so</think>{WELL}", []),
        (f"{{chair}} it is: {WELL}", ["names_surrounded"]),
        (WELL.replace('"', "'"), ["names_loose_json"]),
        (WELL.replace("]}", ",]}"), ["names_loose_json"]),
        (WELL.replace("{", "{\n// as asked\n", 1), ["names_loose_json"]),
        (WELL[:-1], ["names_unclosed"]),
        (WELL[:-4] + ', "se', ["names_unclosed"]),
        (f'{{"answer": {WELL}}}', ["names_wrapped"]),
        (WELL.replace("IMAGE1", "Image 1").replace("IMAGE2", "(picture_2)"), ["names_image_key"] * 2),
        (WELL.replace("IMAGE", ""), ["names_image_key"] * 2),
        (WELL.replace(f"[{CHAIR}]", CHAIR), ["names_other_form"]),
        (WELL.replace(f"[{CHAIR}]", '{"chair": ["leg", "seat"]}'), ["names_other_form"] * 2),
        (WELL.replace('["leg", "seat"]', '"leg, seat"'), ["names_other_form"]),
        (WELL.replace('"leg", "seat"', '"the chair leg", "Seat of the chair."'), ["names_object_in_part"] * 2),
        (WELL.replace('"leg", "seat"', '"leg", "The leg", "seat"'), ["names_repeated"]),
        (WELL.replace('"leg", "seat"', '"leg", 3, null, "", "none", "seat"'), ["names_not_a_name"] * 4),
        (WELL.replace('"seat"', '"a thing that one may well sit upon", "seat"'), ["names_too_long"]),
        (WELL.replace("}]}", '}], "IMAGE3": [], "note": "x"}'), ["names_unknown_image"] * 2),
        (WELL.replace(f"[{CHAIR}]", f'[{CHAIR}, {{"object": "chair", "parts": ["leg"]}}]'), ["names_repeated"] * 2),
        (f'{{"IMAGE1": [{CHAIR}], {WELL[1:]}', None),
        ("IMAGE1: chair - leg, seat\nIMAGE2: table (leg)", ["names_in_lines"]),
        ("Well:\n- **IMAGE1**: chair - leg and seat\n- **IMAGE2**: table - leg\nDone.", None),
    ],
)  # fmt: skip
def test_what_is_near_the_format_is_read_and_says_so(text, rules):
    names, applied = read(text)
    assert names == READ
    if rules is not None:
        assert applied == rules
    else:
        assert applied


@pytest.mark.parametrize(
    ("text", "names", "rule"),
    [
        ('[[{"object": "dog", "parts": ["tail"]}], []]', [[("dog", ["tail"])], []], "names_by_position"),
        ('{"IMAGE2": [{"object": "dog", "parts": []}]}', [[], [("dog", [])]], "names_missing_image"),
        ('{"IMAGE1": ["leg", "none"], "IMAGE2": "nothing"}', [[("", ["leg"])], []], "names_other_form"),
        ('{"IMAGE1": 3, "IMAGE2": [7, {}]}', [[], []], "names_not_a_name"),
        ('{"IMAGE1": "dog - tail; cat", "IMAGE2": null}', [[("dog", ["tail"]), ("", ["cat"])], []], "names_other_form"),
        ('{"IMAGE1": [{"object": null, "parts": ["leg"]}], "IMAGE2": []}', [[("", ["leg"])], []], None),
    ],
)
def test_other_forms(text, names, rule):
    found, rules = read(text)
    assert found == names
    assert rule is None or rule in rules


def test_answers_about_objects_have_no_parts():
    assert read(WELL, about_parts=False) == ([[("chair", [])], [("table", [])]], ["names_parts_left_out"] * 2)
    found, rules = read('{"IMAGE1": ["dog", "the Cat"], "IMAGE2": "dog, cat"}', about_parts=False)
    assert found == [[("dog", []), ("cat", [])]] * 2
    assert set(rules) == {"names_other_form"}


@pytest.mark.parametrize(
    "text", ["", " ", "I cannot see any picture.", "{}", "[]", "null", "7", '{"a": 1}', '{"a": {"b": []}}', "[" * 9000,
             "{" * 9000, '{"IMAGE":' * 900, "\x00", "```json\n```", "<think>IMAGE1: dog"],
)  # fmt: skip
def test_what_is_unreadable_is_counted_and_empty(text):
    found, rules = read(text)
    assert (found, rules) == ([[], []], ["names_unreadable"])


def test_names_cannot_break_the_answer():
    text = json.dumps({"IMAGE1": ["<p> x </p> [SEG] (IMAGE2)", "and", "[SEG]", "...", "st. bernard"], "IMAGE2": []})
    found, _ = read(text)
    ((_, parts),) = found[0]
    assert "st. bernard" in parts
    assert not any(sign in part for part in parts for sign in "<>[]()")


def test_a_model_that_repeats_itself_is_stopped():
    many = json.dumps({"IMAGE1": [{"object": f"thing {k}", "parts": ["leg"]} for k in range(500)], "IMAGE2": []})
    found, rules = read(many)
    assert sum(1 + len(parts) for _, parts in found[0]) == MAX_NAMES
    assert rules.count("names_too_many") == 1


_pieces = st.sampled_from(
    ["{", "}", "[", "]", '"', "'", ":", ",", " ", "\n", "IMAGE1", "IMAGE2", "image 3", '"object"', '"parts"',
     "chair", "leg", "- ", ";", "null", "```json", "<think>", "</think>", "[SEG]", "<p>", "(IMAGE1)", "\\", "the ",
     "//", "1e999"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(_pieces, max_size=40).map("".join)), st.integers(1, 4), st.booleans())
def test_no_text_is_a_crash(text, count, about_parts):
    read(text, count, about_parts)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WELL)), st.sampled_from(["", "\n```", " ..."]))
def test_cut_off_anywhere_what_is_whole_is_read(end, tail):
    found, _ = read(WELL[:end] + tail)
    for image, truth in zip(found, READ, strict=True):
        for name, parts in image:
            assert name in ("", truth[0][0])
            assert parts == truth[0][1][: len(parts)]


@pytest.mark.parametrize(
    "text", ["{" * 40_000, '{"a":' * 20_000, "[1," * 30_000, '{"IMAGE1": ["' + "x, " * 40_000, "{x}" * 20_000]
)
def test_hostile_replies_take_no_long_time(text):
    started = time.monotonic()
    read(text)
    assert time.monotonic() - started < 5
