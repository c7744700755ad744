"""What a run shows and keeps while it trains: one progress line, a JSON-lines log, TensorBoard, a clock."""

from __future__ import annotations

import json
import logging
import math
import signal
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import CheckpointError
from ..files import append_line, read_json, storage_errors, write_json
from . import ranks

logger = logging.getLogger(__name__)

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}, {rate_inv_fmt}, ETA {remaining}{postfix}"


class ProgressLine(TrainerCallback):
    """One line with step, losses, seconds per step and ETA, on rank 0."""

    def __init__(self, clock: TimeBudget | None = None) -> None:
        self.bar: tqdm | None = None
        self.clock = clock

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc="train",
                unit="step",
                bar_format=BAR,
                dynamic_ncols=True,
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if self.bar is not None and "language" in logs:
            shown = {name: f"{logs[name]:.3f}" for name in ("language", "mask", "dice") if name in logs}
            left = f", {self.clock.minutes_left():.1f} min left" if self.clock and self.clock.seconds else ""
            self.bar.set_postfix_str(" ".join(f"{k} {v}" for k, v in shown.items()) + left, refresh=False)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class JsonLinesLog(TrainerCallback):
    """Appends every log entry to ``train_log.jsonl``, on rank 0; numbers that are not finite are null."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero and "train_runtime" not in kwargs["logs"]:  # the trainer's summary: in run.json
            row = {"step": state.global_step, "time": time.time(), **kwargs["logs"]}
            append_line(self.path, json.dumps({name: _valid(value) for name, value in row.items()}, allow_nan=False))


def _valid(value: Any) -> Any:
    """JSON has no word for NaN and infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class TensorBoardLog(TrainerCallback):
    """The numbers of every log entry as TensorBoard scalars, on rank 0; rows after a checkpoint are hidden when the run
    continues from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.writer = SummaryWriter(str(self.folder), purge_step=state.global_step + 1)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.writer is not None:
            for name, value in kwargs["logs"].items():
                if isinstance(value, (int, float)) and not name.endswith("_sum"):  # a curve of the mean is enough
                    self.writer.add_scalar(name, value, state.global_step)
            self.writer.flush()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.writer is not None:
            self.writer.close()


class StepSeconds(TrainerCallback):
    """Seconds per optimiser step since they were last asked for: data and arithmetic, without saving and validation."""

    def __init__(self) -> None:
        self.sum, self.steps, self.mark = 0.0, 0, time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.mark = time.monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        now = time.monotonic()
        self.sum, self.steps, self.mark = self.sum + now - self.mark, self.steps + 1, now

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.mark = time.monotonic()

    def on_save(self, *_: Any, **__: Any) -> None:
        self.mark = time.monotonic()

    def take(self) -> float:
        mean = self.sum / max(1, self.steps)
        self.sum, self.steps = 0.0, 0
        return mean


class SaveOnInterrupt(TrainerCallback):
    """SIGINT or SIGTERM to any rank ends the run after its step, with a checkpoint; a second one of the same kind ends
    it at once. (Of the same kind: on Ctrl-C under a launcher, ranks get SIGINT from the terminal and SIGTERM from it.)

    Attributes:
        caught: whether that happened.
    """

    def __init__(self) -> None:
        self.caught = False
        self._before: dict[int, Any] = {}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in (signal.SIGINT, signal.SIGTERM)}

    def _catch(self, number: int, _: Any) -> None:
        self.caught = True
        signal.signal(number, self._before[number])

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self.caught = ranks.any_rank(self.caught, args.device)
        control.should_save |= self.caught
        control.should_training_stop |= self.caught
        return control

    def on_train_end(self, *_: Any, **__: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


SAVE, STOP = "save", "stop"  # names of files in the run folder, in order of what they ask for


class SaveOnRequest(TrainerCallback):
    """A file ``save`` in the run folder asks for a checkpoint after the running step, ``stop`` for the end with it.

    Rank 0 looks for them after every step, and removes them when the checkpoint is complete.

    Attributes:
        stopped: whether the end was asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.stopped = folder, False
        self._seen: list[Path] = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if state.is_world_process_zero:
            self._seen = [path for name in (SAVE, STOP) if (path := self.folder / name).exists()]
        asked = max((1 + (SAVE, STOP).index(path.name) for path in self._seen), default=0)
        asked = ranks.largest(asked, args.device)
        self.stopped |= asked == 2
        control.should_save |= asked > 0
        control.should_training_stop |= self.stopped
        return control

    def on_save(self, *_: Any, **__: Any) -> None:
        for path in self._seen:
            logger.info("saved, as %s asks for", path)
            with storage_errors(path):
                path.unlink(missing_ok=True)
        self._seen = []


CLOCK = "clock.json"  # in every checkpoint


class TimeBudget(TrainerCallback):
    """Share of the run that is over, by steps or by the clock, whichever is further; ends the run when the time is up.

    The share of rank 0 counts for all ranks, so that learning rates and the end agree everywhere.
    """

    def __init__(self, max_steps: int, minutes: float | None) -> None:
        self.max_steps = max_steps
        self.seconds = minutes * 60 if minutes else None
        self.started = time.monotonic()
        self.share_of_time = 0.0
        self.warmed: float | None = None  # share that was over when the warm-up ended

    def progress(self, step: int) -> float:
        """In [0, 1]; 1 when steps or time are used up."""
        return min(1.0, max(step / self.max_steps, self.share_of_time))

    def decayed(self, step: int, warmup: int) -> float:
        """Share of what comes after the warm-up that is over: 0 at its end, 1 at the run's.

        By the clock, the end of the warm-up is where this is first asked for; checkpoints keep it.
        """
        done = self.progress(step)
        if not self.seconds:
            self.warmed = warmup / self.max_steps
        elif self.warmed is None:
            self.warmed = done
        return (done - self.warmed) / (1 - self.warmed) if self.warmed < 1 else 1.0

    def minutes_left(self) -> float:
        return max(0.0, (self.seconds or 0.0) - (time.monotonic() - self.started)) / 60

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.started = time.monotonic()
        saved = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / CLOCK
        if state.global_step and saved.exists():  # a continued run goes on where its clock stood
            stood = read_json(saved, CheckpointError)
            self.started -= stood["seconds"]
            self.share_of_time, self.warmed = stood.get("share", 0.0), stood.get("warmed")

    def save(self, checkpoint: Path) -> None:
        """Writes where the clock stands."""
        stands = {"seconds": time.monotonic() - self.started, "share": self.share_of_time, "warmed": self.warmed}
        write_json(checkpoint / CLOCK, stands)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        if self.seconds:
            share = torch.tensor((time.monotonic() - self.started) / self.seconds, device=args.device)
            if torch.distributed.is_initialized():
                torch.distributed.broadcast(share, 0)
            self.share_of_time = float(share)
            control.should_training_stop |= self.share_of_time >= 1
        return control
