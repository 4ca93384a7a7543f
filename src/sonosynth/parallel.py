"""Independent work on all cores.

In processes: small models don't get faster by several threads. In threads: decoding, most of which runs outside of
Python.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from typing import TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_parallel(
    make: Callable[[Item], Made], items: Iterable[Item], *, at_most: int | None = None
) -> Generator[Made, None, None]:
    """`make` of every item, in their order; items are taken as they are needed.

    Results depend on the machine's number of cores, through rounding, but not on how many items there are.

    Args:
        make: a function of a module, so that other processes find it.
        at_most: how many processes; they share the cores. None: one a core.
    """
    workers = min(_cores(), at_most or _cores())
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (_cores() // workers,)) as pool:
        try:
            yield from _in_order(pool, make, items, 2 * workers)
        except BaseException:  # an interruption must not wait for work that nobody will see
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


def in_threads(make: Callable[[Item], Made], items: Iterable[Item]) -> Generator[Made, None, None]:
    """`make` of every item, in their order; items are taken as they are needed."""
    with ThreadPoolExecutor(_cores()) as pool:
        yield from _in_order(pool, make, items, 4 * _cores())


def _in_order(
    pool: Executor, make: Callable[[Item], Made], items: Iterable[Item], ahead: int
) -> Generator[Made, None, None]:
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(pool.submit(make, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(threads: int) -> None:
    """A worker's own start: its share of the cores, and an end with its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle; it ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    parent = multiprocessing.parent_process()
    if parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
