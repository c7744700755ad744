"""What a training step was planned to take beside what it takes: bytes of tensors. Random weights.

python perf/memory_plan.py --out perf/memory_plan.json
python perf/memory_plan.py --rows calico glamm lisa --device cuda --out perf/gpu/results/memory-plan.json

On a CPU operations are watched, on a GPU its allocator is asked. Rows as in perf/step_time.py; each in its own process.
The first step is measured, and the peak of a second one, which finds the optimiser's moments and no gradients.
"""

import argparse
import json
import sys
from typing import Any

import torch
from step_time import LITTLE, MIDDLE, PATCHES, build, dialogues, row_arguments, run_rows

from llava_corr.config import load_config
from llava_corr.training.memory_log import StepMeter, compare
from llava_corr.training.model import loss_weights
from llava_corr.training.zero import Zero

# name -> configuration files, overrides
ROWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "little": (("tiny/calico.yaml",), (*MIDDLE, *LITTLE)),
    "Calico": (("tiny/calico.yaml",), MIDDLE),
    "Calico, checkpointing": (("tiny/calico.yaml",), (*MIDDLE, "training.gradient_checkpointing=true")),
    "patch tokens": (("tiny/calico.yaml",), (*MIDDLE, *PATCHES)),
    "calico": (("calico.yaml",), ()),
    "glamm": (("baselines/glamm.yaml",), ()),
    "lisa": (("baselines/lisa.yaml",), ()),
}
SHOWN = ("Calico", "Calico, checkpointing", "patch tokens")


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One row: a first step, and the peak of a second."""
    files, overrides = ROWS[name]
    config = load_config(files, [*overrides, f"training.bf16={str(args.bf16).lower()}"])
    made, pictures = dialogues(args.batch_size, args.images, args.masks, args.words, 640 if args.cuda else 256)
    model, processor = build(
        config, "cuda" if args.cuda else "cpu", [t for d in made for turn in d.turns for t in turn if t]
    )
    model.loss_weights = loss_weights(config.training.losses)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    meters = StepMeter(), StepMeter()
    for meter in meters:
        batch = processor(made, pictures)
        batch = {k: v.to("cuda") if args.cuda else v for k, v in batch.items()}
        with meter.micro_step():
            meter.forward_begins(model, batch)
            with torch.autocast("cuda" if args.cuda else "cpu", torch.bfloat16, enabled=args.bf16):
                output = model(**batch)
            meter.forward_is_done()
            loss = output.loss
            del output  # as the trainer does
            loss.backward()
        meter.gradients_are_there(model)
        optimiser.step()
        optimiser.zero_grad()
        meter.step_is_done(optimiser, model)
        del loss
    first, second = meters
    found = compare(config, model.config, first, Zero(), 1)
    del found["bytes"]["buffers"]  # one process has none
    for row in found["bytes"].values():
        row["planned_over_measured"] = round(row["planned"] / row["measured"], 4)
    return found | {"peak_of_the_second_step": second.bytes["peak"]}


def main() -> None:
    args = row_arguments(__doc__, ROWS, SHOWN).parse_args()
    args.cuda = args.device == "cuda"
    if args.one:
        sys.stdout.write(json.dumps(measure(args.one, args)))
        return
    run_rows(__file__, args, ("batch_size", "images", "masks", "words"))


if __name__ == "__main__":
    main()
