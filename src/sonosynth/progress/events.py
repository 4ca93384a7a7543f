"""What happens while a command runs, as values; a view turns them into words, bars or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Event:
    """time: when it happened, in whichever process."""

    name: ClassVar[str]
    time: datetime = field(default_factory=now)


@dataclass(frozen=True)
class Message(Event):
    """A sentence about what is happening."""

    name = "message"
    text: str


@dataclass(frozen=True)
class Warned(Message):
    """A sentence about what may be wrong."""

    name = "warning"


@dataclass(frozen=True)
class Result(Message):
    """A sentence about what came out."""

    name = "result"


@dataclass(frozen=True)
class Overall:
    """All jobs of a command.

    Args:
        done: how many of them are. remaining: seconds, without `unknown` jobs of which nobody knows what they take;
            None if these are most.
    """

    done: int
    jobs: int
    remaining: float | None
    unknown: int


@dataclass(frozen=True)
class JobStarted(Event):
    """number: of the job, from 1. reason: why it runs again, if its results are stale. where: the machine on which it
    runs, if there are several."""

    name = "job_started"
    job: str
    number: int
    reason: str
    overall: Overall
    where: str = ""


class Outcome(StrEnum):
    """How a job ended: STOPPED is what an interruption, or the failure of another job, does to it."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class JobFinished(Event):
    """seconds: it took, those of earlier, interrupted calls included if it is done."""

    name = "job_finished"
    job: str
    outcome: Outcome
    seconds: float
    overall: Overall


@dataclass(frozen=True)
class TaskAdvanced(Event):
    """Work that is counted, mostly a job's.

    Args:
        key: tells it from others of the same text. job: whose it is; "": of none. done: of `total` units.
        elapsed: seconds. remaining: seconds; None before anything is done. figures: the last ones, such as the loss.
    """

    name = "progress"
    key: str
    job: str
    text: str
    done: int
    total: int
    elapsed: float
    remaining: float | None
    figures: Mapping[str, float]


@dataclass(frozen=True)
class TaskEnded(Event):
    """Counted work is over, finished or not."""

    name = "task_ended"
    key: str


@dataclass(frozen=True)
class Ended(Event):
    """The command is over; the last event of each.

    Args:
        status: the exit status. message, expected, fix: as in `errors.UserError`; "" if all is well.
    """

    name = "end"
    status: int
    message: str = ""
    expected: str = ""
    fix: str = ""
