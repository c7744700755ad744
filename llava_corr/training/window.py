"""What has been summed up since the last log row; part of every checkpoint, so that a continued run logs the same rows.

Axis-free numbers of one rank; the means over all ranks are formed when a row is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..files import read_json, write_json

BITS = 48  # sums of some thousand such numbers stay far inside an int64


class Window:
    """Sums by term, counts, and the samples seen, since the last log row.

    Attributes:
        sums: 5 float64: language over tokens, mask and dice over masks, then tokens, masks; of this rank.
        order: sum over all ranks of the hash of every (step, sample id).
    """

    def __init__(self) -> None:
        self.sums, self.order = torch.zeros(5, dtype=torch.float64), 0

    def add(self, loss_sums: Tensor, counts: Tensor) -> None:
        self.sums += torch.cat([loss_sums.double().cpu(), counts.double().cpu()])

    def clear(self) -> None:
        self.sums.zero_()
        self.order = 0

    def order_hash(self) -> str:
        """12 hexadecimal digits that stand for the samples of every step, whatever rank and micro-batch had them."""
        return f"{self.order % 2**BITS:012x}"

    def save(self, path: Path, loss: Tensor, last_logged: int) -> None:
        """Keeps the window, with the trainer's own loss sum and the step of its last row."""
        write_json(path, {"sums": self.sums.tolist(), "order": self.order, "loss": loss.item(), "logged": last_logged})

    def load(self, path: Path) -> tuple[float, int]:
        """Takes up a saved window.

        Returns:
            The trainer's loss sum and the step of its last row.

        Raises:
            CheckpointError: no such file, or it is broken.
        """
        saved = read_json(path, CheckpointError)
        self.sums, self.order = torch.tensor(saved["sums"], dtype=torch.float64), saved["order"]
        return saved["loss"], saved["logged"]


def order_number(step: int, micro_batches: Iterable[Sequence[str]]) -> int:
    """The summed hashes of one rank's samples of a step."""
    names = (f"{step} {name}".encode() for batch in micro_batches for name in batch)
    return sum(int.from_bytes(hashlib.blake2b(name, digest_size=BITS // 8).digest(), "big") for name in names)
