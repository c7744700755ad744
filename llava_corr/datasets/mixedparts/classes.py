"""Which classes may be compared: candidate pairs from the taxonomies, comparable pairs from a curated list.

The paper starts from 1,885 pairs of classes that share a part name and keeps 964 by hand (Calico, appendix A). The
1,885 are reproduced exactly: unordered pairs of distinct classes of one source (facts, 7.5). The paper's list of 964
is not public; ours (``data/taxonomies/comparable_classes.json``) groups classes by use and kind, with a reason each.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import combinations
from typing import NamedTuple

from ...errors import AnnotationError, RegistryError
from ...registry import did_you_mean
from ...taxonomy import load

SOURCES = ("paco_lvis", "partimagenet", "ade20k_part_234")
PAPER_CANDIDATES, PAPER_COMPARABLE = 1885, 964

ClassPair = tuple[str, str]


class Group(NamedTuple):
    """Classes of one source that people compare with one another, and why."""

    name: str
    rationale: str
    classes: tuple[str, ...]


@cache
def class_parts(source: str) -> dict[str, frozenset[str]]:
    """Class -> its part names, from the source's taxonomy.

    Raises:
        RegistryError: no taxonomy of that name.
    """
    if source not in SOURCES:
        raise RegistryError(f"no part taxonomy named {source!r}", mend=did_you_mean(source, SOURCES))
    return {name: frozenset(entry["parts"]) for name, entry in load(source)["objects"].items()}


def candidate_pairs(source: str) -> list[ClassPair]:
    """Pairs of distinct classes of ``source`` that share at least one part name, each pair and the list sorted."""
    return _sharing_pairs(class_parts(source))


@cache
def comparable_groups(source: str) -> tuple[Group, ...]:
    """The curated groups of ``source``.

    Raises:
        AnnotationError: a group names a class that the taxonomy does not have.
    """
    known = class_parts(source)
    rows = load("comparable_classes")["sources"][source]
    groups = tuple(Group(row["group"], row["rationale"], tuple(row["classes"])) for row in rows)
    for group in groups:
        unknown = sorted(set(group.classes) - set(known))
        if unknown:
            raise AnnotationError(
                f"group {group.name!r} names classes that {source} does not have: {', '.join(unknown)}",
                where="data/taxonomies/comparable_classes.json",
                mend=did_you_mean(unknown[0], known),
            )
    return groups


def comparable_pairs(source: str) -> list[ClassPair]:
    """Candidate pairs whose classes share a group."""
    known = class_parts(source)
    pairs = {p for group in comparable_groups(source) for p in _sharing_pairs({c: known[c] for c in group.classes})}
    return sorted(pairs)


@cache
def comparable_classes(source: str) -> dict[str, frozenset[str]]:
    """Class -> the classes it may be compared with, itself included; only classes that have parts."""
    kin = {name: {name} for name, parts in class_parts(source).items() if parts}
    for first, second in comparable_pairs(source):
        kin[first].add(second)
        kin[second].add(first)
    return {name: frozenset(others) for name, others in kin.items()}


def pair_counts(sources: Iterable[str] = SOURCES) -> dict[str, dict[str, int]]:
    """Source -> number of candidate and of comparable pairs; ``total`` and the ``paper``'s figures beside them."""
    counts = {s: {"candidate": len(candidate_pairs(s)), "comparable": len(comparable_pairs(s))} for s in sources}
    total = {key: sum(row[key] for row in counts.values()) for key in ("candidate", "comparable")}
    return {**counts, "total": total, "paper": {"candidate": PAPER_CANDIDATES, "comparable": PAPER_COMPARABLE}}


def _sharing_pairs(parts: dict[str, frozenset[str]]) -> list[ClassPair]:
    return [(a, b) for a, b in combinations(sorted(parts), 2) if parts[a] & parts[b]]
