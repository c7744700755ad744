"""The files that a reproduction's tables are made from, read and checked: they are committed, joined and edited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import ReportError
from ..files import read_text
from ..records import Score
from ..report.command import read_log

K = TypeVar("K")
MODEL = "model"  # of a run: absent where only what tables rest on was kept


class Size(BaseModel):
    """Tokens of an image in the trunk, and TFLOPs of one forward over two images with two masks in each."""

    tokens_per_image: int
    teraflops: float


class Input(BaseModel):
    """A file or folder that a run began with."""

    fingerprint: str | None = None


class RunFacts(BaseModel):
    """``run.json`` of a run; ``size`` where the model itself is not there any more."""

    commit: str | None = None
    world_size: int = 1
    steps: int | None = None
    trainable_parameters: int | None = None
    inputs: dict[str, Input] = {}
    size: Size | None = None


class Stages(BaseModel):
    """``stages.json``: what the stages took."""

    stage_seconds: dict[str, float] = {}
    peak_memory_gb: dict[str, float] = {}


class Consistency(BaseModel):
    """A consistency check: task -> measure -> score."""

    model_config = ConfigDict(extra="allow")
    tasks: dict[str, dict[str, Score]]


class Mean(BaseModel):
    """A mean over ``n`` samples."""

    value: float
    interval: tuple[float, float] | None = None
    n: int


class ByImages(BaseModel):
    """Cost and scores of questions with one number of images."""

    tokens: int
    teraflops: float
    tasks: dict[str, Mean]


def read_as(kind: type[K], path: Path) -> K:
    """Reads a JSON file as ``kind``.

    Raises:
        ReportError: it is missing, no JSON, or holds something else.
    """
    try:
        return TypeAdapter(kind).validate_json(read_text(path, ReportError))
    except ValidationError as cause:
        first = cause.errors()[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise ReportError(f"{place}: {first['msg']}", where=str(path), mend="make it again, or take it away") from cause


def stages_of(folder: Path) -> Stages:
    """What the stages of a folder took; nothing where that is not known."""
    path = folder / "stages.json"
    return read_as(Stages, path) if path.exists() else Stages()


def config_of(run: Path) -> dict[str, Any]:
    """The configuration of a run, as written.

    Raises:
        ReportError: it is missing or broken.
    """
    path = run / "config.yaml"
    try:
        config = yaml.safe_load(read_text(path, ReportError))
    except yaml.YAMLError as cause:
        raise ReportError(
            f"no YAML: {cause}", where=str(path), mend="make the run again, or take its folder away"
        ) from cause
    if not isinstance(config, dict):
        raise ReportError(
            "it holds no configuration", where=str(path), mend="make the run again, or take its folder away"
        )
    return config


def log_of(run: Path) -> list[dict[str, Any]]:
    """The training log of a run, in order; nothing where there is none.

    Raises:
        ReportError: a row that is no JSON object.
    """
    path = run / "train_log.jsonl"
    return [dict(row) for row in read_log(path)] if path.exists() else []


def size_of(run: Path, *, images: int = 2) -> Size:
    """Of a question about ``images`` pictures with two masks in each, frozen towers included; see :class:`Size`. Read
    off the run's model where that is there, else as noted in ``run.json``."""
    noted = read_as(RunFacts, run / "run.json").size if (run / "run.json").exists() else None
    if noted and images == 2 and not (run / MODEL).exists():
        return noted
    from ..config import load_config
    from ..models.sizes import measure

    # the vocabulary is that of the weights: of its own, since those it started from may be gone
    own = [f"model.weights={json.dumps(str(run / MODEL))}"] if (run / MODEL / "config.json").exists() else []
    size = measure(load_config(run / "config.yaml", own), images=images, masks=2 * images).to_json()
    return Size(tokens_per_image=size["tokens_per_image"], teraflops=size["teraflops_per_sample"])
