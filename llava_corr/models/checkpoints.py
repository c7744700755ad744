"""Model folders: loaded only when every key fits, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..errors import CheckpointError, StorageError
from .configuration import LlavaCorrConfig
from .modeling import LlavaCorrForConditionalGeneration
from .processing import LlavaCorrProcessor

MEND = "name a folder that training wrote whole (its model/), or a hub id"


def load_config(path: str | Path) -> LlavaCorrConfig:
    """Configuration of a model folder or hub id.

    Raises:
        CheckpointError: there is none, or it is broken.
    """
    with _named(path):
        return LlavaCorrConfig.from_pretrained(path)


def load_model(path: str | Path, **options: Any) -> LlavaCorrForConditionalGeneration:
    """Model of a folder or hub id in fp32, in eval mode.

    Args:
        options: for ``from_pretrained``.

    Raises:
        CheckpointError: a file is missing or broken, or weights are missing, left over or of another shape.
    """
    with _named(path):  # sizes that do not match are listed below, with the other faults
        loaded: Any = LlavaCorrForConditionalGeneration.from_pretrained(
            path, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    model, found = loaded
    faults = [
        f"    {kind.replace('_keys', '')}: {', '.join(sorted(map(str, found[kind])))}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found.get(kind)
    ]
    if faults:
        raise CheckpointError("weights and configuration do not fit:\n" + "\n".join(faults), where=str(path), mend=MEND)
    return model


def load_processor(path: str | Path) -> LlavaCorrProcessor:
    """Processor of a model folder or hub id.

    Raises:
        CheckpointError: a file of it is missing or broken.
    """
    with _named(path):
        return LlavaCorrProcessor.from_pretrained(path)


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as cause:
        raise CheckpointError(
            f"no model can be loaded: {type(cause).__name__}: {cause}", where=str(path), mend=MEND
        ) from cause


@contextmanager
def written_whole(folder: Path, *, here: bool = True) -> Iterator[Path]:
    """A folder to write into that takes the place of ``folder`` only when the block ends without an error.

    Args:
        here: False on the ranks that only take part in gathering the weights.

    Raises:
        StorageError: disk full, no permission; ``folder`` is as it was.
    """
    part = folder.with_name(folder.name + ".part")
    try:
        if here and part.exists():
            shutil.rmtree(part)
        yield part
        if here:
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(part, folder)
    except (OSError, SafetensorError) as cause:
        raise StorageError(
            f"could not write the model: {cause}",
            where=str(part),
            mend="free disk space, then run the same command again: it continues from the last checkpoint",
        ) from cause
