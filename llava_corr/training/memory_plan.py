"""Memory of a training step on one GPU, by ZeRO stage: what stays between steps by arithmetic, the rest rehearsed.

Bytes a trained number (Rajbhandari et al. 2020, ZeRO, section 3, for the arithmetic that DeepSpeed uses here):

    no ZeRO: weight 4 (float32 under autocast), gradient 4, Adam's two moments 8
    ZeRO:    weight 2, gradient 2, float32 copy 4, moments 8; stage 1 splits the last two over the ranks, stage 2 the
             gradient, too, and stage 3 every weight, frozen ones included

A frozen number takes the bytes of its format. In 4 bits (NF4) it takes half a byte and a float32 scale for 64 numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..errors import ConfigError
from ..experiment import ExperimentConfig
from ..files import read_json, resource
from ..models.configuration import LlavaCorrConfig
from .rehearsal import BatchShape, Rehearsal, Rehearser

NF4 = 0.5 + 4 / 64
MOMENTS, MASTER = 8, 4
# A CUDA context, cuBLAS and NCCL workspaces; and what the allocator loses between its blocks, as a share.
OUTSIDE, LOST = 1.5e9, 0.03
LIVE, PREFETCH, BUCKET = int(1e9), int(5e7), int(5e8)  # DeepSpeed's defaults, in numbers
LARGEST = 512  # micro-batches beyond are not looked for


@dataclass(frozen=True)
class Zero:
    """How DeepSpeed divides a training.

    Attributes:
        stage: 1 to 3; 0 is no DeepSpeed at all.
        offload_optimizer, offload_param: to the CPU's memory.
        bucket: numbers in a buffer that gradients are reduced in.
        live, prefetch: of stage 3, numbers of gathered weights that are kept, and fetched ahead.
    """

    stage: int = 0
    offload_optimizer: bool = False
    offload_param: bool = False
    bucket: int = BUCKET
    live: int = LIVE
    prefetch: int = PREFETCH

    @classmethod
    def read(cls, file: Path) -> Zero:
        """From a DeepSpeed configuration.

        Raises:
            ConfigError: it is none.
        """
        found = read_json(file, ConfigError)
        section = found.get("zero_optimization", {}) if isinstance(found, dict) else None
        if not isinstance(section, dict) or section.get("stage", 0) not in (0, 1, 2, 3):
            raise ConfigError(
                "no DeepSpeed configuration with a zero_optimization section",
                where=str(file),
                mend="take one of zero_configs/ as a pattern",
            )

        def number(name: str, default: int) -> int:
            value = section.get(name, default)
            return int(value) if isinstance(value, (int, float)) else default  # "auto" is HF's to fill in

        def offloaded(name: str) -> bool:
            return (section.get(name) or {}).get("device", "none") != "none"

        return cls(
            stage=section.get("stage", 0),
            offload_optimizer=offloaded("offload_optimizer"),
            offload_param=offloaded("offload_param"),
            bucket=number("reduce_bucket_size", BUCKET),
            live=number("stage3_max_live_parameters", LIVE),
            prefetch=number("stage3_prefetch_bucket_size", PREFETCH),
        )

    @property
    def label(self) -> str:
        if self.stage == 0:
            return "none"
        away = [name for name, on in (("optimiser", self.offload_optimizer), ("weights", self.offload_param)) if on]
        return f"{self.stage}" + (f", {' and '.join(away)} on the CPU" if away else "")


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU.

    Attributes:
        weights: parameters and buffers that it holds.
        gradients, optimiser: what stays of them, between micro-steps and between steps.
        buffers: of DeepSpeed or of DDP.
        batch: what the processor made.
        towers: most at a time while pictures are looked at.
        saved: alive between forward and backward.
        step: most at a time from the language model's forward to the end of the backward.
        update: most at a time while the optimiser steps.
    """

    weights: int
    gradients: int
    optimiser: int
    buffers: int
    batch: int
    towers: int
    saved: int
    step: int
    update: int = 0

    @property
    def total(self) -> int:
        """Most tensor bytes at a time."""
        stays = self.weights + self.gradients + self.optimiser + self.buffers
        return stays + self.batch + max(self.towers, self.step, self.update)

    def fits(self, gpu_bytes: float) -> bool:
        """Whether a GPU of this size has room for it and for what is no tensor."""
        return self.total * (1 + LOST) + OUTSIDE <= gpu_bytes

    def to_json(self) -> dict[str, int]:
        return vars(self) | {"total": self.total}


