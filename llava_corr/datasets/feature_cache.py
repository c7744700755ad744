"""A store on disk for what frozen networks make of pictures: named tensors, found by the picture's content.

``index.jsonl`` begins with what the tensors were made with; every further line names a shard that is whole, with its
size, its pictures and a checksum of every tensor of every picture, compared when it is read. A shard without a line
does not count, so a killed writer loses one shard at most. What the tensors mean is no concern of this file: a maker
describes each in words and values, a reader compares them.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import FeatureCacheError, ImageError
from ..files import read_rows
from ..records import ImageRef
from .images import dialogue_key

FORMAT = 2
INDEX = "index.jsonl"
AGAIN = "run llava-corr cache again: it makes what is missing, and leaves the rest"
ELSEWHERE = "name another folder (--out, data.features), or remove this one and run llava-corr cache again"

Made = Mapping[str, Mapping[str, str]]
"""Tensor name -> what it depends on: words that fit after "made with other" -> value."""


def picture_keys(images: Iterable[ImageRef], *, blind: bool = False) -> dict[str, str]:
    """Key of a picture in a dialogue -> its key in a cache: SHA-256 of the file's bytes, or of a grey picture's size.

    Raises:
        ImageError: a file cannot be read.
    """
    unique = {dialogue_key(image, blind=blind): image for image in images}
    if blind:
        return {name: hashlib.sha256(name.encode()).hexdigest() for name in unique}
    with ThreadPoolExecutor() as pool:  # hashing and reading let go of the interpreter's lock
        return dict(zip(unique, pool.map(_file_hash, unique), strict=True))


def _file_hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as cause:
        raise ImageError(
            f"the image file cannot be read: {cause.strerror}",
            where=path,
            mend="restore the image, or point to the right folder",
        ) from cause


@dataclass(frozen=True)
class Shard:
    """One file of the cache.

    Attributes:
        file: name in the cache's folder; its tensors have one row for every picture.
        bytes: size of the file.
        pictures: (key, height, width) of each row's picture, pixels of the original.
        sums: tensor name -> CRC-32 of each row's bytes.
    """

    file: str
    bytes: int
    pictures: Sequence[tuple[str, int, int]]
    sums: Mapping[str, Sequence[int]]


def checksum(tensor: Tensor) -> int:
    """CRC-32 of a tensor's bytes."""
    return zlib.crc32(tensor.contiguous().flatten().view(torch.uint8).numpy().data)


@dataclass(frozen=True)
class Index:
    """What ``index.jsonl`` says.

    Attributes:
        made: what each tensor was made with.
        dtype: number format that floating tensors are stored in.
        shards: those that are whole.
        torn: the last line was cut off, by a kill in the middle of writing it.
    """

    made: Made
    dtype: str
    shards: list[Shard]
    torn: bool = False

    def lines(self) -> Iterator[str]:
        yield json.dumps({"format": FORMAT, "made": self.made, "dtype": self.dtype})
        for shard in self.shards:
            yield json.dumps(asdict(shard))


def read_index(folder: Path) -> Index:
    """The index of a cache.

    Raises:
        FeatureCacheError: there is none, it is broken, or of another format.
    """
    path = folder / INDEX
    if not path.exists():
        mend = "make one with the same --config and --set: llava-corr cache --config ... --out FOLDER"
        raise FeatureCacheError("no feature cache in this folder", where=str(folder), mend=mend)
    rows = list(read_rows(path, FeatureCacheError))
    values, torn = [], False
    for number, line in rows:
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as cause:
            torn = number == rows[-1][0] > 1
            if not torn:
                raise FeatureCacheError(
                    f"broken JSON: {cause.msg}", where=f"{path}, line {number}", mend=ELSEWHERE
                ) from cause
    try:
        first, *others = values
        if first["format"] != FORMAT:
            raise FeatureCacheError(
                f"a cache of format {first['format']}, this version reads {FORMAT}", where=str(path), mend=ELSEWHERE
            )
        shards = [Shard(v["file"], v["bytes"], [tuple(p) for p in v["pictures"]], v["sums"]) for v in others]
        return Index(first["made"], first["dtype"], shards, torn)
    except (ValueError, KeyError, TypeError) as cause:
        raise FeatureCacheError("no index of a feature cache", where=str(path), mend=ELSEWHERE) from cause


