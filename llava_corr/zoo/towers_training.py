"""The stages that train image towers: each reads what earlier ones left in ``parts/`` and leaves its own there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import RadioConfig, RadioModel

from ..config import load_config
from ..errors import ConfigError
from ..experiment import ModelSection
from ..inference.predictor import default_device
from ..models.build import Vocabulary, build_config
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.passes import normalise
from ..models.scratch import start_positions
from .dense import IMAGENET, NameCells, SamCells
from .fitting import fit
from .masks import DrawByName
from .measures import measure_cells, measure_expert, measure_masks, measure_matches, measure_whole
from .pictures import Crops, LabelledPictures, PictureStream, open_pictures
from .recipe import FitSection, ZooRecipe
from .resizing import resized_patches, resized_positions
from .towers import (
    SAM_TO_DINO,
    SAM_TO_EVA,
    Imitate,
    MatchParts,
    SeePictures,
    copy_layers,
    grid,
)

logger = logging.getLogger(__name__)
ANY = Vocabulary(size=16, bos=1, eos=2, pad=3, image=4, seg=5)  # towers do not depend on it
Measures = dict[str, float]


def sizes(recipe: ZooRecipe) -> ModelSection:
    """The model section that the twins have the sizes of."""
    return load_config(recipe.experiment, ["model.weights=null"]).model


def fresh_model(recipe: ZooRecipe, patch: int | None = None) -> LlavaCorrForConditionalGeneration:
    """The whole model with random weights; its trunk is a stand-in. ``patch``: side of SAM's patches, if not the
    experiment's."""
    torch.manual_seed(recipe.seed)
    section = sizes(recipe)
    if patch:
        section = section.model_copy(update={"grounding": section.grounding.model_copy(update={"patch_size": patch})})
    model = LlavaCorrForConditionalGeneration(build_config(section, ANY))
    start_positions(model)
    return model


def load_part(module: nn.Module, out: Path, name: str) -> None:
    """Weights of ``parts/NAME.safetensors``, all of them."""
    module.load_state_dict(load_file(out / "parts" / f"{name}.safetensors"))


def save_part(module: nn.Module, out: Path, name: str) -> None:
    (out / "parts").mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().clone().contiguous() for key, value in module.state_dict().items()}
    save_file(state, out / "parts" / f"{name}.safetensors")


def _train(
    task: nn.Module, name: str, schedule: FitSection, out: Path, seed: int, pictures: LabelledPictures, **crops: Any
) -> None:
    stream = PictureStream(len(pictures), schedule.steps * schedule.batch, seed)
    fit(task, stream, Crops(pictures, seed, **crops), schedule, out / "fits" / name, seed)


def encoder_of_cells(recipe: ZooRecipe) -> Any:
    """SAM's encoder with the patches on which it learns names; the towers go on from it with patches of their own.

    Raises:
        ConfigError: the 64 cells that are named along a picture do not divide among its patches.
    """
    grounding: Any = fresh_model(recipe, recipe.cells.patch).grounding
    encoder = grounding.sam.vision_encoder
    if 64 % encoder.pos_embed.shape[1]:
        raise ConfigError(
            f"cells.patch {recipe.cells.patch} cuts {encoder.config.image_size} pixels into "
            f"{encoder.pos_embed.shape[1]} patches, which do not divide the 64 cells that are named",
            mend="choose a patch that gives 8, 16 or 32",
        )
    return encoder


def train_cells(recipe: ZooRecipe, out: Path) -> Measures:
    """SAM's encoder learns from crops, then from whole pictures."""
    pictures, held_out = open_pictures(out / "pictures" / "train"), open_pictures(out / "pictures" / "val")
    encoder = encoder_of_cells(recipe)
    refine = 64 // encoder.pos_embed.shape[1]
    task = NameCells(SamCells(encoder), encoder.config.output_channels, refine, pictures)
    canvas = encoder.config.image_size
    cell = canvas // 64
    around: Any = {"scale": (0.35, 0.75), "around": 0.9, "cell": cell}
    _train(task, "crops", recipe.crops, out, recipe.seed, pictures, side=recipe.crops.side, **around)
    _train(task, "cells", recipe.cells, out, recipe.seed + 1, pictures, side=canvas, cell=cell)
    save_part(encoder, out, "cells")
    save_part(task.head, out, "cells_head")
    return measure_cells(task, held_out)


