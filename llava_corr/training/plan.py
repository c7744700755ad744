"""Before the first step: what the run is going to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..experiment import ExperimentConfig
from ..records import Sample
from . import ranks
from .arguments import deepspeed_file


def describe(
    config: ExperimentConfig, samples: Sequence[Sample], longest: tuple[int, str], context: int, model: Any
) -> list[str]:
    """The plan, one line a fact.

    Args:
        longest: what :func:`checking.check_files` found.
        context: tokens that the trunk holds.
        model: with the parameters that are not trained frozen.
    """
    t, world = config.training, ranks.world_size()
    batch = t.batch_size * t.gradient_accumulation * world
    total = model.num_parameters()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    time = f", or {t.max_minutes:g} minutes" if t.max_minutes else ""
    zero = deepspeed_file(t)
    features = f"those in {config.data.features} in place of pictures" if config.data.features else "none"
    unused = f"none (no launcher; {t.deepspeed} otherwise)" if t.deepspeed else "none"
    return [
        f"samples:     {len(samples)}, the longest {longest[0]} of {context} tokens ({longest[1]})",
        f"parameters:  {trained / 1e6:.2f} M trained of {total / 1e6:.2f} M",
        f"steps:       {t.max_steps}{time}; {t.max_steps * batch / len(samples):.2f} epochs",
        f"batch:       {batch} dialogues a step = {t.batch_size} a micro-batch x {t.gradient_accumulation} "
        f"accumulated x {world} rank{'s' if world != 1 else ''}",
        f"checkpoints: every {t.save_steps} steps, the last two kept",
        f"output:      {config.run_dir}",
        f"features:    {features}",
        f"deepspeed:   {Path(zero) if zero else unused}",
    ]
