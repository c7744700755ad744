"""The rows of ``llava-corr plan``: one experiment under every ZeRO stage, and with its switches turned one by one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from ..errors import ConfigError
from ..experiment import ExperimentConfig
from ..files import resource
from ..models.adapters import ALL
from ..models.attention import FALLBACK, FLASH
from ..models.build import Vocabulary, build_config
from ..models.configuration import LlavaCorrConfig
from ..models.sizes import vocabulary_rows
from .arguments import find_deepspeed
from .caching import frozen_towers
from .memory_plan import LARGEST, MemoryPlanner
from .plan_downloads import GB
from .zero import Zero, stages

COLUMNS = ("weights", "gradients", "optimiser", "buffers", "towers", "saved", "step", "total")


def plannable(config: ExperimentConfig) -> tuple[ExperimentConfig, str]:
    """An experiment as it can be planned on any machine, and what was changed, in words.

    Raises:
        ConfigError: training would refuse it.
    """
    if reason := _impossible(config, _own(config)[1]):
        raise ConfigError(
            reason, where="the experiment", mend="change the one or the other: training would refuse them"
        )
    if config.model.attention != FLASH:
        return config, ""
    return _changed(
        config, model={"attention": FALLBACK}
    ), f"attention: {FLASH} planned as {FALLBACK}, which keeps as much"


def composition(config: ExperimentConfig) -> LlavaCorrConfig:
    """The model's configuration, without its tokenizer."""
    return build_config(config.model, Vocabulary.of_size(vocabulary_rows(config.model)))


def _own(config: ExperimentConfig) -> tuple[str, Zero]:
    """The experiment's DeepSpeed file, by its name where it is a shipped one, and what it says."""
    file = find_deepspeed(config.training)
    if file is None:
        return "", Zero()
    shipped = file.resolve().parent == resource("zero_configs").resolve()
    return file.name if shipped else str(file), Zero.read(file)


def _changed(config: ExperimentConfig, **sections: dict[str, Any]) -> ExperimentConfig:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=update) for name, update in sections.items()}
    )


def _impossible(config: ExperimentConfig, zero: Zero) -> str:
    """Why no training can run so; empty where one can."""
    if config.model.quantise_trunk and ALL in config.training.trainable:
        return "training.trainable: all, and model.quantise_trunk as well"
    if config.model.quantise_trunk and config.model.weights is None:
        return "model.quantise_trunk without model.weights to load"
    if not zero.fits(config.training.bf16):
        own, other = ("true", "false") if config.training.bf16 else ("false", "true")
        return f"training.bf16 is {own}, bf16.enabled of the DeepSpeed file {other}"
    return ""


def _turned(config: ExperimentConfig) -> Iterator[tuple[str, ExperimentConfig, bool]]:
    """(what is turned, the experiment so, whether features are cached)."""
    t, cached = config.training, bool(config.data.features)
    other = _changed(config, training={"gradient_checkpointing": not t.gradient_checkpointing})
    yield "as configured", config, cached
    yield "checkpointing", other, cached
    yield "features", config, not cached
    yield "both", other, not cached
    held = "float32" if t.bf16 else config.model.frozen_dtype  # float32 arithmetic wants float32 weights
    yield "precision", _changed(config, training={"bf16": not t.bf16}, model={"frozen_dtype": held}), cached
    yield "trunk", _changed(config, model={"quantise_trunk": not config.model.quantise_trunk}), cached


