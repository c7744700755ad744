"""After the first step: what tensors took, beside what was planned for a batch of its shape."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..experiment import ExperimentConfig
from ..files import write_json
from ..models.configuration import LlavaCorrConfig
from . import ranks
from .arguments import deepspeed_file
from .live_bytes import LiveBytes
from .memory_plan import MemoryPlanner
from .rehearsal import BatchShape
from .zero import Zero

logger = logging.getLogger(__name__)

FILE = "memory.json"
NAMES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "saved": "saved activations",
    "peak": "most in a micro-step, beside what was there",
    "buffers": "buffers there from the beginning",
}


class StepMeter:
    """Measures one step: on a CPU its operations are watched, on a GPU the allocator is asked.

    Attributes:
        bytes: what was measured, by the names of :data:`NAMES`.
        shape: of the batch; None until there was one.
        device: where the batch lies.
        peak_before: the allocator's peak from before it was reset, for those who report the most of a whole run.
    """

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}
        self.shape: BatchShape | None = None
        self.device = torch.device("cpu")
        self.peak_before = 0
        self._watching = ExitStack()
        self._live: LiveBytes | None = None
        self._before = 0

    @contextmanager
    def micro_step(self) -> Iterator[None]:
        """Around forward and backward; all but the first pass unseen."""
        first = self.shape is None
        with self._watching:
            yield
            if first:
                self.bytes["peak"] = self._live.peak if self._live else self._allocated(torch.cuda.max_memory_allocated)
        self._live = None

    def forward_begins(self, model: nn.Module, batch: Mapping[str, Any]) -> None:
        """When the batch lies where it is needed."""
        if self.shape is not None:
            return
        self.shape = BatchShape.of(batch)
        self.device = batch["input_ids"].device
        own = [*model.parameters(), *model.buffers()]
        self.bytes["weights"] = self._bytes(getattr(value, "ds_tensor", value) for value in own)
        if torch.cuda.is_available():
            self.peak_before = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            tensors = (value for value in batch.values() if isinstance(value, Tensor))
            self._live = self._watching.enter_context(LiveBytes([*own, *tensors]))

    def forward_is_done(self) -> None:
        """Before the backward."""
        if "saved" not in self.bytes:
            self.bytes["saved"] = self._live.now if self._live else self._allocated(torch.cuda.memory_allocated)

    def gradients_are_there(self, model: nn.Module) -> None:
        """Before the optimiser's step."""
        if "gradients" not in self.bytes:
            self.bytes["gradients"] = self._bytes(p.grad for p in model.parameters() if p.grad is not None)

    def step_is_done(self, optimizer: Any, model: nn.Module) -> None:
        """The optimiser has its moments."""
        self.bytes["optimiser"] = self._bytes(_kept(optimizer, model))

    def _bytes(self, tensors: Iterable[Tensor]) -> int:
        """Of their memory where the batch lies, each piece once: what is offloaded lies elsewhere."""
        storages = [tensor.untyped_storage() for tensor in tensors if tensor.device == self.device]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def _allocated(self, counter: Any) -> int:
        return int(counter()) - self._before


class MemoryLog(TrainerCallback):
    """Measures the first step that this process takes, and writes ``memory.json`` on rank 0.

    Gradients are seen where they lie in the model: under DeepSpeed they do not.

    Args:
        experiment: the run's.
        folder: of the run.
    """

    def __init__(self, experiment: ExperimentConfig, folder: Path) -> None:
        self.experiment, self.folder, self.meter = experiment, folder, StepMeter()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.deepspeed is None:
            self.meter.gradients_are_there(kwargs["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        meter, model = self.meter, kwargs["model"]
        if "optimiser" in meter.bytes or meter.shape is None:
            return
        meter.step_is_done(kwargs["optimizer"], model)
        if not state.is_world_process_zero:
            return
        with ranks.whole_models(args):
            found = self._found(getattr(model, "module", model).config)
        write_json(self.folder / FILE, found)
        words = [f"{text} {_words(found['bytes'][name])}" for name, text in NAMES.items()]
        logger.info("memory of the first step, MB, planned / measured: %s", "; ".join(words))

    def _found(self, config: LlavaCorrConfig) -> dict[str, Any]:
        """Planned and measured, or measured alone where planning fails: the run is what matters, and other ranks wait
        for this one. Whatever a rehearsal raises, an operation that shapes do not know most likely, is said."""
        try:
            file = deepspeed_file(self.experiment.training)
            zero = Zero.read(Path(file)) if file else Zero()
            return compare(self.experiment, config, self.meter, zero, ranks.world_size())
        except Exception as fault:  # noqa: BLE001 - see above
            logger.warning(
                "the memory of the first step could not be planned, only measured; training goes on: %s: %s",
                type(fault).__name__,
                fault,
            )
            return _beside(self.meter, {}, self.meter.bytes)


def compare(
    experiment: ExperimentConfig, config: LlavaCorrConfig, meter: StepMeter, zero: Zero, world_size: int
) -> dict[str, Any]:
    """Planned and measured bytes of one step on one rank.

    Buffers of DDP and of ZeRO-3 are there from the beginning, where nobody measures them; ZeRO-1 and -2 make theirs in
    the micro-step, so that they count in its peak.

    Args:
        config: of the model.
        meter: of a step that is over.
    """
    assert meter.shape is not None
    planner = MemoryPlanner(experiment, config, ranks=world_size, gpu=torch.cuda.is_available())
    rehearsal, peak = planner.first_micro_step(meter.shape, zero)
    memory = planner.divide(rehearsal, zero)
    planned = {name: getattr(memory, name) for name in ("weights", "gradients", "optimiser", "saved")}
    planned |= {"peak": peak, "buffers": planner.buffers(rehearsal, zero).standing}
    measured = meter.bytes
    if meter.device.type == "cpu":  # there what is offloaded lies with the rest
        away = {"weights": zero.offload_param, "optimiser": zero.offload_optimizer}
        measured = {name: value for name, value in measured.items() if not away.get(name)}
    return _beside(meter, planned, measured)


def _beside(meter: StepMeter, planned: Mapping[str, int], measured: Mapping[str, int]) -> dict[str, Any]:
    assert meter.shape is not None
    return {
        "batch": vars(meter.shape) | {"given": sorted(meter.shape.given)},
        "bytes": {name: {"planned": planned.get(name), "measured": measured.get(name)} for name in NAMES},
    }


def _kept(optimizer: Any, model: nn.Module) -> list[Tensor]:
    """What an optimiser keeps: moments and, under DeepSpeed, its own float32 copies of what is trained."""
    kept: list[Tensor] = []
    while hasattr(optimizer, "optimizer"):
        kept += getattr(optimizer, "fp32_partitioned_groups_flat", [])  # ZeRO-3's; those of 1 and 2 lie in groups
        optimizer = optimizer.optimizer
    own = {id(p) for p in model.parameters()}
    kept += [p for group in optimizer.param_groups for p in group["params"] if id(p) not in own]
    return kept + [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor) and v.dim()]


def _words(found: Mapping[str, int | None]) -> str:
    return " / ".join(
        "not known" if (value := found[k]) is None else f"{value / 1e6:.1f}" for k in ("planned", "measured")
    )
