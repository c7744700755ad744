"""HF Trainer with losses by name and global denominators.

Every term is a sum over the whole optimiser step (all ranks, all accumulation steps) divided by that step's global
count of tokens or masks, so batch shape, rank count and accumulation do not change the loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.zero import GatheredParameters
from deepspeed.utils import safe_get_full_fp32_param
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, Sampler
from transformers import Trainer

from ..errors import TrainingError
from ..losses.language import IGNORE_INDEX
from ..models.adapters import TrainedParts
from . import ranks
from .callbacks import StepSeconds, TimeBudget
from .checkpointing import Checkpoints, window_file
from .memory_log import MemoryLog
from .window import Window, order_number

TERMS = ("language", "mask", "dice")
VALIDATION = "validation"


class DialogueTrainer(Trainer):
    """Trains the LVLM on processor batches.

    Args:
        parts: the model and what is trained of it; checkpoints hold that alone.
        clock: says how far the run is; drives the learning rate.
        order: the training samples of the whole run, in order.
        checkpoints: where they are written, and what makes them count.
        cosine: cosine instead of linear decay.
        memory: compares the first step's memory with what was planned; None does not.
    """

    def __init__(
        self,
        *,
        parts: TrainedParts,
        clock: TimeBudget,
        order: Sampler[int],
        checkpoints: Checkpoints,
        cosine: bool = False,
        memory: MemoryLog | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=parts.model, **kwargs)
        self.parts = parts
        self.clock, self.order, self.checkpoints, self.cosine = clock, order, checkpoints, cosine
        self.loss_is_scaled_for_ga = True  # compute_loss divides by the counts of the whole optimiser step
        self._window, self._validation = Window(), Window()
        self._order_of_last_count = 0
        self._samples_of_step: list[str] = []  # of this rank
        self._seconds = StepSeconds()
        self.add_callback(self._seconds)
        self.memory = memory
        if memory is not None:
            self.add_callback(memory)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        return self.order

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """Tokens and masks of an optimiser step (or of a batch of the validation), over all ranks."""
        tokens = sum(int((b["labels"][:, 1:] != IGNORE_INDEX).sum()) for b in batch_samples)
        masks = sum(len(b["seg_image"]) for b in batch_samples if "seg_image" in b)
        number = order_number(self.state.global_step, (b["sample_ids"] for b in batch_samples))
        counts = self.accelerator.gather(torch.tensor([[tokens, masks, number]], device=device)).sum(0)
        self._order_of_last_count = int(counts[2])
        return counts[:2]

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The micro-batches of the next step, whose samples are noted."""
        batches = super().get_batch_samples(*args, **kwargs)
        self._window.order += self._order_of_last_count
        self._samples_of_step = [name for batch in batches[0] for name in batch["sample_ids"]]
        return batches

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        if self.memory is None:
            return super().training_step(model, inputs, *args, **kwargs)
        with self.memory.meter.micro_step():
            return super().training_step(model, inputs, *args, **kwargs)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        sample_ids = inputs.pop("sample_ids", [])
        if self.memory is not None and model.training:
            self.memory.meter.forward_begins(self.parts.model, inputs)
        outputs = model(**inputs, loss_denominators=num_items_in_batch)
        if self.memory is not None and model.training:
            self.memory.meter.forward_is_done()
        if ranks.any_rank(not bool(torch.isfinite(outputs.loss)), self.args.device):
            self._stop(outputs, sample_ids)
        (self._window if model.training else self._validation).add(outputs.loss_sums, outputs.counts)
        # Gradients are averaged over ranks; the denominators are global already.
        loss = outputs.loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _stop(self, outputs: Any, sample_ids: list[str]) -> None:
        """Raises on every rank alike, naming the samples of every rank whose loss is not finite."""
        sums = dict(zip(TERMS, outputs.loss_sums.tolist(), strict=True))
        mine = (outputs.loss.item(), sums, sample_ids)
        bad = [(r, *found) for r, found in enumerate(ranks.gather(mine)) if not math.isfinite(found[0])]
        raise TrainingError(
            "; ".join(f"the loss of rank {r} is {loss} (sums: {sums})" for r, loss, sums, _ in bad),
            where=f"step {self.state.global_step + 1}, "
            + "; ".join(f"micro-batch of rank {r}: samples {', '.join(ids)}" for r, _, _, ids in bad),
            mend="look at these samples, lower the learning rate, or train in fp32; the last checkpoint is intact",
        )

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The norm that is logged; the trainer asks for it just before the optimiser's step.

        DeepSpeed's engine has taken its step by then, unless it found the gradient not finite: ZeRO-2 and -3 then leave
        the weights alone, say ``inf`` and would train on without a word. Without ZeRO they may give no norm (None).

        Raises:
            TrainingError: it is not finite, on every rank alike, with the samples of the whole step; the weights are
                those of the step before.
        """
        norm = super()._get_grad_norm(model, grad_norm)
        if ranks.any_rank(norm is not None and not math.isfinite(norm), self.args.device):
            every = enumerate(ranks.gather(self._samples_of_step))
            samples = "; ".join(f"rank {r}: {', '.join(ids)}" for r, ids in every)
            raise TrainingError(
                f"the gradient is not finite (its norm is {float(norm)}), though the loss is",
                where=f"step {self.state.global_step + 1}, {samples}",
                mend="look at these samples, lower the learning rate, or train in fp32; the last checkpoint is intact",
            )
        return norm

    @property
    def zero_stage(self) -> int | None:
        """DeepSpeed's ZeRO stage; None without DeepSpeed."""
        plugin = getattr(self.accelerator.state, "deepspeed_plugin", None)
        return plugin.zero_stage if self.is_deepspeed_enabled and plugin else None

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Everything that continuing needs, complete or not counted."""
        args, step = self.args, self.state.global_step
        with self.checkpoints.writing(
            step,
            world_size=args.world_size,
            deepspeed=self.zero_stage,
            first_here=args.local_process_index == 0,
        ) as folder:
            super()._save_checkpoint(model, trial)
            if args.process_index == 0:
                self.clock.save(folder)
            self._window.save(window_file(folder, args.process_index), self._tr_loss, self._globalstep_last_logged)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """The run is one epoch of the trainer (see ``SampleStream``); a continued one takes up its window first."""
        if checkpoint := kwargs["resume_from_checkpoint"]:
            loss, self._globalstep_last_logged = self._window.load(
                window_file(Path(checkpoint), self.args.process_index)
            )
            self._tr_loss += loss
        super()._run_epoch(*args, **kwargs)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = VALIDATION,
    ) -> dict[str, float]:
        """Losses on the validation samples; :meth:`log` adds them by name."""
        self._validation.clear()
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    def validation_losses(self) -> dict[str, float]:
        """Losses by name on the validation samples after the last step; empty where there are none."""
        if self.eval_dataset is None:
            return {}
        rows = [row for row in self.state.log_history if f"{VALIDATION}_language" in row]
        if not rows or rows[-1]["step"] != self.state.global_step:
            self.evaluate()
            rows = self.state.log_history[-1:]
        return {name: value for name, value in rows[-1].items() if name.startswith(VALIDATION)}

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Adds the mean of every term, over all ranks: since the last log, or over the validation samples."""
        self.state.epoch = self.state.global_step * self.samples_per_step / len(self.train_dataset)  # type: ignore[arg-type]
        if "loss" in logs:
            order = {"order": self._window.order_hash()}  # before the window is emptied
            logs = logs | self._means(self._window) | {"seconds_per_step": self._seconds.take()} | self._peak() | order
        elif f"{VALIDATION}_loss" in logs:
            logs = {f"{VALIDATION}_{name}": value for name, value in self._means(self._validation).items()}
        super().log(logs, *args, **kwargs)

    def _peak(self) -> dict[str, float]:
        """Most memory that tensors took on this rank's GPU so far, GB; nothing on a CPU."""
        if not torch.cuda.is_available():
            return {}
        before = self.memory.meter.peak_before if self.memory else 0  # the first step's measure starts the count anew
        return {"peak_memory_gb": max(before, torch.cuda.max_memory_allocated()) / 1e9}

    @property
    def samples_per_step(self) -> int:
        """Dialogues of an optimiser step, over all ranks and micro-batches."""
        return self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size

    def _means(self, window: Window) -> dict[str, float]:
        """Empties a window: mean and sum of every term, and the counts they are over."""
        # gloo and nccl alike reduce float32; the sums of one window fit.
        total = self.accelerator.reduce(window.sums.float().to(self.args.device), reduction="sum").cpu()
        window.clear()
        sums, (tokens, masks) = total[:3].tolist(), total[3:].tolist()
        means = [s / max(n, 1.0) for s, n in zip(sums, (tokens, masks, masks), strict=True)]
        named = {f"{term}_sum": value for term, value in zip(TERMS, sums, strict=True)}
        return dict(zip(TERMS, means, strict=True)) | {"tokens": tokens, "masks": masks} | named

    def gather(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Weights by name, on the CPU; under ZeRO-3 every rank takes part, since each holds a share of them.

        Raises:
            TrainingError: some weights are not finite (a step of finite loss can leave such), on every rank alike:
                nothing that was ruined is ever saved over what was good.
        """
        state = self.parts.model.state_dict(keep_vars=True)
        out = {}
        for name in names:
            value = state[name]
            # DeepSpeed trains in float32 and keeps a rounded copy in the model
            master = safe_get_full_fp32_param(value) if self.zero_stage and value.requires_grad else None
            with GatheredParameters([value], enabled=hasattr(value, "ds_id")):
                out[name] = (value if master is None else master).detach().cpu().clone()
        ruined = [name for name, value in out.items() if value.is_floating_point() and not value.isfinite().all()]
        if ruined:
            raise TrainingError(
                f"{len(ruined)} weights are not finite after step {self.state.global_step}, the first {ruined[0]}",
                where=str(self.args.output_dir),
                mend="lower the learning rate, or train in fp32; the last complete checkpoint is from before",
            )
        return out

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The trained parts; frozen weights are no part of checkpoints."""
        state = self.gather(self.parts.names())
        if self.args.should_save:
            self.parts.write(Path(output_dir or str(self.args.output_dir)), state)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            engine: Any = self.model_wrapped
            engine.save_checkpoint = partial(type(engine).save_checkpoint, engine, exclude_frozen_parameters=True)
        super()._save_optimizer_and_scheduler(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Strict, where the library's own loader passes over keys that it does not know."""
        self.parts.read(Path(resume_from_checkpoint))

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """Warm-up to the full rate, then linear or cosine decay to zero over what is left, by steps or by the clock."""
        warmup = int(self.args.warmup_steps)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            done = self.clock.decayed(step, warmup)
            return 0.5 * (1 + math.cos(math.pi * done)) if self.cosine else 1 - done

        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)  # type: ignore[arg-type]
        return self.lr_scheduler
