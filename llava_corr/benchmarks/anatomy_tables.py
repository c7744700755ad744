"""The fates of all masks of a prediction file, and their counts and shares by task and by what is known of the masks.

Shares pool masks: a sample with many masks weighs more. Intervals come from resamples of whole samples within each
task, the draws of the scores. S samples, K kinds of fates and "spurious", B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..grammar import normalise_label
from ..metrics.intervals import percentile_interval, resample_weights, resampled_ratio
from ..records import Prediction, Sample
from .anatomy import KINDS, Likeness, anatomy_of, equal_names
from .anatomy_facts import BINS, Facts, Knowledge
from .mixedparts_units import TASKS

ALL = "all"
_SPURIOUS = "spurious"


class Row(NamedTuple):
    """One mask: a truth with its fate, or (``kind`` "predicted" or "spurious") a predicted mask.

    Attributes:
        place: in ``Sample.targets`` of a truth, in ``Prediction.segments`` of a predicted mask.
        name: normalised.
        segment, said, iou: of the predicted mask that accounts for a truth, and its normalised name; None else.
        counted: whether the scores look at the mask.
    """

    sample: str
    task: str
    kind: str
    place: int
    image: int
    name: str
    segment: int | None
    said: str | None
    iou: float | None
    counted: bool
    facts: Facts


class Share(NamedTuple):
    """How many, their share (None of none), and the 95 % interval of the share (None for a single sample)."""

    number: int
    share: float | None
    interval: tuple[float, float] | None


class Cell(NamedTuple):
    """One bin of one dimension.

    Attributes:
        masks, samples: true masks in it, and samples that have such.
        kinds: fate -> share of these masks; they add up to 1.
        predicted: predicted masks in it; None where the dimension says nothing of them.
        spurious: share of these.
    """

    bin: str
    masks: int
    samples: int
    kinds: dict[str, Share]
    predicted: int | None
    spurious: Share | None


Tables = dict[str, dict[str, list[Cell]]]
"""Task, or "all" -> dimension ("all", "size", "shown", "category") -> its cells."""


def fates(
    samples: Sequence[Sample],
    answers: Mapping[str, Prediction],
    knowledge: Knowledge,
    likeness: Likeness = equal_names,
) -> list[Row]:
    """A row for every true mask and one for every predicted mask, by sample id."""
    rows: list[Row] = []
    for sample in sorted(samples, key=lambda s: s.id):
        answer = answers.get(sample.id)
        segments = answer.segments if answer else ()
        anatomy = anatomy_of(sample, answer, likeness)
        counted = {fate.segment: fate.counted for fate in anatomy.truths if fate.segment is not None}
        counted |= {mask.segment: mask.counted for mask in anatomy.spurious}
        spurious = {mask.segment for mask in anatomy.spurious}
        for fate in anatomy.truths:
            target = sample.targets[fate.target]
            said = None if fate.segment is None else normalise_label(segments[fate.segment].phrase)
            name, facts = normalise_label(target.phrase), knowledge.of_target(sample, target)
            where = sample.id, str(sample.task), str(fate.kind), fate.target, target.image_index
            rows.append(Row(*where, name, fate.segment, said, fate.iou, fate.counted, facts))
        for index, segment in enumerate(segments):
            kind = _SPURIOUS if index in spurious else "predicted"
            name, facts = normalise_label(segment.phrase), knowledge.of_segment(sample, segment)
            where = sample.id, str(sample.task), kind, index, segment.image_index
            rows.append(Row(*where, name, None, None, None, counted[index], facts))
    return rows


def cross_tabulate(rows: Sequence[Row], samples: Sequence[Sample], *, resamples: int, seed: int) -> Tables:
    """Cells of the counted masks: for all tasks together and for each task that occurs, by every dimension."""
    drawn = _draws(samples, resamples, seed)
    return {name: _tabulate([r for r in rows if r.counted and name in (ALL, r.task)], *drawn[name]) for name in drawn}


def named_first(rows: Sequence[Row], samples: Sequence[Sample], *, resamples: int, seed: int) -> Cell | None:
    """The masks that the scores pass over: whole objects that answers to part tasks name first; None without any."""
    cells = _tabulate([row for row in rows if not row.counted], *_draws(samples, resamples, seed)[ALL])[ALL]
    return cells[0] if cells else None


def _draws(samples: Sequence[Sample], resamples: int, seed: int) -> dict[str, tuple[list[str], NDArray[np.uint16]]]:
    """ "all", and each task that occurs -> sample ids in order, and how often each resample holds each, [B, S]."""
    found = {}
    for number, task in enumerate(TASKS):
        if ids := sorted(s.id for s in samples if s.task == task):
            found[str(task)] = ids, resample_weights(len(ids), resamples, (seed, number))
    together = [i for ids, _ in found.values() for i in ids], np.hstack([weights for _, weights in found.values()])
    return {ALL: together, **found}


def _tabulate(rows: Sequence[Row], ids: Sequence[str], draws: NDArray[np.uint16]) -> dict[str, list[Cell]]:
    place = {name: k for k, name in enumerate(ids)}
    columns: dict[str, int] = {kind: k for k, kind in enumerate(KINDS)}
    table = {}
    for dimension in (ALL, *BINS):
        bins: Sequence[str] = BINS.get(dimension, (ALL,))
        counts = {b: np.zeros((len(ids), len(KINDS) + 2), dtype=np.int64) for b in bins}
        for row in rows:
            column = columns.get(row.kind, len(KINDS))
            own = counts[row.facts.bins().get(dimension, ALL)][place[row.sample]]
            own[column] += 1
            own[-1] += row.kind == _SPURIOUS
        cells = [_cell(name, own, draws, predictions=dimension != "shown") for name, own in counts.items()]
        table[dimension] = [cell for cell in cells if cell.masks or cell.predicted]
    return table


def _cell(name: str, counts: NDArray[np.int64], draws: NDArray[np.uint16], *, predictions: bool) -> Cell:
    """Of counts [S, K + 2]: the fates, all predicted masks, the spurious ones."""
    fate, predicted, spurious = counts[:, : len(KINDS)], counts[:, -2:-1], counts[:, -1:]
    masks = fate.sum(axis=1, keepdims=True)
    shares = _shares(fate, masks, draws)
    return Cell(
        bin=name,
        masks=int(masks.sum()),
        samples=int((masks > 0).sum()),
        kinds=dict(zip(KINDS, shares, strict=True)),
        predicted=int(predicted.sum()) if predictions else None,
        spurious=_shares(spurious, predicted, draws)[0] if predictions else None,
    )


def _shares(tops: NDArray[np.int64], below: NDArray[np.int64], draws: NDArray[np.uint16]) -> list[Share]:
    """A share per column of ``tops`` [S, K] over ``below`` [S, 1]."""
    total = int(below.sum())
    if not total:
        return [Share(0, None, None)] * tops.shape[1]
    many = int((below > 0).sum()) > 1
    drawn = resampled_ratio(draws, tops, np.broadcast_to(below, tops.shape)) if many else np.empty((0, tops.shape[1]))
    return [
        Share(int(top), float(top) / total, percentile_interval(drawn[:, k])) for k, top in enumerate(tops.sum(axis=0))
    ]


def cell_to_json(cell: Cell) -> dict[str, Any]:
    """The cell as plain values."""
    return {
        **cell._asdict(),
        "kinds": {kind: share._asdict() for kind, share in cell.kinds.items()},
        "spurious": cell.spurious._asdict() if cell.spurious else None,
    }


def row_to_json(row: Row) -> dict[str, Any]:
    """The row as plain values, facts among them; shares and IoUs to four digits."""
    flat = {**row._asdict(), **row.facts._asdict()}
    del flat["facts"]
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in flat.items()}
