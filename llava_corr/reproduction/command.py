"""``llava-corr reproduce``: the paper's tables in miniature, on the embedded world, from the tiny twins in data/zoo.

world -> data -> features -> main row -> for every seed and row: (align) -> train -> predict -> score -> baselines.
Every step is a public command and finished ones are not repeated. Compared rows share steps, order of the data and
test pairs, and each is scored against Calico of its seed, paired. ``llava-corr tables`` makes the tables.

A row needs none but Calico of its seed; rows and seeds may be asked for one by one, in any order.
"""

from __future__ import annotations

import argparse
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import load_config
from ..experiment import ExperimentConfig
from ..files import find_shipped, read_json, write_json
from ..stage_process import TOOL, TRAIN
from ..stages import (
    MODEL,
    Stage,
    StageError,
    as_value,
    check_configurations,
    overrides,
    refuse_overrides,
    run_stages,
    whole_number,
)
from ..training.cache_command import WHOLE
from ..zoo.recipe import load_recipe
from .order import CLAIMS, noise_file
from .rows import BASELINES, CHOICES, MAIN, ROWS, Row, own_rows

logger = logging.getLogger(__name__)

BASE = "tiny/calico.yaml"
SAVED = 100  # steps that a row loses at most when it is killed
# What --set may not change -> how to have it otherwise.
GIVEN = {
    "name": "rows have names of their own: --own-row",
    "seed": "--seeds",
    "output_dir": "--out",
    "training.max_steps": "--steps, --align-steps, --main-steps",
    "model.weights": "--zoo FOLDER",
    **dict.fromkeys(("data.train", "data.validation", "data.features", "data.blind"), "leave it out"),
}

# test set -> what its MixedParts spec says besides the paper's
TESTS: dict[str, dict[str, Any]] = {
    "pairs": {"set_share": 0.0, "none_share": 0.0},
    "sets": {"set_share": 1.0, "none_share": 0.0},
    "none": {"set_share": 0.0, "none_share": 1.0},
    "unseen": {"set_share": 0.0, "none_share": 0.0},
}
# simulated, of the quality that `baseline simulate-detector` measures beside its file
DETECTOR = ("--miss-small", "0.3", "--miss-large", "0.05", "--wrong-name", "0.05", "--false-positives", "0.5",
            "--mask-iou", "0.85", "--score-noise", "0.1")  # fmt: skip
