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
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Dataset, Sampler
from transformers import Trainer

from ..errors import TrainingError
from ..losses.language import IGNORE_INDEX
from ..models.adapters import TrainedParts
from .callbacks import TimeBudget

TERMS = ("language", "mask", "dice")
VALIDATION = "validation"


class DialogueTrainer(Trainer):
    """Trains the LVLM on processor batches.

    Args:
        parts: the model and what is trained of it; checkpoints hold that alone.
        clock: says how far the run is; drives the learning rate.
        order: the order of the training samples.
        cosine: cosine instead of linear decay.
    """

    def __init__(
        self, *, parts: TrainedParts, clock: TimeBudget, order: Sampler[int], cosine: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(model=parts.model, **kwargs)
        self.parts = parts
        self.clock, self.order, self.cosine = clock, order, cosine
        self.loss_is_scaled_for_ga = True  # compute_loss divides by the counts of the whole optimiser step
        # Sums by term, then counts: since the last log, and over the validation samples.
        self._window, self._validation = torch.zeros(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        return self.order

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """Tokens and masks of the optimiser step, over all ranks."""
        tokens = sum(int((b["labels"][:, 1:] != IGNORE_INDEX).sum()) for b in batch_samples)
        masks = sum(len(b["seg_image"]) for b in batch_samples if "seg_image" in b)
        counts = torch.tensor([[tokens, masks]], device=device)
        return self.accelerator.gather(counts).sum(0)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        sample_ids = inputs.pop("sample_ids", [])
        outputs = model(**inputs, loss_denominators=num_items_in_batch)
        if not torch.isfinite(outputs.loss):
            sums = dict(zip(TERMS, outputs.loss_sums.tolist(), strict=True))
            raise TrainingError(
                f"the loss is {outputs.loss.item()} (sums: {sums})",
                where=f"step {self.state.global_step}, samples {', '.join(sample_ids)}",
                mend="look at these samples, lower the learning rate, or train in fp32; the last checkpoint is intact",
            )
        window = self._window if model.training else self._validation
        window += torch.cat([outputs.loss_sums.double().cpu(), outputs.counts.double().cpu()])
        # Gradients are averaged over ranks; the denominators are global already.
        loss = outputs.loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = VALIDATION,
    ) -> dict[str, float]:
        """Losses on the validation samples; :meth:`log` adds them by name."""
        self._validation.zero_()
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

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Adds the mean of every term, over all ranks: since the last log, or over the validation samples."""
        if "loss" in logs:
            logs = logs | self._means(self._window)
        elif f"{VALIDATION}_loss" in logs:
            logs = {f"{VALIDATION}_{name}": value for name, value in self._means(self._validation).items()}
        super().log(logs, *args, **kwargs)

    def _means(self, window: Tensor) -> dict[str, float]:
        """Empties a window: the mean of every term, and the counts they are over."""
        # gloo and nccl alike reduce float32; the sums of one window fit.
        total = self.accelerator.reduce(window.float().to(self.args.device), reduction="sum").cpu()
        window.zero_()
        sums, (tokens, masks) = total[:3].tolist(), total[3:].tolist()
        means = [s / max(n, 1.0) for s, n in zip(sums, (tokens, masks, masks), strict=True)]
        return dict(zip(TERMS, means, strict=True)) | {"tokens": tokens, "masks": masks}

    def gather(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Weights by name, on the CPU; under ZeRO-3 every rank takes part, since each holds a share of them."""
        state = self.parts.model.state_dict(keep_vars=True)
        out = {}
        for name in names:
            with GatheredParameters([state[name]], enabled=hasattr(state[name], "ds_id")):
                out[name] = state[name].detach().cpu().clone()
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
        """Warm-up, then linear or cosine decay to zero over the run, by steps or by the clock."""
        warmup = self.args.warmup_steps

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            done = self.clock.progress(step)
            return 0.5 * (1 + math.cos(math.pi * done)) if self.cosine else 1 - done

        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)  # type: ignore[arg-type]
        return self.lr_scheduler
