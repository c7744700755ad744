"""A training that is a stage of long work: SIGTERM to the work alone leaves a checkpoint, and no process."""

import json
import signal
import subprocess
import sys
import time

import psutil
from toy import write_toy
from training_runs import arguments, deepspeed, environment

WORK = """
import json, sys
from pathlib import Path
from llava_corr import stages
out, command = Path(sys.argv[1]), json.loads(sys.argv[2])
stages.run_stages(lambda: [stages.Stage("train", command, out / "long" / stages.MODEL)], out)
"""


def test_a_training_saves_when_the_work_is_ended(tmp_path):
    write_toy(tmp_path, 4)
    steps = ("training.max_steps=100000", "training.save_steps=100000", "training.logging_steps=1")
    command = [*deepspeed(), *arguments(tmp_path, "name=long", "training.batch_size=2", *steps)]
    work = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path), json.dumps(command)], stderr=subprocess.PIPE, env=environment()
    )
    log, patience = tmp_path / "long" / "train_log.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 2) and time.monotonic() < patience:
        time.sleep(0.1)
    family = psutil.Process(work.pid).children(recursive=True)
    assert len(family) >= 3  # the launcher, its child, the rank
    work.send_signal(signal.SIGTERM)
    _, errors = work.communicate(timeout=120)
    assert b"KeyboardInterrupt" in errors
    assert not [member for member in family if member.is_running()]
    (saved,) = (tmp_path / "long" / "checkpoints").glob("checkpoint-*")
    assert int(saved.name.split("-")[1]) > 2
