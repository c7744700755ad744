"""Supervised fine-tuning on dialogues: one experiment from its files to its run folder."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import Dataset
from tqdm.contrib.logging import logging_redirect_tqdm
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ..datasets.batching import PictureSharingSampler, SampleStream
from ..datasets.collate import Collator, PictureFeatures
from ..datasets.workers import errors_whole
from ..errors import ConfigError, SampleError
from ..experiment import ExperimentConfig
from ..models.adapters import TrainedParts
from ..models.checkpoints.model_folder import written_whole
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.processing import LlavaCorrProcessor
from ..record_files import SamplesFile, image_paths
from ..records import Sample
from . import ranks
from .arguments import training_arguments
from .caching import open_features
from .callbacks import JsonLinesLog, ProgressLine, SaveOnInterrupt, SaveOnRequest, TensorBoardLog, TimeBudget
from .checking import check_files
from .checkpointing import Checkpoints
from .memory_log import MemoryLog
from .model import build_model, save_release, writes_whole
from .plan import describe
from .runs import (
    Inputs,
    check_finished,
    check_inputs,
    check_run,
    inputs_of,
    is_finished,
    locked,
    prepare_run,
    update_run,
)
from .trainer import DialogueTrainer

logger = logging.getLogger(__name__)


class SampleDataset(Dataset):
    """Samples in file order.

    Args:
        samples: of a file, in memory or on the disk.
        multiple: after them come so many without answers and masks that their number is a multiple of this: ranks take
            the same number of batches each, and what fills the last ones counts in no loss.
    """

    def __init__(self, samples: Sequence[Sample], multiple: int = 1) -> None:
        self.samples, self.multiple = samples, multiple

    def __len__(self) -> int:
        return -(-len(self.samples) // self.multiple) * self.multiple

    def __getitem__(self, index: int) -> Sample:
        with errors_whole():
            if index < len(self.samples):
                return self.samples[index]
            first = self.samples[0]
        silent = tuple(turn.model_copy(update={"assistant": None}) for turn in first.turns)
        return first.model_copy(update={"turns": silent, "targets": ()})


def train(config: ExperimentConfig, *, dry_run: bool = False) -> Path:
    """Runs an experiment to its end, continuing from the last checkpoint of its run folder.

    Args:
        config: the experiment.
        dry_run: build everything, take no step.

    Returns:
        The run folder; ``model/`` in it holds weights, configuration and processor.

    Raises:
        ConfigError: the run folder is of another configuration, another command is training there, or its run started
            from other files.
    """
    transformers.utils.logging.disable_progress_bar()  # one line is enough
    if not dry_run and is_finished(config):
        check_finished(config)
        logger.info("%s was finished earlier; give the run another name to train again", config.run_dir)
        return config.run_dir
    check_run(config)  # before anything is loaded, and on every rank alike; in a dry run, too
    with nullcontext() if dry_run else locked(config.run_dir) as refused:
        return _train(config, dry_run, refused)


def _train(config: ExperimentConfig, dry_run: bool, refused: ConfigError | None) -> Path:
    """What :func:`train` does in a run folder that is its own, or says where it is not: ``refused``."""
    ranks.meet()
    ranks.raise_alike(refused)
    samples = read_some(config.data.train, config.data.limit)
    validation = read_some(config.data.validation, config.data.limit) if config.data.validation else None
    inputs = inputs_of(config)
    check_inputs(config, inputs)
    parts, processor = build_model(config, samples)
    everything = [samples] if validation is None else [samples, validation]
    longest = check_files(everything, processor, pictures=not config.data.blind)
    features = open_features(config, parts.model, processor, chain(*everything))
    for line in describe(config, samples, longest, processor.tokenizer.model_max_length, parts.model):
        logger.info("%s", line)
    folder = config.run_dir
    if dry_run:
        return folder
    trainer = build_trainer(config, folder, parts, processor, samples, validation, features)
    if ranks.rank() == 0:
        prepare_run(config, inputs)
    facts = _size(parts.model) | {"world_size": trainer.args.world_size}
    started = time.monotonic()
    steps = _to_the_end(trainer, folder)
    _release(config, trainer, parts, processor, inputs)
    facts |= {"steps": steps, "train_seconds": round(time.monotonic() - started, 1)} | trainer.validation_losses()
    if ranks.rank() == 0:
        update_run(folder, **facts)
        logger.info("trained: %s", json.dumps(facts))
    return folder


def _size(model: LlavaCorrForConditionalGeneration) -> dict[str, Any]:
    """Before the trainer has it: ZeRO-3 leaves every rank with its share, which counts for less."""
    return {
        "parameters": model.num_parameters(),  # of 4-bit weights, too, which numel() counts in pairs
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def _to_the_end(trainer: DialogueTrainer, folder: Path) -> int:
    """Steps taken in all, from the last checkpoint on.

    Raises:
        KeyboardInterrupt: ended as asked, by Ctrl-C or a stop file; a checkpoint is saved.
    """
    last = trainer.checkpoints.start(world_size=trainer.args.world_size, deepspeed=trainer.zero_stage)
    interrupt, request = SaveOnInterrupt(), SaveOnRequest(folder)
    trainer.add_callback(interrupt)
    trainer.add_callback(request)
    with logging_redirect_tqdm():  # words of the log stand on lines of their own
        result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    if interrupt.caught or request.stopped:
        logger.info("ended as asked at step %d; a checkpoint is saved", result.global_step)
        raise KeyboardInterrupt
    return result.global_step


def _release(
    config: ExperimentConfig,
    trainer: DialogueTrainer,
    parts: TrainedParts,
    processor: LlavaCorrProcessor,
    inputs: Inputs,
) -> None:
    """Writes ``model/`` of the run folder; all ranks take part in gathering its weights."""
    here = ranks.rank() == 0
    with written_whole(config.run_dir / "model", here=here) as part:
        state = trainer.gather(list(parts.model.state_dict()) if writes_whole(config) else parts.names())
        if here:
            with ranks.whole_models(trainer.args):
                save_release(config, parts, part, state, inputs.get("model.weights"))
            processor.save_pretrained(part)


def read_some(path: str, limit: int | None) -> SamplesFile:
    """The first samples of a file, at least one; they stay on the disk.

    Raises:
        SampleError: the file cannot be read, or holds none.
    """
    samples = SamplesFile(path)[:limit]
    if not samples:
        raise SampleError("the file holds no sample", where=path, mend="build one with llava-corr data")
    if limit and len(samples) < limit:
        logger.warning("%s holds %d samples, fewer than the %d asked for", path, len(samples), limit)
    return samples


def build_trainer(
    config: ExperimentConfig,
    folder: Path,
    parts: TrainedParts,
    processor: LlavaCorrProcessor,
    samples: Sequence[Sample],
    validation: Sequence[Sample] | None = None,
    features: PictureFeatures | None = None,
) -> DialogueTrainer:
    """The trainer with its callbacks; where no mask loss has weight, the grounding tower is not run, and where there
    are cached features, none whose features are held."""
    clock = TimeBudget(config.training.max_steps, config.training.max_minutes)
    with ranks.connecting():
        args = training_arguments(config, folder)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    in_turn = args.eval_batch_size * args.world_size if args.world_size > 1 else 1
    order = SampleStream(
        PictureSharingSampler(samples, config.data.picture_groups, config.seed),
        config.training.max_steps * per_step,
        step=per_step,
        lengths=[len(pictures) for pictures in image_paths(samples)] if config.training.group_by_length else None,
    )
    trainer = DialogueTrainer(
        parts=parts,
        args=args,
        train_dataset=SampleDataset(samples),
        eval_dataset=SampleDataset(validation, in_turn) if validation else None,
        data_collator=Collator(
            processor, blind=config.data.blind, grounding=config.training.losses.draw, features=features
        ),
        callbacks=[
            clock,
            ProgressLine(clock),
            JsonLinesLog(folder / "train_log.jsonl"),
            TensorBoardLog(folder / "tensorboard"),
        ],
        clock=clock,
        order=order,
        checkpoints=Checkpoints(folder),
        cosine=config.training.schedule == "cosine",
        memory=MemoryLog(config, folder) if config.training.memory_log else None,
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    torch.manual_seed(config.seed + ranks.rank() * 1_000_003)  # every rank its own dropout
    return trainer
