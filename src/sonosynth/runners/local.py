"""Runs the jobs of a study on this machine, in processes that live as long as the study.

Jobs report their progress to this process, which alone shows it.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType

from sonosynth import interruption, progress
from sonosynth.jobs import Job, Made
from sonosynth.parallel import WORKERS
from sonosynth.progress.events import Event
from sonosynth.runners import scheduling, workers
from sonosynth.runners.execution import execute, that_travels
from sonosynth.runners.scheduling import Placed, Submit
from sonosynth.store import Run


def run_jobs(
    run: Run, ordered: Sequence[Job], cores: int, *, processes: bool = True,
    replaceable: Container[object] | None = None,
) -> dict[str, Made]:  # fmt: skip
    """Run those of the jobs that are not done: `scheduling.run_jobs` on this machine.

    Args:
        cores: to share out. processes: whether jobs get their own processes; if not, they run one after another in this
            one, which a script without a main guard needs.
    """
    opened = _workers(run, min(cores, WORKERS)) if processes else _this_process(run)
    return scheduling.run_jobs(run, ordered, Here(cores if processes else 1), opened, replaceable)


@dataclass(frozen=True)
class Here:
    """The capacity of this machine."""

    cores: int
    machines: int = 1

    def place(self, job: Job, running: Sequence[Placed]) -> str | None:
        """Nowhere in particular, if the job may start beside those that are running."""
        threads = sum(other.job.threads for other in running) + job.threads
        on_gpu = sum(other.device != "cpu" for other in (job, *(other.job for other in running)))
        fits = not running or (threads <= self.cores and len(running) < WORKERS and on_gpu <= 1)
        return "" if fits else None


@contextmanager
def _this_process(run: Run) -> Iterator[Submit]:
    def submit(job: Job, made: Mapping[str, Made], where: str) -> Future[Made]:
        future: Future[Made] = Future()
        try:
            future.set_result(execute(run, job, made))
        except BaseException as error:
            future.set_exception(error)
        return future

    yield submit


@contextmanager
def _workers(run: Run, count: int) -> Iterator[Submit]:
    """Worker processes, started as they are needed; jobs on a GPU all go to one of their own."""
    workers.start()
    context = workers.context()
    events: SimpleQueue[Event | None] = context.SimpleQueue()
    pools: dict[str, ProcessPoolExecutor] = {}
    others = set(multiprocessing.active_children())

    def submit(job: Job, made: Mapping[str, Made], where: str) -> Future[Made]:
        if job.device not in pools:
            at_most = count if job.device == "cpu" else 1
            pools[job.device] = ProcessPoolExecutor(at_most, context, _begin, (events,))
        return pools[job.device].submit(_run, run.root, job, made)

    with ExitStack() as stack:
        # The events of this process take the same way, so that each comes after those that it follows from.
        show = progress.relay(events.put)
        showing = threading.Thread(target=_show, args=(events, show), daemon=True)
        showing.start()
        stack.callback(showing.join)
        stack.callback(events.put, None)
        stack.callback(progress.relay, show)
        try:
            yield submit
        except BrokenProcessPool:
            raise scheduling.killed("a process that ran a job was killed") from None
        except BaseException:
            progress.say("stopping: jobs that are running save their work")
            _stop(pools.values(), set(multiprocessing.active_children()) - others)
            raise
        finally:
            for pool in pools.values():
                pool.shutdown(cancel_futures=True)


def _stop(pools: Iterable[ProcessPoolExecutor], processes: set[BaseProcess]) -> None:
    """Ask all workers to save their work, and wait until they have; a further signal kills them."""
    try:
        for process in processes:
            process.terminate()
        for pool in pools:
            pool.shutdown(cancel_futures=True)
    except KeyboardInterrupt:
        for process in processes:
            process.kill()


def _show(events: "SimpleQueue[Event | None]", show: progress.Show) -> None:
    while (event := events.get()) is not None:
        show(event)


# In a worker:


class _Worker:
    """How a worker handles SIGTERM, by which its parent asks it to stop: SIGINT reaches the parent, too."""

    def __init__(self) -> None:
        self.busy = self.stopping = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the job, once; an idle worker waits for the end of its pool."""
        first, self.stopping = not self.stopping, True
        if self.busy and first:
            raise KeyboardInterrupt


_worker = _Worker()


def _begin(events: "SimpleQueue[Event | None]") -> None:
    """Set a worker up: its signals, its progress, and that it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _worker.stop)
    interruption.ignore_further_signals()
    progress.relay(events.put)
    progress.take_warnings()
    parent = multiprocessing.parent_process()
    if parent:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _run(root: Path, job: Job, made: Mapping[str, Made]) -> Made:
    if _worker.stopping:
        raise KeyboardInterrupt
    _worker.busy = True
    try:
        return execute(Run(root), job, made)
    except Exception as error:
        raise that_travels(error) from None
    finally:
        _worker.busy = False
