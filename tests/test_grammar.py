"""The grammar: what is built parses back without a trail; whatever else is written parses by the stated rules."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_corr.errors import CountMismatchError
from llava_corr.grammar import (
    RULES,
    build_question,
    counts_as_part,
    ground,
    image_preamble,
    join_words,
    names_parts,
    normalise_label,
    object_block,
    option_letters,
    options_block,
    parse_answer,
    parse_option,
    spaced,
    spoken_name,
    with_determiner,
)

WORDS = st.lists(st.sampled_from(["seat", "cushion", "left", "wing", "top", "and", "part"]), min_size=1, max_size=3)


def rules_of(parsed):
    return [line.split(" at ")[0] for line in parsed.trail]


def test_preambles():
    assert image_preamble(1) == "The <image> (IMAGE1) provides an overview of the picture."
    assert image_preamble(2) == "The <image> (IMAGE1) and <image> (IMAGE2) provide an overview of the pictures."
    assert image_preamble(3).count("<image>") == 3
    assert build_question(2, "Do it.").endswith("pictures. Do it.")
    with pytest.raises(CountMismatchError):
        image_preamble(0)


@given(
    st.lists(st.tuples(WORDS, st.lists(st.integers(0, 4), min_size=1, max_size=3)), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_built_answers_parse_back_without_a_trail(groups, sentences):
    phrases = [(with_determiner("x " + " ".join(words)), images) for words, images in groups]
    cut = max(1, len(phrases) // sentences)
    chunks = [phrases[i : i + cut] for i in range(0, len(phrases), cut)]
    text = " ".join(f"The parts are {join_words([ground(p, i) for p, i in chunk])}." for chunk in chunks)
    parsed = parse_answer(text, 5)
    assert parsed.trail == []
    assert [(s.phrase, s.image_index) for s in parsed.segments] == [(p, i) for p, images in phrases for i in images]
    assert [s.occurrence for s in parsed.segments] == list(range(parsed.seg_count))
    assert all(names_parts(s.sentence) for s in parsed.segments)
    assert spaced(text) == text
    assert spaced(re.sub(r" ?(<p>|</p>|\[SEG\]) ?", r"\1", text)) == text


PIECES = [
    "<p>",
    "</p>",
    "[SEG]",
    "(IMAGE1)",
    "(IMAGE2)",
    "(IMAGE9)",
    "IMAGE 2",
    ".",
    "cat",
    "and",
    "(IMAGE",
    ")",
    "<p",
    "SEG]",
]


@given(st.lists(st.sampled_from(PIECES), max_size=14), st.integers(1, 3))
def test_any_text_parses_and_loses_nothing_silently(pieces, images):
    text = " ".join(pieces)
    parsed = parse_answer(text, images)
    dropped = sum(rule.startswith("dropped") for rule in rules_of(parsed))
    kept_without_identifier = images == 1 and "dropped_no_image" in rules_of(parsed)
    assert parsed.seg_count == text.count("[SEG]")
    assert len(parsed.segments) + dropped >= parsed.seg_count
    if not kept_without_identifier:
        assert len(parsed.segments) + dropped == parsed.seg_count
    assert all(0 <= s.image_index < images for s in parsed.segments)
    assert set(rules_of(parsed)) <= set(RULES)


@pytest.mark.parametrize(
    ("text", "segments", "rules"),
    [
        ("<p> dog [SEG] (IMAGE1).", [("dog", 0)], ["unclosed_phrase"]),
        ("the dog </p> [SEG] (IMAGE2).", [("the dog", 1)], ["unopened_phrase"]),
        ("a cat [SEG] (IMAGE1)", [("a cat", 0)], ["untagged_phrase"]),
        ("<p> a </p> [SEG] (IMAGE2) <p> b </p> [SEG].", [("a", 1), ("b", 1)], ["missing_image"]),
        ("<p> a </p> [SEG]", [], ["dropped_no_image"]),
        ("<p> a </p> [SEG] (IMAGE3)", [], ["dropped_unknown_image"]),
        ("<p> a </p> [SEG] (image 2)", [("a", 1)], ["malformed_image"]),
        ("<p> a </p> and nothing. <p> b </p> [SEG] (IMAGE1)", [("b", 0)], ["phrase_without_seg"]),
        ("<p> </p> [SEG] (IMAGE1)", [("", 0)], ["empty_phrase"]),
        ("<p> a </p> [SEG] (IMAGE1) and the cat [SEG] (IMAGE2)", [("a", 0), ("the cat", 1)], ["untagged_phrase"]),
        ("Nothing here.", [], []),
        ("", [], []),
    ],
)
def test_rules_one_by_one(text, segments, rules):
    parsed = parse_answer(text, 2)
    assert [(s.phrase, s.image_index) for s in parsed.segments] == segments
    assert rules_of(parsed) == rules


@given(st.lists(st.sampled_from(PIECES)), st.sampled_from(["", " "]))
def test_spaces_change_no_answer(pieces, between):
    text = between.join(pieces)
    before, after = parse_answer(text, 2), parse_answer(spaced(text), 2)
    words = [[(s.phrase.strip(" ."), *s[1:3]) for s in parsed.segments] for parsed in (before, after)]
    assert words[0] == words[1], "but for a full stop that stood for a phrase"
    assert spaced(spaced(text)) == spaced(text)


def test_single_image_needs_no_identifier():
    parsed = parse_answer("<p> a </p> [SEG]", 1)
    assert [(s.phrase, s.image_index) for s in parsed.segments] == [("a", 0)]


def test_sentences_introduce_objects_or_parts():
    assert not names_parts("The images show <p> the spare part </p> [SEG] (IMAGE1).")
    assert names_parts("The unique parts are <p> the leg </p> [SEG] (IMAGE1).")


@pytest.mark.parametrize(
    ("label", "clean"),
    [("The Seat_Cushion.", "seat cushion"), ("car_(automobile)", "car"), ("an arm", "arm"), ("fan (box)", "fan"),
     ("theatre", "theatre"), ("  ", "")],
)  # fmt: skip
def test_normalised_labels(label, clean):
    assert normalise_label(label) == clean
    assert normalise_label(clean) == clean


@pytest.mark.parametrize(
    ("text", "letter", "rule"),
    [
        ("B", "B", "bare_letter"), ("(c).", "C", "bare_letter"), ("I pick (B) here", "B", "bracketed_letter"),
        ("The answer is A", "A", "answer_is"), ("It must be C.", "C", "single_letter"),
        ("A dog is seen", None, "unparsed"),
        ("the red one", "A", "option_text"), ("A or B", None, "unparsed"), ("", None, "unparsed"),
        ("<think>B maybe</think> C", "C", "bare_letter"),
    ],
)  # fmt: skip
def test_options(text, letter, rule):
    assert parse_option(text, ["the red one", "the blue one", "none"]) == (letter, rule)


def test_blocks():
    assert object_block([2, 1]) == (
        "Objects in Image-1: <query object><VPT_CONTEXT>.\n"
        "Objects in Image-2: <object-1><VPT_CONTEXT>, <object-2><VPT_CONTEXT>.\n"
    )
    assert options_block(["1", "2"]) == "A. 1\nB. 2\n"
    assert option_letters(26)[-1] == "Z"
    with pytest.raises(CountMismatchError):
        option_letters(27)


@pytest.mark.parametrize("name", ["st. bernard", "no. 5 screw", "u.s. mail box", "what? sign"])
def test_full_stops_inside_a_phrase_end_no_sentence(name):
    text = f"The images show {ground(f'the {name}', [0])}. The common parts are {ground(f'the {name}', [0, 1])}."
    first, *rest = parse_answer(text, 2).segments
    assert [s.phrase for s in (first, *rest)] == [f"the {name}"] * 3
    assert not names_parts(first.sentence)
    assert all(names_parts(s.sentence) for s in rest)
    unclosed = parse_answer("Here is <p> the leg. The <p> seat </p> [SEG] (IMAGE1).", 2)
    assert [s.phrase for s in unclosed.segments] == ["seat"]


def test_line_breaks_in_a_phrase_change_nothing():
    assert not names_parts("The image shows <p> the\nspare part </p> [SEG] (IMAGE1).")


@pytest.mark.parametrize("name", ["+", "-", " _ ", "()", "?!", "the"])
def test_names_that_scores_cannot_compare_are_none(name):
    assert bool(spoken_name(name)) == (name == "the")


@pytest.mark.parametrize("text", [
    "(IMAGE" + "9" * 5000 + ")", "IMAGE" + " " * 60000, " " * 100000 + "IMAGE", "(" * 50000, "<think>" * 20000,
])  # fmt: skip
def test_whatever_a_model_writes_is_read_in_no_time(text):
    started = time.monotonic()
    parse_answer(text + " [SEG]", 2)
    normalise_label(text)
    parse_option(text, ["a dog", "a cat"])
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("sentence", "counted"),
    [
        ("", True),
        ("The common part is <p> the leg </p> [SEG].", True),
        ("The images show <p> the part </p> [SEG].", False),
    ],
)
def test_a_segment_counts_as_a_part_unless_its_sentence_speaks_of_none(sentence, counted):
    assert counts_as_part(sentence) is counted
