"""Runs the jobs of a study on this machine, in processes that live as long as the study.

A job starts when its needs are done and the cores that it asks for are free. Jobs report their progress to this
process, which alone shows it.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import FrameType

from sonosynth import interruption, progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job, Made, State
from sonosynth.parallel import WORKERS
from sonosynth.progress.events import Event
from sonosynth.runners import workers
from sonosynth.runners.execution import execute
from sonosynth.runners.overview import Overview
from sonosynth.store import Run

Submit = Callable[[Job, Mapping[str, Made]], Future[Made]]
"""Starts a job, given what the jobs that it needs made."""


def run_jobs(
    run: Run, ordered: Sequence[Job], cores: int, *, processes: bool = True,
    replaceable: Container[object] | None = None,
) -> dict[str, Made]:  # fmt: skip
    """Run those of the jobs that are not done; returns what every one made, by name.

    Args:
        ordered: jobs, each after those it needs. cores: to share out. processes: whether jobs get their
            own processes; if not, they run one after another in this one, which a script without a main guard needs.
        replaceable: functions of jobs whose results may be replaced if they turn out to be stale; None: all.

    Raises:
        UserError: of the first job that fails; or if results would be replaced that may not be.
        KeyboardInterrupt: on SIGINT or SIGTERM. In both cases, jobs that are running save their work first; a second
            signal ends them at once.
    """
    made: dict[str, Made] = {}
    waiting, running = list(ordered), dict[Future[Made], Job]()
    overview = Overview(ordered, made, cores if processes else 1)
    with overview, _workers(run, min(cores, WORKERS)) if processes else _this_process(run) as submit:
        while waiting or running:
            for job in list(waiting):
                if not all(name in made for name in job.needed):
                    continue
                status = run.status(job, made)
                if status.made:
                    made[job.name] = status.made
                    run.clear(job)
                    overview.kept += 1
                elif status.state is State.STALE and replaceable is not None and job.run not in replaceable:
                    raise UserError(
                        f"the inputs of {job.name} came out differently this time ({status.reason})",
                        "the same inputs as before (same versions, same kind of machine)",
                        "restore the files that were missing, or replace the results: sonosynth run … --change",
                    )
                elif _fits(job, list(running.values()), cores):
                    overview.start(job, status.reason if status.state is State.STALE else "")
                    running[submit(job, {name: made[name] for name in job.needed})] = job
                else:
                    break  # no overtaking: a job that asks for all cores might wait forever
                waiting.remove(job)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                with overview.ending(job):
                    made[job.name] = future.result()
    return made


def _fits(job: Job, running: Sequence[Job], cores: int) -> bool:
    """Whether a job may start beside those that are running."""
    threads = sum(other.threads for other in running) + job.threads
    on_gpu = sum(other.device != "cpu" for other in (job, *running))
    return not running or (threads <= cores and len(running) < WORKERS and on_gpu <= 1)


@contextmanager
def _this_process(run: Run) -> Iterator[Submit]:
    def submit(job: Job, made: Mapping[str, Made]) -> Future[Made]:
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

    def submit(job: Job, made: Mapping[str, Made]) -> Future[Made]:
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
            raise UserError(
                "a process that ran a job was killed; the system does that when memory runs out",
                fix="lower classifier.batch, lora.batch, unet.batch or resolution: sonosynth run … --change; finished"
                " work that does not depend on them is kept",
            ) from None
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
        try:  # an exception that can't be pickled would look like a killed worker
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise RuntimeError("".join(traceback.format_exception(error))) from None
        raise
    finally:
        _worker.busy = False
