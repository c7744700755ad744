"""What is trained of a model: LoRA on the trunk, trained rows of special tokens, and whole parts by name.

Written apart from the frozen weights: the adapter in PEFT's own format, every other trained parameter in one
safetensors file, and a manifest that names both and the base they belong to. Shapes and numbers: facts 1.7 and 5.2.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TrainableTokensConfig, get_peft_model
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from ..errors import CheckpointError, ConfigError
from ..experiment import LoraSection
from ..files import read_json, usual_mode, write_json
from ..registry import did_you_mean
from .modeling import LlavaCorrForConditionalGeneration

MANIFEST, TENSORS = "trained.json", "trained.safetensors"
ADAPTER = "adapter_model.safetensors"  # PEFT's name
ALL = "all"
NOT_RUN = ("grounding.", "seg_projection.")  # where no mask is drawn
TABLES = ("trunk.model.embed_tokens", "trunk.lm_head")  # whose rows may be trained
OPTIONAL = ("correspondence", "adaptation")  # a configuration without them may still name them as trained


@dataclass
class TrainedParts:
    """A model together with which of its parameters are trained.

    Attributes:
        model: LoRA layers already in place.
        peft: PEFT's view of the same modules, or None without LoRA.
    """

    model: LlavaCorrForConditionalGeneration
    peft: PeftModel | None

    def names(self) -> list[str]:
        return [name for name, p in self.model.named_parameters() if p.requires_grad]

    def tensors(self, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The trained tensors, of the model itself or of a state gathered from all ranks."""
        state = self.model.state_dict() if state is None else state
        return {name: state[name].detach().cpu().contiguous() for name in self.names()}

    def write(self, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
        """Everything that is trained, under the model's own names: what a checkpoint holds."""
        _write(folder, self.tensors(state), {})

    def read(self, folder: Path) -> None:
        """Puts back what :meth:`write` wrote.

        Raises:
            CheckpointError: a file is missing or broken, or its names or shapes are not those that are trained here.
        """
        _assign(self.model, read_trained(folder)[1], self.names(), folder)

    def write_release(self, folder: Path, base: Mapping[str, Any], state: Mapping[str, Tensor] | None = None) -> None:
        """Adapter in PEFT's format, the other trained parts, and a manifest that names the base.

        Args:
            base: what identifies the weights these parts belong to.
            state: gathered from all ranks.
        """
        tensors = self.tensors(state)
        if self.peft is not None:
            adapter = {f"base_model.model.{name}": value for name, value in tensors.items()}
            whole = {f"base_model.model.{name}": value for name, value in self.model.state_dict().items()} | adapter
            self.peft.save_pretrained(str(folder), state_dict=whole, save_embedding_layers=False)
            tensors = {name: value for name, value in tensors.items() if not is_adapter(name)}
        _write(folder, tensors, {"base": dict(base), "adapter": self.peft is not None})


def needs_float32(trainable: Sequence[str], lora: LoraSection | None) -> list[str]:
    """Parts of a base whose weights training starts from, so that no bit of them may be lost."""
    return [*trainable, *(TABLES if lora is not None and lora.token_rows else ())]


def choose_trained(
    model: LlavaCorrForConditionalGeneration,
    trainable: Sequence[str],
    lora: LoraSection | None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    masks: bool = True,
) -> TrainedParts:
    """Adds LoRA, then leaves exactly the adapter and the named parts to be trained.

    Args:
        trainable: parts by name ("adaptation", "grounding.sam.mask_decoder"), or "all".
        lora: adapter of the trunk's attention; None for none.
        tokenizer: looks up the special tokens whose rows are trained.
        masks: whether any mask is drawn; if not, [SEG] projection and grounding are not run, so not trained.

    Raises:
        ConfigError: a name that fits no part, or nothing left to train.
    """
    if lora is not None and ALL in trainable:
        raise ConfigError(
            "training.trainable: all, and training.lora as well", mend="name the parts to train, or set lora to null"
        )
    if ALL in trainable and getattr(model, "is_loaded_in_4bit", False):
        raise ConfigError(
            "training.trainable: all, and model.quantise_trunk as well",
            mend="name the parts to train: 4 bits stay frozen",
        )
    wanted = _wanted(model, trainable, masks)
    peft = _add_lora(model, lora, tokenizer) if lora is not None else None
    for name, parameter in model.named_parameters():
        quantised = not parameter.is_floating_point()
        parameter.requires_grad_(not quantised and (name in wanted or is_adapter(name)))
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError(
            "nothing is left to train", where="training.trainable", mend="name parts that a loss with weight reaches"
        )
    _share_missed_hook(model)
    return TrainedParts(model, peft)


def _wanted(model: LlavaCorrForConditionalGeneration, trainable: Sequence[str], masks: bool) -> set[str]:
    names = [name for name, _ in model.named_parameters()]
    beyond = model.parameters_without_gradient() + ([] if masks else list(NOT_RUN))
    reached = [name for name in names if not name.startswith(tuple(beyond))]
    if ALL in trainable:
        return set(reached)
    for part in trainable:
        if part.split(".")[0] in OPTIONAL and not hasattr(model, part.split(".")[0]):
            continue
        if not any(_within(name, part) for name in names):
            tops = sorted({".".join(name.split(".")[:n]) for name in names for n in (1, 2, 3)})
            raise ConfigError(f"training.trainable: no part is called {part!r}", mend=did_you_mean(part, tops))
    return {name for name in reached if any(_within(name, part) for part in trainable)}


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def is_adapter(name: str) -> bool:
    """Whether a parameter belongs to LoRA or to trained rows."""
    return ".lora_" in name or ".trainable_tokens_delta" in name


def lora_pattern(targets: Iterable[str]) -> str:
    """Full paths of the trunk's attention projections: names alone would catch other modules, too (facts 1.7)."""
    return rf"trunk\.model\.layers\.\d+\.self_attn\.(?:{'|'.join(targets)})"


def _add_lora(
    model: LlavaCorrForConditionalGeneration, lora: LoraSection, tokenizer: PreTrainedTokenizerBase | None
) -> PeftModel:
    rows: list[int] = []
    if lora.token_rows:
        assert tokenizer is not None
        rows = [int(tokenizer.convert_tokens_to_ids(token)) for token in lora.token_rows]  # type: ignore[arg-type]
        unknown = [t for t, row in zip(lora.token_rows, rows, strict=True) if row == tokenizer.unk_token_id]
        if unknown:
            raise ConfigError(
                f"training.lora.token_rows: the tokenizer does not know {', '.join(unknown)}",
                mend="name tokens of its vocabulary, such as [SEG]",
            )
    settings: LoraConfig | TrainableTokensConfig
    if lora.targets:
        settings = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora_pattern(lora.targets),
            trainable_token_indices=dict.fromkeys(TABLES, rows) if rows else None,
        )
    else:
        settings = TrainableTokensConfig(token_indices=rows, target_modules=list(TABLES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by a name that is going away
        return get_peft_model(model, settings)


def _share_missed_hook(model: nn.Module) -> None:
    """Frozen weights are no part of checkpoints, so a strict load does not miss them (DeepSpeed's resume is one)."""

    def forget_frozen(_: nn.Module, keys: Any) -> None:
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        keys.missing_keys[:] = [key for key in keys.missing_keys if key in trained]

    model.register_load_state_dict_post_hook(forget_frozen)


def merge_release(model: LlavaCorrForConditionalGeneration, folder: Path) -> LlavaCorrForConditionalGeneration:
    """Puts what :meth:`TrainedParts.write_release` wrote onto its base.

    The adapter goes into the weights, but stays beside a trunk in 4 bits: quantised anew, it would be rounded away.

    Raises:
        CheckpointError: a file is missing or broken, or names or shapes do not fit the base.
    """
    manifest, tensors = read_trained(folder)
    if manifest.get("adapter"):
        try:
            wrapped = PeftModel.from_pretrained(model, str(folder), torch_device=str(model.device))
        except RuntimeError as cause:
            if "loading state_dict" not in str(cause):  # torch's word for shapes that do not fit
                raise
            raise CheckpointError(
                f"adapter and base do not fit: {cause}",
                where=str(folder),
                mend="use the base and the configuration it was trained with",
            ) from cause
        if not getattr(model, "is_loaded_in_4bit", False):
            model = wrapped.merge_and_unload()
    _assign(model, tensors, manifest["tensors"], folder)
    return model


def touched(folder: Path) -> list[str]:
    """Names of the base's weights and modules that :func:`merge_release` replaces or adds to.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    manifest, _ = read_trained(folder)
    names = set(manifest["tensors"])
    if manifest.get("adapter"):
        file = folder / ADAPTER
        try:
            with safe_open(file, framework="pt") as tensors:
                keys = [key.removeprefix("base_model.model.") for key in tensors.keys()]  # noqa: SIM118
        except (OSError, SafetensorError) as cause:
            raise CheckpointError(f"unreadable: {cause}", where=str(file), mend="save it again") from cause
        names |= {re.split(r"\.(?:lora_|token_adapter|trainable_tokens)", key)[0] for key in keys}
    return sorted(names)


def _write(folder: Path, tensors: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / TENSORS, metadata={"format": "pt"})
    usual_mode(folder / TENSORS)
    write_json(folder / MANIFEST, dict(extra) | {"tensors": {name: list(t.shape) for name, t in tensors.items()}})


def read_trained(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Manifest and tensors of a folder of trained parts.

    Raises:
        CheckpointError: a file is missing or broken, or the two disagree.
    """
    manifest = read_json(folder / MANIFEST, CheckpointError)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("tensors"), dict):
        raise CheckpointError("no manifest of trained parts", where=str(folder / MANIFEST), mend="save it again")
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as cause:
        raise CheckpointError(f"unreadable: {cause}", where=str(folder / TENSORS), mend="save it again") from cause
    if {name: list(t.shape) for name, t in tensors.items()} != manifest["tensors"]:
        raise CheckpointError("tensors and manifest disagree", where=str(folder), mend="save both again")
    return manifest, tensors


@torch.no_grad()
def _assign(model: nn.Module, tensors: Mapping[str, Tensor], wanted: Iterable[str], folder: Path) -> None:
    """Copies tensors into the parameters of these names; every name and shape must fit."""
    parameters = dict(model.named_parameters())
    names = set(wanted)
    faults = [f"    missing: {name}" for name in sorted(names - tensors.keys())]
    faults += [f"    left over: {name}" for name in sorted(tensors.keys() - (names & parameters.keys()))]
    for name in sorted(tensors.keys() & names & parameters.keys()):
        if tensors[name].shape != parameters[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, the model has {tuple(parameters[name].shape)}"
            faults.append(f"    of another shape: {name} {shapes}")
    if faults:
        raise CheckpointError(
            "trained parts and model do not fit:\n" + "\n".join(faults),
            where=str(folder),
            mend="use the configuration they were trained with",
        )
    for name, value in tensors.items():
        parameters[name].copy_(value)