CASCADE = ("--chat", "simulated:0.1,0.1", "--llm", "simulated")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of everything that is made")
    parser.add_argument(
        "--rows", nargs="+", choices=CHOICES, default=list(CHOICES), metavar="ROW",
        help=f"what to make beside Calico's compared rows (default: all): {', '.join(CHOICES)}",
    )  # fmt: skip
    parser.add_argument(
        "--own-row", action="append", default=[], metavar="NAME=FILE[,FILE]",
        help="a row of your own: configuration files laid over tiny/calico.yaml (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--zoo", default="data/zoo", help="the twins that everything starts from (default: data/zoo)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="of the compared rows (default: 0 1)")
    for name, value, meaning in (
        ("images", 1500, "training pictures per flavour"),
        ("train-samples", 24000, "training dialogues"),
        ("test-images", 500, "test pictures per flavour"),
        ("test-samples", 1500, "test pairs; other test sets have a third of it"),
        ("steps", 400, "steps of every compared row"),
        ("align-steps", 300, "steps for a projection of its own"),
        ("main-steps", 3000, "steps of the main row, which is compared with no other"),
    ):
        parser.add_argument(
            f"--{name}", type=whole_number, default=value, metavar="N", help=f"{meaning} (default: {value})"
        )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override for all trainings")


def run(args: argparse.Namespace) -> int:
    refuse_overrides(args.set, GIVEN)
    if not Path(find_shipped(args.zoo), "config.json").is_file():
        raise StageError("there is no model", where=str(args.zoo), mend="--zoo FOLDER, what llava-corr zoo makes")
    check_configurations(plan(args))
    _check_own_rows(args)
    write_specs(args.out)
    spent = run_stages(lambda: plan(args), args.out)
    logger.info("total %.1f min; scores are in %s; llava-corr tables makes the tables", spent.minutes, args.out)
    return 0


def _check_own_rows(args: argparse.Namespace) -> None:
    """Rows of a user's own change nothing that all rows share, or that the work gives them.

    Raises:
        StageError: one does.
    """
    for name, row in own_rows(args.own_row).items():
        plain, own = (load_config([BASE, *overlays], args.set) for overlays in ((), row.overlays))
        changed = [key for key in (*GIVEN, "data") if key != "name" and _value(plain, key) != _value(own, key)]
        if _dialogues(plain) != _dialogues(own):
            changed.append(f"the dialogues of a step ({_dialogues(own)} instead of {_dialogues(plain)})")
        if changed:
            raise StageError(
                f"--own-row {name} changes what all rows share: {', '.join(changed)}",
                where=", ".join(row.overlays),
                mend="; ".join(["leave that out of its files", *(GIVEN[key] for key in changed if key in GIVEN)]),
            )


def _value(config: ExperimentConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


def _dialogues(config: ExperimentConfig) -> int:
    return config.training.batch_size * config.training.gradient_accumulation


def write_specs(out: Path) -> None:
    """The spec of every test set.

    Raises:
        StageError: there are other ones already.
    """
    for name, values in TESTS.items():
        path = out / "specs" / f"{name}.json"
        if path.exists() and read_json(path, StageError) != values:
            raise StageError("the spec differs from today's", where=str(path), mend="choose another folder (--out)")
        write_json(path, values)


def plan(args: argparse.Namespace) -> list[Stage]:
    """The stages with their commands."""
    stages = [*_data(args), _features(args, "features")]
    if MAIN in args.rows:
        stages += _main(args)
    if "blind" in args.rows:
        stages.append(_features(args, "features-blind", "data.blind=true"))
    rows = {name: ROWS[name] for name in args.rows if name in ROWS} | own_rows(args.own_row)
    if args.rows != [MAIN] or rows:
        for seed in args.seeds:
            for name, row in ({"calico": ROWS["calico"]} | rows).items():
                stages += _row(args, name, row, seed)
        stages += _comparisons(args)
    return [*stages, *(_baselines(args) if BASELINES in args.rows else [])]


def _data(args: argparse.Namespace) -> list[Stage]:
    world, data = args.out / "world", args.out / "data"
    tests = ["--test", str(args.test_images), "--unseen-test", str(_third(args.test_images))]
    kinds = load_recipe("tiny/zoo.yaml").world.kinds  # what the twins have learned to see, in other pictures
    counts = ["--train", str(args.images), "--val", "0", *tests, "--seed", "1", "--only", *kinds]
    stages = [Stage("world", [TOOL, "world", "--out", str(world), *counts], world / "world.json")]

    def build(name: str, root: Path, split: str, size: int, spec: Sequence[str] = ()) -> Stage:
        where = ["--world", str(root), "--out", str(data / name), "--seed", "1"]
        command = [TOOL, "data", *where, "--split", split, "--count", str(size), *spec]
        return Stage(f"data: {name}", command, data / name / f"{split}_build.json")

    stages.append(build("train", world, "train", args.train_samples))
    size = ["--count", str(16 * args.align_steps), "--out", str(data / "alignment"), "--seed", "1"]
    command = [TOOL, "data", "--dataset", "grand", "--world", str(world), "--split", "train", *size]
    stages.append(Stage("data: alignment", command, data / "alignment" / "train_build.json"))
    for name in TESTS:
        count = args.test_samples if name == "pairs" else _third(args.test_samples)
        spec = ["--spec", str(args.out / "specs" / f"{name}.json")]
        stages.append(build(name, world / "unseen" if name == "unseen" else world, "test", count, spec))
    return stages


def _third(count: int) -> int:
    return max(1, count // 3)


def _asked(args: argparse.Namespace, test: str) -> str:
    return str(args.out / "data" / test / "test.jsonl")


def _training_samples(args: argparse.Namespace) -> Path:
    return args.out / "data" / "train" / "train.jsonl"


def _single_pictures(args: argparse.Namespace) -> Path:
    return args.out / "data" / "alignment" / "train.jsonl"


def _sets(args: argparse.Namespace, *own: str) -> list[str]:
    values = [
        f"data.train={as_value(_training_samples(args))}",
        f"data.features={as_value(args.out / 'features')}",
        f"output_dir={as_value(args.out)}",
        f"model.weights={as_value(args.zoo)}",
        f"training.save_steps={SAVED}",
        *args.set,
        *own,
    ]
    return overrides(values)


def _features(args: argparse.Namespace, name: str, *own: str) -> Stage:
    """Of every training picture, as all towers see it: rows without DINOv2 leave its features alone."""
    folder, single = args.out / name, _single_pictures(args)
    sets = _sets(args, f"data.features={as_value(folder)}", f"data.validation={as_value(single)}", *own)
    command = [TOOL, "cache", "--config", BASE, *sets]
    return Stage(name, command, folder / WHOLE)


def _main(args: argparse.Namespace) -> list[Stage]:
    """The longer run of Calico, on all test sets, on the pairs the other way round, and drawing the true answers."""
    sets = _sets(args, "name=main", f"training.max_steps={args.main_steps}")
    stages = [_training("main", [BASE], sets, args.out / "main")]
    for test in TESTS:
        stages += _answers(args, "main", test)
    drawn = args.out / "main" / "drawn.jsonl"
    command = [*_predict(args, "main", _asked(args, "pairs"), drawn), "--true-answers"]
    stages.append(Stage("predict: main-drawn pairs", command, drawn))
    scores = args.out / "scores" / "main-drawn-pairs.json"
    stages.append(_score(args, "main-drawn", drawn, scores, "main-drawn pairs", "main"))
    swapped, answers = args.out / "data" / "pairs" / "swapped.jsonl", args.out / "main" / "swapped.jsonl"
    compared, partner = args.out / "scores" / "swap.json", args.out / "scores" / "partner.json"
    pairs = ["--samples", _asked(args, "pairs"), "--predictions", str(args.out / "main" / "pairs.jsonl")]
    consistency = [TOOL, "consistency"]
    return [
        *stages,
        Stage(
            "swap", [*consistency, "swap-samples", "--samples", _asked(args, "pairs"), "--out", str(swapped)], swapped
        ),
        Stage("predict: main swapped", _predict(args, "main", str(swapped), answers), answers),
        Stage(
            "consistency: swap",
            [*consistency, "swap", *pairs, "--swapped", str(answers), "--out", str(compared)],
            compared,
        ),
        Stage("consistency: partner", [*consistency, "partner", *pairs, "--out", str(partner)], partner),
    ]


def _row(args: argparse.Namespace, key: str, row: Row, seed: int) -> list[Stage]:
    """Training, answers and scores of one row and seed."""
    name = f"{key}-{seed}"
    batches = _micro_batches(args) if row.patches else []
    own = [f"name={name}", f"seed={seed}", f"training.max_steps={args.steps}", *batches]
    if batches and not any(value.startswith("training.group_by_length=") for value in args.set):
        own.append("training.group_by_length=true")
    stages = []
    if row.aligned:
        stages.append(_align(args, name, row, seed, batches))
        own.append(f"model.weights={as_value(args.out / f'{name}-align' / 'model')}")
    if row.blind:
        own += ["data.blind=true", f"data.features={as_value(args.out / 'features-blind')}"]
    stages.append(_training(name, [BASE, *row.overlays], _sets(args, *own), args.out / name))
    return [*stages, *_answers(args, name, "pairs", None if key == "calico" else f"calico-{seed}")]


def _micro_batches(args: argparse.Namespace, parts: int = 4) -> list[str]:
    """The same dialogues a step, a quarter at a time: for long sequences a third of the memory, and faster."""
    training = load_config(BASE, args.set).training
    if training.batch_size % parts:
        return []
    size, count = training.batch_size // parts, training.gradient_accumulation * parts
    return [f"training.batch_size={size}", f"training.gradient_accumulation={count}"]


def _comparisons(args: argparse.Namespace) -> list[Stage]:
    """Of rows with another one than Calico, as soon as both are there; and of Calico with the first seed's, to see what
    a seed is worth."""
    asked = {f"{row}-{seed}" for row in {"calico", *args.rows} for seed in args.seeds}
    there = {path.parent.name for path in args.out.glob("*-*/pairs.jsonl")}
    seeds = sorted({*args.seeds, *(int(seed) for name in there if (seed := name.removeprefix("calico-")).isdigit())})
    stages = []
    for seed in seeds:
        pairs = [
            ((f"{claim.better}-{seed}", f"{claim.worse}-{seed}"), claim.file(args.out / "scores", seed))
            for claim in CLAIMS
            if claim.better != "calico"
        ]
        pairs.append(((f"calico-{seed}", "calico-0"), noise_file(args.out / "scores", seed)))
        stages += [
            _score(args, first, args.out / first / "pairs.jsonl", target, f"{first} against {second}", second)
            for (first, second), target in pairs
            if first != second and {first, second} <= asked | there
        ]
    return stages


def _align(args: argparse.Namespace, name: str, row: Row, seed: int, batches: Sequence[str]) -> Stage:
    """The new projection alone learns on single pictures with captions."""
    own = [f"name={name}-align", f"seed={seed}", f"training.max_steps={args.align_steps}", "training.lora=null"]
    own += [
        "training.trainable=[visual_tokens.projection]",
        f"model.weights={as_value(args.zoo)}",
        "data.picture_groups=1",
    ]
    own += ["training.learning_rate=1.0e-3", f"data.train={as_value(_single_pictures(args))}", *batches]
    return _training(f"{name}-align", [BASE, *row.overlays], _sets(args, *own), args.out / f"{name}-align")


def _training(name: str, configs: Sequence[str], sets: Sequence[str], folder: Path) -> Stage:
    command = [*TRAIN, "--config", *configs, *sets]
    return Stage(f"train: {name}", command, folder / MODEL)


def _predict(args: argparse.Namespace, name: str, samples: str, out: Path) -> list[str]:
    return [TOOL, "predict", "--run", str(args.out / name), "--samples", samples, "--out", str(out)]


def _answers(args: argparse.Namespace, name: str, test: str, against: str | None = None) -> list[Stage]:
    out, scores = args.out / name / f"{test}.jsonl", args.out / "scores" / f"{name}-{test}.json"
    predict = Stage(f"predict: {name} {test}", _predict(args, name, _asked(args, test), out), out)
    return [predict, _score(args, name, out, scores, f"{name} {test}", against, test)]


def _score(
    args: argparse.Namespace,
    name: str,
    predictions: Path,
    scores: Path,
    title: str,
    against: str | None = None,
    test: str = "pairs",
) -> Stage:
    """Scores of the row ``name``, paired with those of the row ``against``."""
    command = [TOOL, "score", "--samples", _asked(args, test), "--predictions", str(predictions)]
    command += ["--name", name, "--out", str(scores)]
    if against:
        command += ["--against", str(args.out / against / f"{test}.jsonl"), "--against-name", against]
    return Stage(f"score: {title}", command, scores)


def _baselines(args: argparse.Namespace) -> list[Stage]:
    """What answers without a training here, scored against Calico of every seed."""
    asked, out, baseline = ["--samples", _asked(args, "pairs")], args.out / "baselines", [TOOL, "baseline"]
    detections, replies = out / "detections.jsonl", out / "replies"
    detect = ["simulate-detector", "--world", str(args.out / "world"), "--split", "test", *asked, *DETECTOR]
    label_set = ["label-set", "--detections", str(detections), *asked]
    commands = {
        "prior-only": ["prior-only", "--train", str(_training_samples(args)), *asked],
        "label-set-all-parts": [*label_set, "--rule", "all-parts"],
        "label-set-main-object": [*label_set, "--rule", "main-object"],
        "cascade": ["cascade", *CASCADE, "--segmenter", f"model:{args.zoo}", "--replies", str(replies), *asked],
    }
    stages = [Stage("detector", [*baseline, *detect, "--out", str(detections)], detections)]
    for name, command in commands.items():
        answers = out / f"{name}.jsonl"
        stages.append(Stage(f"predict: {name} pairs", [*baseline, *command, "--out", str(answers)], answers))
        for seed in args.seeds:
            row, scores = f"{name}-{seed}", args.out / "scores" / f"{name}-{seed}-pairs.json"
            stages.append(_score(args, row, answers, scores, f"{row} pairs", f"calico-{seed}"))
    return stages
