"""A file of rows that grows by one row at a time and survives a kill: what was begun and not ended is cut off."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Generic, TypeVar

from ..errors import LlavaCorrError
from ..files import open_rows, row_text, storage_errors
from ..record_files import parse_record
from ..records import Record

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)


class Journal(Generic[R]):
    """JSON lines of records, read once, then appended to by any thread of this process.

    Args:
        path: the file; made, with its folder, by the first row.
        kind: the record of a row.
        error: raised for rows that are none.
    """

    def __init__(self, path: str | Path, kind: type[R], error: type[LlavaCorrError]) -> None:
        self.path, self.kind, self.error = Path(path), kind, error
        self._lock = threading.Lock()
        self._handle: IO[bytes] | None = None

    def rows(self) -> Iterator[tuple[R, str]]:
        """Every row and what to call it; a last row without a line end was cut off, and is left out with a warning.

        Raises:
            error: the file is missing or unreadable, or a row is broken.
        """
        start = 0
        with open_rows(self.path, self.error) as handle:
            for number, raw in enumerate(handle, start=1):
                where = f"{self.path}, row {number}"
                if not raw.endswith(b"\n"):
                    logger.warning("%s: cut off in the middle, left out", where)
                elif not raw.isspace():
                    yield parse_record(self.kind, row_text(raw, start, self.path, self.error), where, self.error), where
                start += len(raw)

    def open_for_appending(self) -> None:
        """Locks the file against other processes and cuts off a row that was not ended.

        Raises:
            error: another process writes it.
            StorageError: no permission.
        """
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = self.path.open("a+b")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            handle.close()
            raise self.error("another process writes this file", where=str(self.path), mend="wait for it") from cause
        except OSError as cause:
            logger.info("%s: this file system has no locks (%s); see that nobody else writes it", self.path, cause)
        with storage_errors(self.path):
            handle.truncate(_end_of_last_row(handle))
        self._handle = handle

    def append(self, row: R) -> None:
        """Adds a row, out of this process's hands when the call returns.

        Raises:
            StorageError: disk full.
        """
        if self._handle is None:
            raise self.error("the file is not open for appending", where=str(self.path), mend="open it first")
        with self._lock, storage_errors(self.path):
            self._handle.write(row.model_dump_json().encode() + b"\n")
            self._handle.flush()

    def close(self) -> None:
        """Lets other processes write."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _end_of_last_row(handle: IO[bytes]) -> int:
    """Bytes up to the last line end; read backwards, the file may be long."""
    end = handle.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - (1 << 16))
        handle.seek(start)
        found = handle.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
