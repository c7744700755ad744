"""Whether the rows of a reproduction may be compared: the same training but for what the row is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..experiment import ExperimentConfig
from ..report.scores_file import ScoresFile, read_scores, rests_on
from .order import CLAIMS, claimed, noise_file
from .rows import BASELINE_ROWS, MAIN, ROWS
from .stored import RunFacts, config_of, log_of, read_as

logger = logging.getLogger(__name__)
# Where things lie.
PLACES = ("output_dir", "data.train", "data.validation", "data.features")
# What a row may change, with everything below it; and a row of a user's own besides.
OWN = ("name", "model", "data.blind", "training.trainable", "training.save_steps", *PLACES)
OWN_ROW = ("training", "prediction")
ORDER, DIALOGUES, STEPS = "the order of the dialogues", "the dialogues of a step", "the number of steps"
SAMPLES, WEIGHTS = "the training samples", "the weights they start from"
ROUNDING = 1e-9


def faults(out: Path, scored: Mapping[str, Sequence[str]]) -> list[str]:
    """What makes rows incomparable, one line each: what differs from Calico of the same seed, or between Calico's
    seeds, and should not; alignments that differ from one another; runs that are missing; comparisons with other
    answers, or with another row than they should be; other rules of scoring.

    Args:
        out: folder of the reproduction.
        scored: row -> its seeds.

    Raises:
        ReportError: a file of a run cannot be read.
    """
    names = {f"{row}-{seed}": row for row, seeds in scored.items() for seed in seeds if seed}
    trained = {name: row for name, row in names.items() if row not in BASELINE_ROWS}
    known = {name: _facts(out, name) for name in trained if _there(out, name)}
    beside = {name: other for name in trained if (other := f"calico-{name.rpartition('-')[2]}") != name}
    missing = sorted({*trained, *beside.values()} - known.keys())
    calico = [f"calico-{seed}" for seed in scored.get("calico", ()) if f"calico-{seed}" in known]
    found = [f"nothing says how {name} was trained" for name in missing]
    found += [
        f"{name} was trained with seed {facts['seed']}"
        for name, facts in known.items()
        if str(facts.get("seed")) != name.rpartition("-")[2]
    ]
    found += [
        f"{name} and {other} differ in {fact}"
        for name, other in beside.items()
        if {name, other} <= known.keys()
        for fact in _differing(known[name], known[other], OWN if names[name] in ROWS else (*OWN, *OWN_ROW))
    ]
    found += [
        f"{name} and {calico[0]} differ in {fact}"
        for name in calico[1:]
        for fact in _differing(known[name], known[calico[0]])
        if fact not in ("seed", ORDER)
    ]
    if calico and _there(out, MAIN):
        main, first = _facts(out, MAIN), known[calico[0]]
        found += [f"{MAIN} and {calico[0]} differ in {f}" for f in (SAMPLES, WEIGHTS) if main[f] != first[f]]
    return [*found, *_alignments(out, list(known)), *_comparisons(out / "scores")]


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


def compared_with(name: str) -> str | None:
    """The run that the scores of a run on the pairs are to be compared with, by its name (``no_cem-0``)."""
    row, _, seed = name.rpartition("-")
    if name == f"{MAIN}-drawn":
        return MAIN
    return f"calico-{seed}" if seed.isdigit() and row != "calico" else None


def _comparisons(scores: Path) -> list[str]:
    """Comparisons with answers that are not those whose scores stand in the tables, or of other runs; differences that
    are not those of their scores; rows that were scored by other rules than the first."""
    stand = {path.stem: read_scores(path) for path in sorted(scores.glob("*-*.json"))}
    found: list[str] = []
    for name, file in stand.items():
        run, _, test = name.rpartition("-")
        found += _badly_compared(name, file, stand, test, compared_with(run) if test == "pairs" else None)
        if test == "pairs" and file.against and not compared_with(run):
            found.append(f"{name} is of no seed: its comparison with {file.against.name} is passed over")
    seeds = sorted({seed for name in stand if (seed := name.removesuffix("-pairs").rpartition("-")[2]).isdigit()})
    for path, first, second in (pair for seed in seeds for pair in _pairs(scores, seed) if pair[0].exists()):
        file = read_scores(path)
        found += _badly_compared(path.stem, file, stand, "pairs", second)
        if file.name != first:
            found.append(f"{path.stem} holds scores of {file.name}")
        elif (own := stand.get(f"{first}-pairs")) and own.values() != file.values():
            found.append(f"{path.stem} compares other answers of {first} than stand here")
    return [*found, *_other_rules(stand)]


def _pairs(scores: Path, seed: str) -> Iterator[tuple[Path, str, str]]:
    """The files of a seed that compare with another row than Calico, or with another seed, and the runs that they are
    to compare."""
    for claim in CLAIMS:
        if claim.better != "calico":
            yield claim.file(scores, seed), *claimed(claim, seed)
    yield noise_file(scores, seed), f"calico-{seed}", "calico-0"


def _other_rules(stand: Mapping[str, ScoresFile]) -> Iterator[str]:
    """Files that were scored by other rules than the first."""
    rules = {name: _rules(file) for name, file in stand.items() if file.settings}
    first = next(iter(rules.values()), {})
    for name, own in rules.items():
        if changed := [key for key in first if own.get(key) != first[key]]:
            yield f"{name} was scored by another rule: {', '.join(changed)}"


def _badly_compared(
    name: str, file: ScoresFile, stand: Mapping[str, ScoresFile], test: str, expected: str | None
) -> Iterator[str]:
    if file.against is None:
        if expected:
            yield f"{name} is not compared with {expected}"
        return
    if expected and file.against.name != expected:
        yield f"{name} is compared with {file.against.name}, not with {expected}"
        return
    other = stand.get(f"{file.against.name}-{test}")
    if other is None and expected:
        yield f"{name} is compared with {expected}, whose scores are not there"
    if other is not None and not rests_on(file, other):
        yield f"{name} compares with other answers of {other.name} than stand here"
    own, theirs = file.values(), file.against.columns
    if any(
        abs(own[task][metric] - theirs[task][metric] - difference.value) > ROUNDING
        for task, differences in file.against.differences.items()
        for metric, difference in differences.items()
        if metric in own.get(task, {}) and metric in theirs.get(task, {})
    ):
        yield f"{name} notes other differences than its scores have"


def _rules(file: ScoresFile) -> dict[str, Any]:
    """How it was scored; the text model by its name, wherever it lies."""
    model = str(file.settings.get("text_model"))
    return file.settings | {"text_model": Path(model).name if Path(model).is_absolute() else model}


def _there(out: Path, name: str) -> bool:
    return (out / name / "run.json").exists()


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], own: Sequence[str] = OWN) -> list[str]:
    """Names of the facts that differ, but for those that are, or lie below, one's own."""
    held = (fact for fact in {**other, **one} if not any(f"{fact}.".startswith(f"{name}.") for name in own))
    return [fact for fact in held if one.get(fact) != other.get(fact)]


