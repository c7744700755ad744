"""``llava-corr demo``: from an empty folder to the page of pictures, every stage by its own public command.

world -> data -> align -> train -> predict (the last three again for a blind model) -> baseline -> score -> report.
A stage that is finished is not repeated; what a stage prints goes to ``logs/``, what is shown is one progress line.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .errors import LlavaCorrError
from .files import append_line, read_json, resource, write_json, write_lines
from .training.runs import update_run

logger = logging.getLogger(__name__)
BAR = re.compile(r"\d+%\|")


# In the minutes of a demo a tiny model does not learn the world's 131 kinds of things; it shows 14 with large parts.
CATEGORIES = (
    "basket", "drum", "mug", "chair", "table", "tiger", "panda", "sheep", "fish", "frog",
    "bookcase", "refrigerator", "bed", "toilet",
)  # fmt: skip
WORDS_SHARE = 1 / 3  # of the training time goes to the words alone, before any mask
# glibc returns every large buffer to the system and takes it anew: costly for training on a CPU.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "10000000000"}


class StageError(LlavaCorrError):
    """A stage of the demo ended with an error."""


@dataclass
class Stage:
    """One command; it counts as finished when ``done`` exists."""

    name: str
    command: Sequence[str]
    done: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of everything the demo makes")
    parser.add_argument("--images", type=int, default=550, help="training pictures per flavour (three flavours)")
    parser.add_argument("--train-samples", type=int, default=12000)
    parser.add_argument("--test-samples", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1, help="of the world, the samples and the trainings")
    parser.add_argument("--minutes", type=float, default=9.0, help="time budget of training, a third of it for words")
    parser.add_argument("--blind-minutes", type=float, default=1.5, help="time budget of the blind model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override for all trainings")


def plan(args: argparse.Namespace) -> list[Stage]:
    """The stages with their commands."""
    out: Path = args.out
    tool = [str(Path(sys.executable).parent / "llava-corr")]
    world, data = out / "world", out / "mixedparts"
    test = str(data / "test.jsonl")
    stages = [
        Stage("world", _world(tool, world, args.images, args.seed), world / "world.json"),
        Stage("data: train", _data(tool, world, data, "train", args.train_samples, args.seed), data / "train.jsonl"),
        Stage("data: test", _data(tool, world, data, "test", args.test_samples, args.seed), data / "test.jsonl"),
    ]
    for name, minutes in (("calico", args.minutes), ("blind", args.blind_minutes)):
        run, aligned = out / f"tiny-{name}", out / f"tiny-{name}-align"
        words, masks = minutes * WORDS_SHARE, minutes * (1 - WORDS_SHARE)
        sets = [f"seed={args.seed}", f"data.blind={str(name == 'blind').lower()}", *args.set]
        first = [f"name={aligned.name}", f"training.max_minutes={words:.3g}", *sets]
        second = [f"model.weights={aligned / 'model'}", f"training.max_minutes={masks:.3g}", *sets]
        stages += [
            Stage(f"align: {name}", _train(out, data, "calico_align", first), aligned / "model" / "model.safetensors"),
            Stage(f"train: {name}", _train(out, data, name, second), run / "model" / "model.safetensors"),
            Stage(
                f"predict: {name}",
                [*tool, "predict", "--run", str(run), "--samples", test, "--out", str(run / "predictions.jsonl")],
                run / "predictions.jsonl",
            ),
        ]
    prior = out / "prior-only" / "predictions.jsonl"
    fit = ["--train", str(data / "train.jsonl"), "--samples", test, "--out", str(prior)]
    stages.append(Stage("baseline: prior-only", [*tool, "baseline", "prior-only", *fit], prior))
    for name, folder in (("Calico (tiny)", "tiny-calico"), ("blind", "tiny-blind"), ("prior-only", "prior-only")):
        scores = out / folder / "scores.json"
        answers = ["--samples", test, "--predictions", str(out / folder / "predictions.jsonl")]
        against = [] if folder == "prior-only" else ["--against", str(prior), "--against-name", "prior-only"]
        command = [*tool, "score", *answers, "--name", name, *against, "--out", str(scores)]
        stages.append(Stage(f"score: {name}", command, scores))
    stages.append(Stage("report", _report(tool, out, world), out / "report.html"))
    return stages


def _world(tool: Sequence[str], world: Path, images: int, seed: int) -> list[str]:
    counts = ["--train", str(images), "--val", "0", "--test", "100", "--seed", str(seed)]
    return [*tool, "world", "--out", str(world), *counts, "--only", *CATEGORIES]


def _data(tool: Sequence[str], world: Path, data: Path, split: str, count: int, seed: int) -> list[str]:
    where = ["--world", str(world), "--out", str(data), "--seed", str(seed)]
    return [*tool, "data", *where, "--split", split, "--count", str(count)]


def _train(out: Path, data: Path, name: str, overrides: Sequence[str]) -> list[str]:
    sets = [f"data.train={data / 'train.jsonl'}", f"output_dir={out}", *overrides]
    launcher = str(Path(sys.executable).parent / "deepspeed")
    pairs = [word for value in sets for word in ("--set", value)]
    return [launcher, str(resource("scripts", "train.py")), "--config", f"tiny/{name}.yaml", *pairs]


def _report(tool: Sequence[str], out: Path, world: Path) -> list[str]:
    scores = [f"{out / folder / 'scores.json'}" for folder in ("tiny-calico", "tiny-blind", "prior-only")]
    difficulty = ["--difficulty", str(world / "difficulty.json")] if (world / "difficulty.json").exists() else []
    runs = ["--run", str(out / "tiny-calico"), "--before", str(out / "tiny-calico-align")]
    command = [*runs, "--scores", *scores, *difficulty, "--command-line", "make demo"]
    return [*tool, "report", *command, "--out", str(out / "report.html")]


def run(args: argparse.Namespace) -> int:
    out: Path = args.out
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise StageError(
            f"cannot be a folder: {cause.strerror}", where=str(out), mend="choose another --out"
        ) from cause
    seconds = _read(out / "stages.json").get("stage_seconds", {})
    memory = _read(out / "stages.json").get("peak_memory_gb", {})
    commands = _read(out / "commands.json")
    stages = plan(args)
    for number, stage in enumerate(stages, start=1):
        label = f"[{number}/{len(stages)}] {stage.name}"
        if stage.name == "report":
            stage = plan(args)[-1]  # the world's difficulty sheet exists by now
        if stage.done.exists():
            _check_same(stage, commands.get(stage.name))
            logger.info("%s: finished earlier", label)
            continue
        if stage.name == "report":
            update_run(out / "tiny-calico", stage_seconds=seconds, peak_memory_gb=memory)
        started = time.monotonic()
        memory[stage.name] = _follow(stage, label, out / "logs")
        seconds[stage.name] = round(time.monotonic() - started, 1)
        commands[stage.name] = shlex.join(stage.command)
        total = round(sum(seconds.values()) / 60, 1)
        write_json(out / "stages.json", {"minutes": total, "stage_seconds": seconds, "peak_memory_gb": memory})
        write_json(out / "commands.json", commands)
    _show(out, seconds)
    return 0


def _read(path: Path) -> dict[str, Any]:
    value = read_json(path, StageError) if path.exists() else {}
    if not isinstance(value, dict):
        raise StageError("the file holds no JSON object", where=str(path), mend="remove this demo's folder")
    return value


def _check_same(stage: Stage, earlier: str | None) -> None:
    """A finished stage counts only when the same command made it."""
    if earlier != shlex.join(stage.command):
        raise StageError(
            f"the stage {stage.name!r} was finished by another command:\n    then: {earlier or 'not recorded'}\n"
            f"    now:  {shlex.join(stage.command)}",
            where=str(stage.done),
            mend="give the demo another folder (--out, or make demo DEMO=...), or remove this one; a folder that was "
            "moved or copied counts as another demo, too",
        )


def _follow(stage: Stage, label: str, logs: Path) -> float:
    """Runs a stage; its progress bar is shown in one line, everything it prints goes to its log.

    Returns:
        The most memory that it and its children held together, GB (pages that they share count for each).
    """
    path = logs / f"{re.sub(r'[^a-z0-9]+', '-', stage.name.lower()).strip('-')}.log"
    environment = (
        os.environ | ALLOCATOR | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    )
    write_lines(path, [f"$ {shlex.join(stage.command)}"])
    _line(f"{label} ...")
    process = subprocess.Popen(
        stage.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=Path.cwd()
    )
    peak = PeakMemory(process.pid)
    try:
        for piece in _pieces(process):
            if BAR.search(piece):
                _line(f"{label}: {piece.strip()}")
            else:
                append_line(path, piece)
        code = process.wait()
    finally:
        if process.poll() is None:  # after an interrupt, a full disk: no stage runs on alone; it saves what it has
            process.terminate()
            process.wait()
        held = peak.stop()
    if code:
        _line("")
        tail = "\n".join(path.read_text(encoding="utf-8").splitlines()[-15:])
        raise StageError(
            f"{label} ended with exit status {code}:\n{tail}", where=str(path), mend="mend that, then run it again"
        )
    _line(f"{label}: done")
    sys.stderr.write("\n")
    return held


class PeakMemory:
    """Watches the resident memory of a process and its children, twice a second."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self._over = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            total = 0
            with suppress(psutil.Error):
                family = [psutil.Process(self.pid)]
                for member in [*family, *family[0].children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += member.memory_info().rss
            self.peak = max(self.peak, total)

    def stop(self) -> float:
        """Ends the watch; the peak in GB."""
        self._over.set()
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


def _show(out: Path, seconds: dict[str, float]) -> None:
    total = sum(seconds.values())
    logger.info("stages: %s", ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))
    logger.info("total %.1f min; the page is %s", total / 60, out / "report.html")