class MemoryPlanner:
    """Plans one experiment; a model of shapes is built once for every precision, with and without checkpointing.

    Args:
        experiment: its files are not read.
        config: the composition.
        ranks: GPUs.
        gpu: plan for GPUs' kernels; without it, for the CPU's.
    """

    def __init__(
        self, experiment: ExperimentConfig, config: LlavaCorrConfig, *, ranks: int = 1, gpu: bool = True
    ) -> None:
        self.experiment, self.config, self.ranks, self.gpu = experiment, config, ranks, gpu
        self._rehearsers: dict[tuple[bool, bool], Rehearser] = {}
        self._rehearsals: dict[tuple[BatchShape, Rehearser], Rehearsal] = {}

    def shape(self, dialogues: int, *, images: int, text: int, masks: int) -> BatchShape:
        """Of dialogues alike, of so many pictures, text tokens and masks each."""
        drawn = masks if self.experiment.training.losses.draw else None
        return BatchShape.assumed(self.config, dialogues, images, text, drawn)

    def memory(self, shape: BatchShape, zero: Zero, *, checkpointing: bool | None = None) -> Memory:
        """Of micro-batches of this shape, gradients of an earlier one being there.

        Args:
            checkpointing: None for the experiment's own choice.
        """
        rehearser = self.rehearser(zero, checkpointing)
        if (shape, rehearser) not in self._rehearsals:
            self._rehearsals[shape, rehearser] = rehearser.step(shape, gradients=True)
        return self.divide(self._rehearsals[shape, rehearser], zero)

    def rehearser(self, zero: Zero, checkpointing: bool | None = None) -> Rehearser:
        """The model of shapes that goes with a stage."""
        training = self.experiment.training
        wanted = training.gradient_checkpointing if checkpointing is None else checkpointing
        half = zero.stage > 0 and training.bf16
        if (half, wanted) not in self._rehearsers:
            changed = training.model_copy(update={"gradient_checkpointing": wanted})
            experiment = self.experiment.model_copy(update={"training": changed})
            self._rehearsers[half, wanted] = Rehearser(experiment, self.config, half=half, gpu=self.gpu)
        return self._rehearsers[half, wanted]

    def divide(self, found: Rehearsal, zero: Zero) -> Memory:
        """What one of the ranks holds."""
        trained, ranks = found.trained, self.ranks
        weights = found.weights - self._saved_by_four_bits(zero)
        phases = {name: getattr(found, name) for name in ("batch", "towers", "saved", "step")}
        if zero.stage == 0:
            buffers = found.gradients if ranks > 1 else 0  # DDP reduces in copies
            return Memory(weights, found.gradients, trained * MOMENTS, buffers, **phases)
        size = 2 if self.experiment.training.bf16 else 4  # bytes of every number
        share = -(-trained // ranks)
        gradients = found.gradients if zero.stage == 1 else share * size
        optimiser, update, buffers = share * (MASTER + MOMENTS), share * MASTER, zero.bucket * size
        if zero.offload_optimizer:
            gradients = optimiser = update = 0
        if zero.stage == 3:
            numbers = found.weights // size
            buffers += (min(numbers, zero.live) + min(numbers, zero.prefetch)) * size
            weights = 0 if zero.offload_param else -(-weights // ranks)
        return Memory(weights, gradients, optimiser, buffers, **phases, update=update)

    def _saved_by_four_bits(self, zero: Zero) -> int:
        if not self.experiment.model.quantise_trunk:
            return 0
        layers = self.rehearser(zero).model.trunk.model.layers
        frozen = [m.weight for m in layers.modules() if isinstance(m, nn.Linear) and not m.weight.requires_grad]
        return int(sum(weight.nbytes - weight.numel() * NF4 for weight in frozen))


def largest_micro_batch(small: Memory, large: Memory, dialogues: tuple[int, int], gpu_bytes: float) -> int:
    """The most dialogues that fit; 0 where not even one does.

    Both phases grow by the same number of bytes with every dialogue, once tower passes are full; so two rehearsals say
    it for all.

    Args:
        small, large: of ``dialogues`` dialogues each, fewer first.
    """
    first, second = dialogues

    def at(count: int) -> Memory:
        def line(name: str) -> int:
            low, high = getattr(small, name), getattr(large, name)
            return max(0, round(low + (high - low) * (count - first) / (second - first)))

        return replace(small, **{name: line(name) for name in ("batch", "towers", "saved", "step")})

    count = 0
    while count < LARGEST and at(count + 1).fits(gpu_bytes):
        count += 1
    return count


def stages() -> Mapping[str, Zero]:
    """Name of a file in ``zero_configs/`` -> what it says; none first."""
    folder = resource("zero_configs")
    return {"": Zero()} | {file.name: Zero.read(file) for file in sorted(folder.glob("*.json"))}
