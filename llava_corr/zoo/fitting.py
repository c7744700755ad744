"""One way to train every twin: HF Trainer over a stream of pictures or texts, resumable, with one progress line."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Dataset, Sampler, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.utils import SAFE_WEIGHTS_NAME

from ..training.callbacks import JsonLinesLog, ProgressLine, SaveOnInterrupt
from .optimising import optimiser
from .recipe import FitSection

logger = logging.getLogger(__name__)


class InOrder(Trainer):
    """A trainer that takes its items as they come: the stream has shuffled them."""

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        assert self.train_dataset is not None
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Every tensor by itself: SAM's position code has two names, which safetensors refuses to write as one."""
        state = self.accelerator.unwrap_model(self.model).state_dict()
        whole = {name: value.detach().clone().contiguous() for name, value in state.items()}
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(whole, folder / SAFE_WEIGHTS_NAME)


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end: the trainer writes its own state last. Others are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / "trainer_state.json").is_file():
            whole.append(path)
        else:
            logger.info("%s was cut off while it was written: it is removed", path)
            shutil.rmtree(path)
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


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
        task: a module that returns {"loss": ...} for a batch; it ends on the CPU, wherever it was trained.
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
        dataloader_num_workers=workers(),
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
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    if interrupt.caught:
        logger.info("ended as asked at step %d; a checkpoint is saved", trainer.state.global_step)
        raise KeyboardInterrupt
    task.cpu()


def workers() -> int:
    """Processes that make batches: a GPU waits for them, while on CPUs they would take a core from the training."""
    return min(8, len(os.sched_getaffinity(0)) - 1) if torch.cuda.is_available() else 0
