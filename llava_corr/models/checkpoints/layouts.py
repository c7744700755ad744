"""Foreign names to ours: rules, and what they make of the names of a file. Nothing is guessed, nothing is left over.

Every name of a file is matched, renamed by a rule, ignored by a rule with its reason, or an error; every name of ours
that a layout has to fill is filled, in its own shape, or an error.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...errors import CheckpointError
from .tensor_files import FLOATS, TensorFiles, some

LISTED = 8  # names of one kind of fault that an error shows


@dataclass(frozen=True)
class Rename:
    r"""A name of ours, or several of one tensor, from a foreign one.

    Attributes:
        pattern: regular expression of the whole foreign name.
        names: of ours, all of which get the tensor; ``\1`` stands for the pattern's first group.
        rows: (k, n): it is the k-th of n equal parts of our tensor's first axis.
        zero: parts of our tensor that no name fills, and that are zero.
        split: every name gets its part instead: the tensor is cut along its first axis into as many as there are names.
        grows: ours may have more rows, for tokens that the release does not know; they begin as the mean of the others.
    """

    pattern: str
    names: tuple[str, ...]
    rows: tuple[int, int] | None = None
    zero: tuple[int, ...] = ()
    split: bool = False
    grows: bool = False


@dataclass(frozen=True)
class Ignore:
    """A foreign name that our model has no use for.

    Attributes:
        pattern: regular expression of the whole foreign name.
        why: shown to the user.
    """

    pattern: str
    why: str


Rule = Rename | Ignore


@dataclass(frozen=True)
class Layout:
    """What a kind of file holds.

    Attributes:
        title: how it is called in tables and errors.
        rules: the first that fits a name is taken.
        fills: beginnings of our names, all of which it must fill.
        reports: names that no rule knows are reported, not refused,
        critical: but for those that this regular expression is found in.
    """

    title: str
    rules: Sequence[Rule]
    fills: Sequence[str]
    reports: bool = False
    critical: str = r"(?!)"  # found nowhere


@dataclass(frozen=True)
class Source:
    """Where a tensor of ours comes from: a foreign name, by which rule, and which of the rule's names it has."""

    name: str
    rule: Rename
    index: int = 0


@dataclass
class Plan:
    """What becomes of every name.

    Attributes:
        title: of the layout.
        sources: our name -> the foreign names that fill it.
        matched, renamed: how many foreign names keep theirs, or not.
        ignored: reason -> foreign names.
        unknown: foreign names that no rule knows.
    """

    title: str
    sources: dict[str, list[Source]] = field(default_factory=lambda: defaultdict(list))
    matched: int = 0
    renamed: int = 0
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Every name of ours with the foreign ones that fill it, and those that are ignored, by reason."""
        filled = {ours: [source.name for source in sources] for ours, sources in self.sources.items()}
        return {"title": self.title, "filled": filled, "ignored": dict(self.ignored), "unknown": self.unknown}

    def table(self) -> list[str]:
        """Lines for people: what was matched, renamed and ignored, like names together."""
        lines = [f"{self.title}: {self.matched} names as they are, {self.renamed} renamed"]
        for why, names in self.ignored.items():
            lines.append(f"  {len(names)} ignored, {why}: {', '.join(alike(names))}")
        if self.unknown:
            listing = ", ".join(alike(self.unknown))
            lines.append(f"  {len(self.unknown)} NOT READ, no rule knows them or the model has no such part: {listing}")
        return lines


def alike(names: Iterable[str]) -> list[str]:
    """Names that differ in their numbers alone as one, with * for these and how many there are."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[re.sub(r"(?<![^.])\d+(?![^.])", "*", name)].append(name)
    return [f"{shape} ({len(these)})" if len(these) > 1 else these[0] for shape, these in found.items()]


def map_names(layout: Layout, files: TensorFiles, wanted: Mapping[str, torch.Size], way_out: str = "") -> Plan:
    """Applies the rules of a layout.

    Args:
        files: what there is.
        wanted: our names and shapes.
        way_out: what a user can do about names that no rule knows.

    Raises:
        CheckpointError: names without a rule, names of ours that are filled twice or not at all, other shapes: all of
            them in one error.
    """
    plan = Plan(layout.title)
    for name in files:
        rule, found = _rule_for(layout.rules, name)
        if isinstance(rule, Ignore):
            plan.ignored[rule.why].append(name)
            continue
        ours = [found.expand(template) for template in rule.names] if rule and found else []
        if rule is None or not all(one in wanted for one in ours):
            plan.unknown.append(name)
            continue
        plan.matched, plan.renamed = plan.matched + (ours == [name]), plan.renamed + (ours != [name])
        for index, one in enumerate(ours):
            plan.sources[one].append(Source(name, rule, index))
    unknown = [name for name in plan.unknown if not layout.reports or re.search(layout.critical, name)]
    faults = [
        *_listed("no rule knows", alike(unknown)),
        *_unfilled(layout, plan, wanted),
        *_misfits(plan, files, wanted),
    ]
    if faults:
        listing = "\n".join(f"    {fault}" for fault in faults)
        raise CheckpointError(
            f"{layout.title}: names or shapes do not fit:\n{listing}",
            where=str(files.where),
            mend="check that the file is what it was named as, and that the model section has its sizes"
            + (way_out if unknown else ""),
        )
    return plan


def _rule_for(rules: Sequence[Rule], name: str) -> tuple[Rule | None, re.Match[str] | None]:
    for rule in rules:
        if found := re.fullmatch(rule.pattern, name):
            return rule, found
    return None, None


def _unfilled(layout: Layout, plan: Plan, wanted: Mapping[str, torch.Size]) -> list[str]:
    needed = [name for name in wanted if name.startswith(tuple(layout.fills))]
    in_part = [name for name, sources in plan.sources.items() if not _whole(sources)]
    lacking = _listed("nothing fills", [name for name in needed if name not in plan.sources])
    return [*lacking, *_listed("only a part fills", in_part)]


def _whole(sources: Sequence[Source]) -> bool:
    rule = sources[0].rule
    if rule.rows is None:
        return True
    there = {source.rule.rows[0] for source in sources if source.rule.rows} | set(rule.zero)
    return there == set(range(rule.rows[1]))


def _misfits(plan: Plan, files: TensorFiles, wanted: Mapping[str, torch.Size]) -> list[str]:
    twice, shapes, formats = [], [], []
    for ours, sources in plan.sources.items():
        places = [source.rule.rows for source in sources]
        if len(set(places)) < len(places) or (None in places and len(places) > 1):
            twice.append(f"{ours} by {' and '.join(source.name for source in sources)}")
        for source in sources:
            there, here = files.shape(source.name), wanted[ours]
            if not _fits(source.rule, there, here):
                shapes.append(f"{source.name} is {tuple(there)}, {ours} {tuple(here)}")
            if files.dtype(source.name) not in FLOATS:
                formats.append(f"{source.name} is {files.dtype(source.name)}")
    return [
        *_listed("filled twice:", twice),
        *_listed("of another shape:", shapes),
        *_listed("no weights of these number formats:", formats),
    ]


def _fits(rule: Rename, there: torch.Size, here: torch.Size) -> bool:
    if there[1:] != here[1:] or len(there) != len(here):
        return False
    if not there:
        return True
    if rule.grows:
        return there[0] <= here[0]
    parts, cuts = rule.rows[1] if rule.rows else 1, len(rule.names) if rule.split else 1
    return there[0] * parts == here[0] * cuts


def _listed(fault: str, cases: Sequence[str]) -> list[str]:
    return [f"{fault} {some(cases, LISTED)}"] if cases else []
