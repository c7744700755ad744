"""Supervised fine-tuning on dialogues: builds the parts from one experiment and runs the trainer."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ..config import ExperimentConfig, ModelSection
from ..datasets.batching import PictureSharingSampler, SampleStream
from ..datasets.collate import Collator, PictureFeatures
from ..datasets.workers import errors_whole
from ..errors import CheckpointError, ConfigError, SampleError
from ..models.adapters import ALL, NOT_RUN, TrainedParts, choose_trained, merge_release, needs_float32
from ..models.attention import attention_of_parts
from ..models.build import Vocabulary, build_config, build_processor, halve_frozen
from ..models.checkpoints import identify, load_config, load_model, refuse_absent, written_whole
from ..models.configuration import LlavaCorrConfig
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.output import LossWeights
from ..models.processing import LlavaCorrProcessor
from ..models.recompose import check_fresh_is_trained, check_same_model, recompose
from ..models.scratch import start_positions
from ..models.tokenizing import train_tokenizer
from ..record_files import SamplesFile
from ..records import Sample
from . import ranks
from .arguments import training_arguments
from .caching import open_features
from .callbacks import JsonLinesLog, ProgressLine, SaveOnInterrupt, SaveOnRequest, TensorBoardLog, TimeBudget
from .checking import check_files
from .checkpointing import Checkpoints
from .plan import describe
from .runs import check_inputs, check_run, inputs_of, is_finished, locked, prepare_run, update_run
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


def load_tokenizer(section: ModelSection, samples: Iterable[Sample]) -> PreTrainedTokenizerBase:
    """The named tokenizer, or one trained on the dialogues; weights bring their own."""
    if path := section.weights or section.tokenizer.path:
        place = f"{path} ({'model.weights' if section.weights else 'model.tokenizer.path'})"
        mend = "name a folder that a run or a release wrote (its model/), or a hub id; the header of the configuration "
        mend += "file says what has to run before"
        try:
            refuse_absent(path)
            return AutoTokenizer.from_pretrained(path)
        except CheckpointError as cause:
            raise CheckpointError(cause.what, where=place, mend=mend) from cause
        except (OSError, ValueError) as cause:
            raise CheckpointError(f"no tokenizer can be loaded: {cause}", where=place, mend=mend) from cause
    texts = (text for sample in samples for turn in sample.turns for text in (turn.user, turn.assistant))
    return train_tokenizer(texts, section.tokenizer.vocab_size)


def build_model(config: ExperimentConfig, samples: Iterable[Sample]) -> tuple[TrainedParts, LlavaCorrProcessor]:
    """Model with fresh weights (seeded), or those it starts from, with what is trained of it, and its processor."""
    transformers.set_seed(config.seed)
    tokenizer = load_tokenizer(config.model, samples)
    training, losses = config.training, config.training.losses
    processor = build_processor(config.model, tokenizer, losses.mask_size)
    whole = needs_float32(training.trainable, training.lora)
    model, fresh = start_model(config.model, build_config(config.model, Vocabulary.of(tokenizer)), whole)
    transformers.set_seed(config.seed)  # the adapter starts alike, whatever was drawn for the weights before
    parts = choose_trained(model, training.trainable, training.lora, tokenizer, masks=losses.draw)
    if not losses.draw:
        fresh = [name for name in fresh if not name.startswith(NOT_RUN)]
    if not config.model.random_frozen:
        check_fresh_is_trained(model, fresh, where=f"model.weights: {config.model.weights}")
    if config.model.frozen_dtype == "bfloat16":
        halve_frozen(model)
    model.max_images_per_tower_pass = config.model.max_images_per_tower_pass
    focal = losses.mask_kind == "focal"
    model.loss_weights = LossWeights(
        losses.language,
        losses.mask,
        losses.dice,
        focal_gamma=losses.focal_gamma if focal else 0.0,
        focal_alpha=losses.focal_alpha if focal else -1.0,
    )
    return parts, processor


def start_model(
    section: ModelSection, wanted: LlavaCorrConfig, whole: Sequence[str] = ()
) -> tuple[LlavaCorrForConditionalGeneration, list[str]]:
    """The weights an experiment starts from, and the parameters that no weights were given for.

    Args:
        whole: parts to load in float32, whatever frozen weights are held in.

    Raises:
        ConfigError: they are of another model, or a trunk in 4 bits without weights to load.
    """
    attention = attention_of_parts(section.attention, wanted)
    if isinstance(attention, dict):
        logger.info(
            "attention:   %s", ", ".join(f"{part.removesuffix('_config')} {a}" for part, a in attention.items())
        )
    if section.weights is None:
        if section.quantise_trunk:
            raise ConfigError(
                "model.quantise_trunk needs weights to load",
                mend="name them in model.weights, or leave the trunk as it is",
            )
        model = LlavaCorrForConditionalGeneration(wanted)
        start_positions(model)
        return model, [name for name, _ in model.named_parameters()]
    check_same_model(wanted, load_config(section.weights), where=section.weights)
    model = load_model(
        section.weights,
        attn_implementation=attention,
        quantise_trunk=section.quantise_trunk,
        dtype=getattr(torch, section.frozen_dtype),
        whole=whole,
    )
    fresh, dropped = recompose(model, wanted)
    if fresh or dropped:
        parts = sorted({".".join(name.split(".")[:2]) for name in fresh})
        logger.info("of %s: new %s; left out %s", section.weights, ", ".join(parts) or "nothing", dropped or "nothing")
    return model, fresh


def writes_whole(config: ExperimentConfig) -> bool:
    """Whether a run's model is written with its frozen weights: they have no other place, or hardly any is frozen."""
    return config.model.weights is None or ALL in config.training.trainable


