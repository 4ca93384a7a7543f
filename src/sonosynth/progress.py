"""What a waiting person sees: bars with the time left on a terminal, a few plain lines elsewhere.

Work reports events. The process that the user started draws them; a worker process sends them there (`relay`).
"""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Left

from sonosynth.errors import inert

SHARES = (0.05, 0.25, 0.5, 0.75, 1)  # of a task, after each of which output that is not a terminal gets a line


@dataclass(frozen=True)
class Event:
    """A plain line, if `key` is empty; else `done` of `total` units of a task, which has ended if `total` is None."""

    text: str
    key: str = ""
    done: int = 0
    total: int | None = None
    note: str = ""


class Screen:
    """Draws the events of all processes."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("remaining"), Left())
        self.bars = Progress(*columns, console=self.console)
        self.tasks: dict[str, TaskID] = {}
        self.begun: dict[str, tuple[float, int, int]] = {}  # time, units done then, lines printed

    def show(self, event: Event) -> None:
        """Draw one event."""
        if not event.key:
            self.console.print(inert(event.text), highlight=False, markup=False, soft_wrap=True)
        elif self.console.is_terminal:
            self._draw(event)
        elif event.total is not None:
            self._print(event, event.total)

    def _draw(self, event: Event) -> None:
        if event.total is None:
            self.bars.remove_task(self.tasks.pop(event.key))
        elif event.key not in self.tasks:
            self.tasks[event.key] = self.bars.add_task(event.text, total=event.total, completed=event.done)
        else:
            text = f"{event.text} {event.note}".rstrip()
            self.bars.update(self.tasks[event.key], completed=event.done, description=text)
        (self.bars.start if self.tasks else self.bars.stop)()

    def _print(self, event: Event, total: int) -> None:
        started, first, lines = self.begun.setdefault(event.key, (time.monotonic(), event.done, 0))
        passed = sum(event.done >= share * total for share in SHARES) if event.done > first else 0
        if passed > lines:
            self.begun[event.key] = (started, first, passed)
            elapsed = time.monotonic() - started
            left = elapsed * (total - event.done) / (event.done - first)
            line = f"{event.text}: {event.done}/{total}, {elapsed:.0f} s elapsed, {left:.0f} s remaining {event.note}"
            print(line.rstrip(), file=sys.stderr, flush=True)


show = Screen().show
"""Draws an event of this process or of another one."""
_emit: Callable[[Event], None] = show
_numbers = itertools.count()


def relay(emit: Callable[[Event], None]) -> None:
    """Hand all further events of this process to `emit` instead of drawing them."""
    global _emit  # noqa: PLW0603 (one screen per process)
    _emit = emit


class Task:
    """Counts work done towards `total`; `advance` shows it."""

    def __init__(self, description: str, total: int, done: int) -> None:
        self.description, self.total, self.done = description, total, done
        self.key = f"{os.getpid()}-{next(_numbers)}"
        self.advance(0)

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` is shown after the description."""
        self.done += count
        _emit(Event(self.description, self.key, self.done, self.total, note))


def duration(seconds: float) -> str:
    """A time to the second, minute or five minutes: 40 s, 25 min, 1 h 10 min."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(seconds / 300), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def remaining(seconds: float, unknown: int) -> str:
    """The time remaining, and how many jobs are not in it, since nobody knows yet what they take."""
    if unknown and not seconds:
        return "time remaining unknown, since no job of these kinds has finished"
    return f"about {duration(seconds)} remaining" + (
        f" (unknown: {unknown} job{'s' * (unknown != 1)})" if unknown else ""
    )


@contextmanager
def task(description: str, total: int, done: int = 0) -> Iterator[Task]:
    """Show work of `total` units, `done` of which an earlier, interrupted run has finished."""
    shown = Task(description, total, done)
    try:
        yield shown
    finally:
        _emit(Event(description, shown.key))


def say(line: str) -> None:
    """Print one plain line about what is happening."""
    _emit(Event(line))
