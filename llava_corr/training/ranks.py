"""What the ranks of one training tell one another; with one process every function answers at once."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import distributed
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

from ..errors import LlavaCorrError


def launched() -> bool:
    """Whether a launcher (deepspeed, torchrun) started this process."""
    return "WORLD_SIZE" in os.environ


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def several() -> bool:
    """Whether there is anybody to talk to."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is set on some rank: one number over the wire."""
    return bool(largest(int(flag), device))


def largest(value: int, device: torch.device) -> int:
    """The largest of all ranks' values."""
    if not several():
        return value
    found = torch.tensor(float(value), device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found)


def gather(value: Any) -> list[Any]:
    """The ``value`` of every rank, in order of the ranks."""
    if not several():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def from_rank_zero(value: Any) -> Any:
    """Rank 0's ``value``, on every rank."""
    if not several():
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def raise_alike(error: LlavaCorrError | None) -> None:
    """Raises rank 0's error on every rank, so that none waits for another in vain.

    Raises:
        LlavaCorrError: rank 0 has one.
    """
    if (found := from_rank_zero(error)) is not None:
        raise found


@contextmanager
def whole_models(args: TrainingArguments) -> Iterator[None]:
    """Models built inside belong to this rank alone; under ZeRO-3 transformers would split them over all ranks."""
    split = is_deepspeed_zero3_enabled()
    if split:
        unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if split:
            set_hf_deepspeed_config(args.hf_deepspeed_config)


def leave() -> NoReturn:
    """Ends this rank when all are done, at once: gloo's threads now and then abort a rank that winds up at leisure, and
    the launcher takes that for a failed run."""
    if several():
        distributed.barrier()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
