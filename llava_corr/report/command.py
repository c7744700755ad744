"""``llava-corr report``: the page of a run from the files it left, or of two runs on the same samples.

llava-corr report --run runs/tiny --scores runs/tiny/scores.json runs/prior/scores.json --out report.html
llava-corr report --scores runs/tiny/scores.json --against runs/prior/scores.json --out pair.html
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import LlavaCorrError, ReportError
from ..files import read_json, read_rows, read_text, refuse_overwriting, require_file
from ..record_files import iter_predictions, read_samples
from .anatomy_file import AnatomyFile, read_anatomy
from .html import MAX_BYTES, write_report
from .inputs import ReportInputs, about
from .pair import PairInputs, write_pair
from .pair_command import load_pair
from .scores_file import ScoresFile, merge_scores, read_scores, require_scored

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``report``."""
    parser.add_argument(
        "--run",
        type=Path,
        help="run folder: config.yaml, run.json, train_log.jsonl, scores.json, anatomy.json, predictions.jsonl in it",
    )
    parser.add_argument(
        "--before",
        type=Path,
        help="run folder of the stage that the run started from; its curves are shown too",
    )
    parser.add_argument(
        "--scores",
        nargs="+",
        default=[],
        metavar="[NAME=]FILE",
        help="scores.json of every model of the table; the first model is drawn (default: scores.json of the run)",
    )
    parser.add_argument("--samples", type=Path, help="samples file (default: the one that was scored)")
    parser.add_argument("--predictions", type=Path, help="answers of the first model (default: those that were scored)")
    parser.add_argument(
        "--against",
        metavar="[NAME=]FILE",
        help="scores.json of a second model on the same samples: a page of both answers side by side instead",
    )
    parser.add_argument("--against-predictions", type=Path, help="its answers (default: those that were scored)")
    parser.add_argument("--anatomy", type=Path, help="anatomy.json of the first model (default: that of the run)")
    parser.add_argument("--difficulty", type=Path, help="difficulty sheet of the world (JSON)")
    parser.add_argument("--command-line", action="append", default=[], help="a command to reproduce; may be repeated")
    parser.add_argument("--title", help="heading of the page")
    parser.add_argument(
        "--about", help="paragraph below the heading of one run's page (default: the task, and that the world is one)"
    )
    parser.add_argument("--show", type=int, default=24, help="show at least so many samples (default 24)")
    parser.add_argument("--seed", type=int, default=0, help="seed of their draw (default 0)")
    parser.add_argument(
        "--max-bytes", type=int, default=MAX_BYTES, help=f"size limit of the page (default {MAX_BYTES})"
    )
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")


def run(args: argparse.Namespace) -> int:
    """Writes the page; returns the exit status 0.

    Raises:
        LlavaCorrError: inputs that cannot be read or do not belong together, a page that cannot be written.
    """
    if args.against:
        size = write_pair(load_pair_inputs(args), args.out, max_bytes=args.max_bytes)
    elif args.against_predictions:
        raise ReportError("--against-predictions without --against", mend="name the scores of these answers")
    else:
        size = write_report(load_inputs(args), args.out, max_bytes=args.max_bytes)
    logger.info("%s: %.1f MB", args.out, size / 1e6)
    return 0


def load_inputs(args: argparse.Namespace) -> ReportInputs:
    """Reads every file that the arguments or the run folder name; what a run folder lacks is left out.

    Raises:
        LlavaCorrError: a file that was named is missing, any file is broken, or ``--out`` is one of them.
    """
    files, default_scores = _scores_files(args)
    scored = files[0][1] if files else None
    samples = args.samples or (Path(scored.samples.path) if scored else None)
    if samples is None:
        without = f": {args.run} holds no scores.json" if args.run else ""
        raise ReportError(f"no samples to show{without}", mend="pass --samples FILE or --scores FILE")
    predictions = args.predictions or (Path(scored.predictions.path) if scored else None)
    predictions = predictions or _in_run(args.run, "predictions.jsonl")
    if scored and predictions:
        require_scored(scored, files[0][0], predictions)
    anatomy = args.anatomy or _in_run(args.run, "anatomy.json")
    run = _in_run(args.run, "run.json")
    facts = _read_mapping(run)
    config = _in_run(args.run, "config.yaml")
    logs = [log for folder in (args.before, args.run) if (log := _in_run(folder, "train_log.jsonl"))]
    read = [
        *(("--scores", _name_and_path(text)[1]) for text in args.scores),
        *(("the file of --run or --before", file) for file in (default_scores, run, config, *logs)),
        ("--anatomy", anatomy),
        ("--samples", samples),
        ("--predictions", predictions),
        ("--difficulty", args.difficulty),
    ]
    refuse_overwriting([("--out", args.out)], read)
    require_file("--out", args.out)
    shown = read_samples(samples)
    return ReportInputs(
        samples=shown,
        predictions=list(iter_predictions(predictions)) if predictions else None,
        title=args.title or (f"Report of {args.run.resolve().name}" if args.run else "Report"),
        about=args.about or about(shown),
        anatomy=_anatomy(anatomy, predictions, named=args.anatomy is not None),
        train_log=[_of_stage(row, log, logs) for log in logs for row in read_log(log)] or None,
        config=read_text(config, ReportError) if config else None,
        run=facts,
        difficulty=_read_mapping(args.difficulty),
        commands=args.command_line or _commands(facts or {}),
        sample_count=args.show,
        seed=args.seed,
        **merge_scores(files),
    )


