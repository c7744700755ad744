"""The small files that the tables rest on: committed, so that nobody has to wait for the rows again, and joined by rows
that were made later or on another machine.

Of every run its configuration, its training log and what it started from; of every row its scores and comparisons
without the values of single samples; what the stages took. Answers, models and pictures stay behind.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..errors import ReportError
from ..files import read_json, write_json
from ..report.scores_file import read_scores
from .images import STORED, by_images

# Of run.json: what makes rows comparable and what they cost, but no paths of the machine.
FACTS = ("commit", "seed", "python", "versions", "processor", "steps", "trainable_parameters")
CONSISTENCY = ("swap", "partner")  # checks beside the rows' scores
WITHOUT = {"columns": {"__all__": {"__all__": {"per_sample"}}}}


def gather(out: Path, evidence: Path) -> Path:
    """Adds what a reproduction's tables rest on to ``evidence``, and returns it; rows that it has are replaced.

    Args:
        out: folder of ``llava-corr reproduce``, or such evidence.

    Raises:
        ReportError: there are no scores, or the rows there rest on other samples (then nothing is written), or a file
            cannot be read.
    """
    if out.resolve() == evidence.resolve():
        return evidence
    _check_scores(out / "scores", evidence / "scores")
    for path in sorted((out / "scores").rglob("*.json")):
        target = evidence / path.relative_to(out)
        if path.stem in CONSISTENCY:
            write_json(target, read_json(path, ReportError))
        else:
            write_json(target, read_scores(path).model_dump(mode="json", exclude=WITHOUT))
    for facts in sorted(out.glob("*/run.json")):
        _gather_run(facts.parent, evidence / facts.parent.name)
    if images := by_images(out):
        write_json(evidence / STORED, images)
    if (out / "stages.json").exists():
        spent = {name: _stages(folder) for name, folder in (("then", evidence), ("now", out))}
        write_json(evidence / "stages.json", {key: spent["then"][key] | value for key, value in spent["now"].items()})
    return evidence


def _gather_run(run: Path, target: Path) -> None:
    facts = read_json(run / "run.json", ReportError)
    inputs = {key: {"fingerprint": value.get("fingerprint")} for key, value in facts.get("inputs", {}).items()}
    write_json(target / "run.json", {key: facts[key] for key in FACTS if key in facts} | {"inputs": inputs})
    for name in ("config.yaml", "train_log.jsonl"):
        if (run / name).exists():
            shutil.copyfile(run / name, target / name)


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


def _stages(folder: Path) -> dict[str, Any]:
    """What stages took; the sum of the minutes is of no use where rows of several sittings meet."""
    path = folder / "stages.json"
    found = read_json(path, ReportError) if path.exists() else {}
    return {key: found.get(key, {}) for key in ("stage_seconds", "peak_memory_gb")}
