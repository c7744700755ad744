"""The small files that the tables rest on: committed, so that nobody has to wait for the rows again, and joined by rows
that were made later or on another machine.

Of every run its configuration, its training log and what it started from; of every row its scores and comparisons
without the values of single samples; what the stages took. Answers, models and pictures stay behind, and so do the
machine's paths.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..errors import ReportError
from ..files import file_hash, read_json, read_text, write_json, write_lines
from ..report.scores_file import ScoresFile, read_scores
from .checks import PLACES, settings
from .images import STORED, TESTS, by_images
from .order import FOLDER
from .rows import MAIN
from .stored import Consistency, RunFacts, config_of, log_of, read_as, size_of, stages_of

logger = logging.getLogger(__name__)
# Of run.json: what makes rows comparable and what they cost.
FACTS = ("commit", "seed", "python", "versions", "processor", "world_size", "steps", "trainable_parameters")
CONSISTENCY = ("swap", "partner")  # checks beside the rows' scores
PLACE = "runs/reproduce"  # how the reproduction's folder is called here, wherever it was
WITHOUT = {"columns": {"__all__": {"__all__": {"per_sample"}}}}
LOG = "train_log.jsonl"


def gather(out: Path, evidence: Path) -> Path:
    """Adds what a reproduction's tables rest on to ``evidence``, and returns it; rows that it has are replaced. All is
    read before anything is written.

    Args:
        out: folder of ``llava-corr reproduce``, or such evidence. Scores of answers that are being made anew stay
            behind, with their runs.

    Raises:
        ReportError: there are no scores, or the rows there rest on other samples or have another configuration, or a
            file cannot be read; then nothing is written.
    """
    if out.resolve() == evidence.resolve():
        return evidence
    _check_scores(out / "scores", evidence / "scores")
    behind = _under_way(out)
    runs = [run for run in _scored_runs(out) if run.name.removesuffix("-align") not in behind]
    for run in runs:
        _check_configuration(run, evidence / run.name)
    found: dict[Path, Any] = {}
    for path in sorted((out / "scores").rglob("*.json")):
        if path.stem in CONSISTENCY:
            kept = MAIN not in behind
            value = without_samples(path)
        else:
            kept = not behind & _runs_of(path)
            value = _scores(path)
        if kept:
            found[evidence / path.relative_to(out)] = value
    for run in runs:
        found |= _run_files(run, evidence / run.name)
    images = {} if MAIN in behind else by_images(out)
    then, now = stages_of(evidence).model_dump(), stages_of(out).model_dump()
    found[evidence / "stages.json"] = {
        key: then[key] | {stage: value for stage, value in spent.items() if not behind & _runs_in(stage)}
        for key, spent in now.items()
    }
    if (evidence / STORED).exists() and not images and any(_changed(evidence, found, test) for test in TESTS):
        logger.warning("%s is taken away: its answers are other ones now, without their samples", evidence / STORED)
        (evidence / STORED).unlink()
    if images:
        found[evidence / STORED] = images
    for path, value in found.items():
        write_json(path, value) if path.suffix == ".json" else write_lines(path, value)
    return evidence


def _runs_in(stage: str) -> set[str]:
    """The runs that a stage's name speaks of: ``train: glamm-0-align``, ``score: no_cam-0 against neither-0``."""
    return {word.removesuffix("-align").removesuffix("-drawn") for word in stage.split()}


def _changed(evidence: Path, found: dict[Path, Any], test: str) -> bool:
    """Whether scores of the main row come that are not those of before."""
    path = evidence / "scores" / f"{MAIN}-{test}.json"
    return path in found and path.exists() and read_json(path, ReportError).get("columns") != found[path]["columns"]


def without_samples(path: Path) -> dict[str, Any]:
    """A consistency check without the values of its samples, and without the places of its files.

    Raises:
        ReportError: it cannot be read.
    """
    exclude: Any = {"files": True, "findings": True, "tasks": {"__all__": {"__all__": {"per_sample"}}}}
    return read_as(Consistency, path).model_dump(mode="json", exclude=exclude)


def _scores(path: Path) -> dict[str, Any]:
    """The scores of a row, their files by name."""
    found: dict[str, Any] = read_scores(path).model_dump(mode="json", exclude=WITHOUT)
    files = [found["samples"], found["predictions"], (found["against"] or {}).get("predictions")]
    for file in files:
        if file:
            file["path"] = Path(file["path"]).name
    model = found["settings"].get("text_model")
    if model and Path(model).is_absolute():
        found["settings"]["text_model"] = Path(model).name
    return found


