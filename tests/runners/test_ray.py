"""Jobs on a Ray cluster of two nodes on this machine, and what becomes of them when processes and nodes are lost."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest

from graph_examples import Writing, fail, full_disk, joined, odd, slow, writing
from sonosynth import progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job
from sonosynth.progress.events import JobFinished, JobStarted, Message, TaskAdvanced
from sonosynth.runners import local
from sonosynth.store import Run

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from sonosynth.runners.nodes import Node, Nodes, about  # noqa: E402
from sonosynth.runners.ray import run_jobs  # noqa: E402
from sonosynth.runners.scheduling import Placed  # noqa: E402

TESTS = os.path.dirname(os.path.dirname(__file__))


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, to which this process is connected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([TESTS, *filter(None, sys.path)]))
        found = Cluster()
        for _ in range(2):
            found.add_node(num_cpus=1, include_dashboard=False, include_log_monitor=False, no_monitor=True)
        ray.init(found.address, log_to_driver=False)
        yield found
        ray.shutdown()
        found.shutdown()


@pytest.fixture
def told():
    """All events, as they come."""
    events = []
    before = progress.relay(events.append)
    yield events
    progress.relay(before)


def on_ray(root, *graph):
    run = Run(root)
    with run.locked():
        return run_jobs(run, graph, 1)


def contents(root):
    files = (path for path in root.rglob("*") if path.is_file() and ".jobs" not in path.parts)
    return {path.relative_to(root): path.read_bytes() for path in files}


def slowly(name, speed=0.6):
    return Job(name, slow, Writing(name, speed=speed), {}, {"file": f"{name}.txt"})


def while_counting(act, times=1):
    """Call `act` with the process that runs a job, when that has begun to count; returns the events of all."""
    events = []

    def show(event):
        nonlocal times
        events.append(event)
        if times and isinstance(event, TaskAdvanced) and 5 <= event.done < 90:
            times -= 1
            act(int(event.key.partition("-")[0]))

    progress.relay(show)
    return events


def test_jobs_make_what_they_make_here(cluster, tmp_path, told):
    graph = [writing("a", "x"), writing("b", "y"), joined("b", "a")]
    made = on_ray(tmp_path / "there", *graph)
    assert set(made) == {"a", "b", "joined"}
    local.run_jobs(Run(tmp_path / "here"), graph, 2, processes=False)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    nodes = {event.where for event in told if isinstance(event, JobStarted) and event.where}
    assert len(nodes) == 2 and all(os.uname().nodename in node for node in nodes)
    told.clear()
    assert on_ray(tmp_path / "there", *graph) == made
    assert not [event for event in told if isinstance(event, JobStarted)]


def test_processes_that_are_killed_at_random_change_nothing(cluster, tmp_path):
    graph = [slowly("1"), slowly("2"), slowly("3"), joined("1", "2", "3")]

    def kill(process):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

    events = while_counting(kill, times=3)  # those whose events happen to come first
    made = on_ray(tmp_path / "there", *graph)
    assert [event.text for event in events if isinstance(event, Message) and "starts again where it was" in event.text]
    finished = [event.job for event in events if isinstance(event, JobFinished) and event.outcome == "done"]
    assert sorted(finished) == ["1", "2", "3", "joined"]  # none twice
    local.run_jobs(Run(tmp_path / "here"), graph, 2, processes=False)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert set(made) == {"1", "2", "3", "joined"}


@pytest.mark.parametrize(
    ("function", "error", "says"),
    [(fail, UserError, "it does not"), (odd, RuntimeError, "OddError: 1 and 2"), (full_disk, OSError, "No space left")],
)
def test_a_job_that_fails_stops_the_study(cluster, tmp_path, function, error, says):
    failing = Job("bad", function, Writing("it does not"), {}, {"file": "bad.txt"})
    on_ray(tmp_path, writing("a"))
    with pytest.raises(error, match=says) as raised:
        on_ray(tmp_path, writing("a"), failing)
    assert (tmp_path / "a.txt").exists() and not (tmp_path / "bad.txt").exists()
    if function is fail:
        assert raised.value.fix == "try again"
    if function is full_disk:
        assert raised.value.errno == errno.ENOSPC


def test_work_in_progress_is_saved_when_the_driver_is_interrupted(cluster, tmp_path):
    while_counting(lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        on_ray(tmp_path, slowly("slow", speed=2))
    [saved] = tmp_path.glob(".work/slow-*/file")
    assert 5 <= int(saved.read_text()) < 100


MAIN = """
import sys
from pathlib import Path
from graph_examples import Writing, slow
from sonosynth.jobs import Job
from sonosynth.runners.ray import run_jobs  # noqa: E402
from sonosynth.store import Run
run = Run(Path(sys.argv[1]))
with run.locked():
    run_jobs(run, [Job("slow", slow, Writing("slow", speed=0.6), {}, {"file": "slow.txt"})], 1, address=sys.argv[2])
