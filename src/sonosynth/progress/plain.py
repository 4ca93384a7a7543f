"""Events as lines of text, for output that is no terminal."""

import sys

from sonosynth.errors import UserError, inert
from sonosynth.progress import words
from sonosynth.progress.events import Ended, Event, JobStarted, Message, Result, TaskAdvanced, TaskEnded, Warned

SHARES = (0.05, 0.25, 0.5, 0.75, 1)  # of a task, after each of which there is a line


class Plain:
    """What happens, and how far it is."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}  # printed of each task

    def show(self, event: Event) -> None:
        """Print an event, if it is worth a line."""
        match event:
            case Message():
                _print("warning: " * isinstance(event, Warned) + event.text)
            case JobStarted():
                _print(started(event))
            case TaskAdvanced():
                self._count(event)
            case TaskEnded():
                self.lines.pop(event.key, None)
            case Ended() if event.message:
                _print(ended(event))

    def _count(self, event: TaskAdvanced) -> None:
        passed = sum(event.done >= share * event.total for share in SHARES)
        if event.remaining is not None and passed > self.lines.get(event.key, 0):
            self.lines[event.key] = passed
            times = f"{event.elapsed:.0f} s elapsed, {event.remaining:.0f} s remaining"
            _print(f"{event.text}: {event.done}/{event.total}, {times} {words.figures(event.figures)}".rstrip())


class Quiet(Plain):
    """Nothing but what came out, and errors."""

    def show(self, event: Event) -> None:
        """Print an event, if it is one of these."""
        if isinstance(event, Result | Ended):
            super().show(event)


def started(event: JobStarted) -> str:
    """A job that starts, as a line."""
    why = f" (again: {event.reason})" if event.reason else ""
    seconds, unknown = event.overall.remaining, event.overall.unknown
    left = f", {words.remaining(seconds, unknown)}" if seconds is not None and seconds >= 1 else ""
    where = f" on {event.where}" if event.where else ""
    return f"[{event.number}/{event.overall.jobs}] {event.job}{where}{why}{left}"


def ended(event: Ended) -> str:
    """The message with which a command ends; only that of bad input (status 2) is headed as an error."""
    return "error: " * (event.status == 2) + str(UserError(event.message, event.expected, event.fix))


def _print(text: str) -> None:
    print(inert(text), file=sys.stderr, flush=True)