def _runs_of(path: Path) -> set[str]:
    """The runs whose answers a file of scores is about."""
    file = read_scores(path)
    name = path.stem.rpartition("-")[0]
    names = {file.name, file.against.name if file.against else ""} if path.parent.name == FOLDER else {name}
    return {run.removesuffix("-drawn") for run in names}


def _under_way(out: Path) -> set[str]:
    """Runs of which scores are there, but not their answers, or other ones: they are being made anew."""
    if not (out / "commands.json").exists():  # evidence, which has no answers
        return set()
    behind = set()
    for path in sorted((out / "scores").glob("*-*.json")):
        name, _, test = path.stem.rpartition("-")
        run = out / name.removesuffix("-drawn")
        answers = run / ("drawn.jsonl" if name.endswith("-drawn") else f"{test}.jsonl")
        if (run / "run.json").exists() and not _holds(answers, read_scores(path)):
            logger.warning("%s stays behind: %s are not the answers of these scores", path, answers)
            behind.add(run.name)
    return behind


def _holds(answers: Path, scores: ScoresFile) -> bool:
    return answers.exists() and scores.predictions.sha256 in (None, file_hash(answers, ReportError))


def _scored_runs(out: Path) -> Iterator[Path]:
    """The folders of runs that have scores, with their alignments: not of one that is still under way."""
    scored = {path.stem.rpartition("-")[0] for path in (out / "scores").glob("*-*.json")}
    for facts in sorted(out.glob("*/run.json")):
        if facts.parent.name.removesuffix("-align") in scored:
            yield facts.parent


def _run_files(run: Path, target: Path) -> dict[Path, Any]:
    """What is kept of a run: path -> JSON value or lines."""
    known = read_as(RunFacts, run / "run.json")
    facts = read_json(run / "run.json", ReportError)
    kept = {key: facts[key] for key in FACTS if key in facts}
    inputs = {key: {"fingerprint": value.fingerprint} for key, value in known.inputs.items()}
    config = config_of(run)
    text = yaml.safe_dump(_moved(config, config.get("output_dir", "")), sort_keys=False, width=120)
    found: dict[Path, Any] = {
        target / "run.json": kept | {"inputs": inputs, "size": size_of(run).model_dump()},
        target / "config.yaml": text.splitlines(),
    }
    if log_of(run):
        found[target / LOG] = read_text(run / LOG, ReportError).splitlines()
    return found


def _moved(value: Any, root: str) -> Any:
    """A configuration whose reproduction lies in :data:`PLACE`; of other whole paths the last name is left."""
    if isinstance(value, dict):
        return {key: _moved(item, root) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    if root and (value == root or value.startswith(f"{root}/")):
        return PLACE + value[len(root) :]
    return Path(value).name if Path(value).is_absolute() else value


def _check_scores(new: Path, old: Path) -> None:
    """There are some, and every test set has one truth."""
    if not any(new.glob("*-*.json")):
        raise ReportError("no scores", where=str(new), mend="run llava-corr reproduce first")
    truths: dict[str, dict[str, Path]] = {}
    for path in [*_scored_files(old), *_scored_files(new)]:
        test = "pairs" if path.parent.name == FOLDER else path.stem.rpartition("-")[2]
        known = truths.setdefault(test, {})
        known.setdefault(read_scores(path).truth, path)
        if len(known) > 1:
            raise ReportError(
                "rows rest on different samples",
                where=" and ".join(map(str, known.values())),
                mend="make the rows from the same data, or gather them into another folder (--results)",
            )


def _scored_files(scores: Path) -> list[Path]:
    return [*sorted(scores.glob("*-*.json")), *sorted((scores / FOLDER).glob("*.json"))]


def _check_configuration(run: Path, target: Path) -> None:
    """A row is replaced by the same one only."""
    if not (target / "config.yaml").exists():
        return
    then, now = settings(target), settings(run)
    moved = (*PLACES, "model.weights", "training.save_steps")
    if changed := [key for key in {**then, **now} if then.get(key) != now.get(key) and key not in moved]:
        raise ReportError(
            f"{run.name} is there with another configuration; what differs: {', '.join(changed)}",
            where=str(target),
            mend="give the new one another name or seed, or another folder (--results), or remove the old one",
        )
