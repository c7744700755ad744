"""One way to train every twin: HF Trainer over a stream of pictures or texts, resumable, with one progress line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import get_last_checkpoint

from ..training.callbacks import JsonLinesLog, ProgressLine, SaveOnInterrupt
from .optimising import optimiser
from .recipe import FitSection

logger = logging.getLogger(__name__)


class InOrder(Trainer):
    """A trainer that takes its items as they come: the stream has shuffled them."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        assert self.train_dataset is not None
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]


def fit(
    task: nn.Module,
    items: Dataset,
    collate: Callable[[Sequence[Any]], dict[str, Any]],
    schedule: FitSection,
    folder: Path,
    seed: int,
) -> None:
    """Trains ``task`` in place; continues from the last checkpoint in ``folder``.

    Args:
        task: a module that returns {"loss": ...} for a batch.
        items: of the whole run, ``schedule.steps * schedule.batch`` of them, in order.
        collate: items to a batch of keyword arguments of ``task``.
        folder: for checkpoints and the log.

    Raises:
        KeyboardInterrupt: ended as asked, with a checkpoint.
    """
    transformers.set_seed(seed)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=schedule.steps,
        per_device_train_batch_size=schedule.batch,
        warmup_steps=schedule.warmup,
        max_grad_norm=1.0,
        lr_scheduler_type="linear",
        bf16=True,
        logging_steps=10,
        save_steps=250,
        save_total_limit=1,
        seed=seed,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    interrupt = SaveOnInterrupt()
    trainer = InOrder(
        model=task,
        args=arguments,
        train_dataset=items,
        data_collator=collate,
        optimizers=(optimiser(task, schedule.muon, schedule.adamw, schedule.decay), None),
        callbacks=[ProgressLine(), JsonLinesLog(folder / "log.jsonl"), interrupt],
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    if interrupt.caught:
        logger.info("ended as asked at step %d; a checkpoint is saved", trainer.state.global_step)
        raise KeyboardInterrupt
