"""The stage that trains the trunk, its tokenizer and the [SEG] projection on words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from ..models.build import Vocabulary, build_config
from ..models.grounding import SegProjection
from ..models.tokenizing import train_tokenizer
from ..models.trunks.vicuna import VicunaTrunk
from .data import dialogues_in_words
from .fitting import fit
from .masks import NamePrompts
from .pictures import LabelledPictures, open_pictures
from .recipe import ZooRecipe
from .towers_training import load_part, save_part, sizes
from .words import Name, ReadWriteAndPoint, Text, Texts, Told, encode, pad

logger = logging.getLogger(__name__)

HELD_OUT = 300  # dialogues of the validation split


def train_words(recipe: ZooRecipe, out: Path) -> dict[str, float]:
    """Writes ``words/`` (tokenizer and trunk) and the [SEG] projection; measures on held-out answers."""
    section = sizes(recipe)
    dialogues = dialogues_in_words(recipe, out, "train", recipe.dialogues, recipe.dialogues // 3)
    said = [text for dialogue in dialogues for text in (dialogue.question, dialogue.answer)]
    tokenizer = train_tokenizer(said, section.tokenizer.vocab_size)
    places, prompts = name_table(open_pictures(out / "pictures" / "train"), out, section.grounding.prompt_size)
    torch.manual_seed(recipe.seed)
    trunk = VicunaTrunk._from_config(build_config(section, Vocabulary.of(tokenizer)).text_config)
    projection = SegProjection(section.trunk.hidden_size, section.grounding.prompt_size)
    longest = section.trunk.max_position_embeddings
    told = as_texts(tokenizer, dialogues, section.system, places)
    rows = [text for text in told if len(text.ids) <= longest]
    if len(rows) < len(told):
        logger.info("%d of %d dialogues are longer than %d tokens: left out", len(told) - len(rows), len(told), longest)
    task = ReadWriteAndPoint(trunk, projection, prompts, Vocabulary.of(tokenizer).seg)
    items = Texts(rows, recipe.words.batch, recipe.words.steps, recipe.seed)
    fit(task, items, lambda rows: pad(rows, tokenizer.pad_token_id), recipe.words, out / "fits" / "words", recipe.seed)
    trunk.save_pretrained(out / "words")
    tokenizer.save_pretrained(out / "words")
    save_part(projection, out, "seg_projection")
    return measure(task, tokenizer, dialogues_in_words(recipe, out, "val", HELD_OUT), section.system, places)


def name_table(pictures: LabelledPictures, out: Path, width: int) -> tuple[dict[Name, int], torch.Tensor]:
    """Place of every name, and its prompt N x G as the stage "masks" has learned it."""
    prompts = NamePrompts(len(pictures.categories), len(pictures.parts), width)
    load_part(prompts, out, "prompts")
    category_of, part_of = pictures.factors()
    with torch.no_grad():
        return {name: k for k, name in enumerate(pictures.names)}, prompts(category_of, part_of)


def as_texts(
    tokenizer: PreTrainedTokenizerBase, dialogues: Sequence[Told], system: str, places: dict[Name, int]
) -> list[Text]:
    """Dialogues as ids, with the place of every [SEG]'s name; -1 where no cell of a training picture shows it."""
    names = ([-1 if name is None else places.get(name, -1) for name in dialogue.names] for dialogue in dialogues)
    return [Text(ids, row) for ids, row in zip(encode(tokenizer, dialogues, system), names, strict=True)]


@torch.no_grad()
def measure(
    task: ReadWriteAndPoint, tokenizer: Any, dialogues: Sequence[Told], system: str, places: dict[Name, int]
) -> dict[str, float]:
    """Mean negative log-likelihood of a token of the answers, nats; share of [SEG]s whose nearest prompt is theirs."""
    task.eval()
    total, count, hits, segs = 0.0, 0, 0, 0
    questions = encode(tokenizer, [Told(d.question, "", ()) for d in dialogues], system)
    for asked, text in zip(questions, as_texts(tokenizer, dialogues, system, places), strict=True):
        ids = torch.tensor([text.ids])
        start = len(asked) - 2  # without the blank of the empty answer and the end
        hidden = task.trunk.model(input_ids=ids).last_hidden_state[0]
        logits = task.trunk.lm_head(hidden[start - 1 : -1])
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, start:], reduction="sum"))
        count += len(text.ids) - start
        names = torch.tensor(text.names)
        at = (ids[0] == task.seg).nonzero()[:, 0][names >= 0]
        nearest = torch.cdist(task.projection(hidden[at - 1]), task.prompts).argmin(1)
        hits, segs = hits + int((nearest == names[names >= 0]).sum()), segs + len(at)
    return {"answer_loss": total / count, "nearest_name": hits / max(1, segs)}
