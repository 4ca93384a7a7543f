"""Events on a terminal: messages as lines, and below them the jobs that run, redrawn in place."""

from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sonosynth.errors import inert
from sonosynth.progress import words
from sonosynth.progress.events import (
    Ended,
    Event,
    JobFinished,
    JobStarted,
    Message,
    TaskAdvanced,
    TaskEnded,
    Warned,
    now,
)
from sonosynth.progress.plain import ended


class Board:
    """What runs, as the events so far tell."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobStarted] = {}
        self.tasks: dict[str, TaskAdvanced] = {}
        self.latest: JobStarted | JobFinished | None = None

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return bool(self.jobs or self.tasks)

    def take(self, event: Event) -> None:
        """Note an event."""
        match event:
            case JobStarted():
                self.jobs[event.job] = self.latest = event
            case JobFinished():
                self.jobs.pop(event.job, None)
                self.tasks = {key: task for key, task in self.tasks.items() if task.job != event.job}
                self.latest = event
            case TaskAdvanced():
                self.tasks[event.key] = event
            case TaskEnded():
                self.tasks.pop(event.key, None)

    def drawn(self, at: datetime | None = None) -> RenderableType:
        """A line on the whole, and one for each job, and task of no job, that runs; times are those `at` a time."""
        at = at or now()
        jobs, tasks = list(self.jobs.values()), list(self.tasks.values())  # another thread may take an event meanwhile
        counted = {task.job: task for task in tasks}  # the last begun of each job
        rows = Table.grid(padding=(0, 2))
        for job in jobs:
            name = f"{job.job} on {job.where}" if job.where else job.job
            _add(rows, name, counted.get(job.job), (at - job.time).total_seconds())
        for task in tasks:
            if not task.job:
                _add(rows, task.text, task, task.elapsed)
        return Group(Text(self._whole(at), "bold"), rows) if jobs else rows

    def _whole(self, at: datetime) -> str:
        assert self.latest  # of a job, since one runs
        overall = self.latest.overall
        line = f"{overall.done} of {overall.jobs} jobs done, {len(self.jobs)} running"
        if overall.remaining is None:
            return line
        left = max(0.0, overall.remaining - (at - self.latest.time).total_seconds())
        return f"{line}, {words.remaining(left, overall.unknown)}"


def _add(rows: Table, name: str, task: TaskAdvanced | None, elapsed: float) -> None:
    shown = Text(inert(name), no_wrap=True, overflow="ellipsis")
    if task is None:
        rows.add_row(shown, "", "", words.duration(elapsed))
        return
    left = "" if task.remaining is None else f", {words.duration(task.remaining)} remaining"
    bar = ProgressBar(total=task.total, completed=task.done, width=20)
    times = f"{words.duration(elapsed)}{left}"
    rows.add_row(shown, bar, f"{task.done}/{task.total}", times, words.figures(task.figures))


class LiveView:
    """Draws the board while anything runs, and removes it then: nothing of it stays on the terminal."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.board = Board()
        self.live: Live | None = None

    def show(self, event: Event) -> None:
        """Draw an event."""
        if isinstance(event, Message):
            self._print(event.text, "yellow" if isinstance(event, Warned) else "")
            return
        self.board.take(event)
        over = isinstance(event, Ended)
        if self.board.busy and not over and not self.live:
            self.live = Live(console=self.console, get_renderable=self.board.drawn, transient=True)
            self.live.start()
        elif self.live and (over or not self.board.busy):
            self.live.stop()
            self.live = None
        if isinstance(event, Ended) and event.message:
            self._print(ended(event), "red" if event.status in {1, 2} else "")

    def _print(self, text: str, style: str) -> None:
        self.console.print(Text(inert(text), style), soft_wrap=True)  # a style of `print` would be the board's, too
