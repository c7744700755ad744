"""Questions and answer sentences: enough of them, held-out ones apart, and told apart by grammar.names_parts."""

from __future__ import annotations

import re

import pytest

from llava_corr.datasets.mixedparts import phrasings
from llava_corr.datasets.mixedparts.answers import Mention, _sentence
from llava_corr.grammar import build_question, names_parts, parse_answer

TASKS = ("common_objects", "common_parts", "unique_parts")
PAPER = {
    "common_objects": "Can you segment the common object in these images?",
    "common_parts": "Please segment the common parts of the objects.",
    "unique_parts": "What are the unique parts of the objects in these images? Please output segmentation masks.",
}
OBJECT_SENTENCES = phrasings.COMMON_OBJECTS + phrasings.OBJECTS_SHOWN
PART_SENTENCES = phrasings.COMMON_PARTS + phrasings.UNIQUE_PARTS


@pytest.mark.parametrize("task", TASKS)
def test_questions_per_task(task):
    asked, held_out = phrasings.QUESTIONS[task], phrasings.HELD_OUT_QUESTIONS[task]
    assert len(set(asked) | set(held_out)) == len(asked) + len(held_out) >= 12
    assert len(held_out) == 3
    assert PAPER[task] in asked
    assert phrasings.questions(task, "train") == phrasings.questions(task, "val") == asked
    assert phrasings.questions(task, "test") == held_out


def test_no_question_belongs_to_two_tasks():
    every = [q for task in TASKS for q in phrasings.QUESTIONS[task] + phrasings.HELD_OUT_QUESTIONS[task]]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("task", TASKS)
def test_part_questions_ask_for_parts_and_object_questions_do_not(task):
    for question in phrasings.QUESTIONS[task] + phrasings.HELD_OUT_QUESTIONS[task]:
        assert names_parts(question) == (task != "common_objects")
        assert not re.search(r"both|the other object\b", question), "true of pairs alone"
        assert build_question(3, question).count("<image>") == 3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sentences_are_told_apart_and_read_back(count):
    mentions = [Mention(name, (0, 1), "object") for name in ("spare part", "leg", "dog")[:count]]
    for template in OBJECT_SENTENCES + PART_SENTENCES:
        text = _sentence(template, mentions)
        answer = parse_answer(text, 2)
        assert not answer.trail
        assert [(s.phrase, s.image_index) for s in answer.segments] == [
            (f"the {m.name}", k) for m in mentions for k in (0, 1)
        ]
        assert {s.sentence for s in answer.segments} == {text}
        assert names_parts(text) == (template in PART_SENTENCES)


def test_sentences_for_nothing():
    for task, (_, nothing) in phrasings.ANSWERS.items():
        assert len(nothing) >= 3
        for text in nothing:
            assert names_parts(text) == (task != "common_objects")
            assert parse_answer(text, 2).seg_count == 0


def test_number_agrees_with_the_list():
    one, two = [Mention("leg", (0,), "unique")], [Mention("leg", (0,), "unique"), Mention("arm", (1,), "unique")]
    assert _sentence("The unique part{s} {be} {items}.", one) == "The unique part is <p> the leg </p> [SEG] (IMAGE1)."
    assert _sentence("The unique part{s} {be} {items}.", two) == (
        "The unique parts are <p> the leg </p> [SEG] (IMAGE1) and <p> the arm </p> [SEG] (IMAGE2)."
    )


@pytest.mark.parametrize("task", TASKS)
def test_held_out_questions_use_no_word_that_training_never_shows(task):
    def words(questions):
        return {word for question in questions for word in re.findall(r"[a-z]+", question.lower())}

    assert words(phrasings.HELD_OUT_QUESTIONS[task]) <= words(phrasings.QUESTIONS[task])
