"""InternVL2 as its authors have it, the base of CoLVA's 4B and the larger part of its export (facts 1.1, 1.5 and 8).

Both call themselves ``internvl_chat`` and bring their own code, which is not run: config.json is read as data, and
names are given those of transformers' own InternVL. Of language models Phi-3 is known, that of InternVL2-4B: the other
sizes have InternLM2, Qwen2 or Llama, and no CoLVA was trained on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from transformers import InternVLConfig, InternVLVisionConfig, Phi3Config, PreTrainedConfig

from .foreign_settings import Settings, read_config
from .layouts import Rename
from .model_folder import named

MODEL_TYPE = "internvl_chat"
PART = "trunk."
LANGUAGE_MODELS = ("Phi3ForCausalLM",)
STOPS = {"phi3-chat": "<|end|>"}  # conversation template -> the token that ends an answer
IMAGE_TOKEN = "<IMG_CONTEXT>"  # a picture's positions
QK_EPS = 1e-6  # of transformers' norms of queries and keys, whatever the configuration says


@dataclass(frozen=True)
class InternVL:
    """What config.json of a release says.

    Attributes:
        config: of the trunk, but for the id of the image token, which the tokenizer has.
        radio: the section of the expert, which CoLVA's export has and the base has not.
        template: of conversations.
        tiles: least and greatest number of tiles of a picture, and whether a thumbnail follows them.
    """

    config: InternVLConfig
    radio: Settings | None
    template: str
    tiles: tuple[int, int, bool]


def read_internvl(folder: Path) -> InternVL:
    """Reads config.json of InternVL2 or of CoLVA's export of it.

    Raises:
        CheckpointError: another model, a language model that is not known, or settings that transformers' InternVL
            cannot express.
    """
    values, file = read_config(folder, MODEL_TYPE), str(folder / "config.json")
    expert = values.pop("radio_config", None)
    settings = Settings(values, file)
    with named(file):
        found = _read(settings)
    return replace(found, radio=None if expert is None else Settings(expert, f"{file}, radio_config"))


def _read(settings: Settings) -> InternVL:
    text, vision = _phi3(settings.section("llm_config")), _vision(settings.section("vision_config"))
    ratio = settings.take("downsample_ratio", float, 0.5)
    if not 0 < ratio <= 1 or round(1 / ratio) * ratio != 1:
        raise settings.fault(f"downsample_ratio is {ratio}, not one by a whole number")
    settings.must("ps_version", "v2", default="v1")  # v1 gives every picture turned over
    image, patch = (
        size[0] if isinstance(size, (list, tuple)) else size for size in (vision.image_size, vision.patch_size)
    )
    settings.must("force_image_size", image, default=image)
    settings.must("hidden_size", text.hidden_size, default=text.hidden_size)  # written since October 2024
    for key in ("use_backbone_lora", "use_llm_lora"):
        settings.must(key, 0, default=0)
    template = settings.must("template", *STOPS)
    few, many = settings.size("min_dynamic_patch", 1), settings.size("max_dynamic_patch", 6)
    if few > many:
        raise settings.fault(f"min_dynamic_patch is {few}, and max_dynamic_patch {many}")
    thumbnail = settings.take("use_thumbnail", bool, False)
    layer = settings.take("select_layer", int, -1)
    if not -vision.num_hidden_layers <= layer <= -1:
        raise settings.fault(f"select_layer is {layer}, and layers are counted from the last, -1")
    settings.finish(["dynamic_image_size", "pad2square"])
    config = InternVLConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_seq_length=round((image // patch) ** 2 * ratio**2),
        downsample_ratio=ratio,
        vision_feature_layer=layer,
        tie_word_embeddings=text.tie_word_embeddings,
    )
    return InternVL(config, None, template, (few, many, thumbnail))


def _vision(settings: Settings) -> InternVLVisionConfig:
    """InternViT; what is absent is as in its authors' class, and dropped paths (``drop_path_rate``) are of training."""
    width, heads = settings.heads(hidden_size=3200, num_attention_heads=25)
    norm = settings.must("norm_type", "layer_norm", "rms_norm", default="rms_norm")
    eps = settings.positive("layer_norm_eps", 1e-6)
    normalised = settings.take("qk_normalization", bool, True)
    if normalised and eps != QK_EPS:
        raise settings.fault(f"layer_norm_eps is {eps}, and that of queries and keys can be {QK_EPS} alone")
    config = InternVLVisionConfig(
        hidden_size=width,
        num_hidden_layers=settings.size("num_hidden_layers", 48),
        num_attention_heads=heads,
        intermediate_size=settings.size("intermediate_size", 12800),
        attention_bias=settings.take("qkv_bias", bool, False),
        use_qk_norm=normalised,
        hidden_act=settings.must("hidden_act", "gelu", default="gelu"),
        norm_type=norm,
        layer_norm_eps=eps,
        image_size=settings.size("image_size", 224),
        patch_size=settings.size("patch_size", 14),
        num_channels=settings.must("num_channels", 3, default=3),
    )
    settings.finish(["drop_path_rate", "dropout", "attention_dropout"])
    return config


