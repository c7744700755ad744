"""Makes alignment samples: sample ``i`` depends on the seed, the split and ``i`` only, not on how many are made.

builder = Builder(subjects, split="train", seed=0)
write_samples("train.jsonl", builder.samples(10_000))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from ...errors import SampleError
from ...grammar import build_question
from ...records import AlignmentTask, Sample, Turn
from ..mixedparts.phrasings import SPLITS
from .phrasings import REFERRING_ANSWERS, TASK_SHARES, questions
from .subjects import Answer, Subject, ground_mention

_STREAM = 1  # apart from MixedParts' random numbers of the same seed
T = TypeVar("T")


class Builder:
    """Draws a task by its share, an image that offers it, and one of the image's offers.

    Attributes:
        offering: task -> images that offer it; tasks that no image offers are missing, the others share their part.

    Raises:
        SampleError: no image offers anything.
    """

    def __init__(self, subjects: Sequence[Subject], split: str, seed: int) -> None:
        ordered = sorted(subjects, key=lambda s: (s.source, s.image_id))  # readers may list them in any order
        offering = {task: [s for s in ordered if s.offers(task)] for task in TASK_SHARES}
        self.offering: dict[AlignmentTask, list[Subject]] = {task: some for task, some in offering.items() if some}
        if not self.offering:
            raise SampleError(
                "no image with a caption or an object to ask for",
                where=f"split {split}",
                mend="check the root folder and the split",
            )
        self.split, self.seed = split, seed

    def samples(self, count: int) -> Iterator[Sample]:
        """Samples 0 to ``count`` - 1."""
        return (self.sample(index) for index in range(count))

    def sample(self, index: int) -> Sample:
        """Sample ``index``."""
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index, _STREAM])
        tasks = list(self.offering)
        shares = np.cumsum([TASK_SHARES[task] for task in tasks])
        task = tasks[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]
        subject = _pick(self.offering[task], rng)
        question, answer = _dialogue(task, subject, self.split, rng)
        return Sample(
            id=f"alignment-{self.split}-{self.seed}-{index:07d}",
            split=self.split,
            source=subject.source,
            task=task,
            images=(subject.ref,),
            turns=(Turn(user=build_question(1, question), assistant=answer.text),),
            targets=tuple(subject.target(mention) for mention in answer.mentions),
        )


def _dialogue(task: AlignmentTask, subject: Subject, split: str, rng: np.random.Generator) -> tuple[str, Answer]:
    question = _pick(questions(task, split), rng)
    if task == "grounded_caption":
        return question, _pick(subject.grounded, rng)
    if task == "caption":
        return question, Answer(_pick(subject.captions, rng), ())
    mention = _pick(subject.mentions, rng)
    return question.format(phrase=mention.phrase), ground_mention(mention, _pick(REFERRING_ANSWERS, rng))


def _pick(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.random() * len(options))]
