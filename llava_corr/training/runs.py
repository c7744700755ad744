"""The run folder: resolved configuration, versions, seed, commit; one folder holds one experiment."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..config import ExperimentConfig
from ..errors import ConfigError
from ..files import read_json, read_text, write_json, write_lines

PACKAGES = ("torch", "transformers", "peft", "accelerate", "deepspeed", "pycocotools", "numpy", "pillow")


def prepare_run(config: ExperimentConfig) -> Path:
    """Creates the run folder, or finds that it holds the same experiment.

    Raises:
        ConfigError: the folder holds another configuration.
    """
    folder = config.run_dir
    saved = folder / "config.yaml"
    text = config.to_yaml()
    if saved.exists() and read_text(saved, ConfigError) != text:
        raise ConfigError(
            "the run folder holds another configuration",
            where=str(saved),
            mend="give the run another name (--set name=...), or remove the folder to start anew",
        )
    write_lines(saved, text.splitlines())
    if not (folder / "run.json").exists():
        write_json(folder / "run.json", describe_run(config.seed))
    return folder


def is_finished(config: ExperimentConfig) -> bool:
    """Whether the run folder holds this very experiment, with its model and its summary."""
    folder = config.run_dir
    saved, facts = folder / "config.yaml", folder / "run.json"
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


def git_commit() -> str | None:
    """Commit of the checkout with ``+`` behind it when there are changes; None outside a checkout."""
    root = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
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