def commits(out: Path, names: Sequence[str]) -> list[str]:
    """The commits of the code that trained these runs; a "+" ends those with changes of their own."""
    return sorted({str(read_as(RunFacts, out / name / "run.json").commit) for name in names if _there(out, name)})


def _facts(out: Path, name: str) -> dict[str, Any]:
    """What a run shares with those that it is compared with."""
    facts = read_as(RunFacts, out / name / "run.json")
    config = settings(out / name)
    size, count = (config.pop(f"training.{key}", 1) for key in ("batch_size", "gradient_accumulation"))
    config.pop("training.group_by_length", None)  # like micro-batches it leaves a step's dialogues what they are
    aligned = out / f"{name}-align" / "run.json"  # then the row starts from what its own alignment made of the twins
    begun = read_as(RunFacts, aligned) if aligned.exists() else facts
    return {
        DIALOGUES: size * count * facts.world_size,
        STEPS: config.pop("training.max_steps", None),
        **config,
        SAMPLES: _fingerprint(facts, "data.train"),
        WEIGHTS: _fingerprint(begun, "model.weights"),
        ORDER: _order(out / name),
    }


def _fingerprint(facts: RunFacts, name: str) -> str | None:
    return facts.inputs[name].fingerprint if name in facts.inputs else None


def settings(run: Path) -> dict[str, Any]:
    """Every value of a run's configuration, by its dotted key; keys that it was written without have their defaults.

    Raises:
        ReportError: it cannot be read.
    """
    config = config_of(run)
    try:
        config = ExperimentConfig.model_validate(config).model_dump(mode="json")
    except ValidationError:  # of another version: compared as it stands
        logger.warning("%s is no configuration of this version", run / "config.yaml")
    return dict(_leaves(config))


def _leaves(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _order(run: Path) -> list[str]:
    """A number for the dialogues of every window of steps; of steps taken twice, after a restart, the last."""
    return [order for _, order in sorted({row["step"]: row["order"] for row in log_of(run) if _ordered(row)}.items())]


def _ordered(row: Mapping[str, Any]) -> bool:
    return "order" in row and "step" in row
