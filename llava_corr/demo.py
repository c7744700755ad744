"""``llava-corr demo``: from an empty folder to the page of pictures, every stage by its own public command.

world -> data -> cache -> train -> predict (the last three again for a blind model) -> baseline -> score -> anatomy ->
report. Training is Calico's recipe from the tiny pretrained twins in data/zoo, on kinds of things that they have seen
in other pictures.
A stage that is finished is not repeated; what a stage prints goes to ``logs/``, what is shown is one progress line.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from .stage_process import TOOL, TRAIN
from .stages import (
    MODEL,
    Spent,
    Stage,
    as_value,
    check_configurations,
    overrides,
    refuse_overrides,
    run_stages,
    time_budget,
    whole_number,
)
from .training.cache_command import WHOLE
from .training.runs import update_run
from .zoo.recipe import load_recipe

logger = logging.getLogger(__name__)
# What --set may not change -> how to have it otherwise.
GIVEN = {
    "name": "leave it out: the page reads the runs by their names",
    "output_dir": "--out",
    **dict.fromkeys(("data.train", "data.features"), "leave it out: scripts/train.py trains on data of your own"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of everything the demo makes")
    parser.add_argument("--images", type=whole_number, default=600, help="training pictures of each flavour")
    parser.add_argument("--train-samples", type=whole_number, default=8000, help="training dialogues")
    parser.add_argument("--test-samples", type=whole_number, default=240, help="scored dialogues")
    parser.add_argument("--seed", type=int, default=1, help="of the world, the samples and the trainings")
    parser.add_argument("--minutes", type=time_budget, default=7.0, help="time budget of training")
    parser.add_argument("--blind-minutes", type=time_budget, default=1.0, help="that of the blind model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override for all trainings")


def plan(args: argparse.Namespace) -> list[Stage]:
    """The stages with their commands."""
    out: Path = args.out
    world, data = out / "world", out / "mixedparts"
    test = str(data / "test.jsonl")
    stages = [
        Stage("world", _world(world, args.images, args.seed), world / "world.json"),
        Stage("data: train", _data(world, data, "train", args.train_samples, args.seed), data / "train.jsonl"),
        Stage("data: test", _data(world, data, "test", args.test_samples, args.seed), data / "test.jsonl"),
    ]
    for name, minutes in (("calico", args.minutes), ("blind", args.blind_minutes)):
        run, features = out / f"tiny-{name}", out / f"features-{name}"
        own = [
            f"data.features={as_value(features)}",
            f"seed={args.seed}",
            f"training.max_minutes={minutes:.3g}",
            *args.set,
        ]
        config = _experiment(out, data, name, own)
        predictions = run / "predictions.jsonl"
        stages += [
            Stage(f"features: {name}", [TOOL, "cache", *config], features / WHOLE),
            Stage(f"train: {name}", [*TRAIN, *config], run / MODEL),
            Stage(
                f"predict: {name}",
                [TOOL, "predict", "--run", str(run), "--samples", test, "--out", str(predictions)],
                predictions,
            ),
        ]
    prior = out / "prior-only" / "predictions.jsonl"
    fit = ["--train", str(data / "train.jsonl"), "--samples", test, "--out", str(prior)]
    stages.append(Stage("baseline: prior-only", [TOOL, "baseline", "prior-only", *fit], prior))
    for name, folder in (("Calico (tiny)", "tiny-calico"), ("blind", "tiny-blind"), ("prior-only", "prior-only")):
        scores = out / folder / "scores.json"
        answers = ["--samples", test, "--predictions", str(out / folder / "predictions.jsonl")]
        against = [] if folder == "prior-only" else ["--against", str(prior), "--against-name", "prior-only"]
        command = [TOOL, "score", *answers, "--name", name, *against, "--out", str(scores)]
        stages.append(Stage(f"score: {name}", command, scores))
    hidden, anatomy = world / "occlusion_test.jsonl", out / "tiny-calico" / "anatomy.json"
    stages += [
        Stage("occlusion", [TOOL, "world", "--occlusion", str(world), "--split", "test"], hidden),
        Stage("anatomy: Calico (tiny)", _anatomy(out, data, hidden, anatomy), anatomy),
        Stage("report", _report(out, world), out / "report.html"),
    ]
    return stages


def _world(world: Path, images: int, seed: int) -> list[str]:
    counts = ["--train", str(images), "--val", "0", "--test", "100", "--seed", str(seed)]
    return [TOOL, "world", "--out", str(world), *counts, "--only", *load_recipe("tiny/zoo.yaml").world.kinds]


def _data(world: Path, data: Path, split: str, count: int, seed: int) -> list[str]:
    where = ["--world", str(world), "--out", str(data), "--seed", str(seed)]
    return [TOOL, "data", *where, "--split", split, "--count", str(count)]


def _experiment(out: Path, data: Path, name: str, own: Sequence[str]) -> list[str]:
    """The words by which caching and training know an experiment."""
    sets = [f"data.train={as_value(data / 'train.jsonl')}", f"output_dir={as_value(out)}", *own]
    return ["--config", f"tiny/{name}.yaml", *overrides(sets)]


def _anatomy(out: Path, data: Path, hidden: Path, anatomy: Path) -> list[str]:
    files = ["--samples", str(data / "test.jsonl"), "--predictions", str(out / "tiny-calico" / "predictions.jsonl")]
    known = ["--train", str(data / "train.jsonl"), "--occlusion", str(hidden)]
    return [TOOL, "anatomy", *files, *known, "--name", "Calico (tiny)", "--out", str(anatomy)]


def _report(out: Path, world: Path) -> list[str]:
    scores = [f"{out / folder / 'scores.json'}" for folder in ("tiny-calico", "tiny-blind", "prior-only")]
    difficulty = ["--difficulty", str(world / "difficulty.json")] if (world / "difficulty.json").exists() else []
    command = ["--run", str(out / "tiny-calico"), "--scores", *scores, *difficulty, "--command-line", "make demo"]
    return [TOOL, "report", *command, "--out", str(out / "report.html")]


def run(args: argparse.Namespace) -> int:
    out: Path = args.out

    def before(stage: Stage, spent: Spent) -> None:
        if stage.name == "report":
            update_run(out / "tiny-calico", stage_seconds=spent.seconds, peak_memory_gb=spent.memory)

    refuse_overrides(args.set, GIVEN)
    check_configurations(plan(args))
    spent = run_stages(lambda: plan(args), out, before=before)
    logger.info("stages: %s", ", ".join(f"{name} {value:.0f} s" for name, value in spent.seconds.items()))
    logger.info("total %.1f min; the page is %s", spent.minutes, out / "report.html")
    return 0
