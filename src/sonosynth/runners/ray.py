"""Runs the jobs of a study as tasks on the nodes of a Ray cluster, which see the run folder on a shared file system.

Ray starts the tasks, and tells which have lost their process or node. What is done, and by whom something is being
made, is known from the run folder alone (`store`, `claims`).
"""

import logging
import os
import signal
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

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
from sonosynth.jobs import Job, Made, paths
from sonosynth.runners import scheduling
from sonosynth.runners.execution import execute, that_travels
from sonosynth.runners.nodes import Nodes
from sonosynth.runners.relaying import Address, Sending, shown
from sonosynth.runners.scheduling import LostError, Submit
from sonosynth.store import LOCK, Run

STORE = 100 * 2**20  # bytes of Ray's own memory on this machine: results travel through the run folder
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
    named = {place for job in ordered for place in paths(job.settings)}
    nodes = Nodes(run.root / LOCK, (Path.cwd(), run.root, *sorted(named)))
    return scheduling.run_jobs(run, ordered, nodes, _tasks(run, cores, address, nodes), replaceable)


@contextmanager
def _tasks(run: Run, cores: int, address: str, nodes: Nodes) -> Iterator[Submit]:
    running: set[ray.ObjectRef] = set()
    with _cluster(address, cores), shown(ray.util.get_node_ip_address()) as events:
        nodes.look(strict=True)
        task = ray.remote(_run)

        def submit(job: Job, made: Mapping[str, Made], where: str) -> Future[Made]:
            placed = task.options(
                name=job.name, max_retries=0, scheduling_strategy=nodes.affinity(where), **nodes.resources(job, where)
            )
            reference = placed.remote(Path.cwd(), run.root, job, made, events)
            running.add(reference)
            future: Future[Made] = Future()

            def end(ended: "Future[Made]") -> None:
                running.discard(reference)
                _settle(future, where, ended)

            reference.future().add_done_callback(end)
            return future

        try:
            yield submit
        except BaseException:
            progress.say("stopping: jobs that are running save their work")
            _stop(list(running))
            raise


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


def _stop(running: "Sequence[ray.ObjectRef]") -> None:
    """Ask all tasks to save their work, and wait until they have; a further signal kills them."""
    try:
        for reference in running:
            ray.cancel(reference)
        if running:
            ray.wait(running, num_returns=len(running), fetch_local=False)
    except KeyboardInterrupt:
        for reference in running:
            ray.cancel(reference, force=True)


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


def _run(folder: Path, root: Path, job: Job, made: Mapping[str, Made], events: Address) -> Made:
    os.chdir(folder)
    interruption.ignore_further_signals()
    progress.take_warnings()
    with Sending(events) as send:
        progress.relay(send)
        try:
            return execute(Run(root), job, made)
        except Exception as error:
            raise that_travels(error) from None
