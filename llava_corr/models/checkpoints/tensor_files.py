"""Tensors of weight files that others wrote, safetensors or pickled: listed first, then read one at a time.

Nothing but tensors and plain containers is ever unpickled, so no code of a file runs. A list of shards names files of
its own folder only. Tensors are views of the mapped file until they are copied: what is not asked for takes no memory.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import CheckpointError

# A folder is read by the first of these that it has, as transformers would; the last is DeepSpeed's, ZeRO 0 to 2.
INDEX = ".index.json"
CANDIDATES = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}",
              "mp_rank_00_model_states.pt")  # fmt: skip
PICKLED = (".bin", ".pth", ".pt")
WRAPPERS = ("state_dict", "model", "module")  # mmengine, LAVIS, DeepSpeed: their weights lie below one of these
NAMED = f"name a file of weights alone, or one that has them below {', '.join(WRAPPERS)}"
AGAIN = "download the file again, and compare its size and checksum with the ones its page shows"
LFS = b"version https://git-lfs"
# What damaged files make of their readers, torch's own among them.
FAULTS = (OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, AssertionError,
          ArithmeticError, struct.error, MemoryError, SafetensorError, zipfile.BadZipFile)  # fmt: skip


SAFETENSORS_FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
FLOATS = tuple(SAFETENSORS_FLOATS.values())


class Shard(Protocol):
    """One file of tensors."""

    def names(self) -> Sequence[str]: ...

    def shape(self, name: str) -> torch.Size: ...

    def dtype(self, name: str) -> str: ...

    def tensor(self, name: str) -> Tensor: ...

    def verify(self) -> None: ...


class TensorFiles:
    """Named tensors in one file or several.

    Args:
        where: the folder or file, for errors.
        shards: file -> its tensors; no two files have a name in common.
    """

    def __init__(self, where: Path, shards: Mapping[Path, Shard]) -> None:
        self.where, self._shards = where, dict(shards)
        self._home: dict[str, Path] = {}
        for file, shard in self._shards.items():
            for name in shard.names():
                if name in self._home:
                    raise CheckpointError(
                        f"{name} is in {self._home[name].name} and in {file.name}", where=str(where), mend=AGAIN
                    )
                self._home[name] = file

    def __iter__(self) -> Iterator[str]:
        """Names, file by file."""
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)

    def __contains__(self, name: object) -> bool:
        return name in self._home

    def shape(self, name: str) -> torch.Size:
        return self._shards[self._home[name]].shape(name)

    def dtype(self, name: str) -> str:
        """Its number format in words, and how it is held where that is not plainly."""
        return self._shards[self._home[name]].dtype(name)

    def tensor(self, name: str) -> Tensor:
        """A tensor on the CPU, in the number format of the file; mostly a view of the file: copy what is kept.

        Raises:
            CheckpointError: it cannot be read.
        """
        file = self._home[name]
        with readable(file):
            return self._shards[file].tensor(name)

    def verify(self) -> None:
        """Compares the checksums that the files hold of themselves; reads every byte of them.

        Raises:
            CheckpointError: a file has been changed or damaged.
        """
        for file, shard in self._shards.items():
            with readable(file):
                shard.verify()


def open_tensors(path: str | Path, inert: Sequence[str] = ()) -> TensorFiles:
    """Opens a folder of weights or a single file.

    Args:
        path: a folder with safetensors or pickled weights, whole or in shards, or a file of either kind.
        inert: classes by full name that may occur beside the weights of a pickled file; what is of them is left empty.

    Raises:
        CheckpointError: no such weights, a file that is missing, damaged or wants to run code, an index that names
            files elsewhere or other tensors than its files hold.
    """
    path = Path(path)
    if path.is_file():
        return TensorFiles(path, {path: _open(path, inert)})
    if not path.is_dir():
        raise CheckpointError("there is no such file or folder", where=str(path), mend="correct the path")
    for file in (path / name for name in CANDIDATES):
        if file.is_file():
            return (
                _open_sharded(file, inert)
                if file.name.endswith(INDEX)
                else TensorFiles(path, {file: _open(file, inert)})
            )
    listing = ", ".join(CANDIDATES)
    raise CheckpointError(
        "the folder holds no weights", where=str(path), mend=f"it needs one of {listing}; a file may be named itself"
    )


def _open_sharded(index: Path, inert: Sequence[str]) -> TensorFiles:
    with readable(index):
        home: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(home, dict) or not all(isinstance(file, str) for file in home.values()):
            raise ValueError("its weight_map does not map names to files")
    files = sorted(set(home.values()))
    for file in files:
        if file != Path(file).name or file in ("", ".", "..") or "\\" in file:
            raise CheckpointError(f"it names {file!r}, which is no file of its folder", where=str(index), mend=AGAIN)
        with readable(index):
            there = (index.parent / file).is_file()
        if not there:
            raise CheckpointError(
                f"it names {file}, which is missing", where=str(index), mend="download that file, too"
            )
    found = TensorFiles(index.parent, {index.parent / file: _open(index.parent / file, inert) for file in files})
    lacking = [name for name in home if name not in found or found._home[name].name != home[name]]
    unlisted = [name for name in found if name not in home]
    if lacking or unlisted:
        faults = [f"{len(lacking)} tensors are not where it says: {some(lacking)}"] if lacking else []
        faults += [f"{len(unlisted)} tensors of its files are not listed: {some(unlisted)}"] if unlisted else []
        raise CheckpointError("; ".join(faults), where=str(index), mend="take index and files of one release")
    return found


def some(names: Sequence[str], count: int = 3) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _open(file: Path, inert: Sequence[str]) -> Shard:
    with readable(file):
        with file.open("rb") as handle:
            if handle.read(len(LFS)) == LFS:
                raise CheckpointError(
                    "this is a pointer of Git LFS, not the file", where=str(file), mend="git lfs pull, or download it"
                )
        if file.suffix == ".safetensors":
            return _Safetensors(file)
        if file.suffix in PICKLED:
            return _Pickled(file, inert)
    kinds = ", ".join((".safetensors", *PICKLED))
    raise CheckpointError(f"a file of kind {file.suffix!r}", where=str(file), mend=f"weights are in {kinds} files")


class _Safetensors:
    def __init__(self, file: Path) -> None:
        self._handle = safe_open(str(file), framework="pt")
        self._names = list(self._handle.keys())

    def names(self) -> Sequence[str]:
        return self._names

    def shape(self, name: str) -> torch.Size:
        return torch.Size(self._handle.get_slice(name).get_shape())

    def dtype(self, name: str) -> str:
        kind = str(self._handle.get_slice(name).get_dtype())
        return SAFETENSORS_FLOATS.get(kind, kind)

    def tensor(self, name: str) -> Tensor:
        return self._handle.get_tensor(name)

    def verify(self) -> None:
        """The format has no checksums; sizes were compared on opening."""


class _Pickled:
    """Weights that torch.save wrote; they may lie below one of :data:`WRAPPERS`, with other things beside."""

    def __init__(self, file: Path, inert: Sequence[str]) -> None:
        self._file = file
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise ValueError(f"{packed[0]} in it is compressed, which torch.save never does")
        empty: list[Any] = [(type(name.rpartition(".")[2], (_Inert,), {}), name) for name in inert]
        with torch.serialization.safe_globals(empty), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused below
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
        for name in WRAPPERS:
            if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
                content = content[name]
                break
        if not isinstance(content, Mapping):
            raise CheckpointError(
                f"it holds a {type(content).__name__} instead of named tensors", where=str(file), mend=NAMED
            )
        other = [
            f"{name} ({type(v).__name__})"
            for name, v in content.items()
            if not isinstance(v, Tensor) or not isinstance(name, str)
        ]
        if other or not content:
            fault = f"it holds what are no tensors: {some(other)}" if other else "it holds no tensors"
            raise CheckpointError(fault, where=str(file), mend=NAMED)
        self._tensors: dict[str, Tensor] = dict(content)

    def names(self) -> Sequence[str]:
        return list(self._tensors)

    def shape(self, name: str) -> torch.Size:
        return self._tensors[name].shape

    def dtype(self, name: str) -> str:
        tensor = self._tensors[name]
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        kind = str(tensor.dtype).removeprefix("torch.")
        return kind if plain else f"{kind}, {str(tensor.layout).removeprefix('torch.')}, on {tensor.device}"

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name].detach()

    def verify(self) -> None:
        if zipfile.is_zipfile(self._file):
            with zipfile.ZipFile(self._file) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"the checksum of {damaged} in it is wrong")


class _Inert:
    """Stands for an object of a class that is not loaded: whatever it is given is dropped."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Names the file where reading it fails."""
    try:
        yield
    except pickle.UnpicklingError as cause:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(cause))
        if wanted is None:
            raise CheckpointError("no weights that torch.save wrote", where=str(file), mend=AGAIN) from cause
        raise CheckpointError(
            f"the file asks for {wanted[1]}, and only tensors are loaded",
            where=str(file),
            mend="take weights from those who released them, as safetensors if they have them",
        ) from cause
    except FAULTS as cause:
        reason = re.split(r"\n|\. ", str(cause))[0] or ("it is empty" if isinstance(cause, EOFError) else repr(cause))
        raise CheckpointError(f"the file cannot be read: {reason}", where=str(file), mend=AGAIN) from cause
