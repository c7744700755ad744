"""Memory of a training step on one GPU, by ZeRO stage: what stays between steps by arithmetic, the rest rehearsed.

Bytes a trained number (Rajbhandari et al. 2020, ZeRO, section 3, for the arithmetic that DeepSpeed uses here):

    no ZeRO: weight 4 (float32 under autocast), gradient 4, Adam's two moments 8
    ZeRO:    weight 2, gradient 2, float32 copy 4, moments 8; stage 1 splits the last two over the ranks, stage 2 the
             gradient, too, and stage 3 every weight, frozen ones included; without bf16 weight and gradient take 4

A frozen number takes the bytes of its format. In 4 bits (NF4) it takes half a byte and a float32 scale for 64 numbers.

Of DeepSpeed 0.19's source besides (runtime/zero/stage_1_and_2.py, stage3.py):

- A rank of stages 1 and 2 holds the gradients of every parameter that it has a part of, whole ("params_in_partition").
- Accumulation in stage 2 fills a new buffer of gradients ("grads_in_partition") beside the sum ("all_grad_tensors").
- Stage 1 leaves gradients in the parameters until the last micro-step, then fills such a buffer.
- Buckets are reduced in a flat copy, by one rank of stages 1 and 2 in place.
- Before the step the gradients of a share are copied flat, then into float32.
- An optimiser on the CPU leaves a buffer as large as the largest trained parameter on the GPU (stages 1 and 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn

from ..errors import ConfigError
from ..experiment import ExperimentConfig
from ..models.configuration import LlavaCorrConfig
from .rehearsal import BatchShape, Rehearsal, Rehearser
from .zero import Zero

NF4 = 0.5 + 4 / 64
MOMENTS, MASTER = 8, 4
# A CUDA context, cuBLAS and NCCL workspaces; and what the allocator loses between its blocks, as a share.
OUTSIDE, LOST = 1.5e9, 0.03
LARGEST = 512  # micro-batches beyond are not looked for
MASKS = 5e8  # places of an attention mask, which is real, beyond which no batch is rehearsed only to check a line


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU.

    Attributes:
        weights: parameters and buffers that it holds.
        gradients, optimiser: the most that is kept of them, between micro-steps and between steps.
        buffers: of DeepSpeed or of DDP.
        batch: what the processor made.
        towers: most at a time while pictures are looked at.
        saved: alive between forward and backward.
        step: most at a time from the language model's forward to the end of the backward.
        update: most at a time while the optimiser steps.
        cpu: for this GPU in the CPU's memory, of weights, gradients and optimiser.
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
    cpu: int = 0

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


@dataclass(frozen=True)
class Buffers:
    """Bytes of DDP's or DeepSpeed's own tensors.

    Attributes:
        standing: there from the beginning.
        bucket: of gradients, made in every micro-step.
        flat: a copy of it while it is reduced.
        gathered: weights of other ranks.
    """

    standing: int = 0
    bucket: int = 0
    flat: int = 0
    gathered: int = 0

    @property
    def total(self) -> int:
        return sum(vars(self).values())


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
        """Of dialogues alike, of so many pictures, text tokens and masks each.

        Raises:
            ConfigError: they are longer than the trunk's positions, so that training would refuse them.
        """
        length, most = text + images * self.config.tokens_per_image, self.config.text_config.max_position_embeddings
        if length > most:
            raise ConfigError(
                f"a dialogue of {images} images and {text} text tokens has {length} tokens, the trunk {most} positions",
                where="model.trunk.max_position_embeddings",
                mend="plan for fewer images or text tokens: training refuses longer dialogues",
            )
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
        weights = found.weights - self._saved_by_four_bits(zero)
        phases = {name: getattr(found, name) for name in ("batch", "towers", "saved", "step")}
        buffers = self.buffers(found, zero).total
        if zero.stage == 0:
            return Memory(weights, found.gradients, found.trained * MOMENTS, buffers, **phases)
        size = self._size
        share = self._share(found, zero)
        optimiser = share * (MASTER + MOMENTS)
        update = share * (size + MASTER if size != MASTER else size)
        gradients, cpu = self._gradients(found, zero), 0
        if zero.offload_optimizer:
            again = gradients if self._accumulates or zero.stage == 3 else 0  # summed there
            cpu = optimiser + share * (MASTER + size) + again  # float32 gradients, and what goes back to the weights
            optimiser = update = 0
            gradients = found.gradients if zero.stage == 1 else 0
        if zero.stage == 3:
            weights = -(-weights // self.ranks)
            if zero.offload_param:
                weights, cpu = 0, cpu + weights
        return Memory(weights, gradients, optimiser, buffers, **phases, update=update, cpu=cpu)

    def buffers(self, found: Rehearsal, zero: Zero) -> Buffers:
        """Of DDP or DeepSpeed."""
        if zero.stage == 0:
            return Buffers(standing=found.gradients if self.ranks > 1 else 0)  # DDP reduces in copies
        zero, size = zero.filled(self.config.hidden_size), self._size
        bucket, flat = zero.bucket * size, min(zero.bucket, found.trained) * size
        if zero.stage == 3:
            large = [n for n in found.every if n > zero.persistent]
            kept, most = sum(found.every) - sum(large), sum(large)
            gathered = min(most, max(zero.live, *large, 0)) + min(most, zero.prefetch)
            return Buffers(standing=bucket + kept * size, flat=flat, gathered=gathered * size)
        return Buffers(
            standing=max(found.sizes) * size if zero.offload_optimizer else 0,
            bucket=bucket * (2 if zero.overlap else 1),
            flat=flat if self.ranks > 1 else 0,
        )

    def first_micro_step(self, shape: BatchShape, zero: Zero) -> tuple[Rehearsal, int]:
        """A micro-step that finds no gradients, and the most that it makes beside what was there: weights, batch,
        standing buffers. Of gathered weights (stage 3) it is an upper bound."""
        found = self.rehearser(zero).step(shape, gradients=zero.stage > 1)
        made = self.buffers(found, zero)
        filled = 0
        if zero.stage in (1, 2) and not zero.offload_optimizer:
            filled = whole_numbers(found.sizes, self.ranks) * self._size
        filled += found.gradients if zero.stage == 1 else 0
        if found.trained <= zero.filled(self.config.hidden_size).bucket:  # one bucket, reduced after the backward
            most = max(found.step, filled + made.flat)
        else:
            most = found.step + filled + made.flat
        return found, max(found.towers, made.bucket + most) + made.gathered

    @property
    def _size(self) -> int:
        """Bytes of a number under DeepSpeed."""
        return 2 if self.experiment.training.bf16 else 4

    @property
    def _accumulates(self) -> bool:
        return self.experiment.training.gradient_accumulation > 1

    def _share(self, found: Rehearsal, zero: Zero) -> int:
        """Trained numbers of a rank: stage 3 divides every parameter, the others all of them in a row."""
        return sum(-(-n // self.ranks) for n in found.sizes) if zero.stage == 3 else -(-found.trained // self.ranks)

    def _gradients(self, found: Rehearsal, zero: Zero) -> int:
        """The most that a rank keeps at a time."""
        if zero.stage == 3:
            return self._share(found, zero) * self._size
        filled = whole_numbers(found.sizes, self.ranks) * self._size
        if zero.stage == 1:
            return found.gradients + filled
        return filled * (2 if self._accumulates else 1)

    def _saved_by_four_bits(self, zero: Zero) -> int:
        if not self.experiment.model.quantise_trunk:
            return 0
        layers = self.rehearser(zero).model.trunk.model.layers
        frozen = [m.weight for m in layers.modules() if isinstance(m, nn.Linear) and not m.weight.requires_grad]
        return int(sum(weight.nbytes - weight.numel() * NF4 for weight in frozen))

    def largest_micro_batch(
        self,
        shape: Callable[[int], BatchShape],
        zero: Zero,
        gpu_bytes: float,
        *,
        checkpointing: bool | None = None,
        checked: bool = True,
    ) -> int:
        """The most dialogues that fit; 0 where not even one does.

        Every phase grows by the same number of bytes with a dialogue, once tower passes are full and attention has its
        mask; so two rehearsals say it for all others.

        Args:
            shape: of a number of dialogues.
            checkpointing: None for the experiment's own choice.
            checked: rehearse what comes out, and one more, and go on from there where they do not agree.
        """

        def at(count: int) -> Memory:
            return self.memory(shape(count), zero, checkpointing=checkpointing)

        ends = (first := self._full_from(shape), 2 * first)
        found = extrapolated(at(ends[0]), at(ends[1]), ends, gpu_bytes)
        if found >= first and (not checked or found * shape(1).length ** 2 > MASKS):
            return found
        return last_that_fits(lambda count: at(count).fits(gpu_bytes), max(1, found), LARGEST)

    def _full_from(self, shape: Callable[[int], BatchShape]) -> int:
        """Dialogues whose pictures fill two passes through a tower; at least two, so that there is padding."""
        images = shape(1).slots
        return max(2, -(-2 * (self.experiment.model.max_images_per_tower_pass or 0) // images))


def whole_numbers(sizes: Sequence[int], ranks: int) -> int:
    """Numbers of the parameters that a rank has a part of, counted whole, where they are divided in a row; the most of
    any rank."""
    share, held, start = -(-sum(sizes) // ranks), [0] * ranks, 0
    for size in sizes:
        for rank in range(start // share, (start + max(1, size) - 1) // share + 1):
            held[rank] += size
        start += size
    return max(held)


def extrapolated(small: Memory, large: Memory, dialogues: tuple[int, int], gpu_bytes: float) -> int:
    """The most dialogues that fit by a line through two numbers of them.

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


def last_that_fits(fits: Callable[[int], bool], guess: int, most: int) -> int:
    """The last number from 1 to ``most`` that fits, 0 if none does: steps away from a guess, each twice the last one,
    then halves what is left."""
    low, high, step = 0, most + 1, 1
    while high - low > 1:
        if not low < guess < high:
            guess = (low + high) // 2
        if fits(guess):
            low, guess = guess, guess + step
        else:
            high, guess = guess, guess - step
        step *= 2
    return low