def save_release(
    config: ExperimentConfig,
    parts: TrainedParts,
    folder: Path,
    state: dict[str, Tensor],
    base: dict[str, str] | None = None,
) -> None:
    """Writes a trained model: all of it, or the trained parts with the name of the base they belong to.

    Args:
        state: weights gathered from all ranks.
        base: identity of the base when training began; without it, as it lies there now.

    Raises:
        CheckpointError: the base has to be read once more, and is another one now.
    """
    model = parts.model
    if not writes_whole(config):
        assert config.model.weights is not None
        parts.write_release(folder, base or identify(config.model.weights), state)
        plain = copy.copy(model.config)
        vars(plain).pop("quantization_config", None)  # how the base was held here is no part of the model
        plain.save_pretrained(folder)
        return
    if parts.peft is not None:
        if base and config.model.weights and identify(config.model.weights)["fingerprint"] != base["fingerprint"]:
            raise CheckpointError(
                "the base changed while it was trained on",
                where=f"{config.model.weights} (model.weights)",
                mend="put the former one back, then run the same command again: it continues from the last checkpoint",
            )
        parts.write_release(folder, {}, state)
        transformers.set_seed(config.seed)  # the very weights that training started from
        model = merge_release(start_model(config.model, model.config)[0], folder)
        shutil.rmtree(folder)
        state = model.state_dict()
    model.save_pretrained(folder, state_dict=state)


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
        logger.info("%s was finished earlier; give the run another name to train again", config.run_dir)
        return config.run_dir
    check_run(config)  # before anything is loaded, and on every rank alike; in a dry run, too
    with nullcontext() if dry_run else locked(config.run_dir) as refused:
        return _train(config, dry_run, refused)


def _train(config: ExperimentConfig, dry_run: bool, refused: ConfigError | None) -> Path:
    """What :func:`train` does in a run folder that is its own, or says where it is not: ``refused``."""
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
    if dry_run:
        return config.run_dir
    parameters = parts.model.num_parameters()  # of 4-bit weights, too, which numel() counts in pairs
    trainable = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
    rank_zero = ranks.rank() == 0
    folder = config.run_dir
    trainer = build_trainer(config, folder, parts, processor, samples, validation, features)
    ranks.raise_alike(refused)  # the ranks hear of one another only now
    if rank_zero:
        prepare_run(config, inputs)
    started = time.monotonic()
    last = trainer.checkpoints.start(world_size=trainer.args.world_size, deepspeed=trainer.zero_stage)
    interrupt, request = SaveOnInterrupt(), SaveOnRequest(folder)
    trainer.add_callback(interrupt)
    trainer.add_callback(request)
    result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    if interrupt.caught or request.stopped:
        logger.info("ended as asked at step %d; a checkpoint is saved", result.global_step)
        raise KeyboardInterrupt
    with written_whole(folder / "model", here=rank_zero) as part:
        state = trainer.gather(list(parts.model.state_dict()) if writes_whole(config) else parts.names())
        if rank_zero:
            with ranks.whole_models(trainer.args):
                save_release(config, parts, part, state, inputs.get("model.weights"))
            processor.save_pretrained(part)
    losses = trainer.validation_losses()
    if rank_zero:
        summary: dict[str, Any] = {
            "train_seconds": round(time.monotonic() - started, 1),
            "steps": result.global_step,
            "parameters": parameters,
            "trainable_parameters": trainable,
            "world_size": trainer.args.world_size,
        }
        summary |= losses
        update_run(folder, **summary)
        logger.info("trained: %s", json.dumps(summary))
    return folder


def read_some(path: str, limit: int | None) -> SamplesFile:
    """The first samples of a file, at least one; they stay on the disk.

    Raises:
        SampleError: the file cannot be read, or holds none.
    """
    samples = SamplesFile(path)[:limit]
    if not samples:
        raise SampleError("the file holds no sample", where=path, mend="build one with llava-corr data")
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
    args = training_arguments(config, folder)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    in_turn = args.eval_batch_size * args.world_size if args.world_size > 1 else 1
    epochs = PictureSharingSampler(samples, config.data.picture_groups, config.seed)
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
        order=SampleStream(epochs, config.training.max_steps * per_step),
        checkpoints=Checkpoints(folder),
        cosine=config.training.schedule == "cosine",
    )
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    torch.manual_seed(config.seed + ranks.rank() * 1_000_003)  # every rank its own dropout
    return trainer
