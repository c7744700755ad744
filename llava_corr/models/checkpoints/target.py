"""Where an import is written: never over a release, a run or anything else that it did not write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...errors import ConfigError

TABLE = "import.json"  # in every imported folder
MEND = "name a new folder, or one that an import wrote"


def check_target(out: Path, sources: Mapping[str, Path]) -> None:
    """Sees that a folder may be written, before anything is fetched or read.

    Args:
        out: absent, empty, or an import of before.
        sources: kind -> file or folder of a release, of those that lie on this machine.

    Raises:
        ConfigError: it is a file, holds something else, holds or lies in a release, or may not be written to.
    """
    real, here = out.resolve(), Path.cwd()
    if real == here or real in here.parents:
        raise ConfigError("this folder is in use", where=f"--out {out}", mend=MEND)
    if real.exists() and not real.is_dir():
        raise ConfigError("there is a file of that name", where=f"--out {out}", mend=MEND)
    for kind, source in sources.items():
        place = source.resolve()
        if real == place or real in place.parents or place in real.parents:
            raise ConfigError(f"it would replace the release {kind}={source}", where=f"--out {out}", mend=MEND)
    if real.is_dir() and any(real.iterdir()) and not (real / TABLE).is_file():
        raise ConfigError(f"the folder holds other things than an import ({TABLE})", where=f"--out {out}", mend=MEND)
    above = next(folder for folder in real.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"{above} cannot be written to", where=f"--out {out}", mend="name a folder that can")
