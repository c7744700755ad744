"""From trained parts to one model folder, and from the aligned model to what is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from ..models.build import Vocabulary, build_config, build_processor
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.scratch import start_positions
from ..models.trunks.vicuna import VicunaTrunk
from .recipe import ZooRecipe
from .towers_training import load_part, sizes


def assemble(recipe: ZooRecipe, out: Path) -> dict[str, float]:
    """``start/``: towers, SAM and trunk as trained; Q-Former, projections, CEM and CAMs fresh."""
    section = sizes(recipe)
    tokenizer = AutoTokenizer.from_pretrained(out / "words")
    torch.manual_seed(recipe.seed)
    model: Any = LlavaCorrForConditionalGeneration(build_config(section, Vocabulary.of(tokenizer)))
    start_positions(model)
    load_part(model.grounding, out, "masks")
    load_part(model.visual_tokens.vision_model, out, "vision")
    load_part(model.correspondence.semantic_model, out, "semantic")
    model.trunk.load_state_dict(VicunaTrunk.from_pretrained(out / "words").state_dict())
    model.save_pretrained(out / "start")
    build_processor(section, tokenizer, section.grounding.image_size // 3).save_pretrained(out / "start")
    return {"parameters": float(model.num_parameters())}
