"""The cores of this machine, and independent work on all of them."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

WORKERS = 4
"""Processes that run jobs, at most; each has a copy of the libraries."""

Item = TypeVar("Item")
Made = TypeVar("Made")


def cores() -> int:
    """How many cores this process may use; OMP_NUM_THREADS can lower that, say to leave room for other work."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(available, max(1, int(asked))) if asked.isdecimal() and len(asked) < 9 else available


def in_threads(make: Callable[[Item], Made], items: Iterable[Item]) -> Generator[Made, None, None]:
    """Yield `make(item)` for every item, in order; items are taken as they are needed.

    For work that releases the interpreter lock (GIL): decoding, hashing.
    """
    pool = ThreadPoolExecutor(cores())
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 4 * cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Without waiting: the garbage collector may close this, in a thread that holds the lock on which a join waits.
        pool.shutdown(wait=False, cancel_futures=True)
