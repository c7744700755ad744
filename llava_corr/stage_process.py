"""One command as a child process: its progress in one line, its words in a log, ended with its caller."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from .errors import StageError
from .files import append_line, resource

INTERRUPTED = 2.0  # seconds for a stage to end by itself
BAR = re.compile(r"\d+%\|")
# glibc returns every large buffer to the system and takes it anew: costly for training on a CPU.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "10000000000"}
# How tools of this package and launchers are called from within.
TOOL = str(Path(sys.executable).parent / "llava-corr")
# One rank, wherever: steps are counted in dialogues, and a launcher takes every GPU that it finds.
TRAIN = (str(Path(sys.executable).parent / "deepspeed"), "--num_gpus", "1", str(resource("scripts", "train.py")))


def log_of(logs: Path, name: str) -> Path:
    return logs / f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.log"


def follow(name: str, command: Sequence[str], label: str, logs: Path, memory: PeakMemory, lock: int) -> None:
    """Runs the command of a stage; its progress bar is shown in one line, all that it prints goes to its log.

    Args:
        label: what stands before the bar.
        memory: watches it.
        lock: a file descriptor that it inherits.

    Raises:
        StageError: it ended with an error.
        KeyboardInterrupt: as the caller was interrupted; the stage has ended then.
    """
    path = log_of(logs, name)
    environment = (
        os.environ | ALLOCATOR | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    )
    append_line(path, f"$ {shlex.join(command)}")
    _line(f"{label} ...")
    process = subprocess.Popen(
        _with_a_port(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=Path.cwd(),
        pass_fds=[lock],
    )
    memory.watch(process.pid)
    try:
        for piece in _pieces(process):
            if BAR.search(piece):
                _line(f"{label}: {piece.strip()}")
            else:
                append_line(path, piece)
        code = process.wait()
    except BaseException:  # an interrupt, a full disk: no stage runs on alone
        _end(process, launcher=command[0] == TRAIN[0])
        raise
    if code:
        _line("")
        tail = "\n".join(path.read_text(encoding="utf-8").splitlines()[-15:])
        raise StageError(
            f"{label} ended with exit status {code}:\n{tail}", where=str(path), mend="mend that, then run it again"
        )
    _line(f"{label}: done")
    sys.stderr.write("\n")


def _with_a_port(command: Sequence[str]) -> Sequence[str]:
    """A training beside another one on this machine needs a port of its own for its ranks to meet."""
    if command[0] != TRAIN[0]:
        return command
    with socket.socket() as found:
        found.bind(("", 0))  # the system gives a free one
        return [command[0], "--master_port", str(found.getsockname()[1]), *command[1:]]


def _end(process: subprocess.Popen[bytes], *, launcher: bool) -> None:
    """Ends a stage and waits until the last of its processes is gone: a training takes its step to the end and saves.

    Args:
        launcher: DeepSpeed's, which dies of SIGTERM and leaves its own child, and the ranks, alone. That child passes
            one SIGTERM on; a second one would end the ranks before they have saved.
    """
    with suppress(subprocess.TimeoutExpired):  # at a terminal, Ctrl-C has reached the stage as well
        process.wait(INTERRUPTED)
    with suppress(psutil.NoSuchProcess):
        stage = psutil.Process(process.pid)
        for member in stage.children() if launcher else [stage]:
            member.terminate()
    for _ in _pieces(process):  # what nobody reads would break, or block, those that still write
        pass
    process.wait()


class PeakMemory:
    """The most memory that a process and its children hold together (pages that they share count for each), looked up
    twice a second."""

    def __init__(self) -> None:
        self.peak, self._over = 0, threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, pid: int) -> None:
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def _watch(self, pid: int) -> None:
        while not self._over.wait(0.5):
            total = 0
            with suppress(psutil.Error):
                family = [psutil.Process(pid)]
                for member in [*family, *family[0].children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += member.memory_info().rss
            self.peak = max(self.peak, total)

    def stop(self) -> float:
        """Ends the watch; the peak in GB."""
        self._over.set()
        if self._thread:
            self._thread.join()
        return round(self.peak / 1e9, 2)


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """What a process prints, cut at line ends and at the carriage returns of progress bars."""
    assert process.stdout is not None
    pending = b""
    while chunk := os.read(process.stdout.fileno(), 65536):
        *complete, pending = re.split(rb"[\r\n]+", pending + chunk)
        yield from (piece.decode("utf-8", "replace") for piece in complete if piece.strip())
    if pending.strip():
        yield pending.decode("utf-8", "replace")


def _line(text: str) -> None:
    """Rewrites the progress line; where output is not a terminal, only whole steps are written."""
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        sys.stderr.write(f"\r\x1b[2K{text[: width - 1]}")
        sys.stderr.flush()
    elif text.endswith(("...", "done")):
        sys.stderr.write(text + ("\n" if text.endswith("...") else ""))
