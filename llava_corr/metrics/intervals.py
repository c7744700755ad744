"""Percentile-bootstrap intervals and paired comparisons.

What is resampled is whole samples, never images: the images of one question share an answer. All scores of one run, and
both runs of a comparison, use the same draws, which makes differences paired. B resamples, S samples. The percentile
bootstrap is too narrow for a handful of samples, for a rate that was never (or always) seen, and where samples share
images; the tables should say how many samples they rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
Verdict = Literal["better", "worse", "undecided"]
_ROWS_AT_ONCE = 64


def resample_weights(count: int, resamples: int, seed: Sequence[int]) -> NDArray[np.uint16]:
    """How often each of ``count`` samples is drawn in each resample, shape [B, S]; every row sums to S.

    Row b depends on ``seed`` and b only, so a longer run begins with the draws of a shorter one.
    """
    weights = np.empty((resamples, count), dtype=np.uint16)
    for row in range(resamples):
        drawn = np.random.default_rng([*seed, row]).integers(count, size=count) if count else np.zeros(0, dtype=int)
        weights[row] = np.bincount(drawn, minlength=count)
    return weights


def resampled_ratio(weights: NDArray[Any], numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of numerators over sum of denominators in every resample.

    Args:
        weights: [B, S].
        numerator, denominator: [S] or [S, K].

    Returns:
        [B] or [B, K]; NaN where the denominators sum to 0.
    """
    parts = []
    for first in range(0, len(weights), _ROWS_AT_ONCE):  # in blocks: float copies of all weights need B x S x 8 bytes
        block = weights[first : first + _ROWS_AT_ONCE].astype(float)
        below = block @ denominator
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(np.where(below > 0, (block @ numerator) / below, np.nan))
    return np.concatenate(parts) if parts else np.empty((0, *np.shape(numerator)[1:]))


def percentile_interval(draws: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float] | None:
    """(low, high) that hold the middle ``level`` of the defined draws; None if none is defined."""
    defined = draws[~np.isnan(draws)]
    if not len(defined):
        return None
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(defined, [tail, 100.0 - tail])
    return float(low), float(high)


class Difference(NamedTuple):
    """First minus second, its paired interval, and the verdict on the first (None where no direction is better)."""

    value: float
    interval: tuple[float, float] | None
    verdict: Verdict | None


def paired_difference(
    values: tuple[float, float],
    draws: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    direction: int = 1,
    level: float = LEVEL,
) -> Difference:
    """Compares two runs on the same samples by draws made with the same weights.

    Args:
        values: the score of each run.
        draws: [B] of each run, row for row from the same resamples.
        direction: 1 if higher is better, -1 if lower is, 0 if neither (no verdict then).

    Returns:
        "better" or "worse" only if the interval of the difference leaves out 0; "undecided" otherwise.
    """
    interval = percentile_interval(draws[0] - draws[1], level)
    verdict: Verdict | None = None
    if direction:
        verdict = "undecided"
        if interval is not None and (interval[0] > 0 or interval[1] < 0):
            verdict = "better" if (interval[0] > 0) == (direction > 0) else "worse"
    return Difference(values[0] - values[1], interval, verdict)