def train_masks(recipe: ZooRecipe, out: Path) -> Measures:
    """SAM draws by name."""
    pictures, held_out = open_pictures(out / "pictures" / "train"), open_pictures(out / "pictures" / "val")
    grounding: Any = fresh_model(recipe).grounding
    resize_encoder(_trained_encoder(recipe, out), grounding.sam.vision_encoder)
    task = DrawByName(grounding, pictures)
    canvas = grounding.sam.vision_encoder.config.image_size
    drawn = 4 * grounding.sam.vision_encoder.pos_embed.shape[1]  # cells along a mask
    _train(task, "masks", recipe.masks, out, recipe.seed + 2, pictures, side=canvas, cell=canvas // drawn)
    save_part(grounding, out, "masks")
    save_part(task.prompts, out, "prompts")
    return measure_masks(task, held_out)


def train_vision(recipe: ZooRecipe, out: Path) -> Measures:
    """EVA-CLIP's twin."""
    pictures, held_out = open_pictures(out / "pictures" / "train"), open_pictures(out / "pictures" / "val")
    model: Any = fresh_model(recipe)
    encoder, tower = _trained_encoder(recipe, out), model.visual_tokens.vision_model
    copy_layers(encoder, tower.encoder.layers, SAM_TO_EVA)
    _copy_embedding(encoder, tower.embeddings.patch_embedding, tower.embeddings.position_embedding[0, 1:])
    config = tower.config
    task = SeePictures(tower, config.hidden_size, pictures)
    cells: Any = {"side": config.image_size, "cell": config.patch_size // 2}
    _train(task, "vision", recipe.vision, out, recipe.seed + 3, pictures, **cells)
    save_part(tower, out, "vision")
    return measure_whole(task, held_out)


def train_semantic(recipe: ZooRecipe, out: Path) -> Measures:
    """DINOv2's twin."""
    pictures, held_out = open_pictures(out / "pictures" / "train"), open_pictures(out / "pictures" / "val")
    model: Any = fresh_model(recipe)
    encoder, tower = _trained_encoder(recipe, out), model.correspondence.semantic_model
    copy_layers(encoder, tower.encoder.layer, SAM_TO_DINO, QKV)
    embeddings = tower.embeddings
    _copy_embedding(encoder, embeddings.patch_embeddings.projection, embeddings.position_embeddings[0, 1:])
    task = MatchParts(tower, tower.config.hidden_size, pictures)
    cells: Any = {"side": tower.config.image_size, "cell": tower.config.patch_size // 2}
    _train(task, "semantic", recipe.semantic, out, recipe.seed + 4, pictures, **cells)
    save_part(tower, out, "semantic")
    return measure_matches(task, held_out)


def train_expert(recipe: ZooRecipe, out: Path) -> Measures:
    """RADIO's twin imitates the three others."""
    pictures, held_out = open_pictures(out / "pictures" / "train"), open_pictures(out / "pictures" / "val")
    model: Any = fresh_model(recipe).eval().requires_grad_(False)
    load_part(model.grounding, out, "masks")
    load_part(model.visual_tokens.vision_model, out, "vision")
    load_part(model.correspondence.semantic_model, out, "semantic")
    model.to(default_device())  # teachers are no part of what is trained, and do not follow it there
    student = RadioModel(radio_config(recipe))
    cells = student.config.image_size // student.config.patch_size
    teachers: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "eva_clip": lambda pixels: _on(cells, grid(model.look(pixels)[:, 1:])),
        "dinov2": lambda pixels: _on(cells, grid(model.look_for_meaning(pixels))),
        "sam": lambda pixels: _on(cells, model.grounding.encode(normalise(pixels, *IMAGENET))),
    }
    widths = {
        "eva_clip": model.config.vision_config.hidden_size,
        "dinov2": model.config.semantic_config.hidden_size,
        "sam": model.config.grounding_config.mask_decoder_config.hidden_size,
    }
    task = Imitate(student, teachers, widths, student.config.hidden_size)
    side = student.config.image_size
    _train(task, "expert", recipe.expert, out, recipe.seed + 5, pictures, side=side)
    student.save_pretrained(out / "radio")
    model.cpu()
    return measure_expert(student, teachers, pictures, held_out)


def radio_config(recipe: ZooRecipe) -> RadioConfig:
    side = sizes(recipe).grounding.image_size
    return RadioConfig(**recipe.radio.model_dump(), image_size=side, max_img_size=side, num_registers=1)


QKV = ("attention.q_proj", "attention.k_proj", "attention.v_proj")


def _on(cells: int, features: torch.Tensor) -> torch.Tensor:
    """Features on a grid of ``cells`` x ``cells``, averaged."""
    return F.adaptive_avg_pool2d(features, cells)


def _trained_encoder(recipe: ZooRecipe, out: Path) -> Any:
    encoder = encoder_of_cells(recipe)
    load_part(encoder, out, "cells")
    return encoder


@torch.no_grad()
def resize_encoder(trained: Any, encoder: Any) -> None:
    """Weights of ``trained`` in ``encoder``, whose patches may have another side."""
    state, side = trained.state_dict(), encoder.config.patch_size
    state["patch_embed.projection.weight"] = resized_patches(state["patch_embed.projection.weight"], side)
    state["pos_embed"] = resized_positions(state["pos_embed"], encoder.pos_embed.shape[1])
    encoder.load_state_dict(state)


@torch.no_grad()
def _copy_embedding(encoder: Any, patches: nn.Conv2d, positions: torch.Tensor) -> None:
    patches.weight.copy_(resized_patches(encoder.patch_embed.projection.weight, patches.kernel_size[0]))
    if patches.bias is not None:
        patches.bias.copy_(encoder.patch_embed.projection.bias)
    side = round(len(positions) ** 0.5)
    positions.copy_(resized_positions(encoder.pos_embed, side).flatten(0, 2))
