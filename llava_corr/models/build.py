"""Builders: from the sections of an experiment to a model and its processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
    PreTrainedTokenizerBase,
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from ..config import GroundingSection, ModelSection
from ..errors import ConfigError
from ..grammar import IMAGE, SEG
from .configuration import LlavaCorrConfig
from .processing import LlavaCorrProcessor

# Spread of the decoder's random position code: 1 in SAM's release, for a grid of 64 x 64 cells; on other grids the same
# turn per cell. The library's default, half the encoder's width, gives neighbouring cells unrelated codes.
SAM_GRID = 64


def build_config(model: ModelSection, tokenizer: PreTrainedTokenizerBase) -> LlavaCorrConfig:
    """The transformers configuration of a model section.

    Raises:
        ConfigError: sizes that transformers refuses, such as a width that the number of heads does not divide.
    """
    try:
        return _build_config(model, tokenizer)
    except (ValueError, TypeError, StrictDataclassError) as cause:
        raise ConfigError(
            f"no model has these sizes: {cause}", where="model", mend="correct the model section"
        ) from cause


def _build_config(model: ModelSection, tokenizer: PreTrainedTokenizerBase) -> LlavaCorrConfig:
    spread = {"initializer_range": model.initializer_range}
    vision = model.vision.model_dump() | spread
    qformer = model.qformer.model_dump(exclude={"num_query_tokens", "dropout"}) | spread
    qformer |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), model.qformer.dropout)
    trunk = model.trunk.model_dump() | spread
    return LlavaCorrConfig(
        vision_config=InstructBlipVisionConfig(**vision),
        qformer_config=InstructBlipQFormerConfig(
            **qformer, encoder_hidden_size=model.vision.hidden_size, vocab_size=1, max_position_embeddings=1
        ),
        text_config=LlamaConfig(
            **trunk,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=False,
        ),
        grounding_config=_sam_config(model.grounding, model.initializer_range),
        attn_implementation=model.attention,
        initializer_range=model.initializer_range,
        num_query_tokens=model.qformer.num_query_tokens,
        image_token_id=_token_id(tokenizer, IMAGE),
        seg_token_id=_token_id(tokenizer, SEG),
    )


# What a configuration also holds: where it comes from, how it is run, how fresh weights would be drawn.
NO_PART_OF_A_MODEL = frozenset({
    "_name_or_path", "architectures", "dtype", "initializer_range", "transformers_version", "_attn_implementation",
})  # fmt: skip


def check_same_model(wanted: LlavaCorrConfig, found: LlavaCorrConfig, where: str) -> None:
    """Compares every size and switch of two configurations; where a model was saved or how it runs does not count.

    Raises:
        ConfigError: they describe different models; every difference is listed.
    """
    ours, theirs = _flat(wanted.to_dict()), _flat(found.to_dict())
    faults = [
        f"    {name}: the experiment has {ours.get(name)!r}, the weights {theirs.get(name)!r}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name) and name.rpartition(".")[2] not in NO_PART_OF_A_MODEL
    ]
    if faults:
        listing = "\n".join(faults)
        raise ConfigError(
            f"model.weights are of another model:\n{listing}", where=where, mend="take the model section of their run"
        )


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names; tuples as lists and keys as strings, as JSON gives them back."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return out


def _token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int) or found == tokenizer.unk_token_id:
        raise ConfigError(
            f"the tokenizer does not know {token}", mend="use one that holds the grammar's special tokens"
        )
    return found


def _sam_config(section: GroundingSection, initializer_range: float) -> SamConfig:
    shared: dict[str, Any] = {"image_size": section.image_size, "patch_size": section.patch_size}
    position_code: dict[str, Any] = {"scale": section.image_size / section.patch_size / SAM_GRID}
    return SamConfig(
        vision_config=SamVisionConfig(
            **shared,
            hidden_size=section.hidden_size,
            num_hidden_layers=section.num_hidden_layers,
            num_attention_heads=section.num_attention_heads,
            window_size=section.window_size,
            global_attn_indexes=list(section.global_attn_indexes),
            output_channels=section.prompt_size,
            num_pos_feats=section.prompt_size // 2,
            use_rel_pos=section.use_rel_pos,
            **position_code,
            initializer_range=initializer_range,
        ).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(**shared, hidden_size=section.prompt_size).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=section.prompt_size,
            mlp_dim=section.decoder_mlp,
            num_attention_heads=section.decoder_heads,
            iou_head_hidden_dim=section.prompt_size,
        ).to_dict(),
        initializer_range=initializer_range,
    )


def build_processor(model: ModelSection, tokenizer: PreTrainedTokenizerBase, mask_size: int) -> LlavaCorrProcessor:
    """Tokenizer and image preprocessings of a model section.

    Raises:
        ConfigError: ``mask_size`` does not divide the grounding canvas.
    """
    canvas = model.grounding.image_size
    if canvas % mask_size:
        raise ConfigError(
            f"training.losses.mask_size {mask_size} does not divide model.grounding.image_size {canvas}",
            mend="choose a divisor, for example a quarter of it: the size at which the decoder draws",
        )
    tokenizer.model_max_length = model.trunk.max_position_embeddings
    side = {"height": model.vision.image_size, "width": model.vision.image_size}
    square = {"height": canvas, "width": canvas}
    return LlavaCorrProcessor(
        image_processor=BlipImageProcessorPil(size=side),
        grounding_image_processor=SamImageProcessorPil(size={"longest_edge": canvas}, pad_size=square),
        tokenizer=tokenizer,
        num_query_tokens=model.qformer.num_query_tokens,
        system=model.system,
        mask_size=mask_size,
    )
