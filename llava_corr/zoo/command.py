"""``llava-corr zoo``: trains the tiny twins of the released towers, stage by stage, and writes their folder.

world -> pictures -> cells -> masks, vision, semantic, expert -> words -> start -> alignment -> release. Each stage is
a command of its own (``--stage NAME``); without one, all that are not finished run in order.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from ..files import read_json, write_json
from ..stage_process import TOOL, TRAIN
from ..stages import (
    MODEL,
    Stage,
    StageError,
    as_value,
    check_configurations,
    overrides,
    run_stages,
)
from ..training.cache_command import WHOLE
from .recipe import ZooRecipe, check_sizes, load_recipe

logger = logging.getLogger(__name__)

# stage -> "module:function" of (recipe, out) that returns what it measured; each leaves measures/NAME.json when done
STAGES = {
    "pictures": "data:make_pictures",
    "cells": "towers_training:train_cells",
    "masks": "towers_training:train_masks",
    "vision": "towers_training:train_vision",
    "semantic": "towers_training:train_semantic",
    "expert": "towers_training:train_expert",
    "words": "trunk_training:train_words",
    "start": "assembling:assemble",
    "release": "assembling:release",
}
TOWERS = tuple(STAGES)[:-1]  # each rests on those before
ALIGNED = "tiny-calico-align"  # the alignment stage's run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="tiny/zoo.yaml", help="the recipe (default: tiny/zoo.yaml)")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="folder of everything that is made")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the recipe")
    parser.add_argument("--stage", choices=list(STAGES), help="only this one")


def run(args: argparse.Namespace) -> int:
    if args.stage:
        return _one(args)
    check_configurations(plan(args))
    recipe = load_recipe(args.config, args.set)
    check_sizes(recipe)
    keep_recipe(recipe, args.out)
    spent = run_stages(lambda: plan(args), args.out)
    logger.info("total %.1f min; the twins are in %s", spent.minutes, args.out / "zoo")
    return 0


def _one(args: argparse.Namespace) -> int:
    module, function = STAGES[args.stage].split(":")
    work: Callable[..., dict[str, float]] = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    started = time.monotonic()
    recipe = load_recipe(args.config, args.set)
    check_recipe(recipe, args.out)
    before = list(STAGES)[: list(STAGES).index(args.stage)]
    if undone := [name for name in before if not _done(args.out, name).exists()]:
        raise StageError(
            f"the stage {args.stage} rests on {', '.join(undone)}, not done yet",
            where=str(args.out),
            mend="run them first; without --stage all are run in order",
        )
    measured = work(recipe, args.out)
    keep_recipe(recipe, args.out)
    logger.info("%s: %s", args.stage, measured)
    write_json(_done(args.out, args.stage), {"seconds": round(time.monotonic() - started, 1), **measured})
    return 0


def keep_recipe(recipe: ZooRecipe, out: Path) -> None:
    """Writes the recipe into the folder, for :func:`check_recipe`."""
    check_recipe(recipe, out)
    write_json(out / "recipe.json", recipe.model_dump(mode="json"))


def check_recipe(recipe: ZooRecipe, out: Path) -> None:
    """Twins of several recipes are not mixed.

    Raises:
        StageError: the folder is of another recipe.
    """
    path, values = out / "recipe.json", recipe.model_dump(mode="json")
    if not path.exists() and measures(out):
        logger.warning("%s does not say by which recipe its twins were begun; this one is taken for it", out)
    if path.exists() and (earlier := read_json(path, StageError)) != values:
        changed = [name for name in {**earlier, **values} if earlier.get(name) != values.get(name)]
        raise StageError(
            f"these twins were begun by another recipe; what differs: {', '.join(changed)}",
            where=str(path),
            mend="choose another folder (--out), or remove this one",
        )


def _done(out: Path, stage: str) -> Path:
    return out / "measures" / f"{stage}.json"


def measures(out: Path) -> dict[str, dict[str, float]]:
    """What every finished stage measured."""
    return {stage: read_json(_done(out, stage), StageError) for stage in STAGES if _done(out, stage).exists()}


def seconds(out: Path) -> dict[str, float]:
    """What every stage took, all tries together; of those that ran by themselves (``--stage``), the last one."""
    alone = {stage: found["seconds"] for stage, found in measures(out).items() if "seconds" in found}
    path = out / "stages.json"
    noted: dict[str, float] = read_json(path, StageError).get("stage_seconds", {}) if path.exists() else {}
    return alone | noted


def plan(args: argparse.Namespace) -> list[Stage]:
    """The stages with their commands."""
    out: Path = args.out
    recipe = load_recipe(args.config, args.set)
    sets = overrides(args.set)

    def own(name: str, *after: str) -> Stage:
        command = [TOOL, "zoo", "--config", args.config, "--out", str(out), *sets, "--stage", name]
        return Stage(name, command, _done(out, name), after)

    world, captions = out / "world", out / "alignment"
    counts = ["--train", str(recipe.world.images), "--val", str(recipe.world.held_out), "--test", "0"]
    kinds = ["--seed", str(recipe.world.seed), "--only", *recipe.world.kinds]
    grand = ["--dataset", "grand", "--world", str(world), "--split", "train", "--count", str(recipe.captions)]
    align = [
        "--config", recipe.alignment,
        *overrides((
            f"name={ALIGNED}",
            f"data.train={as_value(captions / 'train.jsonl')}", f"model.weights={as_value(out / 'start')}",
            f"output_dir={as_value(out)}",
            f"data.features={as_value(out / 'features')}", f"training.max_steps={recipe.align_steps}",
        )),
    ]  # fmt: skip
    return [
        Stage("world", [TOOL, "world", "--out", str(world), *counts, *kinds], world / "world.json"),
        *(own(name, "world", *TOWERS[:k]) for k, name in enumerate(TOWERS)),
        Stage("captions", [TOOL, "data", *grand, "--out", str(captions)], captions / "train_build.json"),
        Stage("features", [TOOL, "cache", *align], out / "features" / WHOLE),
        Stage("align", [*TRAIN, *align], out / ALIGNED / MODEL, ("start",)),
        own("release", *TOWERS, "align"),
    ]
