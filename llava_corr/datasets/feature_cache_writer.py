"""Writes a feature cache (``feature_cache.py``): one process at a time, shard by shard, each whole or not at all."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ..errors import FeatureCacheError
from ..files import append_line, atomic_write, storage_errors, write_lines
from .feature_cache import ELSEWHERE, INDEX, Index, Made, Shard, check_made, checksum, damage, read_index

logger = logging.getLogger(__name__)

LOCK = "lock"
SHARD_PICTURES, SHARD_BYTES = 256, 512_000_000


class CacheWriter:
    """Adds pictures to a cache; get one from :func:`writing`."""

    def __init__(self, folder: Path, made: Made, dtype: torch.dtype) -> None:
        self.folder, self.dtype = folder, dtype
        self.index = self._continued(made) if (folder / INDEX).exists() else self._begun(made)
        self.keys = {key for shard in self.index.shards for key, _, _ in shard.pictures}
        self._rows: list[tuple[tuple[str, int, int], dict[str, Tensor]]] = []
        self._bytes = 0

    def _begun(self, made: Made) -> Index:
        if strangers := sorted(p.name for p in self.folder.iterdir() if p.name != LOCK and not p.name.startswith(".")):
            raise FeatureCacheError(
                f"the folder holds other files: {', '.join(strangers[:3])}",
                where=str(self.folder),
                mend="name an empty folder, or one that is not there yet",
            )
        return self._written(Index(made, _name(self.dtype), []))

    def _continued(self, made: Made) -> Index:
        found = read_index(self.folder)
        check_made(found.made, made, self.folder)
        if more := sorted(found.made.keys() - made.keys()):
            raise FeatureCacheError(
                f"the feature cache also holds {', '.join(more)}, which this experiment does not make",
                where=str(self.folder),
                mend=ELSEWHERE,
            )
        if found.dtype != _name(self.dtype):
            raise FeatureCacheError(
                f"the feature cache stores {found.dtype}, not {_name(self.dtype)}",
                where=str(self.folder),
                mend=f"go on with --dtype {found.dtype}, or name another folder",
            )
        whole = []
        for shard in found.shards:
            if fault := damage(self.folder, shard):
                logger.warning("%s: its %d pictures are made again", fault, len(shard.pictures))
            else:
                whole.append(shard)
        index = self._written(Index(found.made, found.dtype, whole))
        kept = {shard.file for shard in whole}
        with storage_errors(self.folder):  # damaged, or of a writer that was killed
            for path in [*self.folder.glob("*.safetensors"), *self.folder.glob(".*.part")]:
                if path.name not in kept:
                    path.unlink()
        return index

    def _written(self, index: Index) -> Index:
        write_lines(self.folder / INDEX, index.lines())
        return index

    def add(self, key: str, size: tuple[int, int], tensors: Mapping[str, Tensor]) -> None:
        """Keeps a picture's tensors, and writes a shard when there is enough for one.

        Raises:
            StorageError: the shard could not be written; earlier ones are untouched.
        """
        assert tensors.keys() == self.index.made.keys()
        stored = {n: t.cpu().to(self.dtype if t.is_floating_point() else t.dtype) for n, t in tensors.items()}
        self._rows.append(((key, *size), stored))
        self.keys.add(key)
        self._bytes += sum(t.nbytes for t in stored.values())
        if len(self._rows) >= SHARD_PICTURES or self._bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what was added so far."""
        rows, self._rows, self._bytes = self._rows, [], 0
        if not rows:
            return
        last = max((int(Path(shard.file).stem) for shard in self.index.shards), default=-1)
        file = f"{last + 1:05d}.safetensors"
        with atomic_write(self.folder / file, "wb") as handle:
            handle.write(save({name: torch.stack([tensors[name] for _, tensors in rows]) for name in self.index.made}))
        sums = {name: [checksum(tensors[name]) for _, tensors in rows] for name in self.index.made}
        shard = Shard(file, (self.folder / file).stat().st_size, [picture for picture, _ in rows], sums)
        append_line(self.folder / INDEX, json.dumps(asdict(shard)))
        self.index.shards.append(shard)


@contextmanager
def writing(folder: str | Path, made: Made, dtype: torch.dtype) -> Iterator[CacheWriter]:
    """Begins a cache or goes on with one; what was added is on the disk when the block ends, in whichever way.

    Raises:
        FeatureCacheError: another process is writing it, it is of another model, or the folder holds something else.
        StorageError: disk full, no permission.
    """
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
        except BlockingIOError as cause:
            raise FeatureCacheError(
                "another process is writing this feature cache",
                where=str(folder),
                mend="wait until it is done, then run the same command again",
            ) from cause
        writer = CacheWriter(folder, made, dtype)
        try:
            yield writer
        finally:
            writer.flush()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
