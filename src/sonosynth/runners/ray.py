"""Runs the jobs of a study as tasks on the nodes of a Ray cluster.

Ray starts the tasks, and tells which have lost their process or node. What is done, and by whom something is being
made, is known from the run folder alone (`store`, `claims`). On a node that shares it, a task works there, like a
process of this machine. For one that doesn't, a thread of this process holds the claim, sends what the job needs and
publishes what comes back (`staging`).
"""

import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

try:
    import ray
    from ray import exceptions
except ImportError:
    from sonosynth.errors import UserError

    raise UserError(
        "--runner ray: the package ray is not installed", fix="python -m pip install 'sonosynth[ray]'"
    ) from None

from sonosynth import interruption, progress
from sonosynth.errors import UserError, first_line
from sonosynth.jobs import Job, Made
from sonosynth.runners import scheduling, staging
from sonosynth.runners.execution import Spent, execute, that_travels
from sonosynth.runners.nodes import Nodes
from sonosynth.runners.relaying import Address, Sending, shown
from sonosynth.runners.scheduling import LostError, Submit
from sonosynth.store import LOCK, Run

STORE = 100 * 2**20  # bytes of Ray's own memory on this machine: results travel through the run folder
STAGED = 256  # jobs at a time on nodes that don't share the run, at most
FORGET = 10.0  # seconds in which a node removes files
LOST = (
    exceptions.WorkerCrashedError, exceptions.OutOfMemoryError, exceptions.TaskCancelledError,  # the process
    exceptions.NodeDiedError, exceptions.LocalRayletDiedError, exceptions.TaskUnschedulableError,  # the node
    exceptions.ObjectLostError,  # the node that had the result
)  # fmt: skip


def run_jobs(
    run: Run, ordered: Sequence[Job], cores: int, *, address: str = "", replaceable: Container[object] | None = None
) -> dict[str, Made]:  # fmt: skip
    """Run those of the jobs of a run that is locked that are not done: `scheduling.run_jobs` on a Ray cluster.

    Args:
        cores: of this machine. address: of a running cluster; "": one is started on this machine, and ended with the
            study.

    Raises:
        UserError: if there is no such cluster, or a node of it can't be used.
    """
    nodes = Nodes(run.root / LOCK, ordered)
    return scheduling.run_jobs(run, ordered, nodes, _tasks(run, cores, address, nodes), replaceable)


class _Tasks:
    """The tasks that run, and how they are started.

    Args:
        events: where they send theirs. staged: in whose threads tasks on nodes that don't share the run are awaited.
    """

    def __init__(self, run: Run, nodes: Nodes, events: Address, staged: ThreadPoolExecutor) -> None:
        self.run, self.nodes, self.events, self.staged = run, nodes, events, staged
        self.study = secrets.token_hex(8)
        self.running: set[ray.ObjectRef] = set()
        self.parcels: dict[str, ray.ObjectRef] = {}  # by digest of what was made
        self.there: set[str] = set()  # nodes to which files have travelled
        self.stopping = False

    def submit(self, job: Job, made: Mapping[str, Made], where: str) -> Future[Made]:
        """Start a job on a node."""
        future: Future[Made] = Future()
        if self.nodes.shares(where):
            reference = self._start(_run, job, where, Path.cwd(), self.run.root, job, made)
            ended: Future[Made] = reference.future()
        else:
            ended = self.staged.submit(execute, Run(self.run.root), job, made, partial(self._perform, where))
        ended.add_done_callback(partial(_settle, future, where))
        return future

    def stop(self) -> None:
        """Ask all tasks to save their work, and wait until they have; a further signal kills them."""
        self.stopping = True
        running = list(self.running)
        try:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(running, num_returns=len(running), fetch_local=False)
        except KeyboardInterrupt:
            for reference in running:
                ray.cancel(reference, force=True)

    def forget(self) -> None:
        """Remove the files that have travelled."""
        for name in self.there:
            task = ray.remote(staging.forget).options(num_cpus=0, scheduling_strategy=self.nodes.affinity(name))
            with suppress(exceptions.RayError):  # the node is gone
                ray.get(task.remote(self.study), timeout=FORGET)

    def _perform(self, where: str, job: Job, made: Mapping[str, Made], work: Path) -> Spent:
        """Run a job on a node that doesn't share the run; what it made arrives in `work`."""
        for one in made.values():
            if one.digest not in self.parcels:
                self.parcels[one.digest] = ray.put(staging.pack(one.places))
        self.there.add(where)
        parcels = {name: self.parcels[one.digest] for name, one in made.items()}
        reference = self._start(_run_staged, job, where, Path.cwd(), job, made, parcels, self.study)
        if self.stopping:
            ray.cancel(reference)
        returned: staging.Returned = reference.future().result()
        staging.unpack(returned.parcel, {role: work / role for role in job.makes})
        return returned.spent

    def _start(self, function: Callable[..., Any], job: Job, where: str, *given: Any) -> "ray.ObjectRef":
        task = ray.remote(function).options(
            name=job.name, max_retries=0, scheduling_strategy=self.nodes.affinity(where),
            **self.nodes.resources(job, where),
        )  # fmt: skip
        reference = task.remote(self.events, *given)
        self.running.add(reference)
        reference.future().add_done_callback(lambda _: self.running.discard(reference))
        return reference


