"""The Cascade (Calico, appendix C.1): a chat model lists what the pictures show, a language model compares, a segmenter
draws. No part of it was made for the task; what it scores is what plugging strong models together is worth.

1. The chat model sees all pictures of a sample and lists their objects, or the parts of their main objects.
2. The language model reads that list, not the pictures, and names what is common or unique, per picture.
3. The segmenter draws every name in its picture: "the chair", "the leg of the chair".

The answer is put into the dialogue grammar, so that it is read and scored like any model's. In the answer a part has
its bare name, as in the truth. The paper has Sparkles, GPT-4o and LISA in these places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..clients.concurrency import in_order
from ..clients.requests import Client, Message, Reply, Request
from ..datasets.mixedparts.phrasings import ANSWERS, OBJECTS_SHOWN
from ..errors import PredictionError
from ..grammar import ground, join_words, parse_answer, with_determiner
from ..records import Mask, Prediction, Sample, Segment, Task
from .cascade_names import Names, read_names
from .cascade_prompts import compare_messages, look_messages
from .mixedparts_units import require_task
from .segmenters import Found, Segmenter, Wanted

EMPTY = "no_mask in step 3: the segmenter found nothing of a name; its [SEG] has an empty mask"
CUT = "reply_cut in step {step}: the reply has reached its limit of tokens"


@dataclass(frozen=True)
class Asked:
    """A model behind a client, and how it is asked."""

    client: Client
    model: str
    max_tokens: int = 512
    temperature: float | None = 0.0
    seed: int | None = 0

    def ask(self, messages: tuple[Message, ...]) -> Reply:
        """One request.

        Raises:
            ClientError: no reply is to be had.
        """
        return self.client.complete(
            Request(
                model=self.model,
                messages=messages,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
                seed=self.seed,
            )
        )


class Draft(NamedTuple):
    """The answer to one sample before its masks: text, what to segment for each [SEG] in order, trail of repairs."""

    text: str
    wanted: tuple[Wanted, ...]
    trail: tuple[str, ...]


@dataclass
class Cascade:
    """Answers samples of MixedParts.

    Attributes:
        chat: of step 1; has to take as many pictures as a sample has.
        llm: of step 2.
        segmenter: of step 3.
        workers: samples that are in steps 1 and 2 at the same time.
    """

    chat: Asked
    llm: Asked
    segmenter: Segmenter
    workers: int = field(default=4)

    def answer(self, samples: Iterable[Sample]) -> Iterator[Prediction]:
        """Predictions in the order of the samples.

        Raises:
            SampleError: a sample of another task than MixedParts'.
            ClientError: a request that gets no reply; everything before it has been answered.
            PredictionError, MaskError: the segmenter has no mask for a phrase, or one of another size.
        """
        for sample, draft in self.drafts(samples):
            yield finish(sample, draft, self.segmenter.segment(draft.wanted) if draft.wanted else [])

    def drafts(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Draft]]:
        """Steps 1 and 2 alone: what the answers will say, and what is to be segmented."""
        return in_order(self._draft, samples, workers=self.workers)

    def _draft(self, sample: Sample) -> tuple[Sample, Draft]:
        require_task(sample)
        seen = self.chat.ask(look_messages(sample))
        compared = self.llm.ask(compare_messages(sample.task, len(sample.images), seen.text))
        cut = [CUT.format(step=k) for k, reply in enumerate((seen, compared), start=1) if reply.finish == "length"]
        names = read_names(compared.text, len(sample.images), about_parts=sample.task != "common_objects")
        return sample, draft(sample, names, cut)


class _Mention(NamedTuple):
    """A name of the answer, and (image index, phrase for the segmenter) of each of its [SEG]s."""

    name: str
    places: list[tuple[int, str]]


def draft(sample: Sample, names: Names, trail: Sequence[str] = ()) -> Draft:
    """Puts names into sentences: in part tasks the objects first, then the parts; "" where nothing was readable."""
    if not names.readable:
        return Draft("", (), (*trail, *names.trail))
    objects, parts = _mentions(names)
    task: Task = sample.task
    sentences, mentions = [], []
    if task != "common_objects":
        if objects:
            sentences.append(_sentence(OBJECTS_SHOWN[0], objects))
            mentions += objects
        found = parts
    else:
        found = objects
    own, nothing = ANSWERS[task]
    sentences.append(_sentence(own[0] if found else nothing[0], found))
    mentions += found
    wanted = tuple(Wanted(sample.images[k], phrase) for m in mentions for k, phrase in m.places)
    return Draft(" ".join(sentences), wanted, (*trail, *names.trail))


def finish(sample: Sample, draft: Draft, found: Sequence[Found]) -> Prediction:
    """The prediction: the text read back, with a mask for each [SEG].

    A name of which the segmenter found nothing keeps its [SEG], with an empty mask: the name was right or wrong all
    the same.

    Raises:
        PredictionError: the text does not read back as it was meant (no name that a model can give leads there).
    """
    answer = parse_answer(draft.text, len(sample.images))
    read = [sample.images[span.image_index] for span in answer.segments]
    if answer.trail or read != [w.image for w in draft.wanted] or len(found) != len(read):
        raise PredictionError(
            f"the answer {draft.text!r} does not read back: {answer.trail}, {len(found)} masks for {len(read)} [SEG]",
            where=f"sample {sample.id}",
            mend="report this as a fault of the Cascade",
        )
    segments = []
    for span, one in zip(answer.segments, found, strict=True):
        image = sample.images[span.image_index]
        mask, sure = (_empty(image.height, image.width), 0.0) if one.mask is None else (one.mask, one.score)
        segments.append(
            Segment(phrase=span.phrase, image_index=span.image_index, mask=mask, score=sure, sentence=span.sentence)
        )
    return Prediction(
        sample_id=sample.id,
        truth=sample.truth_hash(),
        text=draft.text,
        image_sizes=tuple((image.height, image.width) for image in sample.images),
        segments=tuple(segments),
        trail=(*draft.trail, *(EMPTY for one in found if one.mask is None)),
    )


def _mentions(names: Names) -> tuple[list[_Mention], list[_Mention]]:
    """Objects and parts in the order in which they come up; a name that several pictures have is mentioned once."""
    objects: dict[str, _Mention] = {}
    parts: dict[str, _Mention] = {}
    for index, listed in enumerate(names.images):
        for thing in listed:
            whole = with_determiner(thing.name) if thing.name else ""
            if whole:
                objects.setdefault(thing.name, _Mention(thing.name, [])).places.append((index, whole))
            for part in thing.parts:
                phrase = with_determiner(part) + (f" of {whole}" if whole else "")
                parts.setdefault(part, _Mention(part, [])).places.append((index, phrase))
    return list(objects.values()), list(parts.values())


def _sentence(template: str, mentions: Sequence[_Mention]) -> str:
    items = join_words([ground(with_determiner(m.name), [k for k, _ in m.places]) for m in mentions])
    several = len(mentions) > 1
    return template.format(items=items, s="s" if several else "", be="are" if several else "is")


def _empty(height: int, width: int) -> Mask:
    return Mask.from_array(np.zeros((height, width), dtype=bool))
