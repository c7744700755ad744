"""Benchmarks, one file each: samples, scores, version, licence, citation; and baselines that answer them.

``BENCHMARKS.load("mixedparts")`` gives the function that scores predictions on it.
"""

from ..registry import Registry

BENCHMARKS = Registry("benchmark", {"mixedparts": "llava_corr.benchmarks.mixedparts:score"})
BASELINES = Registry(
    "baseline",
    {
        "label-set": "llava_corr.benchmarks.label_sets:label_set_answers",
        "prior-only": "llava_corr.benchmarks.baselines:prior_only",
    },
)
