"""SIGINT and SIGTERM, held back until work can be saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_second_interrupts = True


def ignore_further_signals() -> None:
    """From now on a second signal no longer interrupts at once: for a process whose parent decides about that."""
    global _second_interrupts  # noqa: PLW0603 (signal handlers are the process's, too)
    _second_interrupts = False


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Hold both signals back; yields a function that tells whether one has come. A second one interrupts at once.

    Only a process's main thread receives signals; in another one this does nothing.

    Raises:
        KeyboardInterrupt: at the end, if one has come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()

    def remember(number: int, frame: FrameType | None) -> None:
        if came.is_set() and _second_interrupts:
            raise KeyboardInterrupt
        came.set()

    before: dict[signal.Signals, Any] = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came.is_set():
        raise KeyboardInterrupt
