"""The run folder: resolved configuration, versions, seed, commit; one folder holds one experiment."""

from __future__ import annotations

import fcntl
import json
import logging
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import CheckpointError, ConfigError, LlavaCorrError
from ..experiment import ExperimentConfig
from ..files import read_json, read_text, storage_errors, write_json, write_lines
from ..models.checkpoints.model_folder import identify, refuse_absent
from ..record_files import samples_fingerprint
from . import ranks
from .checkpointing import Checkpoints

logger = logging.getLogger(__name__)

CONFIG, LOCK = "config.yaml", "lock"
Inputs = dict[str, dict[str, str]]  # by key of the configuration: path and fingerprint

PACKAGES = ("torch", "transformers", "peft", "accelerate", "deepspeed", "pycocotools", "numpy", "pillow")


def check_run(config: ExperimentConfig) -> None:
    """Looks whether the run folder belongs to this experiment; reads alone, so that every rank finds the same.

    Raises:
        ConfigError: the folder holds another configuration.
    """
    saved = config.run_dir / CONFIG
    if saved.exists() and read_text(saved, ConfigError) != config.to_yaml():
        raise ConfigError(
            "the run folder holds another configuration",
            where=str(saved),
            mend="give the run another name (--set name=...), or remove the folder to start anew",
        )


@contextmanager
def locked(folder: Path) -> Iterator[ConfigError | None]:
    """Keeps other commands out of a run folder: they would remove its half-written checkpoint. Rank 0 sees to it.

    The lock is the process's own (``lockf``): a forked data worker would keep an ``flock`` for seconds after its run
    was killed, and the same command would be refused.

    Yields:
        Why the folder is not to be had, where other ranks must hear of it (``ranks.raise_alike``).

    Raises:
        ConfigError: another command has it; there are no other ranks.
        StorageError: the folder cannot be written.
    """
    if ranks.rank() != 0:
        yield None
        return
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    with storage_errors(folder / LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("w")
    with handle:
        refused = None
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
        except (BlockingIOError, PermissionError):
            refused = ConfigError(
                "another command is training in this run folder",
                where=str(folder),
                mend="wait for it, or end it; the same command then continues. For another run: --set name=...",
            )
            if ranks.world_size() == 1:
                raise refused from None
        except OSError as cause:
            logger.info("%s: this file system has no locks (%s); see that nobody else trains there", folder, cause)
        try:
            yield refused
        finally:
            if refused is None and not (folder / CONFIG).exists():  # no run began: leave nothing behind
                (folder / LOCK).unlink(missing_ok=True)
                with suppress(OSError):  # somebody else has put something there
                    for path in new:
                        path.rmdir()


def inputs_of(config: ExperimentConfig) -> Inputs:
    """What a run starts from, by content: fingerprints of the base and of the samples, wherever they lie.

    Raises:
        CheckpointError: there is no such base.
        ConfigError: a samples file cannot be read.
    """
    found: Inputs = {}
    if path := config.model.weights:
        try:
            refuse_absent(path)
            found["model.weights"] = identify(path)
        except CheckpointError as cause:
            raise CheckpointError(cause.what, where=f"{path} (model.weights)", mend=cause.mend) from cause
    for key, file in (("data.train", config.data.train), ("data.validation", config.data.validation)):
        if file:
            found[key] = {"path": str(file), "fingerprint": samples_fingerprint(file, ConfigError)}
    return found


def check_inputs(config: ExperimentConfig, inputs: Inputs) -> None:
    """Compares what a run continues from with what it started from; without a checkpoint it starts anew.

    Raises:
        ConfigError: the base or a samples file has other contents now.
    """
    if Checkpoints(config.run_dir).complete():
        _compare_inputs(config.run_dir, inputs, "its checkpoints belong")


def check_finished(config: ExperimentConfig) -> None:
    """Compares what a finished run started from with what lies there now; what has been removed since is no fault.

    Raises:
        ConfigError: the base or a samples file has other contents now.
    """
    try:
        inputs = inputs_of(config)
    except LlavaCorrError as gone:
        logger.info("what %s started from is gone: %s", config.run_dir, gone)
        return
    _compare_inputs(config.run_dir, inputs, "its model belongs")


def _compare_inputs(folder: Path, inputs: Inputs, what_belongs: str) -> None:
    facts = folder / "run.json"
    then = (read_json(facts, ConfigError) if facts.exists() else {}).get("inputs")
    if not then:  # runs of earlier versions did not note them
        return
    changed = [key for key, now in inputs.items() if then.get(key, {}).get("fingerprint") != now["fingerprint"]]
    if changed:
        raise ConfigError(
            f"{' and '.join(changed)} changed since this run began: {what_belongs} to the former contents",
            where=f"{folder}: " + ", ".join(f"{key} is {inputs[key]['path']}" for key in changed),
            mend="put the former files back, or give the run another name (--set name=...) to train on the new ones",
        )


def prepare_run(config: ExperimentConfig, inputs: Inputs | None = None) -> Path:
    """Creates the run folder, or finds that it holds the same experiment.

    Args:
        inputs: what the run starts from; kept in ``run.json``, of the start that wrote the first checkpoint.

    Raises:
        ConfigError: the folder holds another configuration, or its run started from other files.
    """
    check_run(config)
    if inputs is not None:
        check_inputs(config, inputs)
    folder = config.run_dir
    write_lines(folder / CONFIG, config.to_yaml().splitlines())
    if not (folder / "run.json").exists():
        write_json(folder / "run.json", describe_run(config.seed))
    if inputs is not None and not Checkpoints(folder).complete():
        update_run(folder, inputs=inputs)
    return folder


def is_finished(config: ExperimentConfig) -> bool:
    """Whether the run folder holds this very experiment, with its model and its summary."""
    folder = config.run_dir
    saved, facts = folder / CONFIG, folder / "run.json"
    if not (saved.exists() and facts.exists() and (folder / "model").is_dir()):
        return False
    return read_text(saved, ConfigError) == config.to_yaml() and "steps" in read_json(facts, ConfigError)


def describe_run(seed: int) -> dict[str, object]:
    """What a reader needs to repeat a run: command, seed, commit, versions."""
    return {
        "command": " ".join(sys.argv),
        "seed": seed,
        "commit": git_commit(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "processor": platform.machine(),
    }


HERE = Path(__file__).resolve().parent


def git_commit(root: Path = HERE) -> str | None:
    """Commit of the checkout that ``root`` lies in, with ``+`` behind it when anything but documents and committed
    results (``docs``) has changed; None outside a checkout."""
    status = ["git", "status", "--porcelain", "--", ":/", ":(top,exclude)docs"]
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        dirty = subprocess.run(status, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def update_run(folder: Path, **values: object) -> None:
    """Adds values to ``run.json``."""
    path = folder / "run.json"
    current = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, current | values)
