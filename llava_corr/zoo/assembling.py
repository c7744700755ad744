"""From trained parts to one model folder, and from the aligned model to what is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, RadioModel

from ..files import atomic_write
from ..models.build import Vocabulary, build_config, build_processor
from ..models.checkpoints.model_folder import load_model, load_processor, written_whole
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.scratch import start_positions
from ..models.trunks.vicuna import VicunaTrunk
from .card import card
from .command import ALIGNED, measures, seconds
from .recipe import ZooRecipe
from .towers_training import load_part, sizes


def assemble(recipe: ZooRecipe, out: Path) -> dict[str, float]:
    """``start/``: towers, SAM, trunk and [SEG] projection as trained; Q-Former, f_V, CEM and CAMs fresh."""
    section = sizes(recipe)
    tokenizer = AutoTokenizer.from_pretrained(out / "words")
    torch.manual_seed(recipe.seed)
    model: Any = LlavaCorrForConditionalGeneration(build_config(section, Vocabulary.of(tokenizer)))
    start_positions(model)
    load_part(model.grounding, out, "masks")
    load_part(model.seg_projection, out, "seg_projection")
    load_part(model.visual_tokens.vision_model, out, "vision")
    load_part(model.correspondence.semantic_model, out, "semantic")
    model.trunk.load_state_dict(VicunaTrunk.from_pretrained(out / "words").state_dict())
    model.save_pretrained(out / "start")
    build_processor(section, tokenizer, section.grounding.image_size // 3).save_pretrained(out / "start")
    return {"parameters": float(model.num_parameters())}


def release(recipe: ZooRecipe, out: Path) -> dict[str, float]:
    """``zoo/``: the aligned model with CEM and CAMs in float16, RADIO's twin, and the card; returns its size in MB."""
    folder = out / "zoo"
    with written_whole(folder, here=True) as part:
        model: Any = load_model(out / "start")
        model.load_state_dict(model.state_dict() | load_model(out / ALIGNED / "model").state_dict())
        model.half().save_pretrained(part)
        load_processor(out / ALIGNED / "model").save_pretrained(part)
        RadioModel.from_pretrained(out / "radio").half().save_pretrained(part / "radio")
        with atomic_write(part / "README.md") as handle:
            handle.write(card(recipe, measures(out), seconds(out)))
    return {"megabytes": sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6}
