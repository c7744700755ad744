"""Describes a built data set in the terms of the paper's Table 3: instances per sample and task, names, shares."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ...records import Role, Sample, Task

#: The role whose targets a task counts; the objects named first in a part answer count in no task.
COUNTED_ROLE: dict[Task, Role] = {"common_objects": "object", "common_parts": "common", "unique_parts": "unique"}

PAPER_TABLE_3: dict[Task, dict[str, float]] = {
    "common_objects": {"total": 2_509_552, "average": 2.099, "maximum": 10, "median": 2},
    "common_parts": {"total": 3_443_758, "average": 4.037, "maximum": 56, "median": 4},
    "unique_parts": {"total": 5_557_188, "average": 5.269, "maximum": 72, "median": 3},
}


@dataclass
class Tally:
    """Counts samples one by one, so that a data set of any size can be described while it is written.

    ``average``, ``maximum`` and ``median`` run over the samples that have an instance, as the paper's do (its average
    times the number of samples would otherwise not give its totals: facts, 7.5); ``nothing`` counts the others.
    Masks are distinct ones: a mask used by many samples counts once.
    """

    instances: dict[Task, Counter[int]] = field(default_factory=lambda: {task: Counter() for task in COUNTED_ROLE})
    sources: Counter[str] = field(default_factory=Counter)
    object_samples: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    parts: Counter[str] = field(default_factory=Counter)
    names: dict[bool, set[str]] = field(default_factory=lambda: {True: set(), False: set()})
    masks: dict[bool, set[int]] = field(default_factory=lambda: {True: set(), False: set()})
    images: set[str] = field(default_factory=set)
    crossing: int = 0

    def add(self, sample: Sample) -> None:
        self.sources[sample.source] += 1
        self.sizes[len(sample.images)] += 1
        self.object_samples[sample.source] += sample.task == "common_objects"
        self.crossing += sample.task != "common_objects" and len(set(sample.categories)) > 1
        self.classes[sample.source].update(set(sample.categories))
        self.images.update(image.path for image in sample.images)
        self.instances[sample.task][sum(t.role == COUNTED_ROLE[sample.task] for t in sample.targets)] += 1
        for target in sample.targets:
            is_object = target.role == "object"
            self.names[is_object].add(target.phrase)
            key = (sample.images[target.image_index].path, target.phrase, target.mask.counts)
            self.masks[is_object].add(hash(key))  # only its number is reported
            if not is_object:
                self.parts[target.phrase] += 1

    def to_json(self) -> dict[str, Any]:
        total = sum(self.sources.values())
        about_parts = total - sum(self.object_samples.values())
        return {
            "samples": total,
            "tasks": {task: _spread(counts) for task, counts in self.instances.items()},
            "images": len(self.images),
            "object_names": len(self.names[True]),
            "part_names": len(self.names[False]),
            "object_masks": len(self.masks[True]),
            "part_masks": len(self.masks[False]),
            "sources": {
                source: {"samples": n, "share": n / total, "object_share": self.object_samples[source] / n}
                for source, n in sorted(self.sources.items())
            },
            "images_per_sample": {str(size): n for size, n in sorted(self.sizes.items())},
            "cross_class_share": self.crossing / about_parts if about_parts else 0.0,
            "classes": {source: _ranked(counts) for source, counts in sorted(self.classes.items())},
            "parts": _ranked(self.parts),
        }


def describe(samples: Iterable[Sample]) -> dict[str, Any]:
    """Statistics of ``samples`` as JSON values."""
    tally = Tally()
    for sample in samples:
        tally.add(sample)
    return tally.to_json()


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda row: (-row[1], row[0])))


def _spread(counts: Counter[int]) -> dict[str, float]:
    some = sorted(counts.elements())[counts[0] :]
    return {
        "samples": counts.total(),
        "nothing": counts[0],
        "total": sum(some),
        "average": sum(some) / len(some) if some else 0.0,
        "maximum": max(some, default=0),
        "median": float(median(some)) if some else 0.0,
    }


def to_markdown(statistics: Mapping[str, Any], title: str) -> str:
    """The statistics as a page: a table like the paper's Table 3 with the paper's figures, then names and shares."""
    tasks = statistics["tasks"]
    rows = [
        f"# {title}",
        "",
        "| Statistic | Common objects | Common parts | Unique parts |",
        "|---|---|---|---|",
        _row("Samples", [f"{tasks[t]['samples']:,}" for t in COUNTED_ROLE]),
        _row("Samples with nothing to list", [f"{tasks[t]['nothing']:,}" for t in COUNTED_ROLE]),
    ]
    for key, label, form in (
        ("total", "Instances", ",.0f"),
        ("average", "Average per sample that has any", ".3f"),
        ("maximum", "Maximum", ",.0f"),
        ("median", "Median", "g"),
    ):
        rows.append(
            _row(label, [f"{tasks[t][key]:{form}} (paper {PAPER_TABLE_3[t][key]:{form}})" for t in COUNTED_ROLE])
        )
    rows += ["", "| Source | Samples | Share | Of these about objects |", "|---|---|---|---|"]
    for source, row in statistics["sources"].items():
        rows.append(_row(source, [f"{row['samples']:,}", f"{row['share']:.1%}", f"{row['object_share']:.1%}"]))
    sizes = ", ".join(f"{n:,} with {size}" for size, n in statistics["images_per_sample"].items())
    rows += [
        "",
        f"{statistics['samples']:,} samples over {statistics['images']:,} images ({sizes} images). "
        f"{statistics['object_names']} object names and {statistics['part_names']} part names; "
        f"{statistics['object_masks']:,} distinct object masks and {statistics['part_masks']:,} distinct part masks. "
        f"{statistics['cross_class_share']:.1%} of the part samples compare different classes.",
        "",
    ]
    return "\n".join(rows)


def _row(label: str, cells: list[str]) -> str:
    return f"| {label} | {' | '.join(cells)} |"
