"""The words of MixedParts: questions per task (three held out for the test split) and answer sentences.

The first question of each task is the paper's own (facts, 5.3). Held out are sentences, not words: a trunk that is
trained from scratch has no way to know a word that no training question of the task uses. What tells common parts from
unique ones may be one clause, "no object lacks" or "the other objects lack"; such clauses come in many frames, or they
are learned as the sentences that they stand in. Questions hold for sets of any size: no object is "the other" one.
Sentences about parts use the word "part" outside the phrases and sentences about objects never do:
:func:`llava_corr.grammar.names_parts` tells them apart by that.
In answers ``{items}`` takes the grounded phrases, ``{s}`` and ``{be}`` agree with their number.
"""

from __future__ import annotations

from typing import Literal, get_args

from ...errors import SampleError
from ...records import Task
from ...registry import closest, did_you_mean

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

SENTENCES: dict[Task, tuple[str, ...]] = {
    "common_objects": (
        "Can you segment the common object in these images?",
        "Please segment the objects that appear in all of these images.",
        "Which object can be seen in every image? Please output segmentation masks.",
        "Find the object that the images share and segment it.",
        "What do these images have in common? Segment every common object.",
        "Segment whatever object is present in each of the images.",
        "Identify the common objects in the images and show where they are.",
        "Which kinds of object occur in all images? Answer with segmentation masks.",
        "Please mark the objects that the pictures have in common.",
        "Are there things that every picture shows? Segment them.",
        "Look at all pictures and give the masks of the objects that they share.",
        "Name each kind of object that occurs in every picture, and give its masks.",
        "Which objects do all of these pictures show?",
        "Name every object that is in all of the images, together with its mask in each.",
        "Look for objects of the same kind in the images and segment them.",
        "Are there objects that appear in every one of these pictures?",
        "Give the masks of each kind of object that all images show.",
        "Name what all pictures show and segment it in each of them.",
    ),
    "common_parts": (
        "Please segment the common parts of the objects.",
        "Can you segment the parts that the objects in these images have in common?",
        "Which parts do the objects share? Please output segmentation masks.",
        "Compare the objects in the images and segment the parts that all of them show.",
        "What parts can be seen on every one of the objects? Segment them.",
        "Find the shared parts of the objects in these images.",
        "Segment each part that is visible on all of the objects.",
        "Please point out the common parts of the objects in the images, with masks.",
        "Which object parts do these images have in common? Show where they are.",
        "Name the common parts of the objects, together with their masks.",
        "Which parts are found on every object? Give their masks.",
        "Look at the objects of all pictures and segment the parts that they share.",
        "Are there parts that none of these objects lacks? Segment them.",
        "Give the masks of the parts that appear on each object.",
        "What are all of the objects made of? Segment the parts that every one has.",
        "Look for parts that appear in every picture and give their masks.",
        "Which parts does each of the objects have? Name them together with their masks.",
    ),
    "unique_parts": (
        "What are the unique parts of the objects in these images? Please output segmentation masks.",
        "Please segment the parts that only one of the objects has.",
        "Can you segment the unique parts of the objects?",
        "Compare the objects in the images and segment the parts that set them apart.",
        "Which parts are visible on one object but not on the others? Segment them.",
        "Find the parts in which the objects of these images differ.",
        "Segment each part that is seen in a single image only.",
        "Please point out the distinct parts of the objects in the images, with masks.",
        "Which object parts are not shared between these images? Show where they are.",
        "Name the unique parts of the objects, together with their masks.",
        "Which parts are found on one object alone? Give their masks.",
        "Look at the objects and segment the parts that just one of them has.",
        "Which parts do the other objects lack? Segment them.",
        "Are there parts that one object has and the others lack? Segment them.",
        "Give the masks of the parts that appear in one picture alone.",
        "What is just one of the objects made of? Segment the parts that the others lack.",
        "Look for parts that appear on the object of a single picture and give their masks.",
        "Which parts does one object have that the others lack? Name them together with their masks.",
    ),
}

