"""Name -> ``"module:Name"``, loaded on first use, with a "did you mean" for unknown names."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from .errors import RegistryError


def closest(name: str, known: Iterable[str]) -> str | None:
    """What may have been meant, if anything."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'? known: ...`` for a name nobody knows."""
    names = sorted(known)
    near = closest(name, names)
    hint = f"did you mean {near!r}? " if near else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


class Registry:
    """Maps names to import targets; importing the registry imports none of them.

    Args:
        kind: what the names stand for, used in messages ("source", "benchmark").
        targets: name -> ``"package.module:Attribute"``.
    """

    def __init__(self, kind: str, targets: dict[str, str]) -> None:
        self.kind = kind
        self.targets = dict(targets)

    def names(self) -> list[str]:
        return sorted(self.targets)

    def load(self, name: str) -> Any:
        """Imports and returns the object behind ``name``.

        Raises:
            RegistryError: no such name.
        """
        if name not in self.targets:
            raise RegistryError(f"unknown {self.kind} {name!r}", mend=did_you_mean(name, self.targets))
        module, _, attribute = self.targets[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
