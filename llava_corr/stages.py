"""Long work as a list of commands: finished ones are not repeated, one progress line, a log for each.

Used by ``llava-corr demo``, ``zoo`` and ``reproduce``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from .errors import StageError
from .files import read_json, storage_errors, write_json
from .stage_process import TOOL, PeakMemory, follow, log_of

logger = logging.getLogger(__name__)
MODEL = Path("model", "config.json")  # of a run: its model is written whole or not at all


def as_value(text: str | Path) -> str:
    """A path as the value of ``--set``, which is YAML: in quotes where it would be read as something else."""
    try:
        plain = OmegaConf.from_dotlist([f"value={text}"])["value"] == str(text)
    except (yaml.YAMLError, OmegaConfBaseException):
        plain = False
    return str(text) if plain else json.dumps(str(text).replace("${", "\\${"), ensure_ascii=False)


def _as_path(value: str) -> str:
    """The other way round."""
    try:
        return str(json.loads(value)).replace("\\${", "${") if value.startswith('"') else value
    except ValueError:  # what only begins like a value
        return value


def refuse_overrides(values: Iterable[str], kept: Mapping[str, str]) -> None:
    """Refuses values of ``--set`` that the work itself gives to its stages.

    Args:
        kept: key, or section -> how to have it otherwise.

    Raises:
        StageError: one of them is set.
    """
    for value in values:
        key = value.partition("=")[0].strip()
        for name, mend in kept.items():
            if key == name or key.startswith(f"{name}.") or name.startswith(f"{key}."):
                raise StageError(f"--set {value}: {name} is given to every stage by the work itself", mend=mend)


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
        words = [word for flag, word in pairwise(self.command) if flag != "--out"]
        read = (_as_path(word[start:]) for word in words for start in _beginnings(word))
        return other.name in self.after or any(Path(path).is_relative_to(other.product) for path in read)


def _beginnings(word: str) -> list[int]:
    """Where a path may begin in the word of a command: ``model:FOLDER``, ``data.train=FILE``."""
    return [0, *(found.end() for found in re.finditer("[=:]", word))]


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
        StageError: a stage failed or did not make what it should, a finished one was made by another command, another
            call or a stage that it left works in ``out``, or its notes there are broken.
        KeyboardInterrupt: ended by SIGINT or SIGTERM; so was the stage that ran.
    """
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise StageError(
            f"cannot be a folder: {cause.strerror}", where=str(out), mend="choose another --out"
        ) from cause
    with _alone(out) as lock, _ended_like_ctrl_c():
        facts = _read(out / "stages.json", dict[str, Any])
        spent = Spent(*(_checked(facts.get(key, {}), dict[str, float], out / "stages.json") for key in _SPENT))
        commands, ends = _read(out / "commands.json", dict[str, str]), _read(out / "ends.json", dict[str, _End])
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
                if stage.product == stage.done:  # a file: what it was made of is gone
                    stage.done.unlink()
            before(stage, spent)
            if commands.pop(stage.name, None):  # it had ended: what it takes is counted from nothing
                write_json(out / "commands.json", commands)
                spent.forget(stage.name)
            _run(stage, label, out, spent, lock)
            if not stage.done.exists():
                raise StageError(
                    f"{label} ended well, but did not make {stage.done}",
                    where=str(log_of(out / "logs", stage.name)),
                    mend="look into its log: its command may write elsewhere",
                )
            commands[stage.name] = shlex.join(stage.command)
            ends[stage.name] = {"at": round(time.time(), 3), "rested_on": below}
            write_json(out / "ends.json", ends)
            write_json(out / "commands.json", commands)
    return spent


def _made_anew(noted: Mapping[str, Any], below: Mapping[str, float]) -> list[str]:
    """Stages below a finished one that ended again since; of a folder of an earlier version nothing is known."""
    then = noted.get("rested_on")
    return [] if then is None else [name for name, at in below.items() if then.get(name) != at]


def _run(stage: Stage, label: str, out: Path, spent: Spent, lock: int) -> None:
    """Runs one stage; what it takes is added to what earlier tries took."""
    started, memory = time.monotonic(), PeakMemory()
    try:
        follow(stage.name, stage.command, label, out / "logs", memory, lock)
    finally:
        spent.memory[stage.name] = max(memory.stop(), spent.memory.get(stage.name, 0.0))
        spent.seconds[stage.name] = round(time.monotonic() - started + spent.seconds.get(stage.name, 0.0), 1)
        facts = {"minutes": spent.minutes, "stage_seconds": spent.seconds, "peak_memory_gb": spent.memory}
        write_json(out / "stages.json", facts)


@contextmanager
def _alone(out: Path) -> Iterator[int]:
    """Keeps other calls out of the folder; yields the file descriptor that does. Stages inherit it: one that goes on
    after its call was killed keeps the next call out, as long as the process lives that the call had started.

    Raises:
        StageError: one works there.
    """
    with storage_errors(out / "lock"):
        opened = (out / "lock").open("w")
    with opened as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when its last holder ends
        except (BlockingIOError, PermissionError):
            raise StageError(
                "another call, or a stage that one left, works in this folder",
                where=str(out),
                mend="wait for it, or end it, or choose another --out",
            ) from None
        except OSError as cause:
            logger.info("%s: this file system has no locks (%s); see that nobody else works there", out, cause)
        yield handle.fileno()


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


class _End(TypedDict):
    """When a stage ended (seconds since 1970), and when those ended that it rests on."""

    at: float
    rested_on: NotRequired[dict[str, float]]


_SPENT = ("stage_seconds", "peak_memory_gb")
V = TypeVar("V")


def _read(path: Path, kind: type[dict[str, V]]) -> dict[str, V]:
    return _checked(read_json(path, StageError) if path.exists() else {}, kind, path)


def _checked(value: Any, kind: type[V], path: Path) -> V:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as cause:
        first = cause.errors()[0]
        raise StageError(
            f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}",
            where=str(path),
            mend="remove that folder",
        ) from cause


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
