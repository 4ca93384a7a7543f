"""What a waiting person, or a program that reads the log, is told.

Work reports events. The process that the user started shows them in one of several views; a worker process sends them
there (`relay`).
"""

import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from typing import TextIO

from sonosynth.progress.events import Event, Message, Result, TaskAdvanced, TaskEnded, Warned
from sonosynth.progress.json_lines import JsonLines
from sonosynth.progress.plain import Plain, Quiet

Show = Callable[[Event], None]


class Log(StrEnum):
    """The views that can be asked for."""

    PLAIN = "plain"
    JSON = "json"
    QUIET = "quiet"


@cache
def view(log: Log | None = None) -> Show:
    """What shows events on stderr as asked; None: live on a terminal, unless NO_COLOR is set, else plain lines."""
    if log is Log.JSON:
        return JsonLines().show
    if log is Log.QUIET:
        return Quiet().show
    if log is None and sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        from sonosynth.progress.live import LiveView  # noqa: PLC0415 (worker processes need no rich)

        return LiveView().show
    return Plain().show


def _as_fits(event: Event) -> None:
    view()(event)


_show: Show = _as_fits
_job = ""
_numbers = itertools.count()


def emit(event: Event) -> None:
    """Report an event."""
    _show(event)


def relay(show: Show) -> Show:
    """Hand all further events of this process to `show`; returns what they were handed to before."""
    global _show
    before, _show = _show, show
    return before


def say(line: str) -> None:
    """Report what is happening."""
    emit(Message(line))


def warn(line: str) -> None:
    """Report what may be wrong."""
    emit(Warned(line))


def result(line: str) -> None:
    """Report what came out, where it isn't printed on stdout."""
    emit(Result(line))


def take_warnings() -> None:
    """Report Python's own warnings of this process, too, from now on."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        warn(f"{category.__name__}: {message} ({filename}:{lineno})")

    warnings.showwarning = show


@contextmanager
def of_job(name: str) -> Iterator[None]:
    """Count the tasks of this process as those of a job meanwhile."""
    global _job  # noqa: PLW0603 (a process runs one job at a time)
    _job = name
    try:
        yield
    finally:
        _job = ""


class Task:
    """Counts work done towards `total`; `advance` reports it."""

    def __init__(self, description: str, total: int, done: int) -> None:
        self.description, self.total, self.done, self.first = description, total, done, done
        self.key, self.began = f"{os.getpid()}-{next(_numbers)}", time.monotonic()
        self.advance(0)

    def advance(self, count: int = 1, **figures: float) -> None:
        """`count` more are done; `figures` are the last ones, such as the loss."""
        self.done += count
        elapsed, new = time.monotonic() - self.began, self.done - self.first
        left = round(elapsed * (self.total - self.done) / new, 3) if new else None
        told = (self.key, _job, self.description, self.done, self.total, round(elapsed, 3), left, figures)
        emit(TaskAdvanced(*told))


@contextmanager
def task(description: str, total: int, done: int = 0) -> Iterator[Task]:
    """Report work of `total` units, `done` of which an earlier, interrupted run has finished."""
    shown = Task(description, total, done)
    try:
        yield shown
    finally:
        emit(TaskEnded(shown.key))
