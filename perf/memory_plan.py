"""What a training step was planned to take beside what it takes: bytes of tensors. Random weights.

python perf/memory_plan.py --out perf/memory_plan.json
python perf/memory_plan.py --rows calico glamm lisa --device cuda --out perf/gpu/results/memory-plan.json

On a CPU operations are watched, on a GPU its allocator is asked. Rows as in perf/step_time.py; each in its own process.
The first step is measured, and the peak of a second one, which finds the optimiser's moments and no gradients.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from step_time import LITTLE, MIDDLE, PATCHES, build, dialogues

from llava_corr.config import load_config
from llava_corr.files import write_json
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=SHOWN)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--masks", type=int, default=4)
    parser.add_argument("--words", type=int, default=30, help="words of an answer besides its phrases")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=ROWS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.cuda = args.device == "cuda"
    if args.one:
        sys.stdout.write(json.dumps(measure(args.one, args)))
        return
    names = ("device", "batch_size", "images", "masks", "words")
    words = [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in names]
    rows = {}
    for name in args.rows:
        command = [sys.executable, __file__, "--one", name, *words, "--bf16" if args.bf16 else "--no-bf16"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows[name] = json.loads(done.stdout)
        print(f"{name}: {json.dumps(rows[name]['bytes'])}, second step {rows[name]['peak_of_the_second_step']}")
    machine = torch.cuda.get_device_name() if args.cuda else "CPU"
    settings = {name: getattr(args, name) for name in (*names, "bf16")}
    if args.out:
        write_json(args.out, {"machine": machine, "torch": torch.__version__, "settings": settings, "rows": rows})


if __name__ == "__main__":
    main()
