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
ORDER, DIALOGUES = "the order of the dialogues", "the dialogues of a step"


def faults(out: Path, rows: Sequence[str], seeds: Sequence[str]) -> list[str]:
    """What differs from Calico of the same seed, or between Calico's seeds, and should not; one line each.

    Args:
        out: folder of the reproduction.
        rows: names of trained rows, without the seed.
        seeds: theirs.

    Raises:
        ReportError: a file of a run cannot be read.
    """
    known = {name: _facts(out, name) for row in rows for seed in seeds if _there(out, name := f"{row}-{seed}")}
    found = []
    first: str | None = None
    for seed in seeds:
        reference = f"calico-{seed}"
        if reference not in known:
            continue
        found += [
            f"{name} and {reference} differ in {fact}"
            for name in (f"{row}-{seed}" for row in rows)
            if name in known
            for fact in _differing(known[name], known[reference])
        ]
        if first:
            other = [fact for fact in _differing(known[reference], known[first]) if fact not in ("seed", ORDER)]
            found += [f"{reference} and {first} differ in {fact}" for fact in other]
        first = first or reference
    return found


def _there(out: Path, name: str) -> bool:
    return (out / name / "run.json").exists()


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in {**other, **one} if one.get(name) != other.get(name)]


def commits(out: Path, names: Sequence[str]) -> list[str]:
    """The commits of the code that trained these runs; a "+" ends those with changes of their own."""
    files = [file for name in names if (file := out / name / "run.json").exists()]
    return sorted({str(read_json(file, ReportError).get("commit")) for file in files})


def _facts(out: Path, name: str) -> dict[str, Any]:
    run = out / name
    config = dict(_leaves(yaml.safe_load(read_text(run / "config.yaml", ReportError))))
    size, count = (config.pop(f"training.{key}", 1) for key in ("batch_size", "gradient_accumulation"))
    facts: dict[str, Any] = {DIALOGUES: size * count} | {
        key: value for key, value in config.items() if not any(f"{key}.".startswith(f"{own}.") for own in OWN)
    }
    aligned = out / f"{name}-align" / "run.json"  # then the row starts from what its own alignment made of the twins
    begun = aligned if aligned.exists() else run / "run.json"
    facts["the training samples"] = _fingerprint(run / "run.json", "data.train")
    facts["the weights they start from"] = _fingerprint(begun, "model.weights")
    facts[ORDER] = _order(run / "train_log.jsonl")
    return facts


def _fingerprint(file: Path, name: str) -> Any:
    return read_json(file, ReportError).get("inputs", {}).get(name, {}).get("fingerprint")


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
