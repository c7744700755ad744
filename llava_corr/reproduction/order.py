"""What the paper says of its rows (Tables 1 and 2, Figure 8, Section 5.2), against a reproduction's scores.

A claim is that one row is better than another. It is confirmed or denied where the paired 95 % intervals of every seed
say so, else undecided; one seed decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..report.scores_file import read_scores

METRICS = ("mIoU", "mIoU_strict", "SS")
FOLDER = "order"  # within the scores: comparisons with another row than Calico


@dataclass(frozen=True)
class Claim:
    """``better`` scores higher than ``worse``; ``paper`` is by how much, in points of mIoU (None: drawn only)."""

    better: str
    worse: str
    paper: float | None = None

    def file(self, scores: Path, seed: str | int) -> Path:
        """Where the comparison of a seed is kept; with Calico, it is the other row's own scores."""
        if self.better == "calico":
            return scores / f"{self.worse}-{seed}-pairs.json"
        return scores / FOLDER / f"{self.better}-{self.worse}-{seed}.json"


CLAIMS = (
    Claim("calico", "glamm", 3.8),
    Claim("calico", "lisa", 4.0),
    Claim("calico", "no_qformer", 4.5),
    Claim("calico", "no_dino", 2.0),
    Claim("calico", "no_cem", 2.1),
    Claim("calico", "no_cam", 0.4),
    Claim("calico", "neither", 1.0),
    Claim("no_cam", "neither", 0.6),
    Claim("neither", "no_cem", 1.1),
    Claim("calico", "one_cam"),
    Claim("calico", "three_cams"),
    # not the paper's: with a control whose projection was aligned as that of patches is
    Claim("new_projection", "no_qformer"),
    Claim("new_projection", "glamm"),
    Claim("new_projection", "lisa"),
)


def claimed(claim: Claim, seed: str | int) -> tuple[str, str]:
    """The two runs of a claim."""
    return f"{claim.better}-{seed}", f"{claim.worse}-{seed}"


def noise_file(scores: Path, seed: str | int) -> Path:
    """The comparison of Calico's seed with its seed 0: rows that differ in nothing else."""
    return scores / FOLDER / f"calico-{seed}.json"


def verdict(intervals: Sequence[Sequence[float] | None], higher: str, lower: str) -> str:
    """What the intervals of a difference say, one a seed."""
    if len(intervals) < 2:
        return "one seed"
    ends = [interval for interval in intervals if interval is not None]
    if len(ends) == len(intervals) and all(low > 0 for low, _ in ends):
        return higher
    return lower if len(ends) == len(intervals) and all(high < 0 for _, high in ends) else "undecided"


def order(scores: Path, seeds: Sequence[str]) -> list[dict[str, Any]]:
    """Each claim of which a seed was scored, with the verdict of each metric, over the mean of the tasks; last, without
    a verdict, the difference between Calico's own seeds."""
    found = []
    for claim in CLAIMS:
        scored = [s for s in seeds if all((scores / f"{name}-pairs.json").exists() for name in claimed(claim, s))]
        results = _results(
            [claim.file(scores, seed) for seed in scored], [claimed(claim, seed) for seed in scored], claim.better
        )
        if any(value is not None for values in results.values() for value, _ in values):
            said = {name: verdict([i for _, i in values], "confirmed", "denied") for name, values in results.items()}
            facts = {"better": claim.better, "worse": claim.worse, "paper": claim.paper}
            found.append({**facts, "of_each_seed": results, "verdicts": said})
    for seed in seeds:
        if (file := noise_file(scores, seed)).exists():
            pair = {"better": f"calico, seed {seed}", "worse": "calico, seed 0", "paper": None}
            results = _results([file], [(f"calico-{seed}", "calico-0")], f"calico-{seed}")
            found.append({**pair, "of_each_seed": results, "verdicts": dict.fromkeys(METRICS, "")})
    return found


def _results(
    files: Sequence[Path], pairs: Sequence[tuple[str, str]], better: str
) -> dict[str, list[tuple[float | None, Any]]]:
    """Differences in favour of the better row, and their intervals, one a seed; (None, None) of a seed whose file does
    not compare the two.

    Args:
        pairs: the runs that each file is to compare, the better one first.
        better: the row that differences are in favour of; a file of Calico's rivals has them the other way round.
    """
    found: dict[str, list[tuple[float | None, Any]]] = {metric: [] for metric in METRICS}
    for file, pair in zip(files, pairs, strict=True):
        own, other = reversed(pair) if better == "calico" else pair
        scores = read_scores(file) if file.exists() else None
        against = scores.against if scores and scores.name == own else None
        mean = against.differences.get("mean", {}) if against and against.name == other else {}
        sign = -1 if better == "calico" else 1
        for metric in METRICS:
            if (difference := mean.get(metric)) is None:
                found[metric].append((None, None))
            else:
                ends = difference.interval and sorted(sign * end for end in difference.interval)
                found[metric].append((sign * difference.value + 0.0, ends))
    return found
