"""Errors for a user out of a data loader's worker processes, as they were raised.

torch hands on an error's class and its traceback as text, and raises ``class(text)`` in the main process
(``torch._utils.ExceptionWrapper``): where and mend would be lost, and the user shown a traceback.
"""

from __future__ import annotations

import base64
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import get_worker_info

from ..errors import LlavaCorrError

_CARRIED = re.compile(r"<error ([A-Za-z0-9+/=]+)>")


class _Carrier(Exception):
    """Carries an error in its message; made of a text that holds such a message, it *is* the error again."""

    def __new__(cls, message: str) -> Any:
        carried = _CARRIED.search(message)
        if get_worker_info() is None and carried:
            return pickle.loads(base64.b64decode(carried[1]))
        return super().__new__(cls, message)


@contextmanager
def errors_whole() -> Iterator[None]:
    """What the block raises for a user arrives in the main process as it is, from a worker, too.

    Raises:
        LlavaCorrError: as raised in the block.
    """
    try:
        yield
    except LlavaCorrError as error:
        if get_worker_info() is None:
            raise
        raise _Carrier(f"<error {base64.b64encode(pickle.dumps(error)).decode()}>") from None
