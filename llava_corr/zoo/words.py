"""The trunk's twin learns language before it sees anything: dialogues in which captions stand in the place of pictures.

What Vicuna brings along is that it reads and compares what is written. A tiny trunk gets that from the training split's
own words: a caption of each picture (GranD's, from exact labels) is written where its visual tokens will be, and every
word of the dialogue is trained. The alignment stage then puts visual tokens in the captions' place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..grammar import IMAGE
from ..records import Sample


def told(samples: Iterator[Sample], captions: Mapping[str, Sequence[str]], seed: int) -> Iterator[tuple[str, str]]:
    """(question, answer) of every turn's dialogue, each picture told by one of its captions.

    Args:
        samples: of one turn each.
        captions: path of a picture -> its captions, at least one.
        seed: of the choice among captions.
    """
    for number, sample in enumerate(samples):
        rng = np.random.default_rng([seed, number])
        question = sample.turns[0].user
        for image in sample.images:
            options = captions[image.path]
            question = question.replace(IMAGE, options[int(rng.random() * len(options))], 1)
        yield question, sample.turns[0].assistant


class Texts(Dataset[list[int]]):
    """Dialogues as token ids, in the processor's layout; batches of one place hold texts of like length.

    Args:
        ids: of each text.
        batch: texts of a step.
        steps: of the run.
        seed: of the order.
    """

    def __init__(self, ids: Sequence[list[int]], batch: int, steps: int, seed: int) -> None:
        self.ids, self.batch, self.count, self.seed = ids, batch, batch * steps, seed
        self.by_length = sorted(range(len(ids)), key=lambda k: len(ids[k]))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> list[int]:
        """Of place k: a step draws a stretch of lengths, then its texts from that stretch."""
        step = k // self.batch
        first = int(np.random.default_rng([self.seed, step]).integers(len(self.ids)))
        near = int(np.random.default_rng([self.seed, k, 1]).integers(8 * self.batch))
        return self.ids[self.by_length[min(first + near, len(self.ids) - 1)]]


def encode(tokenizer: PreTrainedTokenizerBase, dialogues: Sequence[tuple[str, str]], system: str) -> list[list[int]]:
    """Ids of whole dialogues (Vicuna v1 template), from the beginning to the end token."""
    opening = f"{system} " if system else ""
    texts = [f"{opening}USER: {user} ASSISTANT: {assistant}{tokenizer.eos_token}" for user, assistant in dialogues]
    return [[tokenizer.bos_token_id, *ids] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def pad(rows: Sequence[list[int]], padding: int) -> dict[str, Tensor]:
    """Ids and mask, padded on the right."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), padding)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row)
        mask[k, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


class ReadAndWrite(nn.Module):
    """Next-token prediction of every word."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        labels = input_ids.masked_fill(attention_mask == 0, -100)
        return {"loss": self.trunk(input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss}