def damage(folder: Path, shard: Shard) -> str | None:
    """What is wrong with a shard's file, as far as its size tells; None where nothing is."""
    try:
        size = (folder / shard.file).stat().st_size
    except OSError:
        return f"{shard.file} is missing"
    return None if size == shard.bytes else f"{shard.file} has {size} bytes instead of {shard.bytes}"


def check_made(found: Made, wanted: Made, where: Path) -> None:
    """Compares what tensors were made with; a cache may hold more than is wanted.

    Raises:
        FeatureCacheError: a tensor is not held, or was made otherwise; every difference is named.
    """
    faults = [f"it holds no {name}" for name in wanted if name not in found]
    for name in wanted.keys() & found.keys():
        ours, theirs = wanted[name], found[name]
        faults += [
            f"it was made with other {what}" for what in ours.keys() | theirs if ours.get(what) != theirs.get(what)
        ]
    if faults:
        listing = "\n".join(f"    {fault}" for fault in sorted(set(faults)))
        raise FeatureCacheError(f"the feature cache is of another model:\n{listing}", where=str(where), mend=ELSEWHERE)


class FeatureCache:
    """Reads a cache. Shards are mapped into memory when they are first asked for, once in every process.

    Attributes:
        folder: where it lies.
        made: what each tensor was made with.
        sizes: key -> (height, width) of the original picture, for every picture held.

    Raises:
        FeatureCacheError: there is no cache, or a file of it is missing or cut off.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = read_index(self.folder)
        faults = [fault for shard in index.shards if (fault := damage(self.folder, shard))]
        if faults:
            more = f" (and {len(faults) - 1} more shards)" if len(faults) > 1 else ""
            raise FeatureCacheError(
                f"the feature cache is damaged: {faults[0]}{more}", where=str(self.folder), mend=AGAIN
            )
        self.made = index.made
        self.sizes = {key: (height, width) for shard in index.shards for key, height, width in shard.pictures}
        self._files = [shard.file for shard in index.shards]
        self._sums = [shard.sums for shard in index.shards]
        self._rows = {
            key: (number, row)
            for number, shard in enumerate(index.shards)
            for row, (key, _, _) in enumerate(shard.pictures)
        }
        self._open: dict[int, Any] = {}
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_open": {}}

    def load(self, key: str, names: Iterable[str]) -> dict[str, Tensor]:
        """The named tensors of a picture that the cache holds, read-only.

        Raises:
            FeatureCacheError: the shard is unreadable, or has other bytes than were written.
        """
        number, row = self._rows[key]
        with self._named(number):
            shard = self._shard(number)
            found = {name: shard.get_slice(name)[row] for name in names}
            changed = [name for name, value in found.items() if checksum(value) != self._sums[number][name][row]]
            if changed:
                raise OSError(f"other bytes than were written ({', '.join(changed)} of picture {key[:12]})")
            return found

    def stand_in(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Zeros in place of a picture's tensors; the cache must hold some picture.

        Raises:
            FeatureCacheError: a shard is unreadable.
        """
        return {name: torch.zeros_like(value) for name, value in self.load(next(iter(self._rows)), names).items()}

    def _shard(self, number: int) -> Any:
        if self._process != os.getpid():  # a forked worker maps the files anew
            self._open, self._process = {}, os.getpid()
        if number not in self._open:
            self._open[number] = safe_open(self.folder / self._files[number], "pt")
        return self._open[number]

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError, IndexError) as cause:
            path = self.folder / self._files[number]
            raise FeatureCacheError(
                f"unreadable: {cause}", where=str(path), mend="remove this file, then run llava-corr cache again"
            ) from cause
