"""LoRA as CoLVA's training wrote it (xtuner): names with ``default``, rank in the shapes, alpha nowhere (facts 1.5, 3).

Merged it is added to the weights in float32, W + alpha / r * B A; kept, it is written as an adapter folder of PEFT.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig
from torch import Tensor

from ...errors import CheckpointError, ConfigError
from .layouts import Ignore, Layout, Rename, Rule
from .tensor_files import TensorFiles

PART = "lora."
LARGEST = 1e6  # alpha; those in use are of tens and hundreds
LAYERS = "model.language_model.layers."
END = r"\.lora_([AB])(?:\.default)?\.weight"


@dataclass(frozen=True)
class Family:
    """How the LoRA of one base was trained.

    Attributes:
        below: where PEFT's view of the language model begins in the names of a file, a regular expression.
        targets: modules of every layer.
        rank, alpha, dropout: of the releases (facts 3).
    """

    below: str
    targets: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float

    @property
    def pattern(self) -> str:
        """Of a name in a file; its groups are layer, module, and A or B."""
        modules = "|".join(map(re.escape, self.targets))
        return rf"{self.below}layers\.(\d+)\.({modules}){END}"

    @property
    def modules(self) -> str:
        """Regular expression of the modules of our trunk, as PEFT wants it."""
        return rf"{re.escape(LAYERS)}\d+\.({'|'.join(map(re.escape, self.targets))})"


FAMILIES = {
    "internvl2": Family(
        r"model\.language_model\.base_model\.model\.model\.",
        ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"),
        rank=128,
        alpha=256,
        dropout=0.05,
    ),
    "qwen2-vl": Family(
        r"model\.model\.base_model\.model\.",
        tuple(f"self_attn.{x}_proj" for x in "qkvo") + tuple(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
        rank=64,
        alpha=16,
        dropout=0.1,
    ),
}


@dataclass(frozen=True)
class Lora:
    """One LoRA: whose it is, its rank, and alpha, of which the weights say nothing.

    Raises:
        ConfigError: alpha is no number above zero.
    """

    family: Family
    rank: int
    alpha: float

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def config(self) -> LoraConfig:
        """For PEFT, on the whole trunk."""
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # any number will do
            lora_dropout=self.family.dropout,
            target_modules=self.family.modules,
            bias="none",
            task_type="CAUSAL_LM",
            inference_mode=True,
        )

    def wanted(self, trunk: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our names and empty tensors: A and B for every target of every layer of a trunk's weights."""
        found = {}
        for name, weight in trunk.items():
            module = name.removesuffix(".weight")
            if module != name and re.fullmatch(self.family.modules, module):
                rows, columns = weight.shape
                found[f"{PART}{module}.lora_A.weight"] = weight.new_empty(self.rank, columns)
                found[f"{PART}{module}.lora_B.weight"] = weight.new_empty(rows, self.rank)
        return found

    def layout(self, more: Sequence[Rule], fills: Sequence[str]) -> Layout:
        """The names of an SFT file; ``more`` rules are for what else is in it, and what else that fills."""
        name = Rename(self.family.pattern, (rf"{PART}{LAYERS}\1.\2.lora_\3.weight",))
        return Layout("CoLVA's SFT", [name, *more], [PART, *fills])


def check_alpha(alpha: float) -> None:
    """Refuses what would add nothing, take away instead of adding, or leave nothing but the LoRA.

    Raises:
        ConfigError: it is no number above zero, or one of millions.
    """
    if not 0 < alpha <= LARGEST:
        raise ConfigError(
            f"alpha is {alpha}, and must be a number above zero, {LARGEST:.0f} at most",
            where="--lora-alpha",
            mend="say what it was trained with",
        )


def read_lora(files: TensorFiles, kind: str, alpha: float | None) -> Lora:
    """The LoRA of an SFT file for one of :data:`FAMILIES`.

    Raises:
        CheckpointError: there is none, it is another family's, or of another rank than the releases have and no alpha
            is given.
    """
    family, where = FAMILIES[kind], str(files.where)
    own = [name for name in files if re.fullmatch(family.pattern, name)]
    if not own:
        raise CheckpointError(_no_lora(files, kind), where=where, mend=_mend(files))
    ranks = Counter(files.shape(name)[0] for name in own if ".lora_A." in name and len(files.shape(name)) == 2)
    rank = max(ranks, key=ranks.__getitem__, default=family.rank)  # where others differ, their shapes do not fit
    if rank < 1:
        raise CheckpointError("a LoRA of rank 0, which adds nothing", where=where, mend="name the file of the SFT")
    if alpha is None and rank != family.rank:
        raise CheckpointError(
            f"a LoRA of rank {rank}, and the release's has {family.rank}: its alpha is not known",
            where=where,
            mend="say what it was trained with: --lora-alpha NUMBER",
        )
    return Lora(family, rank, family.alpha if alpha is None else alpha)


def _no_lora(files: TensorFiles, kind: str) -> str:
    for other, family in FAMILIES.items():
        if other != kind and any(re.fullmatch(family.pattern, name) for name in files):
            return f"this is the LoRA of a CoLVA on {other}, and the base is {kind}"
    if has_adapter(files):
        return "it holds an adapter (ot_mlp1) and no LoRA: this is a file of the pretraining, not of the SFT"
    return f"it holds no LoRA for {kind}"


def _mend(files: TensorFiles) -> str:
    return "name it as colva-adapter=, and the SFT file as colva-sft=" if has_adapter(files) else "name the SFT file"


def has_adapter(files: Iterable[str]) -> bool:
    return any(name.startswith("ot_mlp1.") for name in files)


def has_lora(files: Iterable[str]) -> bool:
    return any(".lora_A." in name or ".lora_B." in name for name in files)


LEFT = Ignore(
    r"ot_mlp1\..+", "the adapter comes from the pretraining, as in the release's own tools (--sft-adapter takes it)"
)


@torch.no_grad()
def merged(weight: Tensor, first: Tensor, second: Tensor, scale: float) -> Tensor:
    """W + scale * B A in float32, in the place of ``weight``, which is in float32 and has memory of its own.

    Args:
        weight: out x in.
        first, second: A, r x in, and B, out x r.
    """
    return weight.addmm_(second.float(), first.float(), alpha=scale)