@contextmanager
def _tasks(run: Run, cores: int, address: str, nodes: Nodes) -> Iterator[Submit]:
    with (
        _cluster(address, cores), shown(ray.util.get_node_ip_address()) as events,
        ThreadPoolExecutor(STAGED) as staged,
    ):  # fmt: skip
        nodes.look(strict=True)
        tasks = _Tasks(run, nodes, events, staged)
        try:
            yield tasks.submit
        except BaseException:
            progress.say("stopping: jobs that are running save their work")
            tasks.stop()
            raise
        finally:
            staged.shutdown(cancel_futures=True)
            tasks.forget()


def _settle(future: "Future[Made]", where: str, ended: "Future[Made]") -> None:
    """Hand on what became of a task: what it made, the error of the job itself, or that it was lost."""
    error = ended.exception()
    if error is None:
        future.set_result(ended.result())
    elif isinstance(error, LOST):
        future.set_exception(LostError(f"{where}: {first_line(error)}"))
    elif isinstance(error, exceptions.RayTaskError) and isinstance(error.cause, Exception):
        own = error.cause
        own.__cause__ = RuntimeError(str(error))  # where it was raised
        future.set_exception(own)
    else:
        future.set_exception(error)


@contextmanager
def _cluster(address: str, cores: int) -> Iterator[None]:
    """Connect to a cluster, or start one; where this process already has, that one is used, and stays."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see `workers.start`
    own = {
        "num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE, "_node_ip_address": "127.0.0.1"
    }  # fmt: skip
    before = signal.getsignal(signal.SIGTERM)
    ray._private.worker._worker_logs_enabled = False  # else it reports lost processes on stdout, which is for results
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **{} if address else own)
    except Exception as error:  # Ray raises anything here
        raise UserError(
            f"--address {address}: no Ray cluster can be used there ({first_line(error)})" if address
            else f"--runner ray: no cluster can be started ({first_line(error)})",
            "the HOST:PORT that `ray start --head` printed, with the same versions of Ray and Python; or none, for a"
            " cluster on this machine",
        ) from None  # fmt: skip
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has put its own in the place
        yield
    finally:
        ray.shutdown()


# In a worker:


@contextmanager
def _reporting(events: Address, folder: Path) -> Iterator[None]:
    """What every task does: it works in that folder, if there is one, and reports its events."""
    if folder.is_dir():
        os.chdir(folder)
    interruption.ignore_further_signals()
    progress.take_warnings()
    with Sending(events) as send:
        progress.relay(send)
        try:
            yield
        except Exception as error:
            raise that_travels(error) from None


def _run(events: Address, folder: Path, root: Path, job: Job, made: Mapping[str, Made]) -> Made:
    with _reporting(events, folder):
        return execute(Run(root), job, made)


def _run_staged(
    events: Address, folder: Path, job: Job, made: Mapping[str, Made], parcels: "Mapping[str, ray.ObjectRef]",
    study: str,
) -> staging.Returned:  # fmt: skip
    with _reporting(events, folder):
        return staging.run_staged(job, made, lambda name: ray.get(parcels[name]), study)
