"""Builders: from the sections of an experiment to a model and its processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from ..errors import ConfigError
from ..experiment import CorrespondenceSection, GroundingSection, ModelSection, VisionSection
from ..grammar import IMAGE, SEG
from .attention import attention_of_parts
from .configuration import LlavaCorrConfig
from .modeling import LlavaCorrForConditionalGeneration
from .processing import LlavaCorrProcessor

# Spread of the decoder's random position code: 1 in SAM's release, for a grid of 64 x 64 cells; on other grids the same
# turn per cell. The library's default, half the encoder's width, gives neighbouring cells unrelated codes.
SAM_GRID = 64


@dataclass(frozen=True)
class Vocabulary:
    """What a configuration takes from a tokenizer: rows of the embedding, and ids.

    <image> needs no row: its positions are filled with visual tokens. A tokenizer that had it added last, behind the
    rows of released weights, fits those weights as they are.
    """

    size: int
    bos: int
    eos: int
    pad: int
    image: int
    seg: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Of a tokenizer that knows the grammar's special tokens.

        Raises:
            ConfigError: it does not.
        """
        ids = {name: _token_id(tokenizer, token) for name, token in (("image", IMAGE), ("seg", SEG))}
        bos, eos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        if bos is None or eos is None or pad is None:
            raise ConfigError("the tokenizer lacks a beginning, end or padding token", mend="use a Llama tokenizer")
        rows = 1 + max(number for token, number in tokenizer.get_vocab().items() if token != IMAGE)
        return cls(rows, bos, eos, pad, **ids)

    @classmethod
    def of_size(cls, rows: int) -> Vocabulary:
        """Where no tokenizer is at hand, and which row is whose makes no difference: Llama's ids, and [SEG] the last
        row or, where there are as many, GLaMM's."""
        return cls(rows, bos=1, eos=2, pad=0, image=rows, seg=min(32004, rows - 1))


def build_config(model: ModelSection, vocabulary: Vocabulary) -> LlavaCorrConfig:
    """The transformers configuration of a model section.

    Raises:
        ConfigError: sizes that transformers refuses, such as a width that the number of heads does not divide, parts
            that cannot work together, or an attention that is not installed.
    """
    try:
        config = _build_config(model, vocabulary)
    except (ValueError, TypeError, StrictDataclassError) as cause:
        raise ConfigError(
            f"no model has these sizes: {cause}", where="model", mend="correct the model section"
        ) from cause
    config._attn_implementation = attention_of_parts(model.attention, config)
    return config


def _build_config(model: ModelSection, vocabulary: Vocabulary) -> LlavaCorrConfig:
    spread = {"initializer_range": model.initializer_range}
    vision = model.vision.model_dump(exclude={"kind", "feature_layer"}) | spread
    tower = CLIPVisionConfig if model.vision.kind == "clip" else InstructBlipVisionConfig
    adaptation = model.adaptation
    return LlavaCorrConfig(
        vision_config=tower(**vision),
        qformer_config=_qformer_config(model) if model.qformer else None,
        semantic_config=_semantic_config(model.correspondence, spread) if model.correspondence else None,
        text_config=LlamaConfig(
            **(model.trunk.model_dump() | spread),
            vocab_size=vocabulary.size,
            bos_token_id=vocabulary.bos,
            eos_token_id=vocabulary.eos,
            pad_token_id=vocabulary.pad,
            tie_word_embeddings=False,
        ),
        grounding_config=_sam_config(model.grounding, model.initializer_range),
        initializer_range=model.initializer_range,
        num_query_tokens=model.qformer.num_query_tokens if model.qformer else 0,
        projection=model.projection,
        vision_feature_layer=model.vision.feature_layer,
        correspondence_heads=model.correspondence.attention_heads if model.correspondence else 1,
        correspondence_residual=model.correspondence.residual if model.correspondence else True,
        semantic_size=model.correspondence.image_size if model.correspondence else model.vision.image_size,
        adaptation_layers=adaptation.indexes(model.trunk.num_hidden_layers) if adaptation else [],
        adaptation_guidance=adaptation.guidance if adaptation else True,
        adaptation_requery=adaptation.requery if adaptation else True,
        image_token_id=vocabulary.image,
        seg_token_id=vocabulary.seg,
    )


def _qformer_config(model: ModelSection) -> InstructBlipQFormerConfig:
    assert model.qformer is not None
    sizes = model.qformer.model_dump(exclude={"num_query_tokens", "dropout"})
    sizes |= dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), model.qformer.dropout)
    return InstructBlipQFormerConfig(
        **sizes,
        initializer_range=model.initializer_range,
        encoder_hidden_size=model.vision.hidden_size,
        vocab_size=1,  # the text branch is left out
        max_position_embeddings=1,
    )


def _semantic_config(section: CorrespondenceSection, spread: dict[str, float]) -> PreTrainedConfig:
    named = ("patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "mlp_ratio")
    sizes: dict[str, Any] = section.model_dump(include=set(named)) | spread
    sizes |= {"use_swiglu_ffn": section.swiglu, "image_size": section.pretrained_size}
    if section.registers:
        return Dinov2WithRegistersConfig(**sizes, num_register_tokens=section.registers)
    if section.position_offset and section.image_size != section.pretrained_size:  # else it changes nothing
        sizes["position_offset"] = section.position_offset
    return Dinov2Config(**sizes)


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
            layer_norm_eps=section.decoder_norm_eps,
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
    square = {"height": canvas, "width": canvas}
    config = build_config(model, Vocabulary.of(tokenizer))
    own_view = config.semantic_config is not None and (
        config.semantic_size != model.vision.image_size or model.vision.kind == "clip"
    )
    return LlavaCorrProcessor(
        image_processor=_image_processor(model.vision),
        grounding_image_processor=SamImageProcessorPil(size={"longest_edge": canvas}, pad_size=square),
        tokenizer=tokenizer,
        tokens_per_image=config.tokens_per_image,
        semantic_size=config.semantic_size if own_view else None,
        system=model.system,
        mask_size=mask_size,
    )


def _image_processor(vision: VisionSection) -> BlipImageProcessorPil | CLIPImageProcessorPil:
    side = {"height": vision.image_size, "width": vision.image_size}
    if vision.kind == "clip":
        return CLIPImageProcessorPil(size={"shortest_edge": vision.image_size}, crop_size=side)
    return BlipImageProcessorPil(size=side)


@torch.no_grad()
def halve_frozen(model: LlavaCorrForConditionalGeneration) -> None:
    """Holds frozen weights in bfloat16; what is trained is in float32, so that small steps are not lost."""
    for parameter in model.parameters():
        wanted = torch.float32 if parameter.requires_grad else torch.bfloat16
        if parameter.dtype in (torch.float32, torch.bfloat16) and parameter.dtype != wanted:
            parameter.data = parameter.data.to(wanted)
