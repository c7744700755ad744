"""What the paper says of its ablations (Table 2, Figure 8, Section 5.2), against a reproduction's scores.

A claim is that one row is better than another. It is confirmed or denied where the paired 95 % intervals of every seed
say so, else undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report.scores_file import read_scores

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
    Claim("calico", "no_qformer", 4.5),
    Claim("calico", "no_dino", 2.0),
    Claim("calico", "no_cem", 2.1),
    Claim("calico", "no_cam", 0.4),
    Claim("calico", "neither", 1.0),
    Claim("no_cam", "neither", 0.6),
    Claim("neither", "no_cem", 1.1),
    Claim("calico", "one_cam"),
    Claim("calico", "three_cams"),
)


def order(scores: Path, seeds: Sequence[str]) -> list[dict[str, Any]]:
    """Each claim of which a seed was scored, with the verdict of each metric, over the mean of the tasks."""
    found = []
    for claim in CLAIMS:
        files = [file for seed in seeds if (file := claim.file(scores, seed)).exists()]
        if files:
            results = {metric: _result(claim, files, metric) for metric in METRICS}
            found.append({"better": claim.better, "worse": claim.worse, "paper": claim.paper, "metrics": results})
    return found


def _result(claim: Claim, files: Sequence[Path], metric: str) -> dict[str, Any]:
    """Differences in favour of the claim, one a seed."""
    sign = -1 if claim.better == "calico" else 1
    differences = []
    for file in files:
        against = read_scores(file).against
        difference = against.differences["mean"].get(metric) if against else None
        if difference is not None and difference.interval is not None:
            differences.append([sign * difference.value + 0.0, sorted(sign * end for end in difference.interval)])
    return {"of_each_seed": differences, "verdict": _verdict([interval for _, interval in differences])}


def _verdict(intervals: Sequence[Sequence[float]]) -> str:
    if intervals and all(low > 0 for low, _ in intervals):
        return "confirmed"
    return "denied" if intervals and all(high < 0 for _, high in intervals) else "undecided"
