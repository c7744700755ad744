"""Many requests at once, results in the order of the requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .requests import Client, Reply, Request

T = TypeVar("T")
R = TypeVar("R")


def in_order(function: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """``function`` of every item, computed by ``workers`` threads, in the order of the items.

    At most twice as many items as workers are taken before their results are, so ``items`` may be endless. The first
    error comes out at its place; what was begun by then is ended, what was not is dropped.
    """
    if workers == 1:  # no threads: simpler to follow, and to interrupt
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="client")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def complete_all(client: Client, requests: Iterable[Request], *, workers: int = 1) -> Iterator[Reply]:
    """Replies in the order of the requests, at most ``workers`` asked at a time.

    Raises:
        ClientError: of the first request, in their order, that gets no reply.
    """
    return in_order(client.complete, requests, workers=workers)
