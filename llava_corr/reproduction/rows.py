"""The trained rows of the tables, and those of a user's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..stages import StageError


@dataclass(frozen=True)
class Row:
    """A trained row of a table.

    Attributes:
        overlays: laid over tiny/calico.yaml.
        aligned: it has a projection of its own, aligned first: the zoo's is of Q-Former tokens, not of patches.
        blind: it sees grey pictures.
        patches: every patch is a token, eight times as many: its steps take smaller micro-batches.
    """

    overlays: tuple[str, ...] = ()
    aligned: bool = False
    blind: bool = False
    patches: bool = False


ROWS = {
    "calico": Row(),
    "new_projection": Row(("tiny/new_projection.yaml",), aligned=True),
    "no_qformer": Row(("ablations/no_qformer.yaml",), aligned=True, patches=True),
    "no_dino": Row(("ablations/no_dino.yaml",)),
    "no_cem": Row(("ablations/no_cem.yaml",)),
    "no_cam": Row(("ablations/no_cam.yaml",)),
    "neither": Row(("ablations/neither.yaml",)),
    "one_cam": Row(("ablations/one_cam.yaml",)),
    "three_cams": Row(("ablations/three_cams.yaml",)),
    "glamm": Row(("tiny/glamm.yaml",), aligned=True, patches=True),
    "lisa": Row(("tiny/lisa.yaml",), aligned=True, patches=True),
    "blind": Row(blind=True),
}
MAIN, BASELINES = "main", "baselines"
BASELINE_ROWS = ("cascade", "label-set-all-parts", "label-set-main-object", "prior-only")  # what BASELINES scores
CHOICES = (MAIN, *ROWS, BASELINES)
NAME = re.compile(r"[a-z][a-z0-9_]*")


def own_rows(words: Sequence[str]) -> dict[str, Row]:
    """Rows from ``NAME=FILE[,FILE...]``: overlays over tiny/calico.yaml.

    Raises:
        StageError: a name that cannot be one or is taken, or no file.
    """
    found: dict[str, Row] = {}
    for word in words:
        name, _, files = word.partition("=")
        taken = (*CHOICES, *BASELINE_ROWS, *found)
        if not NAME.fullmatch(name) or name in taken:
            raise StageError(
                f"--own-row {word}: {name!r} cannot be the name of another row",
                mend=f"small letters, digits and _, a letter first, and none of {', '.join(taken)}",
            )
        overlays = tuple(file for file in files.split(",") if file)
        if not overlays:
            raise StageError(f"--own-row {word} names no file", mend=f"--own-row {name}=my.yaml")
        found[name] = Row(overlays)
    return found
