"""The small files that the tables rest on: committed, so that nobody has to wait for the rows again, and joined by rows
that were made later or on another machine.

Of every run its configuration, its training log and what it started from; of every row its scores and comparisons
without the values of single samples; what the stages took. Answers, models and pictures stay behind, and so do the
machine's paths.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..errors import ReportError
from ..files import read_json, read_text, write_json, write_lines
from ..report.scores_file import read_scores
from .checks import PLACES, settings
from .images import STORED, by_images

# Of run.json: what makes rows comparable and what they cost.
FACTS = ("commit", "seed", "python", "versions", "processor", "world_size", "steps", "trainable_parameters")
CONSISTENCY = ("swap", "partner")  # checks beside the rows' scores
PLACE = "runs/reproduce"  # how the reproduction's folder is called here, wherever it was
WITHOUT = {"columns": {"__all__": {"__all__": {"per_sample"}}}}


def gather(out: Path, evidence: Path) -> Path:
    """Adds what a reproduction's tables rest on to ``evidence``, and returns it; rows that it has are replaced.

    Args:
        out: folder of ``llava-corr reproduce``, or such evidence.

    Raises:
        ReportError: there are no scores, or the rows there rest on other samples or have another configuration (then
            nothing is written), or a file cannot be read.
    """
    if out.resolve() == evidence.resolve():
        return evidence
    _check_scores(out / "scores", evidence / "scores")
    runs = list(_scored_runs(out))
    for run in runs:
        _check_configuration(run, evidence / run.name)
    for path in sorted((out / "scores").rglob("*.json")):
        write_json(
            evidence / path.relative_to(out), without_samples(path) if path.stem in CONSISTENCY else _scores(path)
        )
    for run in runs:
        _gather_run(run, evidence / run.name)
    if images := by_images(out):
        write_json(evidence / STORED, images)
    if (out / "stages.json").exists():
        then, now = _stages(evidence), _stages(out)
        write_json(evidence / "stages.json", {key: then[key] | value for key, value in now.items()})
    return evidence


def without_samples(path: Path) -> dict[str, Any]:
    """A consistency check without the values of its samples, and without the places of its files.

    Raises:
        ReportError: it cannot be read.
    """
    found = {key: value for key, value in read_json(path, ReportError).items() if key != "files"}
    tasks = found["tasks"].items()
    found["tasks"] = {
        task: {name: score | {"per_sample": None} for name, score in scores.items()} for task, scores in tasks
    }
    return found


def _scores(path: Path) -> dict[str, Any]:
    """The scores of a row, their files by name."""
    found: dict[str, Any] = read_scores(path).model_dump(mode="json", exclude=WITHOUT)
    for key in ("samples", "predictions"):
        found[key]["path"] = Path(found[key]["path"]).name
    return found


def _scored_runs(out: Path) -> Iterator[Path]:
    """The folders of runs that have scores, with their alignments: not of one that is still under way."""
    scored = {path.stem.rpartition("-")[0] for path in (out / "scores").glob("*-*.json")}
    for facts in sorted(out.glob("*/run.json")):
        if facts.parent.name.removesuffix("-align") in scored:
            yield facts.parent


def _gather_run(run: Path, target: Path) -> None:
    facts = read_json(run / "run.json", ReportError)
    inputs = {key: {"fingerprint": value.get("fingerprint")} for key, value in facts.get("inputs", {}).items()}
    write_json(target / "run.json", {key: facts[key] for key in FACTS if key in facts} | {"inputs": inputs})
    config = yaml.safe_load(read_text(run / "config.yaml", ReportError))
    text = yaml.safe_dump(_moved(config, config.get("output_dir", "")), sort_keys=False, width=120)
    write_lines(target / "config.yaml", text.splitlines())
    if (run / "train_log.jsonl").exists():
        shutil.copyfile(run / "train_log.jsonl", target / "train_log.jsonl")


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
    for path in [*sorted(old.glob("*-*.json")), *sorted(new.glob("*-*.json"))]:
        known = truths.setdefault(path.stem.rpartition("-")[2], {})
        known.setdefault(read_scores(path).truth, path)
        if len(known) > 1:
            raise ReportError(
                "rows rest on different samples",
                where=" and ".join(map(str, known.values())),
                mend="make the rows from the same data, or gather them into another folder (--results)",
            )


def _check_configuration(run: Path, target: Path) -> None:
    """A row is replaced by the same one only."""
    if not (target / "config.yaml").exists():
        return
    then, now = settings(target / "config.yaml"), settings(run / "config.yaml")
    moved = (*PLACES, "model.weights", "training.save_steps")
    if changed := [key for key in {**then, **now} if then.get(key) != now.get(key) and key not in moved]:
        raise ReportError(
            f"{run.name} is there with another configuration; what differs: {', '.join(changed)}",
            where=str(target),
            mend="give the new one another name or seed, or another folder (--results), or remove the old one",
        )


def _stages(folder: Path) -> dict[str, Any]:
    """What stages took; the sum of the minutes is of no use where rows of several sittings meet."""
    path = folder / "stages.json"
    found = read_json(path, ReportError) if path.exists() else {}
    return {key: found.get(key, {}) for key in ("stage_seconds", "peak_memory_gb")}
