"""Files: written whole or not at all, read with the row and column of any fault.

Also finds the data files that ship with the project (taxonomies, configurations), in a checkout and in an
installed wheel alike.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from .errors import AnnotationError, ConfigError, LlavaCorrError, StorageError

Named = Iterable[tuple[str, str | Path | None]]

SHIPPED = ("data", "zoo")  # weights that come with the project
_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Path of a file that ships with the project, such as ``resource("data", "taxonomies", "paco_lvis.json")``.

    A wheel carries these files inside the package, a checkout beside it.
    """
    for root in (_PACKAGE / "_resources", _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise StorageError(
        f"the project file {'/'.join(parts)} is missing",
        where=str(_PACKAGE.parent),
        mend="reinstall llava-corr, or restore the file in your checkout",
    )


def find_shipped(path: str) -> str:
    """``path``; where ``data/zoo``, or a place in it, is not in the folder that one is in, the project's own."""
    parts = Path(path).parts
    if parts[: len(SHIPPED)] != SHIPPED or ".." in parts or Path(path).exists():
        return path
    return str(resource(*SHIPPED).joinpath(*parts[len(SHIPPED) :]))


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a temporary file beside ``path`` and moves it there only when the block ends without an error.

    Raises:
        StorageError: the file could not be written (disk full, no permission); ``path`` is as it was.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = None if "b" in mode else "utf-8"
        handle = tempfile.NamedTemporaryFile(  # noqa: SIM115  (closed below, kept for the move)
            mode, encoding=encoding, dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        )
        temporary = handle.name
        with handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        usual_mode(temporary)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def refuse_overwriting(outputs: Named, inputs: Named) -> None:
    """Sees that no file that a command writes is one that it reads, under whatever name.

    Args:
        outputs: (argument, file) of each; files that are None are passed over.
        inputs: likewise.

    Raises:
        ConfigError: one is; both arguments are named.
    """
    read = [(argument, file) for argument, file in inputs if file is not None]
    for output, out in outputs:
        for argument, file in read:
            if out is not None and _same_file(out, file):
                raise ConfigError(
                    f"{output} {out} would overwrite {argument} {file}",
                    where=os.path.realpath(file),
                    mend="name another file to write",
                )


def require_file(argument: str, path: str | Path) -> None:
    """Sees that what a command writes is named as a file, before it computes anything.

    Raises:
        ConfigError: it is a folder.
    """
    if Path(path).is_dir():
        raise ConfigError(f"{argument} {path} is a folder", mend="name a file in it")


def refuse_replacing_json(argument: str, path: str | Path, kind: str, keys: Iterable[str]) -> None:
    """Sees that ``path`` may be written: it is not there, empty, or a JSON object with these keys.

    Raises:
        ConfigError: it is a folder, or a file of another kind than ``kind``.
    """
    require_file(argument, path)
    if not Path(path).is_file() or not Path(path).stat().st_size:
        return
    try:
        held = read_json(path, ConfigError)
    except (ConfigError, RecursionError):
        held = None
    if not (isinstance(held, dict) and held.keys() >= set(keys)):
        raise ConfigError(
            f"{argument} {path} is no file of {kind}, and would be replaced by one",
            where=os.path.realpath(path),
            mend="name another file, or remove this one",
        )


def _same_file(one: str | Path, other: str | Path) -> bool:
    try:
        return os.path.samefile(one, other)  # also where names differ in case, or by a link
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def append_line(path: str | Path, line: str) -> None:
    """Adds a line to a log.

    Raises:
        StorageError: disk full, no permission.
    """
    with storage_errors(path), Path(path).open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")


@contextmanager
def storage_errors(path: str | Path) -> Iterator[None]:
    """Names ``path`` where writing in the block fails.

    Raises:
        StorageError: disk full, no permission.
    """
    try:
        yield
    except OSError as error:
        raise _not_written(Path(path), error) from error


def _not_written(path: Path, error: OSError) -> StorageError:
    mend = "free disk space or choose a folder you may write to, then run the same command again"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        mend = "there is a file where a folder is to be: name another place"
    if isinstance(error, IsADirectoryError):
        mend = "there is a folder where a file is to be: name a file in it"
    return StorageError(f"could not write {path.name}: {error.strerror or error}", where=str(path.parent), mend=mend)


def usual_mode(path: str | Path) -> None:
    """Gives a file the permissions that new files have here; safetensors leaves its own readable to the owner alone."""
    os.chmod(path, 0o666 & ~_umask())


def sync_to_disk(path: str | Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_json(path: str | Path, value: Any, *, indent: int | None = 1) -> None:
    """Writes ``value`` as UTF-8 JSON, whole or not at all."""
    with atomic_write(path) as handle:
        handle.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")  # json.dump is many times slower


def write_lines(path: str | Path, lines: Iterable[str]) -> int:
    """Writes one line each, whole or not at all; returns the number of lines."""
    count = 0
    with atomic_write(path) as handle:
        for line in lines:
            handle.write(line + "\n")
            count += 1
    return count


def file_hash(path: str | Path, error: type[LlavaCorrError] = AnnotationError) -> str:
    """SHA-256 of a file's bytes.

    Raises:
        error: it cannot be read.
    """
    path, digest = Path(path), hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    except FileNotFoundError as cause:
        raise error(f"{path.name} does not exist", where=str(path), mend="check the path") from cause
    except OSError as cause:
        raise error(f"{path.name} cannot be read: {cause.strerror}", where=str(path), mend="check the path") from cause
    return digest.hexdigest()


def read_text(path: str | Path, error: type[LlavaCorrError] = AnnotationError) -> str:
    """Reads UTF-8 text.

    Raises:
        error: the file is missing, unreadable or not UTF-8.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as cause:
        raise error(f"{path.name} does not exist", where=str(path), mend="check the path") from cause
    except UnicodeDecodeError as cause:
        raise error(
            f"{path.name} is not UTF-8 text: {cause.reason} at byte {cause.start}",
            where=str(path),
            mend="save it as UTF-8, or point to the right file",
        ) from cause
    except OSError as cause:
        raise error(f"{path.name} cannot be read: {cause.strerror}", where=str(path), mend="check the path") from cause


def read_json(path: str | Path, error: type[LlavaCorrError] = AnnotationError) -> Any:
    """Reads a JSON file.

    Raises:
        error: the file is missing, unreadable or not JSON; the message names line and column.
    """
    text = read_text(path, error)
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        raise error(
            f"broken JSON: {cause.msg}",
            where=f"{path}, line {cause.lineno}, column {cause.colno}",
            mend="repair that place, or download the file again if it was cut off",
        ) from cause
    except (RecursionError, ValueError) as cause:  # nested thousands deep, or a number of thousands of digits
        raise error(f"unreadable JSON: {cause}", where=str(path), mend="download the file again") from cause


def open_rows(path: str | Path, error: type[LlavaCorrError] = AnnotationError) -> BinaryIO:
    """Opens a file of rows as bytes.

    Raises:
        error: the file is missing or unreadable.
    """
    path = Path(path)
    try:
        return path.open("rb")
    except FileNotFoundError as cause:
        raise error(f"{path.name} does not exist", where=str(path), mend="check the path") from cause
    except OSError as cause:
        raise error(f"{path.name} cannot be read: {cause.strerror}", where=str(path), mend="check the path") from cause


def row_text(raw: bytes, start: int, path: str | Path, error: type[LlavaCorrError] = AnnotationError) -> str:
    """A row as text.

    Args:
        start: its first byte in the file, for the message.

    Raises:
        error: it is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise error(
            f"{Path(path).name} is not UTF-8 text: {cause.reason} at byte {start + cause.start}",
            where=str(path),
            mend="save it as UTF-8, or point to the right file",
        ) from cause


def read_rows(path: str | Path, error: type[LlavaCorrError] = AnnotationError) -> Iterator[tuple[int, str]]:
    """Yields ``(row number from 1, line)`` of a JSON-lines file, blank lines left out; one row is held at a time.

    Raises:
        error: the file is missing or unreadable, or a row is not UTF-8.
    """
    start = 0
    with open_rows(path, error) as handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.isspace():
                yield number, row_text(raw, start, path, error).rstrip("\r\n")
            start += len(raw)
