"""How scores and cost of the main row go with the number of images in a question."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ReportError
from ..metrics.intervals import percentile_interval, resample_weights, resampled_ratio
from ..record_files import SamplesFile
from ..report.scores_file import read_scores
from .stored import ByImages, read_as, size_of, stages_of

SCORE, RESAMPLES = "mIoU_strict", 1000
TESTS = ("pairs", "sets")
STORED = "images.json"  # of earlier, for a folder without samples


def by_images(out: Path, row: str = "main") -> dict[str, Any]:
    """Number of images -> tokens of the pictures, TFLOPs of one forward, and for every task the mean over samples of
    their strict mIoU, its interval and the number of samples.

    Args:
        out: folder of the reproduction; tests that were not scored, or whose samples are not there, are left out.
            Without the run there is nothing.

    Raises:
        ReportError: a sample was scored that is not among the samples, or a file cannot be read.
    """
    if (out / STORED).exists():
        return {count: row.model_dump(mode="json") for count, row in read_as(dict[str, ByImages], out / STORED).items()}
    if not (out / row / "config.yaml").exists():
        return {}
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for test in TESTS:
        path, samples = out / "scores" / f"{row}-{test}.json", out / "data" / test / "test.jsonl"
        if path.exists() and samples.exists():
            scores = read_scores(path)
            counts = {sample.id: len(sample.images) for sample in SamplesFile(samples)}
            for task, columns in scores.columns.items():
                for sample, value in ((columns[SCORE].per_sample or {}) if SCORE in columns else {}).items():
                    if sample not in counts:
                        raise ReportError(
                            f"{sample!r} was scored and is no sample",
                            where=str(samples),
                            mend="score the answers to these samples, or put those that were scored there",
                        )
                    values[counts[sample]][task].append(value)
    return {
        str(count): _cost(out / row, count) | {"tasks": {t: _mean(v) for t, v in tasks.items()}}
        for count, tasks in sorted(values.items())
    }


def _mean(values: list[float]) -> dict[str, Any]:
    found, ones = np.array(values), np.ones(len(values))
    draws = resampled_ratio(resample_weights(len(values), RESAMPLES, [0]), found, ones)
    return {"value": float(found.mean()), "interval": percentile_interval(draws), "n": len(values)}


def _cost(run: Path, images: int) -> dict[str, Any]:
    """Of a question about ``images`` pictures with two masks in each; frozen towers included."""
    size = size_of(run, images=images)
    return {"tokens": images * size.tokens_per_image, "teraflops": size.teraflops}


def seconds_a_sample(out: Path, row: str, test: str) -> float | None:
    """Of answering; all tries together."""
    scores = out / "scores" / f"{row}-{test}.json"
    spent = stages_of(out).stage_seconds.get(f"predict: {row} {test}")
    count = read_scores(scores).samples.count if scores.exists() else None
    return spent / count if spent is not None and count else None
