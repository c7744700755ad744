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
from .memory_plan import MemoryPlanner, Zero
from .rehearsal import BatchShape

logger = logging.getLogger(__name__)

FILE = "memory.json"
NAMES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "saved": "saved activations",
    "peak": "most in a micro-step, beside weights",
}


class StepMeter:
    """Measures one step: on a CPU its operations are watched, on a GPU the allocator is asked.

    Attributes:
        bytes: what was measured, by the names of :data:`NAMES`.
        shape: of the batch; None until there was one.
    """

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}
        self.shape: BatchShape | None = None
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
        own = [*model.parameters(), *model.buffers()]
        self.bytes["weights"] = _bytes(getattr(value, "ds_tensor", value) for value in own)
        if torch.cuda.is_available():
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
            self.bytes["gradients"] = _bytes(p.grad for p in model.parameters() if p.grad is not None)

    def step_is_done(self, optimizer: Any, model: nn.Module) -> None:
        """The optimiser has its moments."""
        self.bytes["optimiser"] = _optimiser_bytes(optimizer, model)

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
        file = deepspeed_file(self.experiment.training)
        zero = Zero.read(Path(file)) if file else Zero()
        with ranks.whole_models(args):
            config = getattr(model, "module", model).config
            found = compare(self.experiment, config, meter, zero, ranks.world_size())
        write_json(self.folder / FILE, found)
        words = [f"{text} {_words(found['bytes'][name])}" for name, text in NAMES.items()]
        logger.info("memory of the first step, MB, planned / measured: %s", "; ".join(words))


def compare(
    experiment: ExperimentConfig, config: LlavaCorrConfig, meter: StepMeter, zero: Zero, world_size: int
) -> dict[str, Any]:
    """Planned and measured bytes of one step on one rank.

    Args:
        config: of the model.
        meter: of a step that is over.
    """
    assert meter.shape is not None
    planner = MemoryPlanner(experiment, config, ranks=world_size, gpu=torch.cuda.is_available())
    rehearsal = planner.rehearser(zero).step(meter.shape)
    memory = planner.divide(rehearsal, zero)
    planned = {name: getattr(memory, name) for name in ("weights", "gradients", "optimiser", "saved")}
    planned["peak"] = rehearsal.peak + memory.buffers
    return {
        "batch": vars(meter.shape) | {"given": sorted(meter.shape.given)},
        "bytes": {name: {"planned": planned[name], "measured": meter.bytes.get(name)} for name in NAMES},
    }


def _optimiser_bytes(optimizer: Any, model: nn.Module) -> int:
    """What an optimiser keeps: moments and, under DeepSpeed, its own float32 copies of what is trained."""
    kept: list[Tensor] = []
    while hasattr(optimizer, "optimizer"):
        kept += getattr(optimizer, "fp32_partitioned_groups_flat", [])  # ZeRO-3's; those of 1 and 2 lie in groups
        optimizer = optimizer.optimizer
    own = {id(p) for p in model.parameters()}
    kept += [p for group in optimizer.param_groups for p in group["params"] if id(p) not in own]
    kept += [v for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor) and v.dim()]
    return _bytes(kept)


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Of their memory, each piece once."""
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _words(found: Mapping[str, int | None]) -> str:
    measured = found["measured"]
    return f"{(found['planned'] or 0) / 1e6:.1f} / {'not seen' if measured is None else f'{measured / 1e6:.1f}'}"
