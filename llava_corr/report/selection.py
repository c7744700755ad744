"""Which samples a report shows: drawn by a fixed rule and seed, so that nobody's taste decides.

Samples fall into strata (task x source). Within a stratum they are ranked by their score and cut into thirds; every
round draws one sample at random from each third of each stratum. Samples that the score does not cover (those with
nothing to find, say) form strata of their own, from which every round draws one per task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..records import Sample

BANDS = ("best third", "middle third", "worst third")
UNSCORED = "not covered by the score"
RANDOM = "random"


class Choice(NamedTuple):
    """A drawn sample, the value it was ranked by (None: none), and the band it was drawn from."""

    sample: Sample
    value: float | None
    band: str


def choose_samples(samples: Sequence[Sample], values: Mapping[str, float], count: int, seed: int) -> list[Choice]:
    """Draws at least ``count`` samples (all, if there are fewer) in whole rounds; sorted by task, source, band.

    Args:
        samples: to draw from.
        values: sample id -> score; higher is better. Empty: every draw is from the whole stratum.
        count: rounds are added until so many are drawn.
        seed: of the draw; the same arguments give the same choice.
    """
    pools = [_shuffled(pool, (seed, k)) for k, pool in enumerate(_pools(samples, values))]
    chosen: list[Choice] = []
    depth = 0
    while len(chosen) < count and any(depth < len(pool) for pool in pools):
        chosen += [pool[depth] for pool in pools if depth < len(pool)]
        depth += 1
    order = {band: k for k, band in enumerate((*BANDS, RANDOM, UNSCORED))}
    return sorted(chosen, key=lambda c: (c.sample.task, c.sample.source, order[c.band], -(c.value or 0.0), c.sample.id))


def describe_choice(chosen: Sequence[Choice], total: int, score_name: str | None, seed: int) -> str:
    """The rule in a sentence or two, with the numbers of this draw, for readers."""
    strata = len({(c.sample.task, c.sample.source) for c in chosen})
    counts = [f"{sum(c.band == band for c in chosen)} {band}" for band in (*BANDS, RANDOM, UNSCORED)]
    mix = ", ".join(text for text in counts if not text.startswith("0 "))
    ranked = f"ranked by {score_name} and cut into thirds; from each third" if score_name else "shuffled; from each"
    return (
        f"{len(chosen)} of {total} samples, none picked by hand: in each of the {strata} combinations of task and "
        f"source the samples were {ranked} the same number was drawn at random (seed {seed}). Drawn: {mix}."
    )


def _pools(samples: Sequence[Sample], values: Mapping[str, float]) -> Iterator[list[Choice]]:
    strata: dict[tuple[str, str], list[Sample]] = {}
    unscored: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda s: s.id):
        if values and sample.id not in values:
            unscored.setdefault(sample.task, []).append(sample)
        else:
            strata.setdefault((sample.task, sample.source), []).append(sample)
    for key in sorted(strata):
        if not values:
            yield [Choice(sample, None, RANDOM) for sample in strata[key]]
            continue
        ranked = sorted(strata[key], key=lambda s: -values[s.id])
        for band, indexes in zip(BANDS, np.array_split(np.arange(len(ranked)), len(BANDS)), strict=True):
            yield [Choice(ranked[k], values[ranked[k].id], band) for k in indexes]
    for task in sorted(unscored):
        yield [Choice(sample, None, UNSCORED) for sample in unscored[task]]


def _shuffled(pool: list[Choice], seed: tuple[int, int]) -> list[Choice]:
    return [pool[k] for k in np.random.default_rng(seed).permutation(len(pool))]
