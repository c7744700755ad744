"""What shapes do not show: a release's config.json against the composition that its weights are read into.

Other heads, another epsilon, another rotary base or activation change every state and leave every shape as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import InstructBlipQFormerConfig, InstructBlipVisionConfig, LlamaConfig, PreTrainedConfig

from ...errors import CheckpointError
from ...files import read_json
from ..configuration import LlavaCorrConfig

TEXT = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "hidden_act", "rms_norm_eps", "rope_parameters", "attention_bias", "mlp_bias",
        "tie_word_embeddings")  # fmt: skip
VISION = ("num_attention_heads", "layer_norm_eps", "hidden_act", "patch_size", "image_size", "qkv_bias")
QFORMER = ("num_attention_heads", "layer_norm_eps", "hidden_act", "cross_attention_frequency", "encoder_hidden_size")
PROJECTORS = {"linear": "linear", "mlp2x_gelu": "mlp"}  # LLaVA's words -> ours


def check_settings(kind: str, folder: Path, config: LlavaCorrConfig) -> None:
    """Compares what a release says of itself; folders without config.json, and files, say nothing.

    Args:
        kind: of the release, as ``--from`` names it.
        folder: where it lies.
        config: the composition.

    Raises:
        CheckpointError: settings differ, all of them in one error; or the weights are quantised.
    """
    file = folder / "config.json"
    if kind not in CHECKS or not file.is_file():
        return
    found = read_json(file, CheckpointError)
    if not isinstance(found, dict):
        raise CheckpointError("no configuration of a model", where=str(file), mend="download it again")
    try:
        faults = list(CHECKS[kind](found, config))
    except (TypeError, ValueError, AttributeError, StrictDataclassError) as cause:
        raise CheckpointError(
            f"settings of no sense: {cause}", where=str(file), mend="take config.json of the release as it is"
        ) from cause
    if found.get("quantization_config"):
        faults.append("its weights are quantised")
    if faults:
        listing = "\n".join(f"    {fault}" for fault in faults)
        raise CheckpointError(
            f"the release is of another kind than the composition:\n{listing}",
            where=str(file),
            mend="correct the model section, or name the release that it is of",
        )


def _trunk(found: dict[str, Any], config: LlavaCorrConfig) -> Iterator[str]:
    kept = {name: value for name, value in found.items() if name not in ("model_type", "architectures", "vocab_size")}
    yield from _differences(LlamaConfig(**kept), config.text_config, TEXT, "trunk")
    kind = found.get("mm_projector_type")
    if config.qformer_config is None and kind is not None and PROJECTORS.get(kind) != config.projection:
        yield f"mm_projector_type is {kind!r}, projection is {config.projection!r}"


def _instructblip(found: dict[str, Any], config: LlavaCorrConfig) -> Iterator[str]:
    vision, qformer = found.get("vision_config") or {}, found.get("qformer_config") or {}
    yield from _differences(InstructBlipVisionConfig(**_own(vision)), config.vision_config, VISION, "vision")
    assert config.qformer_config is not None
    yield from _differences(InstructBlipQFormerConfig(**_own(qformer)), config.qformer_config, QFORMER, "qformer")
    queries = found.get("num_query_tokens", 32)
    if queries != config.num_query_tokens:
        yield f"num_query_tokens is {queries}, the composition has {config.num_query_tokens}"


def _own(section: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name != "model_type"}


def _differences(theirs: PreTrainedConfig, ours: PreTrainedConfig, names: tuple[str, ...], part: str) -> Iterator[str]:
    for name in names:
        there, here = getattr(theirs, name, None), getattr(ours, name, None)
        if there != here:
            yield f"{part}: {name} is {there!r}, the composition has {here!r}"


CHECKS = {"glamm": _trunk, "lisa": _trunk, "vicuna": _trunk, "calico": _trunk, "instructblip": _instructblip}
