"""Bytes of tensors that are alive, counted as operations make them: of real tensors, or of shapes without memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the memory of what operations inside it return, until it is let go; views count with what they view.

    What goes into an operation and came out of none was there before, and counts for nothing.

    Args:
        held: the same of what no operation may see before it is let go: weights, a batch.

    Attributes:
        now: bytes alive.
        peak: the most since :meth:`mark`.
    """

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}
        for tensor in held:
            self._follow(tensor, 0)

    def mark(self) -> None:
        """Forgets the peak so far."""
        self.peak = self.now

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_iter((args, kwargs)):
            if isinstance(value, Tensor):
                self._follow(value, 0)
        out = func(*args, **(kwargs or {}))
        for value in tree_iter(out):
            if isinstance(value, Tensor):
                self._follow(value, value.untyped_storage().nbytes())
        return out

    def _follow(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        name = storage._cdata
        if name in self._sizes:
            return
        self._sizes[name] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._let_go, name).atexit = False

    def _let_go(self, name: int) -> None:
        self.now -= self._sizes.pop(name)
