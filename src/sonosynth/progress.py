"""What a waiting person sees: a bar with time left on a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True)

SHARES = (0.05, 0.25, 0.5, 0.75, 1)  # of a task, after each of which output that is no terminal gets a line


class Task:
    """Counts work done towards `total`; `advance` shows it."""

    def __init__(self, description: str, total: int, done: int, bar: Progress | None) -> None:
        self.description, self.total, self.done, self.bar = description, total, done, bar
        self.started, self.first, self.said = time.monotonic(), done, 0
        self.row = bar.add_task(description, total=total, completed=done) if bar else None

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` is shown after the description."""
        self.done += count
        if self.bar and self.row is not None:
            self.bar.update(self.row, completed=self.done, description=f"{self.description} {note}".rstrip())
        elif (passed := sum(self.done >= share * self.total for share in SHARES)) > self.said:
            self.said = passed
            spent = time.monotonic() - self.started
            left = spent * (self.total - self.done) / max(self.done - self.first, 1)
            line = f"{self.description}: {self.done}/{self.total}, {spent:.0f} s spent, {left:.0f} s left {note}"
            print(line.rstrip(), file=sys.stderr, flush=True)


@contextmanager
def task(description: str, total: int, done: int = 0) -> Iterator[Task]:
    """Show work of `total` units, `done` of which an earlier, interrupted run has finished."""
    if not console.is_terminal:
        yield Task(description, total, done, None)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as bar:
        yield Task(description, total, done, bar)


def say(line: str) -> None:
    """One plain line about what is happening."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
