"""The model that a run starts from, and the one it leaves behind."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..errors import CheckpointError, ConfigError
from ..experiment import ExperimentConfig, LossSection, ModelSection
from ..files import find_shipped
from ..models.adapters import ALL, NOT_RUN, TrainedParts, choose_trained, merge_release, needs_float32
from ..models.attention import attention_of_parts
from ..models.build import Vocabulary, build_config, build_processor, halve_frozen
from ..models.checkpoints.model_folder import identify, load_config, load_model, refuse_absent
from ..models.configuration import LlavaCorrConfig
from ..models.modeling import LlavaCorrForConditionalGeneration
from ..models.output import LossWeights
from ..models.processing import LlavaCorrProcessor
from ..models.recompose import check_fresh_is_trained, check_same_model, recompose
from ..models.scratch import start_positions
from ..models.tokenizing import train_tokenizer
from ..records import Sample

logger = logging.getLogger(__name__)


def load_tokenizer(section: ModelSection, samples: Iterable[Sample]) -> PreTrainedTokenizerBase:
    """The named tokenizer, or one trained on the dialogues; weights bring their own."""
    if path := section.weights or section.tokenizer.path:
        place = f"{path} ({'model.weights' if section.weights else 'model.tokenizer.path'})"
        mend = "name a folder that a run or a release wrote (its model/), or a hub id; the header of the configuration "
        mend += "file says what has to run before"
        try:
            refuse_absent(path)
            return AutoTokenizer.from_pretrained(find_shipped(path))
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
    model.loss_weights = loss_weights(losses)
    return parts, processor


def loss_weights(losses: LossSection) -> LossWeights:
    """Of a configuration's section."""
    focal = losses.mask_kind == "focal"
    return LossWeights(
        losses.language,
        losses.mask,
        losses.dice,
        focal_gamma=losses.focal_gamma if focal else 0.0,
        focal_alpha=losses.focal_alpha if focal else -1.0,
    )


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
