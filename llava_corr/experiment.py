"""The typed experiment: what a YAML file may say, with the paper's settings as defaults.

Nothing below the entry points sees these objects: builders hand plain numbers on. ``config.py`` reads the files.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

Size = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _divides(heads: int, width: int, what: str = "num_attention_heads") -> None:
    if width % heads:
        raise ValueError(f"{what}: {heads} heads do not divide a width of {width}")


class PartSection(Section):
    """A part of the model with attention layers; sizes that cannot be built are refused before anything is."""

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        sizes = vars(self)
        _divides(sizes["num_attention_heads"], sizes["hidden_size"])
        if "patch_size" in sizes and sizes["patch_size"] > sizes["image_size"]:
            raise ValueError(f"patch_size {sizes['patch_size']} is larger than image_size {sizes['image_size']}")
        return self


class TokenizerSection(Section):
    """Where the tokenizer comes from: a folder or hub id, or trained on the training dialogues."""

    path: str | None = Field(None, description="folder or hub id; null trains one on the training dialogues")
    vocab_size: int = Field(2048, gt=256, description="size of a tokenizer that is trained here")


class VisionSection(PartSection):
    """Vision tower; the defaults are EVA-CLIP-g (InstructBLIP's)."""

    kind: Literal["eva_clip", "clip"] = "eva_clip"
    image_size: Size = 224
    patch_size: Size = 14
    hidden_size: Size = 1408
    num_hidden_layers: Size = 39
    num_attention_heads: Size = 16
    intermediate_size: Size = 6144
    feature_layer: int = Field(-1, lt=0, description="hidden state that is used: -1 the output, -2 LLaVA's choice")

    @model_validator(mode="after")
    def _has_its_layer(self) -> Self:
        if -self.feature_layer > self.num_hidden_layers + 1:
            raise ValueError(f"feature_layer {self.feature_layer} of {self.num_hidden_layers} layers and their input")
        return self


class QFormerSection(PartSection):
    """Q-Former; the defaults are InstructBLIP's."""

    num_query_tokens: Size = 32
    hidden_size: Size = 768
    num_hidden_layers: Size = 12
    num_attention_heads: Size = 12
    intermediate_size: Size = 3072
    cross_attention_frequency: Size = 2
    dropout: float = Field(0.1, ge=0, lt=1, description="while it is trained; 0 where a run is short")


class CorrespondenceSection(PartSection):
    """Correspondence extraction (CEM): DINOv2 and the cross-attention; the defaults are ViT-g/14, as in Calico."""

    image_size: Size = Field(224, description="side of the pictures DINOv2 sees: the same grid as the vision tower's")
    pretrained_size: Size = Field(518, description="side that its position embeddings are stored for")
    position_offset: float = Field(
        0.1, ge=0, lt=1, description="of a patch, where positions are resized: 0.1 as DINOv2's authors do without "
        "registers, 0 as transformers does since 4.45",
    )  # fmt: skip
    patch_size: Size = 14
    hidden_size: Size = 1536
    num_hidden_layers: Size = 40
    num_attention_heads: Size = 24
    mlp_ratio: Size = 4
    swiglu: bool = Field(True, description="ViT-g's feed-forward layers; false for ViT-S, B and L")
    registers: int = Field(0, ge=0, description="register tokens of the variants that have them")
    attention_heads: int = Field(16, gt=0, description="heads of the cross-attention")
    residual: bool = Field(True, description="add what was found to the patches, from zero on")


class AdaptationSection(Section):
    """Correspondence adaptation (CAM) before some layers of the trunk."""

    layers: tuple[str, ...] = Field(("1/3", "2/3"), description="shares of the trunk's depth; rounded up")
    guidance: bool = Field(True, description="by the prompt's last state")
    requery: bool = Field(True, description="ask the Q-Former again; without it the guidance itself goes back")

    @field_validator("layers", mode="before")
    @classmethod
    def _fractions(cls, layers: Any) -> tuple[str, ...]:
        for layer in layers if isinstance(layers, (list, tuple)) else [layers]:
            try:
                inside = 0 <= Fraction(str(layer)) < 1
            except (ValueError, ZeroDivisionError):
                inside = False
            if not inside:
                raise ValueError(f"{layer!r} is no share of the depth; write a list such as ['1/3', '2/3']")
        return tuple(str(layer) for layer in layers)

    def indexes(self, num_layers: int) -> list[int]:
        """n in "before layer n", counted from 0: 11 and 22 of 32 (facts 5.3 row 3)."""
        return [math.ceil(Fraction(layer) * num_layers) for layer in self.layers]


class TrunkSection(PartSection):
    """Llama-type language trunk; the defaults are Vicuna-7B-v1.5."""

    hidden_size: Size = 4096
    intermediate_size: Size = 11008
    num_hidden_layers: Size = 32
    num_attention_heads: Size = 32
    max_position_embeddings: Size = 4096
    rms_norm_eps: float = Field(1e-5, gt=0)

    @model_validator(mode="after")
    def _can_rotate(self) -> Self:
        if self.hidden_size // self.num_attention_heads % 2:
            raise ValueError("hidden_size: every head needs an even width, for rotary positions turn pairs of numbers")
        return self


class GroundingSection(PartSection):
    """SAM encoder and mask decoder; the defaults are ViT-H."""

    image_size: Size = 1024
    patch_size: Size = 16
    hidden_size: Size = 1280
    num_hidden_layers: Size = 32
    num_attention_heads: Size = 16
    window_size: int = Field(14, ge=0, description="patches; 0 for none")
    global_attn_indexes: tuple[int, ...] = (7, 15, 23, 31)
    use_rel_pos: bool = Field(True, description="relative positions, as in SAM's releases; off, attention is cheaper")
    prompt_size: Size = Field(256, description="width of the neck, the prompts and the mask decoder")
    decoder_mlp: Size = 2048
    decoder_heads: Size = 8
    decoder_norm_eps: float = Field(
        1e-5, gt=0, description="of the mask decoder's layer norms: 1e-5 as its authors', 1e-6 as transformers has it"
    )

    @model_validator(mode="after")
    def _can_decode(self) -> Self:
        if self.prompt_size % 8:
            raise ValueError(f"prompt_size: the mask decoder divides its width of {self.prompt_size} by 8")
        _divides(self.decoder_heads, self.prompt_size // 2, "decoder_heads")  # SAM attends at half its width
        return self


class ReleasesSection(Section):
    """Released weights that ``llava-corr import`` makes a model folder of: folders, files, hub ids or addresses."""

    glamm: str | None = Field(
        None,
        description="trunk, [SEG] projection, SAM and, without a Q-Former, projection: a GLaMM, folder or hub id",
    )
    lisa: str | None = Field(None, description="the same: folder or hub id of LISA-7B-v1")
    calico: str | None = Field(
        None, description="everything, as far as its names are known: folder or hub id of the official release"
    )
    vicuna: str | None = Field(
        None, description="the trunk alone, which gets rows for the special tokens: folder or hub id"
    )
    lavis: str | None = Field(
        None, description="Q-Former, queries and projection: instruct_blip_vicuna7b_trimmed.pth, or its address"
    )
    eva: str | None = Field(None, description="EVA-CLIP-g: eva_vit_g.pth, or its address")
    instructblip: str | None = Field(None, description="in the place of these two: folder or hub id of transformers")
    sam: str | None = Field(None, description="SAM: sam_vit_b, _l or _h .pth, or its address")
    dinov2: str | None = Field(
        None, description="DINOv2: folder or hub id of transformers, or dinov2_vit*_pretrain.pth, or its address"
    )
    clip: str | None = Field(None, description="CLIP: folder or hub id of transformers")

    def named(self) -> dict[str, str]:
        """Kind -> place, of those that are named."""
        return {kind: place for kind, place in vars(self).items() if place is not None}


class ModelSection(Section):
    """The composition of the LVLM."""

    weights: str | None = Field(
        None, description="model folder or hub id to start from, tokenizer included; the sizes below must be its own"
    )
    releases: ReleasesSection = ReleasesSection()
    random_frozen: bool = Field(
        False, description="allow frozen parts of random weights: rehearsals and measurements, never a result"
    )
    quantise_trunk: bool = Field(False, description="hold the frozen trunk in 4 bits (NF4); needs the quant extra")
    frozen_dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="what frozen weights are held in; what is trained stays in float32"
    )
    max_images_per_tower_pass: int | None = Field(
        None, gt=0, description="pictures that go through a tower at once; less memory, the same result"
    )
    tokenizer: TokenizerSection = TokenizerSection()
    vision: VisionSection = VisionSection()
    qformer: QFormerSection | None = Field(QFormerSection(), description="null: every patch becomes a token")
    projection: Literal["linear", "mlp"] = Field("linear", description="into the trunk's width")
    correspondence: CorrespondenceSection | None = Field(CorrespondenceSection(), description="null: no DINOv2")
    adaptation: AdaptationSection | None = Field(AdaptationSection(), description="null: first pass only")
    trunk: TrunkSection = TrunkSection()
    grounding: GroundingSection = GroundingSection()
    attention: Literal["sdpa", "eager", "flash_attention_2"] = Field(
        "sdpa", description="eager is faster for tiny models on a CPU; flash_attention_2 needs the gpu extra"
    )
    initializer_range: float = Field(
        0.02, gt=0, description="spread of fresh weights; narrow models that train from scratch need more"
    )
    system: str = Field(
        "A chat between a curious human and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the human's questions.",
        description="system sentence in front of every dialogue",
    )


class DataSection(Section):
    """Samples files (JSON lines of ``records.Sample``)."""

    train: str = Field(description="samples file of the training dialogues")
    validation: str | None = Field(
        None, description="scored by its losses whenever a checkpoint is saved, and at the end"
    )
    limit: int | None = Field(None, gt=0, description="only the first so many samples of each file; null takes all")
    blind: bool = Field(False, description="replace every picture by plain grey: what can be guessed without looking")
    features: str | None = Field(
        None, description="folder of cached features that llava-corr cache made; the frozen image towers are not run"
    )
    workers: int = Field(0, ge=0, description="processes that prepare batches; 0: the training process does")
    picture_groups: int = Field(1, ge=1, description="shuffle dialogues in groups of this many that share pictures")


class LossSection(Section):
    """Weights of the losses (Calico, section 3.5)."""

    language: float = Field(1.0, ge=0, description="weight of the next-token loss")
    mask: float = Field(2.0, ge=0, description="weight of the per-pixel loss")
    dice: float = Field(0.5, ge=0, description="weight of the Dice loss")
    mask_kind: Literal["focal", "bce"] = Field("focal", description="the per-pixel loss")
    focal_alpha: float = Field(0.25, le=1, description="weight of foreground pixels; negative: no weighting")
    focal_gamma: float = Field(2.0, ge=0, description="how much less pixels count that are right already")
    mask_size: int = Field(256, gt=0, description="side of the square canvas on which masks are compared, pixels")

    @model_validator(mode="after")
    def _something_counts(self) -> LossSection:
        if not (self.language or self.mask or self.dice):
            raise ValueError("language, mask and dice are all 0: nothing would be trained")
        return self

    @property
    def draw(self) -> bool:
        """Whether masks are trained at all; if not, the grounding tower is not run."""
        return self.mask > 0 or self.dice > 0


class LoraSection(Section):
    """Low-rank adapter of the trunk's attention; the defaults are the paper's (C.1)."""

    rank: int = Field(8, gt=0, description="of the two matrices of an adapter")
    alpha: int = Field(16, gt=0, description="an adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.05, ge=0, lt=1, description="of what goes into an adapter")
    targets: tuple[Literal["q_proj", "k_proj", "v_proj", "o_proj"], ...] = Field(
        ("q_proj", "v_proj"), description="projections with an adapter; none trains token_rows alone"
    )
    token_rows: tuple[str, ...] = Field(
        (), description="special tokens whose rows are trained: [SEG], <p> and </p> on any base but GLaMM"
    )

    @model_validator(mode="after")
    def _adapts_something(self) -> LoraSection:
        if not (self.targets or self.token_rows):
            raise ValueError("neither targets nor token_rows: nothing would be trained; lora: null is no adapter")
        return self


class TrainingSection(Section):
    """Optimisation; the defaults are the paper's (C.1)."""

    max_steps: int = Field(5000, gt=0, description="optimiser steps")
    batch_size: int = Field(4, gt=0, description="dialogues per device and micro-step")
    gradient_accumulation: int = Field(4, gt=0, description="micro-steps of an optimiser step")
    group_by_length: bool = Field(
        False, description="in each step the dialogues with most pictures come first: micro-batches have less padding"
    )
    learning_rate: float = Field(4e-4, gt=0, description="its peak")
    betas: tuple[Share, Share] = Field((0.9, 0.95), description="of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    warmup_steps: int = Field(100, ge=0, description="over which the learning rate rises")
    schedule: Literal["linear", "cosine"] = Field("linear", description="how it falls to zero afterwards")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    bf16: bool = Field(True, description="activations in bfloat16; trained weights stay in float32")
    gradient_checkpointing: bool = Field(False, description="compute activations twice instead of keeping them")
    losses: LossSection = LossSection()
    lora: LoraSection | None = Field(LoraSection(), description="adapter of the trunk's attention; null: none")
    trainable: tuple[str, ...] = Field(
        ("correspondence.attention", "adaptation", "grounding.sam.mask_decoder"),
        description="parts that are trained besides, by name; [all] trains everything, without lora. Parts that the "
        "model lacks by configuration may be named",
    )
    deepspeed: str | None = Field("zero2.json", description="file in zero_configs/, or a path; null trains without")
    logging_steps: int = Field(10, gt=0, description="steps of a row of the log")
    save_steps: int = Field(500, gt=0, description="steps between checkpoints; the last two are kept")
    memory_log: bool = Field(
        True, description="after the first step, log what its tensors took beside what was planned; takes seconds"
    )
    max_minutes: float | None = Field(None, gt=0, description="stop in good order after this long, schedule included")


class PredictionSection(Section):
    """How answers are generated."""

    batch_size: int = Field(8, gt=0, description="samples answered together")
    max_new_tokens: int = Field(512, gt=0, description="an answer that is longer is cut there, and says so")
    max_images_per_tower_pass: int | None = Field(
        4, gt=0, description="as in model, where no gradients are kept: what a batch's pictures take at once"
    )


class ExperimentConfig(Section):
    """One experiment."""

    name: str = Field(description="of the run")
    seed: int = Field(0, ge=0, lt=2**32, description="of fresh weights, of the order of the data, of dropout")
    output_dir: str = Field("runs", description="the run folder is output_dir/name")
    data: DataSection
    model: ModelSection = ModelSection()
    training: TrainingSection = TrainingSection()
    prediction: PredictionSection = PredictionSection()

    @model_validator(mode="after")
    def _one_arithmetic(self) -> ExperimentConfig:
        if self.model.frozen_dtype == "bfloat16" and not self.training.bf16:
            raise ValueError(
                "model.frozen_dtype bfloat16 with training.bf16 false: frozen weights in bfloat16 cannot be multiplied "
                "by activations in float32; set training.bf16 to true, or model.frozen_dtype to float32"
            )
        return self

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir) / self.name

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
