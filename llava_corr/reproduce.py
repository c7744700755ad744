"""``llava-corr reproduce``: the paper's tables in miniature, on the embedded world, from the tiny twins in data/zoo.

world -> data -> features -> main row -> for every seed and row: (align) -> train -> predict -> score -> baselines.
Every step is a public command and finished ones are not repeated. Compared rows share steps, order of the data and
test pairs, and each is scored against Calico of its seed, paired. ``llava-corr tables`` makes the tables.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import read_json, write_json
from .reproduce_order import CLAIMS
from .stages import MODEL, TOOL, TRAIN, Stage, StageError, overrides, run_stages
from .training.cache_command import WHOLE
from .zoo.recipe import load_recipe

logger = logging.getLogger(__name__)

BASE, ZOO = "tiny/calico.yaml", "data/zoo"


@dataclass(frozen=True)
class Row:
    """A trained row of a table.

    Attributes:
        overlays: laid over tiny/calico.yaml.
        patches: its visual tokens are patches; the zoo's projection is of Q-Former tokens, so a new one is aligned.
        blind: it sees grey pictures.
    """

    overlays: tuple[str, ...] = ()
    patches: bool = False
    blind: bool = False


ROWS = {
    "calico": Row(),
    "no_qformer": Row(("ablations/no_qformer.yaml",), patches=True),
    "no_dino": Row(("ablations/no_dino.yaml",)),
    "no_cem": Row(("ablations/no_cem.yaml",)),
    "no_cam": Row(("ablations/no_cam.yaml",)),
    "neither": Row(("ablations/neither.yaml",)),
    "one_cam": Row(("ablations/one_cam.yaml",)),
    "three_cams": Row(("ablations/three_cams.yaml",)),
    "glamm": Row(("tiny/glamm.yaml",), patches=True),
    "lisa": Row(("tiny/lisa.yaml",), patches=True),
    "blind": Row(blind=True),
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
CASCADE = ("--chat", "simulated:0.1,0.1", "--llm", "simulated", "--segmenter", f"model:{ZOO}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="folder of everything that is made")
    parser.add_argument(
        "--rows", nargs="*", choices=list(ROWS), default=list(ROWS), help="trained rows beside Calico's (default: all)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--images", type=int, default=1500, help="training pictures per flavour")
    parser.add_argument("--train-samples", type=int, default=24000)
    parser.add_argument("--test-images", type=int, default=500, help="test pictures per flavour")
    parser.add_argument("--test-samples", type=int, default=1500, help="test pairs; other test sets have a third of it")
    parser.add_argument("--steps", type=int, default=600, help="of every compared row")
    parser.add_argument("--align-steps", type=int, default=400, help="for rows whose visual tokens are patches")
    parser.add_argument("--main-steps", type=int, default=4000, help="of the main row, which is compared with no other")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override for all trainings")


def run(args: argparse.Namespace) -> int:
    write_specs(args.out)
    spent = run_stages(lambda: plan(args), args.out)
    logger.info("total %.1f min; scores are in %s; llava-corr tables makes the tables", spent.minutes, args.out)
    return 0


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
    stages = [*_data(args), _features(args, "features"), *_main(args)]
    if "blind" in args.rows:
        stages.append(_features(args, "features-blind", "data.blind=true"))
    for seed in args.seeds:
        for name in dict.fromkeys(["calico", *args.rows]):
            stages += _row(args, name, ROWS[name], seed)
        stages += _comparisons(args, seed)
    return [*stages, *_baselines(args)]


def _data(args: argparse.Namespace) -> list[Stage]:
    world, data = args.out / "world", args.out / "data"
    tests = ["--test", str(args.test_images), "--unseen-test", str(args.test_images // 3)]
    kinds = load_recipe("tiny/zoo.yaml").world.kinds  # what the twins have learned to see, in other pictures
    counts = ["--train", str(args.images), "--val", "0", *tests, "--seed", "1", "--only", *kinds]
    stages = [Stage("world", [TOOL, "world", "--out", str(world), *counts], world / "world.json")]

    def build(name: str, root: Path, split: str, count: int, spec: Sequence[str] = ()) -> Stage:
        where = ["--world", str(root), "--out", str(data / name), "--seed", "1"]
        command = [TOOL, "data", *where, "--split", split, "--count", str(count), *spec]
        return Stage(f"data: {name}", command, data / name / f"{split}_build.json")

    stages.append(build("train", world, "train", args.train_samples))
    count = ["--count", str(16 * args.align_steps), "--out", str(data / "alignment"), "--seed", "1"]
    command = [TOOL, "data", "--dataset", "grand", "--world", str(world), "--split", "train", *count]
    stages.append(Stage("data: alignment", command, data / "alignment" / "train_build.json"))
    for name in TESTS:
        count = args.test_samples if name == "pairs" else args.test_samples // 3
        spec = ["--spec", str(args.out / "specs" / f"{name}.json")]
        stages.append(build(name, world / "unseen" if name == "unseen" else world, "test", count, spec))
    return stages


def _asked(args: argparse.Namespace, test: str) -> str:
    return str(args.out / "data" / test / "test.jsonl")


def _training_samples(args: argparse.Namespace) -> Path:
    return args.out / "data" / "train" / "train.jsonl"


def _single_pictures(args: argparse.Namespace) -> Path:
    return args.out / "data" / "alignment" / "train.jsonl"


def _sets(args: argparse.Namespace, *own: str) -> list[str]:
    values = [
        f"data.train={_training_samples(args)}",
        f"data.features={args.out / 'features'}",
        f"output_dir={args.out}",
        *args.set,
        *own,
    ]
    return overrides(values)


def _features(args: argparse.Namespace, name: str, *own: str) -> Stage:
    """Of every training picture, as all towers see it: rows without DINOv2 leave its features alone."""
    folder, single = args.out / name, _single_pictures(args)
    sets = _sets(args, f"data.features={folder}", f"data.validation={single}", *own)
    command = [TOOL, "cache", "--config", BASE, *sets]
    return Stage(name, command, folder / WHOLE)


def _main(args: argparse.Namespace) -> list[Stage]:
    """The longer run of Calico, on all test sets, and on the pairs the other way round."""
    sets = _sets(args, "name=main", f"training.max_steps={args.main_steps}")
    stages = [_training("main", [BASE], sets, args.out / "main")]
    for test in TESTS:
        stages += _answers(args, "main", test)
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
    own = [f"name={name}", f"seed={seed}", f"training.max_steps={args.steps}"]
    stages = []
    if row.patches:
        stages.append(_align(args, name, row, seed))
        own.append(f"model.weights={args.out / f'{name}-align' / 'model'}")
    if row.blind:
        own += ["data.blind=true", f"data.features={args.out / 'features-blind'}"]
    stages.append(_training(name, [BASE, *row.overlays], _sets(args, *own), args.out / name))
    return [*stages, *_answers(args, name, "pairs", None if key == "calico" else f"calico-{seed}")]


def _comparisons(args: argparse.Namespace, seed: int) -> list[Stage]:
    """Of the rows that the paper compares with each other, beside those with Calico."""
    stages = []
    for claim in CLAIMS:
        if claim.better != "calico" and {claim.better, claim.worse} <= set(args.rows):
            first, second = (f"{row}-{seed}" for row in (claim.better, claim.worse))
            target = claim.file(args.out / "scores", seed)
            stages.append(_score(args, first, "pairs", args.out / first / "pairs.jsonl", second, target))
    return stages


def _align(args: argparse.Namespace, name: str, row: Row, seed: int) -> Stage:
    """The projection of patches alone learns on single pictures with captions, as the released models' has."""
    own = [f"name={name}-align", f"seed={seed}", f"training.max_steps={args.align_steps}", "training.lora=null"]
    own += ["training.trainable=[visual_tokens.projection]", f"model.weights={ZOO}", "data.picture_groups=1"]
    own += ["training.learning_rate=1.0e-3", f"data.train={_single_pictures(args)}"]
    return _training(f"{name}-align", [BASE, *row.overlays], _sets(args, *own), args.out / f"{name}-align")


