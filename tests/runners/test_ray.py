"""Jobs on a Ray cluster of two nodes on this machine, and what becomes of them when processes and nodes are lost."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from graph_examples import Reading, Writing, fail, full_disk, join, joined, odd, read, slow, writing
from sonosynth import progress
from sonosynth.errors import UserError
from sonosynth.jobs import Job
from sonosynth.progress.events import JobFinished, JobStarted, Message, TaskAdvanced, Warned
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
    "differs", [{"seen": []}, {"holder": "process 1 on elsewhere"}, {"locked": False}], ids=["seen", "holder", "locked"]
)
def test_files_travel_to_a_node_without_the_shared_folder_or_its_locks(cluster, tmp_path, differs):
    run = Run(tmp_path)
    with run.locked():
        nodes = Nodes(tmp_path / ".lock", [])
        own = about(nodes.lock, nodes.places)
        node = Node("1", "far", 1, 0.0, 0)
        assert own["locked"] and nodes.seeing(node, nodes.answer("far", ray.put(own), own), own) == node
        assert not nodes.seeing(node, nodes.answer("far", ray.put(own | differs), own), own).shares


def others(before):
    return [node for node in ray.nodes() if node["NodeID"] not in before and node["Alive"]]


def reached(state, seconds=60.0):
    """Whether a state is reached within that time."""
    ends = time.monotonic() + seconds
    while not state() and time.monotonic() < ends:
        time.sleep(0.1)
    return bool(state())


UNSEEN = """mount -t tmpfs none "$HIDDEN"
exec "$PYTHON" -c 'from ray.scripts.scripts import main; main()' start --address="$ADDRESS" --num-cpus=2 --block
"""


@pytest.fixture
def far(cluster, tmp_path):
    """The folder that a further node of two cores, in a mount namespace of its own on this machine, does not see."""
    if subprocess.run(["unshare", "-Urm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    before = {node["NodeID"] for node in ray.nodes()}
    process = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-ec", UNSEEN], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"HIDDEN": str(hidden), "ADDRESS": cluster.address, "PYTHON": sys.executable,
                          "PYTHONPATH": os.pathsep.join([TESTS, *filter(None, sys.path)])},
    )  # fmt: skip
    try:
        if not reached(lambda: others(before) or process.poll() is not None) or process.poll() is not None:
            pytest.skip("Ray starts no node in a mount namespace here")
        yield hidden
    finally:
        process.terminate()
        process.wait()
        assert reached(lambda: not others(before))


def of_two(job):
    """The job, for two cores: it goes to the far node."""
    return replace(job, threads=2)


def test_files_travel_to_a_node_that_does_not_see_them_and_back(far, told):
    graph = [writing("a", "x"), of_two(writing("b", "y")), of_two(joined("a", "b"))]
    graph.append(Job("last", join, Writing("-"), {"parts": ("joined", "b")}, {"file": "last.txt"}))
    made = on_ray(far / "there", *graph)
    local.run_jobs(Run(far / "here"), graph, 2, processes=False)
    assert contents(far / "there") == contents(far / "here")
    assert (far / "there" / "last.txt").read_text() == "x+y-y"
    said = [event.text for event in told if isinstance(event, Message)]
    [name] = [text.split("the node ")[1].split(" does not share")[0] for text in said if "does not share" in text]
    where = {event.job: event.where for event in told if isinstance(event, JobStarted) and event.where}
    assert where["b"] == where["joined"] == name
    assert set(made) == {"a", "b", "joined", "last"} and not list(Path(tempfile.gettempdir()).glob("sonosynth-*"))
    told.clear()
    assert on_ray(far / "there", *graph) == made
    assert not [event for event in told if isinstance(event, JobStarted)]


def test_a_process_that_is_killed_there_costs_its_own_work_alone(far):
    graph = [of_two(writing("a")), of_two(slowly("1", speed=0.2))]
    events = while_counting(lambda process: os.kill(process, signal.SIGKILL))
    on_ray(far / "there", *graph)
    started = [event.job for event in events if isinstance(event, JobStarted)]
    assert started == ["a", "1", "1"]
    assert (far / "there" / "1.txt").read_text() == "100" and not list(far.glob("there/.work/*"))


def test_a_job_that_fails_or_is_stopped_there_ends_the_study(far):
    failing = of_two(Job("bad", fail, Writing("it does not"), {}, {"file": "bad.txt"}))
    with pytest.raises(UserError, match="it does not") as raised:
        on_ray(far / "there", of_two(writing("a")), failing)
    assert raised.value.fix == "try again" and (far / "there" / "a.txt").exists()
    while_counting(lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        on_ray(far / "there", of_two(slowly("slow", speed=2)))
    assert not (far / "there" / "slow.txt").exists()


def test_what_reads_a_file_runs_where_that_is_seen(far, told):
    (far / "weights").write_text("w")
    reading = Job("reading", read, Reading(far / "weights"), {}, {"file": "read.txt"})
    on_ray(far / "there", reading)
    assert (far / "there" / "read.txt").read_text() == "w"
    assert [
        event.text for event in told if isinstance(event, Warned) and f"does not see {far / 'weights'}" in event.text
    ]
    nowhere = of_two(replace(reading, name="nowhere", settings=Reading(far / "gone"), makes={"file": "x"}))
    with pytest.raises(UserError, match=f"no node of the cluster has {far / 'gone'} for nowhere"):
        on_ray(far / "there", nowhere)


def test_jobs_of_a_node_that_leaves_go_on_elsewhere(cluster, tmp_path):
    """The last test: the cluster has one node less then."""
    node = next(iter(cluster.worker_nodes))
    events = while_counting(lambda _: cluster.remove_node(node, allow_graceful=False))
    made = on_ray(tmp_path, slowly("1", speed=2), slowly("2", speed=2))
    assert set(made) == {"1", "2"} and len({event.where for event in events if isinstance(event, JobStarted)}) == 2
    assert sum(isinstance(event, JobStarted) for event in events) >= 3


def test_no_job_starts_on_a_node_without_what_it_asks_for():
    def job(threads, device="cpu", memory=0):
        return Job("j", slow, Writing(""), {}, {"file": "j"}, threads, device, memory)

    node = Node("1", "a", 4, 2.0, 8000)
    assert node.fits(job(8), [])  # alone, whatever it asks for
    assert node.fits(job(2), [job(2)])
    assert not node.fits(job(3), [job(2)])
    assert node.fits(job(1, "cuda"), [job(1, "cuda")])
    assert not node.fits(job(1, "cuda"), [job(1, "cuda")] * 2)
    assert not Node("2", "b", 4, 0.0, 8000).fits(job(1, "cuda"), [])
    assert node.fits(job(1, memory=9000), [])  # alone, whatever it asks for
    assert node.fits(job(1, memory=5000), [job(1, memory=3000)])
    assert not node.fits(job(1, memory=5000), [job(1, memory=3001)])


def test_jobs_go_where_most_cores_are_free(monkeypatch, tmp_path):
    nodes = Nodes(tmp_path / ".lock", [])
    monkeypatch.setattr(nodes, "look", lambda: None)
    nodes.here = [Node("1", "a", 4, 0.0, 9000), Node("2", "b", 6, 0.0, 900)]
    job = Job("j", slow, Writing(""), {}, {"file": "j"}, 2)
    running = []
    for _ in range(5):
        running.append(Placed(job, nodes.place(job, running)))
    assert [placed.where for placed in running] == ["b", "a", "b", "a", "b"]
    assert nodes.place(job, running) is None
    assert nodes.place(replace(job, threads=5), running[1:2]) == "b"  # and not a, which has too few cores
    assert nodes.place(replace(job, threads=5), running[:1]) is None
    assert nodes.place(replace(job, threads=9), []) == "b"
    assert nodes.place(replace(job, memory=1000), []) == "a"  # and not b, which has too little memory
    nodes.here.append(Node("3", "c", 1, 1.0, 900))
    assert nodes.place(replace(job, device="cuda"), running) == "c"  # which has few cores, but a GPU
    del nodes.here[2]
    with pytest.raises(UserError, match="no node of the cluster has a GPU for j"):
        nodes.place(replace(job, device="cuda"), [])
