"""Qwen2-VL, the base of CoLVA's 2B and 7B, in the names of its release and in those of transformers since (facts 8
row 8): ``visual`` and ``model.layers`` moved below ``model.visual`` and ``model.language_model``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2VLConfig

from ...errors import CheckpointError
from .foreign_settings import read_config
from .layouts import Ignore, Rename, Rule
from .model_folder import named
from .tensor_files import TensorFiles

MODEL_TYPE = "qwen2_vl"
PART = "trunk."
TIED = "it is the embedding, to which the output layer is tied"


def read_qwen2_vl(folder: Path) -> Qwen2VLConfig:
    """Configuration of a release, which transformers knows.

    Raises:
        CheckpointError: another model, or settings that make no sense.
    """
    values = read_config(folder, MODEL_TYPE)
    with named(folder, TypeError, KeyError, AttributeError):
        return Qwen2VLConfig.from_dict(values)


def qwen2_vl_rules(*, tied: bool) -> list[Rule]:
    """Rules for old and new names; of a tied output layer there may be a copy in the file."""
    return [
        Ignore(r"lm_head\.weight", TIED) if tied else Rename(r"(lm_head\.weight)", (rf"{PART}\1",)),
        Rename(r"(model\.(?:visual|language_model)\..+)", (rf"{PART}\1",)),
        Rename(r"(visual\..+)", (rf"{PART}model.\1",)),
        Rename(r"model\.((?:embed_tokens|layers|norm)\..+)", (rf"{PART}model.language_model.\1",)),
    ]


def check_tied(config: Any, files: TensorFiles) -> None:
    """Compares an output layer that is left out with the embedding it is tied to.

    Raises:
        CheckpointError: they differ.
    """
    output, embedding = "lm_head.weight", ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight")
    if not config.tie_word_embeddings or output not in files:
        return
    for name in embedding:
        if name in files and not torch.equal(files.tensor(name), files.tensor(output)):
            raise CheckpointError(
                f"{output} and {name} differ, and config.json ties them",
                where=str(files.where),
                mend="take config.json and weights of one release",
            )