def memory_rows(config: ExperimentConfig, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every stage as the experiment is, then its own stage with its switches turned; without what cannot be trained.

    Raises:
        ConfigError: features are given of towers that are all trained.
    """
    own, zero = _own(config)
    rows, planners = [], dict[tuple[bool, bool], MemoryPlanner]()
    for name, other, cached in _turned(config):
        first = name == "as configured"
        t, four = other.training, other.model.quantise_trunk
        if (t.bf16, four) not in planners:
            planners[t.bf16, four] = MemoryPlanner(other, composition(other), ranks=args.gpus)
        planner = planners[t.bf16, four]
        frozen = _frozen(planner, zero)
        if first and cached and not frozen:
            raise ConfigError("every image tower is trained: there is nothing to cache", where="data.features")
        if _impossible(other, zero) or (cached and not frozen):
            continue
        for file, divided in (dict(stages()) | {own: zero} if first else {own: zero}).items():
            row = _row(
                planner, divided, t.gradient_checkpointing, frozen if cached else (), args, first and file == own
            )
            rows.append({"change": name, "own": file == own, "file": file, **row})
    return rows


def _frozen(planner: MemoryPlanner, zero: Zero) -> list[str]:
    """Features that a cache could hold: of towers that are run and not trained."""
    model = planner.rehearser(zero).model
    return list(frozen_towers(model, masks=planner.experiment.training.losses.draw))


def _row(
    planner: MemoryPlanner,
    zero: Zero,
    checkpointing: bool,
    given: list[str] | tuple[()],
    args: argparse.Namespace,
    checked: bool,
) -> dict[str, Any]:
    def shape(dialogues: int) -> Any:
        sample = {"images": args.images, "text": args.text_tokens, "masks": args.masks}
        return planner.shape(dialogues, **sample).cached(given)

    most = planner.largest_micro_batch(shape, zero, args.gpu_memory * GB, checkpointing=checkpointing, checked=checked)
    memory = planner.memory(shape(planner.experiment.training.batch_size), zero, checkpointing=checkpointing)
    return {
        "zero": zero.label,
        "bf16": planner.experiment.training.bf16,
        "checkpointing": checkpointing,
        "cached": bool(given),
        "four_bits": planner.experiment.model.quantise_trunk,
        "bytes": memory.to_json(),
        "largest_micro_batch": most,
    }


def memory_lines(config: ExperimentConfig, args: argparse.Namespace, rows: list[dict[str, Any]]) -> list[str]:
    """As two tables."""
    t = config.training
    first = [row for row in rows if row["change"] == "as configured"]
    switched = [row for row in rows if row["own"]]
    gpus = f"{args.gpus} GPU{'s' if args.gpus > 1 else ''}"
    head = (
        f"GB of tensors on one of {gpus}, micro-batches of {t.batch_size} dialogues of {args.images} images, "
        f"{args.text_tokens} text tokens and {args.masks} masks; the largest micro-batch is for {args.gpu_memory:g} GB:"
    )
    columns = "weights | gradients | optimiser | buffers | towers | saved | step | most | largest micro-batch |"
    lines = [head, "", f"| ZeRO | {columns}", "|---|" + 9 * "---:|"]
    lines += [f"| {_stage(row)}{' <' if row['own'] else ''} | {cells(row)}" for row in first]
    lines += ["", f"<, and the switches turned: ZeRO {switched[0]['zero']}", ""]
    lines += [f"| precision | checkpointing | features | trunk | {columns}", "|---|---|---|---|" + 9 * "---:|"]
    for row in switched:
        words = (
            "bf16" if row["bf16"] else "fp32",
            "yes" if row["checkpointing"] else "no",
            "cached" if row["cached"] else "made anew",
            "4 bits" if row["four_bits"] else "whole",
        )
        lines.append(f"| {' | '.join(words)} | {cells(row)}")
    return lines


def _stage(row: dict[str, Any]) -> str:
    away = row["bytes"]["cpu"]
    there = f", {away / GB:.2f} GB of the CPU's memory for each GPU" if away else ""
    return f"{row['zero']}{there} ({row['file'] or 'training.deepspeed: null, or no launcher'})"


def cells(row: dict[str, Any]) -> str:
    """Of one row of either table."""
    numbers = " | ".join(f"{row['bytes'][name] / GB:.2f}" for name in COLUMNS)
    most = row["largest_micro_batch"]
    return f"{numbers} | {'not even 1' if not most else f'{most} or more' if most == LARGEST else most} |"
