"""What is read once of a file that holds many pictures."""

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def kept(most: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Keep the last `most` results of a function of a file and more, as long as the file doesn't change.

    Threads wait for each other: the same gigabyte must not be loaded by each of them.
    """

    def decorate(load: Callable[..., Result]) -> Callable[..., Result]:
        lock = threading.Lock()

        @lru_cache(most)
        def loaded(_stamp: tuple[int, int], file: Path, *more: Hashable) -> Result:
            return load(file, *more)

        @wraps(load)
        def found(file: Path, *more: Hashable) -> Result:
            state = file.stat()
            with lock:
                return loaded((state.st_size, state.st_mtime_ns), file, *more)

        return found

    return decorate