HELD_OUT_QUESTIONS: dict[Task, tuple[str, ...]] = {
    "common_objects": (
        "Are there objects that all of these pictures show? Please segment them.",
        "Look for the same kind of object in every picture and give its mask in each.",
        "Name each object that occurs in every one of the images, together with its masks.",
    ),
    "common_parts": (
        "Which parts appear on the objects of all pictures? Give their masks.",
        "Look at what the objects are made of and segment the parts found in every picture.",
        "Name the parts that none of the objects lacks, together with their masks.",
    ),
    "unique_parts": (
        "Which parts appear on the object of just one picture? Give their masks.",
        "Look at what the objects are made of and segment the parts found in one picture alone.",
        "Name the parts that the other objects lack, together with their masks.",
    ),
}

PART_FRAMES = (
    "Segment the parts that {clause}.",
    "Which are the parts that {clause}? Segment them.",
    "Name the parts that {clause} and segment them.",
    "Name the parts that {clause}, together with their masks.",
    "Find the parts that {clause} and show where they are.",
)
PART_CLAUSES: dict[Task, tuple[str, ...]] = {
    "common_parts": (
        "all of the objects have",
        "every one of the objects has",
        "each object has",
        "no object lacks",
        "none of the objects lacks",
        "are found on every object",
    ),
    "unique_parts": (
        "only one of the objects has",
        "just one object has",
        "one object has and the others lack",
        "the others lack",
        "the other objects lack",
        "are found on one object alone",
    ),
}

QUESTIONS: dict[Task, tuple[str, ...]] = {
    task: sentences
    + tuple(
        question
        for clause in PART_CLAUSES.get(task, ())
        for frame in PART_FRAMES
        if (question := frame.format(clause=clause)) not in HELD_OUT_QUESTIONS[task]
    )
    for task, sentences in SENTENCES.items()
}

COMMON_OBJECTS = (
    "The common object{s} {be} {items}.",
    "The images have {items} in common.",
    "All images show {items}.",
    "In every image there {be} {items}.",
)
NO_COMMON_OBJECTS = (
    "The images have no object in common.",
    "No object appears in all of the images.",
    "There is no common object in these images.",
)
OBJECTS_SHOWN = (
    "The images show {items}.",
    "The images include {items}.",
    "The object{s} in the images {be} {items}.",
    "These are pictures of {items}.",
)
COMMON_PARTS = (
    "The common part{s} {be} {items}.",
    "The detected common part{s} {be} {items}.",
    "The part{s} seen in every image {be} {items}.",
    "As common part{s}, the images show {items}.",
)
NO_COMMON_PARTS = (
    "They have no visible part in common.",
    "There are no common parts.",
    "No part is visible in all of the images.",
)
UNIQUE_PARTS = (
    "The unique part{s} {be} {items}.",
    "The unique part{s} present {be} {items}.",
    "The part{s} seen in one image only {be} {items}.",
    "As unique part{s}, the images show {items}.",
)
NO_UNIQUE_PARTS = (
    "They have no unique parts.",
    "There are no unique parts.",
    "No part is visible in one image only.",
)

#: task -> sentences of its own answer, sentences for "nothing"
ANSWERS: dict[Task, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "common_objects": (COMMON_OBJECTS, NO_COMMON_OBJECTS),
    "common_parts": (COMMON_PARTS, NO_COMMON_PARTS),
    "unique_parts": (UNIQUE_PARTS, NO_UNIQUE_PARTS),
}


def questions(task: Task, split: str) -> tuple[str, ...]:
    """Questions that may be asked in ``split``: the test split has three of its own, which no other split sees."""
    return HELD_OUT_QUESTIONS[task] if split == "test" else QUESTIONS[task]


def in_words(what: str, pictures: int) -> tuple[str, Task | None]:
    """A task in the paper's words and itself; other questions as they are.

    Args:
        pictures: how many it is asked about.

    Raises:
        SampleError: a word like a task's that is none, or a task about fewer than two pictures.
    """
    tasks: dict[str, Task] = {task: task for task in QUESTIONS}
    word = what.strip().replace("-", "_")
    if task := tasks.get(word):
        if pictures < 2:
            raise SampleError(
                f"{what} compares pictures, and there is {pictures or 'none'}", mend="give two or more, or ask in words"
            )
        return QUESTIONS[task][0], task
    like_a_task = "_" in word or word in get_args(Task) or closest(word.lower(), QUESTIONS)
    if word.isascii() and word.isidentifier() and like_a_task:
        raise SampleError(f"{what!r} is no task", mend=f"{did_you_mean(word.lower(), QUESTIONS)}, or ask in a sentence")
    return what, None
