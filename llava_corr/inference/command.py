"""``llava-corr predict``: a prediction file for a samples file, or answers about some pictures.

    llava-corr predict --run runs/tiny-calico --samples test.jsonl --out p.jsonl --verify
    llava-corr predict --run runs/tiny-calico --images a.jpg b.jpg --ask "Which parts do they share?" --out answer.json

A prediction file that was cut off is continued by the same call. ``--verify`` asks for a handful of answers again, one
at a time; where they differ the exit status is 1 and ``llava-corr score`` refuses the file.
"""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..config import load_config
from ..errors import CheckpointError, ConfigError, LlavaCorrError, PredictionError
from ..experiment import ExperimentConfig, PredictionSection
from ..files import file_hash, find_shipped, read_json, refuse_overwriting, require_file, write_json
from ..record_files import read_samples, refuse_replacing
from ..records import ImageRef, Prediction, Sample

if TYPE_CHECKING:  # torch is loaded when the command runs
    from .prediction_file import Made, Settings
    from .predictor import Predictor

logger = logging.getLogger(__name__)

VERIFY = 4
ANSWER = {"schema_version", "images", "answers"}  # what a file of --images holds
# What decides an answer; batch size, device and version may differ between a file and its check.
DECIDING = ("model", "blind", "max_new_tokens", "dtype", "true_answers")
# What makes a finished file another one, not to be replaced without --restart.
ANOTHER = (*DECIDING, "samples")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``predict``."""
    model = parser.add_argument_group("the model")
    model.add_argument("--run", type=Path, help="run folder of training")
    model.add_argument("--model", metavar="FOLDER", help="model folder without its run, such as data/zoo or an export")
    model.add_argument("--base", metavar="FOLDER", help="where the base of trained parts lies now, if it was moved")
    model.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the model's numbers")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines to write; with --images a .json file")
    batch = parser.add_argument_group("a samples file")
    batch.add_argument("--samples", type=Path, help="samples file to answer")
    batch.add_argument("--limit", type=int, help="answer only the first samples")
    batch.add_argument("--batch-size", type=int, help="default: the run's configuration")
    batch.add_argument("--restart", action="store_true", help="predict anew, and replace what an earlier call has left")
    batch.add_argument(
        "--verify",
        type=int,
        nargs="?",
        const=VERIFY,
        default=0,
        metavar="N",
        help=f"ask for N answers again at batch size 1 (default {VERIFY}), also of a finished file",
    )
    batch.add_argument("--verify-seed", type=int, default=0, help="chooses the samples of --verify")
    batch.add_argument(
        "--true-answers",
        action="store_true",
        help="draw the masks of the true answers: what they are worth by themselves",
    )
    loose = parser.add_argument_group("some pictures")
    loose.add_argument("--images", type=Path, nargs="+", help="image files, IMAGE1 first")
    loose.add_argument(
        "--ask", action="append", metavar="QUESTION", help="in words, or a task such as common_parts; several times"
    )


def run(args: argparse.Namespace) -> int:
    """Predicts, and verifies if asked to; returns 1 where answers differ, else 0.

    Raises:
        LlavaCorrError: options that do not go together, files that cannot be read or written.
    """
    _check(args)
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # one line is enough
    return _about_pictures(args) if args.images else _about_samples(args)


def _check(args: argparse.Namespace) -> None:
    if bool(args.images) == bool(args.samples):
        mend = "--samples for a file of questions, --images a.jpg b.jpg --ask ... for pictures of your own"
        raise ConfigError("give either --samples FILE, or --images FILES with --ask QUESTION", mend=mend)
    if bool(args.images) != bool(args.ask):
        raise ConfigError("--images and --ask belong together", mend='--images a.jpg b.jpg --ask "Which parts ...?"')
    if bool(args.run) == bool(args.model):
        mend = "--run for what training left, --model for any other model folder"
        raise ConfigError("give either --run RUN or --model FOLDER", mend=mend)
    if args.images:
        if args.limit is not None or args.batch_size is not None or args.restart or args.verify or args.true_answers:
            raise ConfigError("--limit, --batch-size, --restart, --verify and --true-answers are for --samples")
        if args.out.suffix != ".json":
            raise ConfigError(f"--out {args.out}", mend="with --images name a .json file; the picture goes beside it")
    for name, value in (("--limit", args.limit), ("--batch-size", args.batch_size)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} {value}: it is counted from 1")
    if args.verify and args.true_answers:
        raise ConfigError("--verify asks for answers again, and --true-answers has none made", mend="leave one out")
    if args.verify < 0 or args.verify_seed < 0:
        raise ConfigError(f"--verify {args.verify} --verify-seed {args.verify_seed}", mend="neither is negative")


def _about_samples(args: argparse.Namespace) -> int:
    from ..benchmarks.verified import verdict_path
    from .prediction_file import made_path, partial_path, write_predictions

    written = (args.out, partial_path(args.out), made_path(args.out), verdict_path(args.out))
    refuse_overwriting([("--out", path) for path in written], [("--samples", args.samples)])
    require_file("--out", args.out)
    refuse_replacing(args.out, Prediction)
    blind, how = _answering(args)
    samples = read_samples(args.samples)[: args.limit]
    settings = _settings(args, how, len(samples), blind=blind)
    finished = not args.restart and _is_finished(args, samples, settings)
    if finished and not args.verify:
        return 0
    predictor = _load(args, how)
    if not finished:

        def answer(rest: Sequence[Sample]) -> Iterator[Prediction]:
            return predictor.predict(
                rest, batch_size=settings.batch_size, blind=settings.blind, true_answers=settings.true_answers
            )

        count = write_predictions(args.out, samples, settings, answer, restart=args.restart)
        logger.info("%d predictions in %s, %d of them by this call", len(samples), args.out, count)
    return _verify(args, predictor, samples, blind=settings.blind) if args.verify else 0


def _answering(args: argparse.Namespace) -> tuple[bool, PredictionSection]:
    """Whether the model is blind, and how answers are made: its run says so; a folder alone says neither."""
    if not args.run:
        return False, PredictionSection()
    config = _configuration(args.run)
    return config.data.blind, config.prediction


def _model_folder(args: argparse.Namespace) -> Path:
    return args.run / "model" if args.run else Path(find_shipped(args.model))


def _settings(args: argparse.Namespace, how: PredictionSection, count: int, *, blind: bool) -> Settings:
    from .prediction_file import Settings, folder_hash
    from .predictor import default_device

    return Settings(
        model=folder_hash(_model_folder(args)),
        samples=file_hash(args.samples, PredictionError),
        samples_path=str(args.samples.resolve()),
        count=count,
        blind=blind,
        max_new_tokens=how.max_new_tokens,
        batch_size=args.batch_size or how.batch_size,
        dtype=args.dtype,
        true_answers=args.true_answers,
        device=default_device(),
        version=__version__,
    )


def _is_finished(args: argparse.Namespace, samples: Sequence[Sample], settings: Settings) -> bool:
    """Whether ``--out`` needs no predicting: made by these settings, or only to be verified."""
    from .prediction_file import is_begun, partial_path, read_made
    from .verify import answers_of

    if not args.out.exists() or not args.out.stat().st_size:
        return False
    made = read_made(args.out)
    if made is not None and made.settings == settings:
        logger.info("%s was finished earlier", args.out)
        return True
    if not args.verify or partial_path(args.out).exists():
        if not is_begun(partial_path(args.out)):  # a new one was begun with --restart
            _require_same(args.out, made, settings)
        logger.info("%s is of other settings and will be replaced when the new file is whole", args.out)
        return False
    answers_of(args.out, samples)
    if made is None:
        logger.warning(
            "%s: it is not recorded what made this file; verifying it against %s", args.out, _model_folder(args)
        )
    elif different := made.settings.differences(settings, of=DECIDING):
        listing = "\n".join(f"    {line}" for line in different)
        raise PredictionError(
            f"the finished file was made otherwise:\n{listing}",
            where=str(args.out),
            mend="verify it with what made it, or predict it anew with --restart",
        )
    return True


def _require_same(path: Path, made: Made | None, settings: Settings) -> None:
    """Refuses to replace finished answers of another model, or to other samples or more of them.

    Raises:
        PredictionError: they are, or nothing says what made them.
    """
    different = made.settings.differences(settings, of=ANOTHER) if made else ["nothing says what made it"]
    if made and made.settings.count > settings.count:
        different.append(f"count: {made.settings.count} then, {settings.count} now")
    if different:
        listing = "\n".join(f"    {line}" for line in different)
        raise PredictionError(
            f"the file is finished, and of something else:\n{listing}",
            where=str(path),
            mend="name another --out, or replace it with --restart",
        )


def _verify(args: argparse.Namespace, predictor: Predictor, samples: Sequence[Sample], *, blind: bool) -> int:
    from ..benchmarks.verified import verdict_path, write_verdict
    from .verify import verify

    found = verify(predictor, samples, args.out, count=args.verify, blind=blind, seed=args.verify_seed)
    write_verdict(args.out, found)
    for case in found.differing:
        ious = "" if case.ious is None else f", IoU of its masks {', '.join(f'{v:.3f}' for v in case.ious) or '(none)'}"
        logger.warning("%s: %s differ when asked alone%s", case.sample_id, " and ".join(case.kinds), ious)
    logger.info(
        "verified: %d of %d answers equal at batch size 1 (%s, %s)",
        found.equal, len(found.checked), found.dtype, verdict_path(args.out),
    )  # fmt: skip
    return int(found.refuses)


def _about_pictures(args: argparse.Namespace) -> int:
    from ..datasets.images import grey_picture
    from ..datasets.mixedparts.phrasings import in_words
    from .pictures import as_picture
    from .show import draw_answers, write_png

    picture = args.out.with_suffix(".png")
    _refuse_losses(args, picture)
    questions = [in_words(question, len(args.images))[0] for question in args.ask]
    pictures = [as_picture(path) for path in args.images]  # before the model, which takes its time to load
    blind, how = _answering(args)
    predictor = _load(args, how)
    shown = [
        ImageRef(path=str(f), height=p.shape[0], width=p.shape[1]) for f, p in zip(args.images, pictures, strict=True)
    ]
    if blind:
        logger.warning("%s is blind: it is asked about grey pictures of these sizes", args.run)
    predictor.set_images([grey_picture(i) for i in shown] if blind else pictures)
    answers = [(question, predictor.ask(question)) for question in questions]
    rows = [{"question": question, "prediction": answer.model_dump(mode="json")} for question, answer in answers]
    write_json(args.out, {"schema_version": 1, "images": [s.model_dump() for s in shown], "answers": rows})
    write_png(picture, draw_answers(pictures, answers, [path.name for path in args.images]))
    for _, answer in answers:
        logger.info("%s", answer.text)
        if answer.trail:
            rules = Counter(line.split(" ", 1)[0] for line in answer.trail)
            repairs = ", ".join(f"{count} {rule}" for rule, count in rules.items())
            logger.warning("not in the grammar of answers, repaired: %s (listed in %s)", repairs, args.out)
    logger.info("%d answers in %s, drawn in %s", len(answers), args.out, picture)
    return 0


def _refuse_losses(args: argparse.Namespace, picture: Path) -> None:
    """Sees that what is written replaces at most an earlier answer and its picture.

    Raises:
        ConfigError: it would replace something else.
    """
    written = [("--out", args.out), ("the drawing beside --out,", picture)]
    refuse_overwriting(written, [("--images", path) for path in args.images])
    for argument, path in written:
        if path.exists() and not _is_answer(args.out):
            raise ConfigError(
                f"{argument} {path} is there, and is not of an earlier answer",
                where=str(path.resolve()),
                mend="name another --out, or remove that file",
            )


def _is_answer(path: Path) -> bool:
    try:
        value = read_json(path)
    except LlavaCorrError:
        return False
    return isinstance(value, dict) and value.keys() == ANSWER


def _load(args: argparse.Namespace, prediction: PredictionSection) -> Predictor:
    from .predictor import Predictor

    return Predictor.from_pretrained(
        _model_folder(args),
        base=args.base,
        dtype=args.dtype,
        max_new_tokens=prediction.max_new_tokens,
        max_images_per_tower_pass=prediction.max_images_per_tower_pass,
    )


def _configuration(run: Path) -> ExperimentConfig:
    """What a run was trained with.

    Raises:
        CheckpointError: no run folder.
    """
    saved = run / "config.yaml"
    if not saved.is_file():
        above = run.resolve().parent
        mend = f"name the run itself: --run {run.parent}" if _is_run(above) else "name a run of training"
        raise CheckpointError("the run folder holds no config.yaml", where=str(run), mend=mend)
    return load_config(saved)


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "model").is_dir()
