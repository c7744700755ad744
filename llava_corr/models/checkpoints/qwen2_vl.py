"""Qwen2-VL, the base of CoLVA's 2B and 7B, in the names of its release and in those of transformers since (facts 8
row 8): ``visual`` and ``model.layers`` moved below ``model.visual`` and ``model.language_model``.

config.json is read as data, in the form of the release (sizes of the language model at the top) and in those that
transformers writes since (in a section of their own, and for some time in both places).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2VLConfig

from ...errors import CheckpointError
from .foreign_settings import Settings, read_config
from .layouts import Ignore, Rename, Rule
from .model_folder import named
from .tensor_files import TensorFiles

MODEL_TYPE = "qwen2_vl"
PART = "trunk."
SECTION = "text_config"
AXES = 3  # of a position: time, height, width
PLACES = {"image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
          "vision_end_token_id": 151653}  # fmt: skip
IDLE = "vision_token_id"  # of a token that nothing asks for
TIED = "it is the embedding, to which the output layer is tied"


def read_qwen2_vl(folder: Path) -> Qwen2VLConfig:
    """Configuration of a release; what is absent is as in transformers' class, from whose files it is left out.

    Raises:
        CheckpointError: another model, or settings that CoLVA's bases have not.
    """
    values, file = read_config(folder, MODEL_TYPE), str(folder / "config.json")
    with named(file, TypeError, KeyError, AttributeError):
        return _read(Settings(values, file))


def _read(settings: Settings) -> Qwen2VLConfig:
    tied = settings.take("tie_word_embeddings", bool, False)
    vision = _vision(settings.section("vision_config"))
    if SECTION in settings:
        section = settings.section(SECTION)
        tied |= section.take("tie_word_embeddings", bool, False)
        text = _text(section)
        section.finish([*PLACES, IDLE])  # transformers 4.52 to 4.57 wrote them here, too
        if "hidden_size" in settings and _text(settings) != text:
            raise settings.fault(f"settings at the top and in {SECTION} differ")
    else:
        text = _text(settings)
    if vision["hidden_size"] != text["hidden_size"]:
        raise settings.fault(f"hidden_size is {text['hidden_size']}, and {vision['hidden_size']} in vision_config")
    ids: dict[str, Any] = {name: settings.token(name, text["vocab_size"], usual) for name, usual in PLACES.items()}
    settings.finish([IDLE])
    return Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=tied, **ids)


def _text(settings: Settings) -> dict[str, Any]:
    width, heads = settings.heads(hidden_size=8192, num_attention_heads=64)
    rows = settings.size("vocab_size", 152064)
    layers = settings.size("num_hidden_layers", 80)
    settings.must("use_sliding_window", False, default=False)
    settings.maybe("sliding_window", int)  # its width, though it is not used
    kinds = settings.maybe("layer_types", list)
    if kinds is not None and (len(kinds) != layers or set(map(str, kinds)) != {"full_attention"}):
        raise settings.fault("layer_types are not those of full attention in every layer")
    settings.take("attention_dropout", float, 0)
    ends = {
        name: settings.token(name, rows, usual) if usual is not None or name in settings else None
        for name, usual in (("bos_token_id", 151643), ("eos_token_id", 151645), ("pad_token_id", None))
    }
    return {
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": settings.size("intermediate_size", 29568),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": settings.size("num_key_value_heads", 8),
        "hidden_act": settings.must("hidden_act", "silu", default="silu"),
        "max_position_embeddings": settings.size("max_position_embeddings", 32768),
        "max_window_layers": settings.take("max_window_layers", int, 80),
        "rms_norm_eps": settings.positive("rms_norm_eps", 1e-5),
        "rope_parameters": _rope(settings, width // heads // 2),
        **ends,
    }


def _rope(settings: Settings, half: int) -> dict[str, Any]:
    """Rotary angles: "mrope" is what "default" with sections was called, which older files have both of.

    Args:
        half: of a head's width, which the three axes share.
    """
    places = [name for name in ("rope_scaling", "rope_parameters") if name in settings]
    if len(places) != 1:
        raise settings.fault(f"of rope_scaling and rope_parameters there are {len(places)}, not one")
    given = settings.section(places[0])
    kinds = [given.must(name, "mrope", "default") for name in ("type", "rope_type") if name in given]
    if not kinds:
        raise given.fault("there is no type")
    axes = [each for each in given.take("mrope_section", list) if isinstance(each, int) and each > 0]
    if len(axes) != AXES or sum(axes) != half:
        raise given.fault(f"mrope_section is {axes}, and must be {AXES} numbers that make {half}")
    theta = settings.positive("rope_theta", 1e6)
    if "rope_theta" in given:
        theta = given.positive("rope_theta")
    given.finish()
    return {"rope_type": "default", "rope_theta": theta, "mrope_section": axes}


def _vision(settings: Settings) -> dict[str, Any]:
    width, heads = settings.heads(embed_dim=1280, num_heads=16)
    patch = settings.size("patch_size", 14)
    settings.must("spatial_patch_size", patch, default=patch)
    settings.must("in_chans", 3, default=3)  # of the release; transformers never read it
    settings.must("rope_parameters", None, {"rope_theta": 10000.0, "rope_type": "axial"})
    found = {
        "depth": settings.size("depth", 32),
        "embed_dim": width,
        "hidden_size": settings.size("hidden_size", 3584),
        "hidden_act": settings.must("hidden_act", "quick_gelu", default="quick_gelu"),
        "mlp_ratio": settings.size("mlp_ratio", 4),
        "num_heads": heads,
        "in_channels": settings.must("in_channels", 3, default=3),
        "patch_size": patch,
        "spatial_merge_size": settings.size("spatial_merge_size", 2),
        "temporal_patch_size": settings.size("temporal_patch_size", 2),
    }
    settings.finish()
    return found


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
        if name in files and not _same(files.tensor(name), files.tensor(output)):
            raise CheckpointError(
                f"{output} and {name} differ, and config.json ties them",
                where=str(files.where),
                mend="take config.json and weights of one release",
            )


def _same(one: Tensor, other: Tensor) -> bool:
    """Of tensors of any kind, which a file may hold."""
    return one.dtype == other.dtype and one.layout == other.layout == torch.strided and torch.equal(one, other)
