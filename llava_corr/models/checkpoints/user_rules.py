"""Rules of a user's own, for names that no layout knows: a YAML list of {pattern, name} and {pattern, ignore}."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from ...errors import ConfigError
from .layouts import Ignore, Rename, Rule


def read_rules(path: Path) -> list[Rule]:
    """Rules of a user's own: a YAML list of {pattern, name} and {pattern, ignore}.

    Raises:
        ConfigError: no such file, or something in it that is no rule.
    """
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as cause:
        mend = "correct the path or the file"
        raise ConfigError(f"the rules cannot be read: {cause}", where=str(path), mend=mend) from cause
    rules = []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
        try:
            rules.append(_rule(row))
        except (ValueError, re.error) as cause:
            where = f"{path}, rule {number}"
            raise ConfigError(f"no rule: {cause}", where=where, mend="{pattern: 'a\\.(.+)', name: 'b.\\1'}") from cause
    return rules


def _rule(row: Any) -> Rule:
    texts = isinstance(row, dict) and all(isinstance(value, str) for value in row.values())
    if not texts or set(row) not in ({"pattern", "name"}, {"pattern", "ignore"}):
        raise ValueError("it needs a pattern and either a name or what to ignore it for, all of them text")
    groups = re.compile(row["pattern"]).groups
    if "ignore" in row:
        return Ignore(row["pattern"], row["ignore"])
    asked = re.findall(r"\\(\d+|.|$)", row["name"])
    if any(not number.isdigit() or not 1 <= int(number) <= groups for number in asked):
        raise ValueError(f"its pattern has {groups} groups; its name may ask for these, as \\1, and for nothing else")
    return Rename(row["pattern"], (row["name"],))
