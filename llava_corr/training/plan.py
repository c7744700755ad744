"""Before the first step: every sample looked at, every fault in one error, and what the run is going to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import ExperimentConfig
from ..errors import CountMismatchError, SampleError
from ..models.processing import LlavaCorrProcessor
from ..records import Dialogue, Sample
from . import ranks
from .arguments import deepspeed_file

SHOWN = 10


def check_samples(samples: Sequence[Sample], processor: LlavaCorrProcessor) -> tuple[int, str]:
    """Encodes the words of every sample, without its pictures and masks.

    Returns:
        Tokens of the longest sample, and its id.

    Raises:
        SampleError: some samples do not fit into the context, or their markers, pictures and masks differ in number;
            the first ten and the number of all.
    """
    faults: list[str] = []
    longest = (0, "")
    for sample in samples:
        try:
            ids = processor.encode(_words(sample)).ids
        except (CountMismatchError, SampleError) as fault:
            faults.append(f"{sample.id}: {fault.what}")
        else:
            longest = max(longest, (len(ids), sample.id), key=lambda pair: pair[0])
    if faults:
        more = [f"    and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        listing = "\n".join([*(f"    {fault}" for fault in faults[:SHOWN]), *more])
        raise SampleError(
            f"{len(faults)} of {len(samples)} samples cannot be trained on:\n{listing}",
            mend="correct them or leave them out (llava-corr doctor), use fewer images, or a trunk with a longer "
            "context; nothing is cut or left out here",
        )
    return longest


def _words(sample: Sample) -> Dialogue:
    turns: Any = [(turn.user, turn.assistant) for turn in sample.turns]
    targets: Any = [(target.image_index, None) for target in sample.targets]
    return Dialogue(sample.id, [image.path for image in sample.images], turns, targets, len(sample.object_tokens))


def describe(
    config: ExperimentConfig, samples: Sequence[Sample], longest: tuple[int, str], context: int, model: Any
) -> list[str]:
    """The plan, one line a fact.

    Args:
        longest: what :func:`check_samples` found.
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
