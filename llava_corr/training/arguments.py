"""From the experiment to the trainer's own arguments."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ..errors import ConfigError
from ..experiment import ExperimentConfig, TrainingSection
from ..files import resource
from ..registry import did_you_mean
from .ranks import launched

logger = logging.getLogger(__name__)


def training_arguments(config: ExperimentConfig, folder: Path) -> TrainingArguments:
    """The trainer's arguments of an experiment."""
    t = config.training
    args = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=t.max_steps,
        per_device_train_batch_size=t.batch_size,
        per_device_eval_batch_size=t.batch_size,
        eval_strategy="steps" if config.data.validation else "no",
        eval_steps=t.save_steps,
        prediction_loss_only=True,
        gradient_accumulation_steps=t.gradient_accumulation,
        learning_rate=t.learning_rate,
        adam_beta1=t.betas[0],
        adam_beta2=t.betas[1],
        weight_decay=t.weight_decay,
        warmup_steps=t.warmup_steps,
        max_grad_norm=t.max_grad_norm,
        bf16=t.bf16,
        **_checkpointing(t.gradient_checkpointing),
        logging_steps=t.logging_steps,
        save_steps=t.save_steps,
        save_total_limit=None,  # checkpointing.py removes old ones, when the new one is complete
        seed=config.seed,
        data_seed=config.seed,
        dataloader_num_workers=config.data.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        deepspeed=deepspeed_file(t),
        remove_unused_columns=False,
        report_to=[],  # callbacks.py writes the logs
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
        accelerator_config={"dispatch_batches": False},
    )
    return args if launched() else _one_gpu(args)


def _one_gpu(args: TrainingArguments) -> TrainingArguments:
    """Without a launcher one GPU is taken: the trainer would wrap the model in nn.DataParallel, which slices the
    dialogues, slots and pictures of a batch apart, each along its own first axis."""
    if args.n_gpu > 1:
        logger.info(
            "one of %d GPUs is used; for all of them start with deepspeed or torchrun (docs/training.md)", args.n_gpu
        )
        args._n_gpu = 1
    return args


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Non-reentrant only: hooks and frozen inputs need it."""
    return {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}} if wanted else {}


def deepspeed_file(section: TrainingSection) -> str | None:
    """The DeepSpeed configuration in use; None where there is none, or no launcher started this process.

    Raises:
        ConfigError: there is no such file, launcher or not.
    """
    found = find_deepspeed(section)
    return str(found) if found and launched() else None


def find_deepspeed(section: TrainingSection) -> Path | None:
    """The DeepSpeed configuration that is named.

    Raises:
        ConfigError: there is no such file.
    """
    if section.deepspeed is None:
        return None
    folder = resource("zero_configs")
    found = next((path for path in (Path(section.deepspeed), folder / section.deepspeed) if path.is_file()), None)
    if found is None:
        known = [path.name for path in folder.glob("*.json")]
        raise ConfigError(
            f"training.deepspeed: there is no file {section.deepspeed!r}", mend=did_you_mean(section.deepspeed, known)
        )
    return found