def _phi3(settings: Settings) -> PreTrainedConfig:
    """Phi-3; what is absent is as in its authors' class."""
    settings.must("architectures", *([name] for name in LANGUAGE_MODELS))
    width, heads = settings.heads(hidden_size=3072, num_attention_heads=32)
    rows = settings.size("vocab_size", 32064)
    scaling = settings.maybe("rope_scaling", dict)
    original = settings.size("original_max_position_embeddings", 4096)
    ids = {name: settings.token(f"{name}_token_id", rows, usual) for name, usual in SPECIAL_IDS.items()}
    longest = settings.size("max_position_embeddings", 4096)
    if original > longest:
        raise settings.fault(f"original_max_position_embeddings is {original}, and max_position_embeddings {longest}")
    config = Phi3Config(
        vocab_size=rows,
        hidden_size=width,
        intermediate_size=settings.size("intermediate_size", 8192),
        num_hidden_layers=settings.size("num_hidden_layers", 32),
        num_attention_heads=heads,
        num_key_value_heads=settings.size("num_key_value_heads", heads),
        hidden_act=settings.must("hidden_act", "silu", default="silu"),
        max_position_embeddings=longest,
        original_max_position_embeddings=original,
        rms_norm_eps=settings.positive("rms_norm_eps", 1e-5),
        rope_parameters=_rope(settings, scaling, settings.positive("rope_theta", 1e4), longest, original),
        sliding_window=settings.size("sliding_window") if "sliding_window" in settings else None,
        tie_word_embeddings=settings.take("tie_word_embeddings", bool, False),
        bos_token_id=ids["bos"],
        eos_token_id=ids["eos"],
        pad_token_id=ids["pad"],
    )
    settings.finish(["attention_dropout", "resid_pdrop", "embd_pdrop"])
    return config


SPECIAL_IDS = {"bos": 1, "eos": 32000, "pad": 32000}  # where config.json has none


def _rope(
    settings: Settings, scaling: dict[str, object] | None, theta: float, longest: int, original: int
) -> dict[str, object]:
    if scaling is None:
        return {"rope_type": "default", "rope_theta": theta}
    given = Settings(scaling, f"{settings.where}, rope_scaling")
    # Phi-3's "yarn" scales attention in another way, for which transformers has no word any more.
    given.must("type", "su", "longrope")  # the former is what the latter was called
    factors = {name: given.factors(name) for name in ("short_factor", "long_factor")}
    given.finish()
    return {
        "rope_type": "longrope",
        "rope_theta": theta,
        "factor": longest / original,
        "original_max_position_embeddings": original,
        **factors,
    }


def internvl_rules() -> list[Rename]:
    """Vision tower, projector and language model."""
    tower, layer = f"{PART}model.vision_tower.", rf"{PART}model.vision_tower.encoder.layer.\1."
    block = r"vision_model\.encoder\.layers\.(\d+)\."
    return [
        Rename(r"vision_model\.embeddings\.class_embedding", (f"{tower}embeddings.cls_token",)),
        Rename(r"vision_model\.embeddings\.position_embedding", (f"{tower}embeddings.position_embeddings",)),
        Rename(
            r"vision_model\.embeddings\.patch_embedding\.(weight|bias)",
            (rf"{tower}embeddings.patch_embeddings.projection.\1",),
        ),
        Rename(rf"{block}attn\.qkv\.(weight|bias)", tuple(rf"{layer}attention.{q}_proj.\2" for q in "qkv"), split=True),
        Rename(rf"{block}attn\.proj\.(weight|bias)", (rf"{layer}attention.projection_layer.\2",)),
        Rename(rf"{block}attn\.([qk]_norm\.weight)", (rf"{layer}attention.\2",)),
        Rename(rf"{block}norm1\.(weight|bias)", (rf"{layer}layernorm_before.\2",)),
        Rename(rf"{block}norm2\.(weight|bias)", (rf"{layer}layernorm_after.\2",)),
        Rename(rf"{block}ls([12])", (rf"{layer}lambda_\2",)),
        Rename(rf"{block}(mlp\.fc[12]\.(?:weight|bias))", (rf"{layer}\2",)),
        *(
            Rename(rf"mlp1\.{index}\.(weight|bias)", (rf"{PART}model.multi_modal_projector.{name}.\1",))
            for index, name in ((0, "layer_norm"), (1, "linear_1"), (3, "linear_2"))
        ),
        Rename(r"language_model\.model\.(.+)", (rf"{PART}model.language_model.\1",)),
        Rename(r"language_model\.(lm_head\.weight)", (rf"{PART}\1",)),
    ]