def load_pair_inputs(args: argparse.Namespace) -> PairInputs:
    """Reads what the page of two runs shows.

    Raises:
        LlavaCorrError: see :func:`pair_command.load_pair`; ReportError also unless there is one scores file on each
            side.
    """
    files, _ = _scores_files(args)
    if len(files) != 1:
        raise ReportError(
            f"--against needs one scores file of the first model, not {len(files)}", mend="pass one with --scores"
        )
    path = _name_and_path(args.against)[1]
    return load_pair(args, files[0], (path, _named_scores(args.against)[1]))


def _scores_files(args: argparse.Namespace) -> tuple[list[tuple[str, ScoresFile]], Path | None]:
    """The scores files that the arguments or the run folder name, and the one of the run folder."""
    if args.show < 1 or args.seed < 0:
        raise ReportError(
            f"--show {args.show} and --seed {args.seed}", mend="at least one sample, and a seed from 0 on"
        )
    files = [_named_scores(text) for text in args.scores]
    default_scores = _in_run(args.run, "scores.json")
    if not files and default_scores:
        files = [(str(default_scores), read_scores(default_scores))]
    return files, default_scores


def read_log(path: str | Path) -> list[Mapping[str, Any]]:
    """Reads a training log, one JSON object per line.

    Raises:
        ReportError: missing file, or a line that is no JSON object.
    """
    rows: list[Mapping[str, Any]] = []
    for number, line in read_rows(path, ReportError):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as cause:
            raise _bad_row(path, number, cause.msg) from cause
        if not isinstance(row, dict):
            raise _bad_row(path, number, f"a {type(row).__name__}")
        rows.append(row)
    return rows


def _anatomy(path: Path | None, predictions: Path | None, *, named: bool) -> AnatomyFile | None:
    """The anatomy to show; one that only lies in the run folder must be of the answers that are drawn."""
    if path is None:
        return None
    file = read_anatomy(path)
    if not named and (predictions is None or os.path.realpath(file.predictions.path) != os.path.realpath(predictions)):
        logger.warning("%s is left out: it is about %s, drawn is %s", path, file.predictions.path, predictions)
        return None
    return file


def _of_stage(row: Mapping[str, Any], log: Path, logs: Sequence[Path]) -> Mapping[str, Any]:
    """A row with its run's name as the stage where there are several."""
    return row if len(logs) == 1 else {"stage": log.parent.name, **row}


def _bad_row(path: str | Path, number: int, fault: str) -> LlavaCorrError:
    return ReportError(
        f"a log row must be a JSON object: {fault}", where=f"{path}, row {number}", mend="repair or remove that row"
    )


def _named_scores(text: str) -> tuple[str, ScoresFile]:
    name, path = _name_and_path(text)
    scores = read_scores(path)
    return path, scores.model_copy(update={"name": name}) if name else scores


def _name_and_path(text: str) -> tuple[str, str]:
    """Of ``NAME=FILE``; no name where there is only a file."""
    name, separator, path = text.partition("=")
    if Path(text).is_file():  # an equals sign in a path
        return "", text
    return (name, path) if separator and name else ("", text)


def _in_run(folder: Path | None, name: str) -> Path | None:
    """The file of a run folder, None where there is none.

    Raises:
        ReportError: the run folder itself does not exist.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise ReportError("the run folder does not exist", where=str(folder), mend="check --run and --before")
    return folder / name if (folder / name).is_file() else None


def _read_mapping(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    value = read_json(path, ReportError)
    if not isinstance(value, dict):
        raise ReportError(
            f"a JSON object is wanted, not a {type(value).__name__}", where=str(path), mend="check the file"
        )
    return value


def _commands(facts: Mapping[str, Any]) -> list[str]:
    """Commands that the run file recorded under ``commands`` (a list) or ``command``."""
    recorded = facts.get("commands", facts.get("command", []))
    return [str(line) for line in recorded] if isinstance(recorded, list) else [str(recorded)]