def _training(name: str, configs: Sequence[str], sets: Sequence[str], folder: Path) -> Stage:
    command = [*TRAIN, "--config", *configs, *sets]
    return Stage(f"train: {name}", command, folder / MODEL)


def _predict(args: argparse.Namespace, name: str, samples: str, out: Path) -> list[str]:
    return [TOOL, "predict", "--run", str(args.out / name), "--samples", samples, "--out", str(out)]


def _answers(args: argparse.Namespace, name: str, test: str, against: str | None = None) -> list[Stage]:
    out = args.out / name / f"{test}.jsonl"
    predict = Stage(f"predict: {name} {test}", _predict(args, name, _asked(args, test), out), out)
    return [predict, _score(args, name, test, out, against)]


def _score(
    args: argparse.Namespace, name: str, test: str, predictions: Path, against: str | None, extra: Path | None = None
) -> Stage:
    """Scores of a row; or, in a file of its own (``extra``), once more against another row."""
    title = f"score: {name} against {against}" if extra else f"score: {name} {test}"
    scores = extra or args.out / "scores" / f"{name}-{test}.json"
    command = [TOOL, "score", "--samples", _asked(args, test), "--predictions", str(predictions)]
    command += ["--name", name, "--out", str(scores)]
    if against:
        command += ["--against", str(args.out / against / f"{test}.jsonl"), "--against-name", against]
    return Stage(title, command, scores)


def _baselines(args: argparse.Namespace) -> list[Stage]:
    """What answers without a training here, scored against Calico of the first seed."""
    asked, out, baseline = ["--samples", _asked(args, "pairs")], args.out / "baselines", [TOOL, "baseline"]
    detections, replies = out / "detections.jsonl", out / "replies"
    detect = ["simulate-detector", "--world", str(args.out / "world"), "--split", "test", *asked, *DETECTOR]
    label_set = ["label-set", "--detections", str(detections), *asked]
    commands = {
        "prior-only": ["prior-only", "--train", str(_training_samples(args)), *asked],
        "label-set-all-parts": [*label_set, "--rule", "all-parts"],
        "label-set-main-object": [*label_set, "--rule", "main-object"],
        "cascade": ["cascade", *CASCADE, "--replies", str(replies), *asked],
    }
    stages = [Stage("detector", [*baseline, *detect, "--out", str(detections)], detections)]
    for name, command in commands.items():
        answers = out / f"{name}.jsonl"
        stages.append(Stage(f"predict: {name} pairs", [*baseline, *command, "--out", str(answers)], answers))
        stages.append(_score(args, name, "pairs", answers, f"calico-{args.seeds[0]}"))
    return stages
