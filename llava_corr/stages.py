"""Long work as a list of commands: finished ones are not repeated, one progress line, a log for each.

Used by ``llava-corr demo``, ``zoo`` and ``reproduce``.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import psutil

from .errors import LlavaCorrError
from .files import append_line, read_json, resource, storage_errors, write_json

logger = logging.getLogger(__name__)
INTERRUPTED = 2.0  # seconds for a stage to end by itself
BAR = re.compile(r"\d+%\|")
# glibc returns every large buffer to the system and takes it anew: costly for training on a CPU.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "10000000000"}
# How tools of this package and launchers are called from within.
TOOL = str(Path(sys.executable).parent / "llava-corr")
# One rank, wherever: steps are counted in dialogues, and a launcher takes every GPU that it finds.
TRAIN = (str(Path(sys.executable).parent / "deepspeed"), "--num_gpus", "1", str(resource("scripts", "train.py")))
MODEL = Path("model", "config.json")  # of a run: its model is written whole or not at all


def overrides(values: Iterable[str]) -> list[str]:
    """``--set KEY=VALUE`` for each."""
    return [word for value in values for word in ("--set", value)]


def whole_number(text: str) -> int:
    """A number of an option, counted from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: it is counted from 1")
    return value


def time_budget(text: str) -> float:
    """A time budget of an option."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: no time to work in")
    return value


def check_configurations(stages: Iterable[Stage]) -> None:
    """Loads the configuration of every stage that has one: what is wrong ends the work now, not hours later.

    Raises:
        ConfigError: an unknown file or key, or a value that cannot be.
    """
    from .config import load_config

    known = set()
    for stage in stages:
        words = list(stage.command)
        if "--config" in words and words[:2] != [TOOL, "zoo"]:  # whose recipe is none
            options = words[words.index("--config") + 1 :]
            files = list(takewhile(lambda word: not word.startswith("--"), options))
            sets = [value for flag, value in pairwise(options) if flag == "--set"]
            if (key := (*files, *sets)) not in known:
                load_config(files, sets)
            known.add(key)


class StageError(LlavaCorrError):
    """A stage of long work ended with an error."""


@dataclass
class Stage:
    """One command; it counts as finished when ``done`` exists.

    Attributes:
        after: names of stages that it rests on without a word about them in its command.
    """

    name: str
    command: Sequence[str]
    done: Path
    after: Sequence[str] = ()

    @property
    def product(self) -> Path:
        """What it makes: the file that its command names, or else the folder that ``done`` lies in."""
        if self.done.parts[-2:] == MODEL.parts:
            return self.done.parent.parent
        return self.done if str(self.done) in self.command else self.done.parent

    def rests_on(self, other: Stage) -> bool:
        """Whether its command reads what ``other`` makes."""
        read = (re.split("[=:]", word)[-1] for flag, word in pairwise(self.command) if flag != "--out")
        return other.name in self.after or any(Path(word).is_relative_to(other.product) for word in read)


@dataclass
class Spent:
    """What the stages of a folder took so far: seconds, and the most memory in GB, by name."""

    seconds: dict[str, float]
    memory: dict[str, float]

    def forget(self, name: str) -> None:
        self.seconds.pop(name, None)
        self.memory.pop(name, None)

    @property
    def minutes(self) -> float:
        return round(sum(self.seconds.values()) / 60, 1)


def run_stages(
    plan: Callable[[], Sequence[Stage]], out: Path, *, before: Callable[[Stage, Spent], None] = lambda *_: None
) -> Spent:
    """Runs what is not finished yet, in order.

    A stage that is cut off is run again by the next call, and its command goes on from what it has; one that ended
    while nobody noted it is run again, too, and so is one that rests on a stage that was.

    Args:
        plan: the stages; asked again before each, since what one makes may change the command of a later one.
        out: folder for ``logs/``, ``stages.json`` (what was spent), ``commands.json``, and ``ends.json`` (when stages
            ended, and those that they rest on).
        before: called with each unfinished stage and what was spent so far.

    Raises:
        StageError: a stage failed, a finished one was made by another command, or another call works in ``out``.
        KeyboardInterrupt: ended by SIGINT or SIGTERM; so was the stage that ran.
    """
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise StageError(
            f"cannot be a folder: {cause.strerror}", where=str(out), mend="choose another --out"
        ) from cause
    with _alone(out), _ended_like_ctrl_c():
        facts = _read(out / "stages.json")
        spent = Spent(facts.get("stage_seconds", {}), facts.get("peak_memory_gb", {}))
        commands, ends = _read(out / "commands.json"), _read(out / "ends.json")
        count = len(plan())
        for number in range(count):
            stages = plan()
            stage = stages[number]
            label = f"[{number + 1}/{count}] {stage.name}"
            below = {s.name: ends[s.name]["at"] for s in stages[:number] if s.name in ends and stage.rests_on(s)}
            if stage.done.exists() and stage.name in commands:
                _check_same(stage, commands[stage.name])
                if not (anew := _made_anew(ends.get(stage.name, {}), below)):
                    logger.info("%s: finished earlier", label)
                    continue
                logger.info("%s: again, after %s", label, ", ".join(anew))
            before(stage, spent)
            if commands.pop(stage.name, None):  # it had ended: what it takes is counted from nothing
                write_json(out / "commands.json", commands)
                spent.forget(stage.name)
            _run(stage, label, out, spent)
            commands[stage.name] = shlex.join(stage.command)
            ends[stage.name] = {"at": round(time.time(), 3), "rested_on": below}
            write_json(out / "ends.json", ends)
            write_json(out / "commands.json", commands)
    return spent


def _made_anew(noted: Mapping[str, Any], below: Mapping[str, float]) -> list[str]:
    """Stages below a finished one that ended again since; of a folder of an earlier version nothing is known."""
    then = noted.get("rested_on")
    return [] if then is None else [name for name, at in below.items() if then.get(name) != at]


def _run(stage: Stage, label: str, out: Path, spent: Spent) -> None:
    """Runs one stage; what it takes is added to what earlier tries took."""
    started, memory = time.monotonic(), PeakMemory()
    try:
        _follow(stage, label, out / "logs", memory)
    finally:
        spent.memory[stage.name] = max(memory.stop(), spent.memory.get(stage.name, 0.0))
        spent.seconds[stage.name] = round(time.monotonic() - started + spent.seconds.get(stage.name, 0.0), 1)
        facts = {"minutes": spent.minutes, "stage_seconds": spent.seconds, "peak_memory_gb": spent.memory}
        write_json(out / "stages.json", facts)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps other calls out of the folder.

    Raises:
        StageError: one works there.
    """
    with storage_errors(out / "lock"):
        opened = (out / "lock").open("w")
    with opened as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
        except (BlockingIOError, PermissionError):
            raise StageError(
                "another call works in this folder",
                where=str(out),
                mend="wait for it, or end it, or choose another --out",
            ) from None
        except OSError as cause:
            logger.info("%s: this file system has no locks (%s); see that nobody else works there", out, cause)
        yield


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends the stage that runs, too."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there may signals be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _read(path: Path) -> dict[str, Any]:
    value = read_json(path, StageError) if path.exists() else {}
    if not isinstance(value, dict):
        raise StageError("the file holds no JSON object", where=str(path), mend="remove that folder")
    return value


def _check_same(stage: Stage, earlier: str) -> None:
    """A finished stage counts only when the same command made it."""
    if earlier != shlex.join(stage.command):
        raise StageError(
            f"the stage {stage.name!r} was finished by another command:\n    then: {earlier}\n"
            f"    now:  {shlex.join(stage.command)}",
            where=str(stage.done),
            mend="choose another folder (--out), or remove this one; a folder that was moved or copied counts as "
            "another one",
        )


def _follow(stage: Stage, label: str, logs: Path, memory: PeakMemory) -> None:
    """Runs a stage; its progress bar is shown in one line, everything it prints goes to its log."""
    path = logs / f"{re.sub(r'[^a-z0-9]+', '-', stage.name.lower()).strip('-')}.log"
    environment = (
        os.environ | ALLOCATOR | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    )
    append_line(path, f"$ {shlex.join(stage.command)}")
    _line(f"{label} ...")
    process = subprocess.Popen(
        _with_a_port(stage.command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=Path.cwd()
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
        _end(process, launcher=stage.command[0] == TRAIN[0])
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
