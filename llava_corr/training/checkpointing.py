"""Checkpoints that count only when they are whole.

``checkpoints/checkpoint-<step>/`` holds weights, optimizer, scheduler, every rank's random state and log window, the
trainer's state and the clock. When all of it is on the disk, ``complete.json`` is written last: step, ranks, every file
with its size, and how long the log was. A folder without it, or whose files are missing or short, was cut off while it
was written (or removed) and is never continued from.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import CheckpointError, StorageError
from ..files import read_json, sync_to_disk, write_json
from . import ranks

logger = logging.getLogger(__name__)

MARKER = "complete.json"
PREFIX = "checkpoint-"


class Checkpoints:
    """The checkpoints of one run folder.

    Args:
        folder: run folder.
        keep: how many complete checkpoints stay; the one before goes only when a new one is complete.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.root, self.log, self.keep = folder / "checkpoints", folder / "train_log.jsonl", max(1, keep)

    def start(self, *, world_size: int, deepspeed: int | None) -> Path | None:
        """Tidies up after a run that was cut off, on rank 0: half-written checkpoints and log rows after the last one.

        Args:
            world_size: ranks of the run that begins.
            deepspeed: its ZeRO stage; None without DeepSpeed.

        Returns:
            The checkpoint to continue from, on every rank alike; None starts from the first step.

        Raises:
            CheckpointError: it was written by another number of ranks, or with another ZeRO stage.
        """
        last = None
        if ranks.rank() == 0:
            self._remove_incomplete()
            last = next(iter(self.complete()), None)
            if last is None:
                _cut(self.log, 0)
        last = ranks.from_rank_zero(last)
        if last is None:
            return None
        marker = read_json(last / MARKER, CheckpointError)
        _check_same_layout(last, marker, world_size, deepspeed)
        if ranks.rank() == 0:
            _cut(self.log, marker["log_bytes"])
            logger.info("continuing from %s", last)
        return last

    def complete(self) -> list[Path]:
        """Complete checkpoints, newest first."""
        return [folder for folder in self._folders() if _fault(folder) is None]

    @contextmanager
    def writing(self, step: int, *, world_size: int, deepspeed: int | None, first_here: bool) -> Iterator[Path]:
        """The folder of a checkpoint, written by all ranks inside the block and complete after it.

        Args:
            first_here: whether this rank is the first on its machine, which sees to the disk.

        Raises:
            StorageError: disk full, no permission, or ranks that do not share the folder; the last complete checkpoint
                is as it was.
        """
        folder = self.root / f"{PREFIX}{step}"
        try:
            if ranks.rank() == 0:
                (folder / MARKER).unlink(missing_ok=True)
            yield folder
            ranks.gather(None)  # everybody has written: what is flushed now is all there will be
            if first_here:
                _flush(folder)
            ranks.gather(None)  # and every machine has it on the disk
            fault = self._finish(folder, step, world_size, deepspeed) if ranks.rank() == 0 else None
        except (OSError, SafetensorError) as cause:
            raise _not_written(folder, str(cause)) from cause
        except RuntimeError as cause:
            if "PytorchStreamWriter" not in str(cause):  # torch's word for a write that failed
                raise
            raise _not_written(folder, str(cause)) from cause
        if (fault := ranks.from_rank_zero(fault)) is not None:
            raise _not_written(folder, fault)

    def _finish(self, folder: Path, step: int, world_size: int, deepspeed: int | None) -> str | None:
        """Rank 0, when every rank has written: the marker, and only then the end of the oldest checkpoint.

        Returns:
            What is missing; None when the checkpoint is complete.
        """
        missing = [r for r in range(world_size) if not window_file(folder, r).is_file()]
        if missing:
            return f"the files of ranks {missing} are not here; all machines must share the output folder"
        if self.log.exists():
            sync_to_disk(self.log)
        files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
        facts = {
            "step": step,
            "world_size": world_size,
            "zero_stage": deepspeed,
            "log_bytes": self.log.stat().st_size if self.log.exists() else 0,
            "files": files,
        }
        write_json(folder / MARKER, facts)
        sync_to_disk(folder)
        sync_to_disk(self.root)
        for old in self.complete()[self.keep :]:
            _remove(old)
        return None

    def _folders(self) -> list[Path]:
        found = self.root.glob(f"{PREFIX}*") if self.root.is_dir() else ()
        numbered = [(p.name.removeprefix(PREFIX), p) for p in found if p.is_dir()]
        return [p for _, p in sorted(((int(n), p) for n, p in numbered if n.isdecimal()), reverse=True)]

    def _remove_incomplete(self) -> None:
        for folder in self._folders():
            if (fault := _fault(folder)) is not None:
                logger.info("removed the incomplete checkpoint %s: %s", folder, fault)
                _remove(folder)


def window_file(folder: Path, rank: int) -> Path:
    """Where a rank keeps its sums since the last log row."""
    return folder / f"window_{rank}.json"


def _fault(folder: Path) -> str | None:
    """Why a checkpoint does not count; None when it is complete."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sizes: dict[str, int] = marker["files"]
    except FileNotFoundError:
        return f"no {MARKER}"
    except (OSError, ValueError, TypeError, KeyError) as cause:
        return f"{MARKER} cannot be read ({type(cause).__name__})"
    for name, size in sizes.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            return f"{name} is missing" if found is None else f"{name} has {found} bytes, not {size}"
    return None


def _check_same_layout(folder: Path, marker: dict[str, Any], world_size: int, deepspeed: int | None) -> None:
    def named(ranks_: int, stage: int | None) -> str:
        return f"{ranks_} rank{'s' if ranks_ != 1 else ''} {'without DeepSpeed' if stage is None else f'ZeRO-{stage}'}"

    then, now = (marker["world_size"], marker["zero_stage"]), (world_size, deepspeed)
    if then != now:
        raise CheckpointError(
            f"the checkpoint is of {named(*then)}, this run has {named(*now)}: optimizer parts, random states and the "
            "samples of a step belong to that layout",
            where=str(folder),
            mend="start it as before, or give the run another name (--set name=...) to train from the start",
        )


def _cut(log: Path, size: int) -> None:
    """Drops what was logged after the checkpoint, a torn last line included."""
    if log.exists() and log.stat().st_size > size:
        with log.open("r+b") as handle:
            handle.truncate(size)


def _remove(folder: Path) -> None:
    """The marker goes first, so that a removal that is cut off leaves nothing that counts."""
    (folder / MARKER).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        try:
            sync_to_disk(path)
        except FileNotFoundError:
            if path.suffix != ".part":  # files.py gave it its name in between; its folder is flushed last
                raise


def _not_written(folder: Path, reason: str) -> StorageError:
    return StorageError(
        f"could not write the checkpoint: {reason}",
        where=str(folder),
        mend="free disk space, then run the same command again: it continues from the last complete checkpoint",
    )
