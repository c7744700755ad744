"""Towers that transformers loads by hub id or folder, DINOv2 and CLIP; it converts names of older versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from ...errors import CheckpointError
from ...files import read_json
from ..configuration import LlavaCorrConfig
from ..semantic import resizing_as_configured, semantic_class
from ..visual_tokens import vision_class
from .model_folder import check_fit, named
from .tensor_files import FLOATS, open_tensors, some

# What shapes do not show, and what would change every feature.
UNSEEN = ("num_attention_heads", "layer_norm_eps", "hidden_act", "patch_size", "image_size")
CLIP_TEXT = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")  # the other half of a CLIP


def load_semantic(
    path: str | Path, config: LlavaCorrConfig, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> PreTrainedModel:
    """DINOv2, with or without registers, of the composition's size.

    Raises:
        CheckpointError: no such model, one of another size, or weights that are missing or left over.
    """
    assert config.semantic_config is not None
    return resizing_as_configured(_load(semantic_class(config), config.semantic_config, path, dtype, device))


def load_clip(
    path: str | Path, config: LlavaCorrConfig, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> PreTrainedModel:
    """The vision half of a CLIP, of the composition's size.

    Raises:
        CheckpointError: as :func:`load_semantic`.
    """
    return _load(vision_class(config), config.vision_config, path, dtype, device, leave=CLIP_TEXT)


def _load(
    kind: type[PreTrainedModel],
    wanted: PreTrainedConfig,
    path: str | Path,
    dtype: torch.dtype,
    device: str | torch.device,
    leave: Sequence[str] = (),
) -> PreTrainedModel:
    _check_files(path, wanted)
    with named(path, UnpicklingError):
        found: Any = AutoConfig.from_pretrained(path, trust_remote_code=False)
        found = getattr(found, "vision_config", found)
        _check_same(wanted, found, path)
        loaded: Any = kind.from_pretrained(
            path,
            config=wanted,
            dtype=dtype,
            trust_remote_code=False,
            device_map={"": str(device)},
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    model, info = loaded
    over = {name for name in info["unexpected_keys"] if not str(name).startswith(tuple(leave))} if leave else None
    check_fit(info | ({} if over is None else {"unexpected_keys": over}), path)
    return model


def _check_files(path: str | Path, wanted: PreTrainedConfig) -> None:
    """Refuses what is damaged, hostile, elsewhere or of another class, before transformers reads the same files: it
    follows indexes anywhere, turns whole numbers into weights, and asks whether to run the code of unknown classes."""
    files = open_tensors(path)
    if not Path(path).is_dir():
        raise CheckpointError("a single file", where=str(path), mend="name its folder, which has config.json beside it")
    weights = [name for name in files if not name.endswith("position_ids")]  # whole numbers, made anew
    if odd := [f"{name} is {files.dtype(name)}" for name in weights if files.dtype(name) not in FLOATS]:
        mend = "take weights as floating numbers"
        raise CheckpointError(f"no weights of these number formats: {some(odd)}", where=str(path), mend=mend)
    files.verify()
    settings = read_json(Path(path) / "config.json", CheckpointError)
    found = settings.get("model_type") if isinstance(settings, dict) else None
    if found not in (wanted.model_type, wanted.model_type.removesuffix("_vision_model")):
        raise CheckpointError(
            f"a model of type {found!r}, not {wanted.model_type!r}",
            where=str(path),
            mend="name the model that the configuration's section is of",
        )


def _check_same(wanted: PreTrainedConfig, found: PreTrainedConfig, path: str | Path) -> None:
    faults = [
        f"{name} is {getattr(found, name)!r}, the configuration has {getattr(wanted, name)!r}"
        for name in UNSEEN
        if hasattr(wanted, name) and getattr(found, name, None) != getattr(wanted, name)
    ]
    if faults:
        raise CheckpointError(
            "a tower of another kind: " + "; ".join(faults), where=str(path), mend="correct the model section"
        )
