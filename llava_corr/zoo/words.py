"""The trunk's twin learns language before it sees anything: dialogues in which captions stand in the place of pictures.

What Vicuna brings along is that it reads and compares what is written. A tiny trunk gets that from the training split's
own words: a caption of each picture (GranD's, from exact labels) is written where its visual tokens will be, and every
word of the dialogue is trained. The [SEG] projection learns beside it to turn the state before each [SEG] into the
vector that prompts SAM's twin for what is named there. The alignment stage then puts visual tokens in the captions'
place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..grammar import IMAGE
from ..records import MixedPartsTask, Sample

Name = tuple[str, str]
"""Category and part; part "" for the whole thing."""


class Told(NamedTuple):
    """A dialogue without pictures.

    Attributes:
        names: what each [SEG] of the answer stands for, in order; None where its phrase alone does not say it.
    """

    question: str
    answer: str
    names: tuple[Name | None, ...]


def told(samples: Iterable[Sample], captions: Mapping[str, Sequence[str]], seed: int) -> Iterator[Told]:
    """Dialogues of one turn, each picture told by one of its captions.

    Args:
        captions: path of a picture -> its captions, at least one.
        seed: of the choice among captions.
    """
    for number, sample in enumerate(samples):
        rng = np.random.default_rng([seed, number])
        question = sample.turns[0].user
        for image in sample.images:
            options = captions[image.path]
            question = question.replace(IMAGE, options[int(rng.random() * len(options))], 1)
        yield Told(question, sample.turns[0].assistant, tuple(_names(sample)))


def _names(sample: Sample) -> Iterator[Name | None]:
    for target in sample.targets:
        if sample.task not in get_args(MixedPartsTask):
            yield None  # "a handle", of what was named before
        elif target.role == "object":
            yield target.phrase, ""
        else:
            yield sample.categories[target.image_index], target.phrase


class Text(NamedTuple):
    """Token ids of a whole dialogue, and the place of each [SEG]'s name in the table of prompts; -1 for none."""

    ids: list[int]
    names: list[int]


class Texts(Dataset[Text]):
    """Texts of a whole run in order; those of one step are of like length.

    Args:
        texts: to draw from.
        batch: texts of a step.
        steps: of the run.
        seed: of the order.
    """

    def __init__(self, texts: Sequence[Text], batch: int, steps: int, seed: int) -> None:
        self.texts, self.batch, self.count, self.seed = texts, batch, batch * steps, seed
        self.by_length = sorted(range(len(texts)), key=lambda k: len(texts[k].ids))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> Text:
        """Of place k: a step draws a stretch of lengths, then its texts from that stretch."""
        stretch = min(8 * self.batch, len(self.texts))
        step = k // self.batch
        first = int(np.random.default_rng([self.seed, step]).integers(len(self.texts) - stretch + 1))
        near = int(np.random.default_rng([self.seed, k, 1]).integers(stretch))
        return self.texts[self.by_length[first + near]]


def encode(tokenizer: PreTrainedTokenizerBase, dialogues: Sequence[Told], system: str) -> list[list[int]]:
    """Ids of whole dialogues (Vicuna v1 template), from the beginning to the end token."""
    opening = f"{system} " if system else ""
    texts = [f"{opening}USER: {d.question} ASSISTANT: {d.answer}{tokenizer.eos_token}" for d in dialogues]
    return [[tokenizer.bos_token_id, *ids] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def pad(rows: Sequence[Text], padding: int) -> dict[str, Tensor]:
    """Ids and mask B x S, padded on the right, and the names of all [SEG]s, row by row."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), padding)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for k, row in enumerate(rows):
        ids[k, : len(row.ids)] = torch.tensor(row.ids)
        mask[k, : len(row.ids)] = 1
    names = torch.tensor([name for row in rows for name in row.names], dtype=torch.long)
    return {"input_ids": ids, "attention_mask": mask, "names": names}


class ReadWriteAndPoint(nn.Module):
    """Next-token prediction of every word, and prompts from the states before [SEG]s.

    Args:
        trunk: a causal language model.
        projection: the [SEG] projection.
        prompts: the vector of every name, N x G; its squared error is over the variance of their channels.
        seg: id of [SEG].
    """

    prompts: Tensor

    def __init__(self, trunk: Any, projection: nn.Module, prompts: Tensor, seg: int) -> None:
        super().__init__()
        self.trunk, self.projection, self.seg = trunk, projection, seg
        self.register_buffer("prompts", prompts, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, names: Tensor) -> dict[str, Tensor]:
        hidden = self.trunk.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.trunk.lm_head(hidden[:, :-1]).float().flatten(0, 1)
        following = input_ids.masked_fill(attention_mask == 0, -100)[:, 1:].flatten()
        words = nn.functional.cross_entropy(logits, following)
        rows, columns = (input_ids == self.seg).nonzero().unbind(1)
        pointed = self.projection(hidden[rows, columns - 1]).float()
        known = names >= 0
        errors = ((pointed[known] - self.prompts[names[known]]) ** 2).mean(1)
        error = errors.sum() / known.sum().clamp(min=1) / self.prompts.var(0).mean()
        return {"loss": words + error}
