"""The stage that trains the trunk and its tokenizer on words."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from ..datasets.alignment.phrasings import QUESTIONS, REFERRING_ANSWERS
from ..models.build import Vocabulary, build_config
from ..models.tokenizing import train_tokenizer
from ..models.trunks.vicuna import VicunaTrunk
from .data import dialogues_in_words
from .fitting import fit
from .recipe import ZooRecipe
from .towers_training import sizes
from .words import ReadAndWrite, Texts, encode, pad

HELD_OUT = 300  # dialogues of the validation split


def train_words(recipe: ZooRecipe, out: Path) -> dict[str, float]:
    """Writes ``words/``: tokenizer and trunk; returns the loss of a held-out answer's word."""
    section = sizes(recipe)
    dialogues = dialogues_in_words(recipe, out, "train", recipe.dialogues)
    spoken = [text for texts in QUESTIONS.values() for text in texts] + list(REFERRING_ANSWERS)
    texts = [text for dialogue in dialogues for text in dialogue]
    tokenizer = train_tokenizer(texts + spoken, section.tokenizer.vocab_size)
    torch.manual_seed(recipe.seed)
    trunk = VicunaTrunk._from_config(build_config(section, Vocabulary.of(tokenizer)).text_config)
    ids = [
        row for row in encode(tokenizer, dialogues, section.system) if len(row) <= trunk.config.max_position_embeddings
    ]
    items = Texts(ids, recipe.words.batch, recipe.words.steps, recipe.seed)
    task = ReadAndWrite(trunk)
    fit(task, items, lambda rows: pad(rows, tokenizer.pad_token_id), recipe.words, out / "fits" / "words", recipe.seed)
    trunk.save_pretrained(out / "words")
    tokenizer.save_pretrained(out / "words")
    return {
        "answer_loss": answer_loss(trunk, tokenizer, dialogues_in_words(recipe, out, "val", HELD_OUT), section.system)
    }


@torch.no_grad()
def answer_loss(
    trunk: VicunaTrunk, tokenizer: PreTrainedTokenizerBase, dialogues: list[tuple[str, str]], system: str
) -> float:
    """Mean negative log-likelihood of a token of the answers, nats."""
    trunk.eval()
    total, count = 0.0, 0
    questions = encode(tokenizer, [(user, "") for user, _ in dialogues], system)
    for asked, whole in zip(questions, encode(tokenizer, dialogues, system), strict=True):
        ids = torch.tensor([whole])
        start = len(asked) - 2  # without the blank of the empty answer and the end
        logits = trunk(input_ids=ids).logits[0, start - 1 : -1].float()
        losses = torch.nn.functional.cross_entropy(logits, ids[0, start:], reduction="sum")
        total, count = total + float(losses), count + ids.shape[1] - start
    return total / count
