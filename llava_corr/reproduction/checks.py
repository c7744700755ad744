"""Whether the rows of a reproduction may be compared: the same training but for what the row is about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import ReportError
from ..files import read_json, read_text

# What a row may change, with everything below it.
OWN = ("name", "model", "data.blind", "data.features", "training.trainable")


def faults(out: Path, rows: Sequence[str], seed: str) -> list[str]:
    """What differs from Calico of the seed and should not, one line each.

    Args:
        out: folder of the reproduction.
        rows: names of trained rows, without the seed.
        seed: theirs.

    Raises:
        ReportError: a file of a run cannot be read.
    """
    reference = out / f"calico-{seed}"
    if not (reference / "run.json").exists():
        return []
    wanted = _facts(reference)
    found = []
    for row in rows:
        if (folder := out / f"{row}-{seed}") != reference and (folder / "run.json").exists():
            mine = _facts(folder)
            names = [name for name in {**wanted, **mine} if mine.get(name) != wanted.get(name)]
            found += [f"{folder.name} and {reference.name} differ in {name}" for name in names]
    return found


def commits(out: Path, names: Sequence[str]) -> list[str]:
    """The commits of the code that trained these runs; a "+" ends those with changes of their own."""
    files = [file for name in names if (file := out / name / "run.json").exists()]
    return sorted({str(read_json(file, ReportError).get("commit")) for file in files})


def _facts(run: Path) -> dict[str, Any]:
    config = dict(_leaves(yaml.safe_load(read_text(run / "config.yaml", ReportError))))
    facts: dict[str, Any] = {
        name: value for name, value in config.items() if not any(f"{name}.".startswith(f"{own}.") for own in OWN)
    }
    inputs = read_json(run / "run.json", ReportError).get("inputs", {})
    facts["the training samples"] = inputs.get("data.train", {}).get("fingerprint")
    facts["the order of the dialogues"] = _order(run / "train_log.jsonl")
    return facts


def _leaves(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _order(log: Path) -> list[str]:
    """A number for the dialogues of every window of steps; of steps taken twice, after a restart, the last."""
    rows = [json.loads(line) for line in read_text(log, ReportError).splitlines()] if log.exists() else []
    return [order for _, order in sorted({row["step"]: row["order"] for row in rows if "order" in row}.items())]
