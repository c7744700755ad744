"""Real training commands on toy samples, and what their logs say; for tests that start, kill and compare runs."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from toy import SMALL

from llava_corr.models.checkpoints.model_folder import load_model

ROOT = Path(__file__).resolve().parents[2]
UNEVEN = {"time", "seconds_per_step", "train_runtime", "train_samples_per_second", "train_steps_per_second",
          "train_loss", "validation_runtime"}  # fmt: skip


def arguments(folder: Path, *overrides: str) -> list[str]:
    """What follows ``python`` or a launcher: scripts/train.py on ``folder``'s toy samples, runs into ``folder``."""
    pairs = [*SMALL, f"data.train={folder / 'train.jsonl'}", f"output_dir={folder}", *overrides]
    return [str(ROOT / "scripts/train.py"), "--config", "tiny/calico.yaml", *(a for p in pairs for a in ("--set", p))]


def environment(**extra: str) -> dict[str, str]:
    """Finds this environment's launchers; no rank of an outer run."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return inherited | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | extra


def finish(command: list[str], **extra: str) -> str:
    """Runs a command to its end; its output is the message when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(**extra))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


def comparable(folder: Path) -> list[dict]:
    """Log rows without what depends on the machine's mood."""
    return [{k: v for k, v in row.items() if k not in UNEVEN} for row in log_of(folder)]


def weights(folder: Path) -> dict:
    """By the model's own names; files of DINOv2 hold older ones."""
    return load_model(folder / "model").state_dict()


def kill_after(command: list[str], log: Path, rows: int, seconds: float) -> bool:
    """Starts a command and kills it with SIGKILL ``seconds`` after its log gained ``rows`` lines.

    Returns:
        Whether it was still running then.
    """

    def lines() -> int:
        return log.read_bytes().count(b"\n") if log.exists() else 0

    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    seen, before = 0, lines()
    while process.poll() is None and seen < rows:
        time.sleep(0.005)
        now = lines()
        seen, before = seen + max(0, now - before), now  # the log is cut when a run continues
    time.sleep(seconds)
    alive = process.poll() is None
    if alive:
        process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    atexit.register(drop_shared_buffers, port)
    return port


def drop_shared_buffers(port: str) -> None:
    """Of ranks that were killed: DeepSpeed maps 67 MB of memory for each and leaves them there."""
    for buffer in Path("/dev/shm").glob(f"deepspeed_allreduce_buffer_*_{port}_*"):
        buffer.unlink(missing_ok=True)


def torchrun(count: int = 2) -> list[str]:
    return [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node", str(count), "--master-port", free_port()]


def deepspeed(*options: str) -> list[str]:
    return [str(Path(sys.executable).parent / "deepspeed"), "--master_port", free_port(), *options]
