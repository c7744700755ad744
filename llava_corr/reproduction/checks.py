"""Whether the rows of a reproduction may be compared: the same training but for what the row is about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import ReportError
from ..files import read_json, read_text
from ..report.scores_file import ScoresFile, read_scores, rests_on
from .order import FOLDER
from .rows import ROWS

# Where things lie.
PLACES = ("output_dir", "data.train", "data.validation", "data.features")
# What a row may change, with everything below it; and a row of a user's own besides.
OWN = ("name", "model", "data.blind", "training.trainable", "training.save_steps", *PLACES)
OWN_ROW = ("training", "prediction")
ORDER, DIALOGUES, STEPS = "the order of the dialogues", "the dialogues of a step", "the number of steps"


def faults(out: Path, scored: Mapping[str, Sequence[str]]) -> list[str]:
    """What makes rows incomparable, one line each: what differs from Calico of the same seed, or between Calico's
    seeds, and should not; alignments that differ from one another; runs that are missing; comparisons with other
    answers.

    Args:
        out: folder of the reproduction.
        scored: row -> its seeds.

    Raises:
        ReportError: a file of a run cannot be read.
    """
    names = {f"{row}-{seed}": row for row, seeds in scored.items() for seed in seeds if seed}
    known = {name: _facts(out, name) for name in names if _there(out, name)}
    missing = [
        f"nothing says how {name} was trained" for name, row in names.items() if row in ROWS and name not in known
    ]
    calico = [f"calico-{seed}" for seed in scored.get("calico", ()) if f"calico-{seed}" in known]
    found = [
        f"{name} and calico-{seed} differ in {fact}"
        for name, facts in known.items()
        if name != f"calico-{(seed := name.rpartition('-')[2])}" and f"calico-{seed}" in known
        for fact in _differing(facts, known[f"calico-{seed}"], OWN if names[name] in ROWS else (*OWN, *OWN_ROW))
    ]
    found += [
        f"{name} and {calico[0]} differ in {fact}"
        for name in calico[1:]
        for fact in _differing(known[name], known[calico[0]])
        if fact not in ("seed", ORDER)
    ]
    return [*missing, *found, *_alignments(out, list(known)), *_other_answers(out / "scores")]


def _alignments(out: Path, names: Sequence[str]) -> list[str]:
    """Of projections of their own: all are trained alike."""
    aligned = {name: _facts(out, f"{name}-align") for name in names if _there(out, f"{name}-align")}
    first = next(iter(aligned), "")
    return [
        f"the alignments of {name} and {first} differ in {fact}"
        for name in aligned
        for fact in _differing(aligned[name], aligned[first])
        if name.rpartition("-")[2] == first.rpartition("-")[2] or fact not in ("seed", ORDER)
    ]


def _other_answers(scores: Path) -> list[str]:
    """Comparisons with answers that are not those whose scores stand in the tables."""
    stand = {path.stem: read_scores(path) for path in sorted(scores.glob("*-*.json"))}
    found = []
    for name, file in stand.items():
        found += _not_against(name, file, stand, test=name.rpartition("-")[2])
    for path in sorted((scores / FOLDER).glob("*.json")):
        file = read_scores(path)
        found += _not_against(path.stem, file, stand, test="pairs")
        if (own := stand.get(f"{file.name}-pairs")) and own.values() != file.values():
            found.append(f"{path.stem} compares other answers of {file.name} than stand here")
    return found


def _not_against(name: str, file: ScoresFile, stand: Mapping[str, ScoresFile], test: str) -> list[str]:
    other = stand.get(f"{file.against.name}-{test}") if file.against else None
    if other is None or rests_on(file, other):
        return []
    return [f"{name} compares with other answers of {other.name} than stand here"]


def _there(out: Path, name: str) -> bool:
    return (out / name / "run.json").exists()


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], own: Sequence[str] = OWN) -> list[str]:
    """Names of the facts that differ, but for those that are, or lie below, one's own."""
    held = (fact for fact in {**other, **one} if not any(f"{fact}.".startswith(f"{name}.") for name in own))
    return [fact for fact in held if one.get(fact) != other.get(fact)]


def commits(out: Path, names: Sequence[str]) -> list[str]:
    """The commits of the code that trained these runs; a "+" ends those with changes of their own."""
    files = [file for name in names if (file := out / name / "run.json").exists()]
    return sorted({str(read_json(file, ReportError).get("commit")) for file in files})


def _facts(out: Path, name: str) -> dict[str, Any]:
    """What a run shares with those that it is compared with."""
    run = out / name
    facts = read_json(run / "run.json", ReportError)
    config = settings(run / "config.yaml")
    size, count = (config.pop(f"training.{key}", 1) for key in ("batch_size", "gradient_accumulation"))
    aligned = out / f"{name}-align" / "run.json"  # then the row starts from what its own alignment made of the twins
    begun = read_json(aligned, ReportError) if aligned.exists() else facts
    return {
        DIALOGUES: size * count * facts.get("world_size", 1),
        STEPS: config.pop("training.max_steps", None),
        **config,
        "the training samples": _fingerprint(facts, "data.train"),
        "the weights they start from": _fingerprint(begun, "model.weights"),
        ORDER: _order(run / "train_log.jsonl"),
    }


def _fingerprint(facts: Mapping[str, Any], name: str) -> Any:
    return facts.get("inputs", {}).get(name, {}).get("fingerprint")


def settings(config: Path) -> dict[str, Any]:
    """Every value of a configuration file, by its dotted key.

    Raises:
        ReportError: it cannot be read.
    """
    return dict(_leaves(yaml.safe_load(read_text(config, ReportError))))


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
