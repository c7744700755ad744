"""Puts a truth into words and targets: objects first, then parts, one target per [SEG] in the order of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...grammar import ground, join_words, with_determiner
from ...records import Role, Target, Task
from .phrasings import ANSWERS, OBJECTS_SHOWN
from .truth import common_parts, shared_classes, unique_parts
from .views import ImageView


class Mention(NamedTuple):
    """A bare name and the images it is grounded in (not empty, ascending)."""

    name: str
    image_indexes: tuple[int, ...]
    role: Role


def object_mentions(classes: Sequence[str]) -> list[Mention]:
    """The compared objects, one class per image; a class that several images show is mentioned once."""
    return [
        Mention(name, tuple(k for k, other in enumerate(classes) if other == name), "object")
        for name in dict.fromkeys(classes)
    ]


def answer_mentions(task: Task, views: Sequence[ImageView], classes: Sequence[str]) -> list[Mention]:
    """What the answer to ``task`` lists besides the compared objects; empty when there is nothing.

    Args:
        classes: for the part tasks the compared class of each image; unused for ``common_objects``.
    """
    everywhere = tuple(range(len(views)))
    if task == "common_objects":
        return [Mention(name, everywhere, "object") for name in shared_classes(views)]
    names = [view.classes[c].part_names for view, c in zip(views, classes, strict=True)]
    if task == "common_parts":
        return [Mention(name, everywhere, "common") for name in common_parts(names)]
    return [Mention(name, (k,), "unique") for k, found in enumerate(unique_parts(names)) for name in found]


def target_count(mentions: Sequence[Mention]) -> int:
    """Number of [SEG] tokens that ``mentions`` need."""
    return sum(len(mention.image_indexes) for mention in mentions)


def compose(
    task: Task, views: Sequence[ImageView], classes: Sequence[str], found: Sequence[Mention], rng: np.random.Generator
) -> tuple[str, tuple[Target, ...]]:
    """Answer text and its targets; part tasks name the compared objects first, even when no part is listed."""
    own, nothing = ANSWERS[task]
    sentences: list[str] = []
    mentions: list[Mention] = []
    if task != "common_objects":
        mentions += object_mentions(classes)
        sentences.append(_sentence(_pick(OBJECTS_SHOWN, rng), mentions))
    sentences.append(_sentence(_pick(own if found else nothing, rng), found))
    mentions += found
    targets = tuple(_target(m, k, views[k], classes) for m in mentions for k in m.image_indexes)
    return " ".join(sentences), targets


def _target(mention: Mention, k: int, view: ImageView, classes: Sequence[str]) -> Target:
    is_object = mention.role == "object"
    mask = view.classes[mention.name].mask if is_object else view.classes[classes[k]].parts[mention.name]
    return Target(phrase=mention.name, image_index=k, mask=mask, turn=0, role=mention.role)


def _sentence(template: str, mentions: Sequence[Mention]) -> str:
    return sentence_of(template, [(m.name, m.image_indexes) for m in mentions])


def sentence_of(template: str, named: Sequence[tuple[str, Sequence[int]]]) -> str:
    """A sentence of :mod:`.phrasings` about bare names, each with the images it is grounded in (one [SEG] each)."""
    items = join_words([ground(with_determiner(name), image_indexes) for name, image_indexes in named])
    several = len(named) > 1
    return template.format(items=items, s="s" if several else "", be="are" if several else "is")


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.random() * len(options))]
