"""``llava-corr report --against``: reads what the page of two runs is made from."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ReportError
from ..files import refuse_overwriting, require_file
from ..record_files import iter_predictions, read_samples
from .inputs import DifferenceRow
from .pair import PairInputs
from .scores_file import ScoresFile, merge_scores, require_scored, rests_on

_ALONE = ("seed", "about", "before", "anatomy", "difficulty", "command_line")
_SWAPPED = {"better": "worse", "worse": "better"}


def load_pair(args: argparse.Namespace, first: tuple[str, ScoresFile], second: tuple[str, ScoresFile]) -> PairInputs:
    """Reads samples and both prediction files; ``first`` and ``second`` are (path, scores).

    Raises:
        LlavaCorrError: a file is missing or broken, the runs do not rest on the same samples, or an option was given
            that only the page of one run knows.
    """
    unused = [f"--{name.replace('_', '-')}" for name in _ALONE if getattr(args, name)]
    if unused:
        raise ReportError(
            f"the page of two runs does not show {', '.join(unused)}", mend="leave that out, or leave out --against"
        )
    merged = merge_scores([first, second])
    samples = args.samples or Path(first[1].samples.path)
    files = (
        args.predictions or Path(first[1].predictions.path),
        args.against_predictions or Path(second[1].predictions.path),
    )
    for (path, scored), answers in zip((first, second), files, strict=True):
        require_scored(scored, path, answers)
    named = [("--scores", first[0]), ("--against", second[0]), ("--samples", samples)]
    read = [*named, ("--predictions", files[0]), ("--against-predictions", files[1])]
    refuse_overwriting([("--out", args.out)], read)
    require_file("--out", args.out)
    return PairInputs(
        samples=read_samples(samples),
        models=(first[1].name, second[1].name),
        predictions=(list(iter_predictions(files[0])), list(iter_predictions(files[1]))),
        scores=merged["scores"],
        metrics=merged["metrics"],
        differences=_differences(first[1], second[1]),
        notes=merged["notes"],
        title=args.title,
        sample_count=args.show,
    )


def _differences(first: ScoresFile, second: ScoresFile) -> list[DifferenceRow]:
    """First minus second, from whichever file was scored against the other; none where neither was."""
    if rests_on(first, second):
        return [row._replace(other=second.name) for row in first.difference_rows()]
    if rests_on(second, first):
        return [_turned(row, first.name) for row in second.difference_rows()]
    return []


def _turned(row: DifferenceRow, first: str) -> DifferenceRow:
    interval = None if row.interval is None else (-row.interval[1], -row.interval[0])
    return DifferenceRow(
        first, row.model, row.task, row.name, -row.value, interval, _SWAPPED.get(row.verdict, row.verdict)
    )
