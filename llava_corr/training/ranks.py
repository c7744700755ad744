"""What the ranks of one training tell one another; with one process every function answers at once."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import torch
from accelerate import PartialState
from torch import distributed
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

from ..errors import ConfigError, LlavaCorrError

T = TypeVar("T")


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


def found_by_rank_zero(work: Callable[[], T]) -> T:
    """What ``work`` finds on rank 0, on every rank, or its user error; the others wait for it as long as it takes.

    Raises:
        LlavaCorrError: what ``work`` raised.
    """
    meet()
    if not several():
        return work()
    patient = distributed.new_group(backend="gloo", timeout=timedelta(days=1))
    found: list[tuple[T | None, LlavaCorrError | None]] = [(None, None)]
    if distributed.get_rank() == 0:
        try:
            found = [(work(), None)]
        except LlavaCorrError as fault:
            found = [(None, fault)]
    distributed.broadcast_object_list(found, src=0, group=patient)
    distributed.destroy_process_group(patient)
    value, error = found[0]
    if error is not None:
        raise error
    return cast(T, value)


def meet() -> None:
    """Connects the ranks before the trainer's arguments would, and as these do.

    Raises:
        ConfigError: see :func:`connecting`.
    """
    if launched() and world_size() > 1 and not several():
        with connecting():
            PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(seconds=TrainingArguments.ddp_timeout))


@contextmanager
def connecting() -> Iterator[None]:
    """What connects ranks inside may find their port taken.

    Raises:
        ConfigError: it is.
    """
    try:
        yield
    except distributed.DistNetworkError as cause:
        if "EADDRINUSE" not in str(cause):
            raise
        raise ConfigError(
            "the port where the ranks meet is taken, by another training on this machine most likely",
            where=f"port {os.environ.get('MASTER_PORT')}",
            mend="start it with another one: deepspeed --master_port N, torchrun --master-port N",
        ) from cause


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
    _drop_shared_buffer()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _drop_shared_buffer() -> None:
    """DeepSpeed's all-reduce on CPUs maps a file of 67 MB for each rank, named by the port, and never removes it: in
    /dev/shm, that is memory. Only when all ranks are done: one that still begins waits for it without end."""
    names = (str(os.getuid()), os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", ""), str(rank()))
    Path("/dev/shm", "_".join(("deepspeed_allreduce_buffer", *names))).unlink(missing_ok=True)
