"""Independent work on all cores, one process each: small models don't get faster by several threads."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, at_most or cores)
    others = set(multiprocessing.active_children())
    waiting: deque[Future[Made]] = deque()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (cores // workers,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # an interruption must not wait for work that nobody will see
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise


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