"""


def test_a_second_driver_is_refused_until_the_first_is_gone(cluster, tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", MAIN, tmp_path, cluster.address], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([TESTS, *filter(None, sys.path)])},
    )  # fmt: skip
    lines = []
    for line in first.stderr:
        lines.append(line)
        if line.startswith("counting: "):
            break
    with pytest.raises(UserError, match=f"is in use by process {first.pid} on "):
        on_ray(tmp_path, slowly("slow"))
    first.kill()
    first.wait()
    made = on_ray(tmp_path, slowly("slow"))
    assert (tmp_path / "slow.txt").read_text() == "100" and set(made) == {"slow"}


def test_a_node_with_another_version_is_refused_by_name(cluster, tmp_path):
    about_it = tmp_path / "other" / "sonosynth-9.9.dist-info" / "METADATA"
    about_it.parent.mkdir(parents=True)
    about_it.write_text("Metadata-Version: 2.1\nName: sonosynth\nVersion: 9.9\n")
    paths = os.pathsep.join([str(tmp_path / "other"), *filter(None, sys.path)])
    node = cluster.add_node(num_cpus=1, include_dashboard=False, env_vars={"PYTHONPATH": paths})
    try:
        with pytest.raises(UserError, match=rf"the node {os.uname().nodename} \(\w+\) has sonosynth 9\.9"):
            on_ray(tmp_path / "run", writing("a"))
    finally:
        cluster.remove_node(node)


@pytest.mark.parametrize(
    ("differs", "says"),
    [
        ({"seen": []}, "the node far does not see"),
        ({"holder": "process 1 on elsewhere"}, "the node far sees another folder"),
        ({"locked": False}, "the node far does not see which files of .* are locked"),
    ],
)
def test_a_node_without_the_shared_folder_is_refused(cluster, tmp_path, differs, says):
    run = Run(tmp_path)
    with run.locked():
        nodes = Nodes(tmp_path / ".lock", [tmp_path])
        own = about(nodes.lock, nodes.places)
        assert own["locked"] and nodes.refusal("far", ray.put(own), own) is None
        assert says.partition(" .*")[0] in nodes.refusal("far", ray.put(own | differs), own).found


def test_jobs_of_a_node_that_leaves_go_on_elsewhere(cluster, tmp_path):
    """The last test: the cluster has one node less then."""
    node = next(iter(cluster.worker_nodes))
    events = while_counting(lambda _: cluster.remove_node(node, allow_graceful=False))
    made = on_ray(tmp_path, slowly("1", speed=2), slowly("2", speed=2))
    assert set(made) == {"1", "2"} and len({event.where for event in events if isinstance(event, JobStarted)}) == 2
    assert sum(isinstance(event, JobStarted) for event in events) >= 3


def test_no_job_starts_on_a_node_without_what_it_asks_for():
    def job(threads, device="cpu", gpu=1.0):
        return Job("j", slow, Writing(""), {}, {"file": "j"}, threads, device, gpu)

    node = Node("1", "a", 4, 1.0)
    assert node.fits(job(8), [])  # alone, whatever it asks for
    assert node.fits(job(2), [job(2)])
    assert not node.fits(job(3), [job(2)])
    assert node.fits(job(1, "cuda", 0.25), [job(1, "cuda", 0.25)] * 3)
    assert not node.fits(job(1, "cuda", 0.5), [job(1, "cuda", 0.75)])
    assert not Node("2", "b", 4, 0.0).fits(job(1, "cuda", 0.25), [])


def test_jobs_go_where_most_cores_are_free(monkeypatch, tmp_path):
    nodes = Nodes(tmp_path / ".lock", [])
    monkeypatch.setattr(nodes, "look", lambda: None)
    nodes.here = [Node("1", "a", 4, 0.0), Node("2", "b", 6, 0.0)]
    job = Job("j", slow, Writing(""), {}, {"file": "j"}, 2)
    running = []
    for _ in range(5):
        running.append(Placed(job, nodes.place(job, running)))
    assert [placed.where for placed in running] == ["b", "a", "b", "a", "b"]
    assert nodes.place(job, running) is None
    assert nodes.place(replace(job, threads=5), running[1:2]) == "b"  # and not a, which has too few cores
    assert nodes.place(replace(job, threads=5), running[:1]) is None
    assert nodes.place(replace(job, threads=9), []) == "b"
    nodes.here.append(Node("3", "c", 1, 1.0))
    assert nodes.place(replace(job, device="cuda"), running) == "c"  # which has few cores, but a GPU
    del nodes.here[2]
    with pytest.raises(UserError, match="no node of the cluster has a GPU for j"):
        nodes.place(replace(job, device="cuda"), [])
