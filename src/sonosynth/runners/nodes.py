"""The nodes of a Ray cluster: which may run jobs of a study, and which job fits where."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sonosynth import progress, versions
from sonosynth.errors import UserError, first_line
from sonosynth.jobs import Job, paths
from sonosynth.runners.scheduling import Placed

ANSWER = 120.0  # seconds that a node may take to start a process and answer
LOOK = 1.0  # seconds between looks at which nodes there are
GONE = 60.0  # seconds without any node after which a study ends


@dataclass(frozen=True)
class Node:
    """A node that may run jobs.

    id: Ray's. name: its host and, where several have that, part of the id. memory: MB. shares: whether it sees the run
    and its locks; if not, files travel. hidden: what jobs name that it does not see.
    """

    id: str
    name: str
    cores: int
    gpus: float
    memory: int
    shares: bool = True
    hidden: frozenset[Path] = frozenset()

    def fits(self, job: Job, there: Sequence[Job]) -> bool:
        """Whether a job may start beside those that are there; one that asks for more than there is, alone."""
        every = (job, *there)
        seen = not self.hidden or not self.hidden & named(job)
        if not seen or (job.device != "cpu" and sum(one.device != "cpu" for one in every) > self.gpus):
            return False
        fits = sum(one.threads for one in every) <= self.cores and sum(one.memory for one in every) <= self.memory
        return not there or fits

    def ample(self, job: Job) -> bool:
        """Whether it has all the cores and memory that a job asks for."""
        return self.cores >= job.threads and self.memory >= job.memory


def named(job: Job) -> frozenset[Path]:
    """The files and folders that the settings of a job name, and the working folder if one is relative to that."""
    found = paths(job.settings)
    return frozenset(path.absolute() for path in (*found, *([] if all(p.is_absolute() for p in found) else [Path()])))


class Nodes:
    """The nodes that are there now. Those that join later are used, too; those that leave are not.

    Args:
        lock: that of the run, which this process holds. jobs: of the study.
    """

    def __init__(self, lock: Path, jobs: Sequence[Job]) -> None:
        self.lock = lock
        self.places = tuple(sorted({Path.cwd()}.union(*map(named, jobs))))
        self.needed = frozenset[Path]().union(*map(named, jobs))
        self.known: dict[str, Node | None] = {}  # by id; None: refused
        self.here: list[Node] = []
        self.looked = 0.0

    @property
    def cores(self) -> int:
        """Of the largest one."""
        return max((node.cores for node in self.here), default=1)

    @property
    def machines(self) -> int:
        """How many there are."""
        return max(1, len(self.here))

    def look(self, *, strict: bool = False) -> None:
        """See which nodes are there, and check new ones.

        Raises:
            UserError: if `strict` and one can't be used; if not, there is a warning.
        """
        self.looked = time.monotonic()
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1}
        new = {one: _ask(one, self.lock, self.places) for one in alive if one not in self.known}
        own = about(self.lock, self.places) if new else {}
        for one, asked in new.items():
            host = alive[one]["NodeManagerHostname"]
            others = {node["NodeManagerHostname"] for other, node in alive.items() if other != one}
            taken = {node.name for node in self.known.values() if node}
            name = f"{host} ({one[:6]})" if host in others | taken else host
            resources = alive[one]["Resources"]
            try:
                found = self.answer(name, asked, own)
            except UserError as refusal:
                if strict:
                    raise
                progress.warn(f"not used: {refusal.found}")
                self.known[one] = None
                continue
            memory = int(resources.get("memory", 0) / 1e6)
            self.known[one] = self.seeing(
                Node(one, name, int(resources["CPU"]), resources.get("GPU", 0.0), memory), found, own
            )  # fmt: skip
        self.here = [node for one, node in self.known.items() if node and one in alive]

    def place(self, job: Job, running: Sequence[Placed]) -> str | None:
        """The name of the node with the most free cores on which the job fits; None if it has to wait.

        Raises:
            UserError: if nothing runs, and no node could run it.
        """
        if time.monotonic() - self.looked > LOOK:
            self.look()
        free: dict[str, int] = {}
        able = [node for node in self.here if node.fits(job, [])]
        for node in [node for node in able if node.ample(job)] or able:
            there = [other.job for other in running if other.where == node.name]
            if node.fits(job, there):
                free[node.name] = node.cores - sum(other.threads for other in there)
        if free:
            return max(free, key=lambda name: free[name])
        if not running:
            self._wait(job)
        return None

    def affinity(self, name: str) -> NodeAffinitySchedulingStrategy:
        """What lets a task run on the node of that name alone."""
        return NodeAffinitySchedulingStrategy(self._named(name).id, soft=False)

    def resources(self, job: Job, name: str) -> dict[str, float]:
        """What a job takes of the node of that name; of too few cores, or too little memory, all."""
        node = self._named(name)
        on_gpu = {} if job.device == "cpu" else {"num_gpus": 1}
        return {
            "num_cpus": min(job.threads, node.cores), "memory": int(min(job.memory, node.memory) * 1e6), **on_gpu
        }  # fmt: skip

    def shares(self, name: str) -> bool:
        """Whether the node of that name sees the run."""
        return self._named(name).shares

    def _named(self, name: str) -> Node:
        return next(node for node in self.known.values() if node and node.name == name)

    def _wait(self, job: Job) -> None:
        """Wait for a node on which a job fits when nothing runs."""
        began = time.monotonic()
        while not any(node.fits(job, []) for node in self.here):
            if self.here or time.monotonic() - began > GONE:
                what = "no node of the cluster has" if self.here else "no node is left in the cluster"
                lacks = [path for path in sorted(named(job)) if all(path in node.hidden for node in self.here)]
                wanted = f"{lacks[0] if lacks else 'a GPU'} for {job.name}" if self.here else ""
                raise UserError(
                    f"--runner ray: {what} {wanted}".rstrip(), "nodes that run the jobs of the study",
                    "start some (ray start --address …), and run the same command again",
                )  # fmt: skip
            time.sleep(LOOK)
            self.look()

    def answer(self, name: str, asked: "ray.ObjectRef", own: dict[str, Any]) -> dict[str, Any]:
        """What a node has and sees, as `about` says there.

        Raises:
            UserError: if it can't be used.
        """
        try:
            found: dict[str, Any] = ray.get(asked, timeout=ANSWER)
        except RayError as error:
            raise UserError(
                f"the node {name} does not answer ({first_line(error)})", "a node that runs tasks"
            ) from None
        for package, version in own["versions"].items():
            if (there := found["versions"][package]) != version:
                raise UserError(
                    f"the node {name} has {package} {there or '(none)'}", f"{version}, as on this machine",
                    "install the same versions on all nodes, and start Ray there again",
                )  # fmt: skip
        if found["processor"] != own["processor"]:
            progress.warn(
                f"the node {name} has another processor than this machine ({found['processor']}): what it makes may"
                " differ in rounding"
            )
        return found

    def seeing(self, node: Node, found: dict[str, Any], own: dict[str, Any]) -> Node:
        """The node, with what it sees, which is told."""
        hidden = frozenset(place for place in self.places if str(place) not in found["seen"])
        shares = found["locked"] and found["holder"] == own["holder"] and Path.cwd() not in hidden
        if not shares:
            progress.say(f"the node {node.name} does not share {self.lock.parent}: files travel there and back")
        for place in sorted(hidden & self.needed):
            progress.warn(f"the node {node.name} does not see {place}: no job that reads it runs there")
        return replace(node, shares=shares, hidden=hidden)


def _ask(node: str, lock: Path, places: Sequence[Path]) -> "ray.ObjectRef":
    """Ask a node for what `about` says there; it may have another version of this package, or none."""
    task = ray.remote(_described()).options(
        num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
    )
    return task.remote(str(lock.absolute()), [str(place) for place in places], versions.PACKAGES)


def about(lock: Path, places: Sequence[Path]) -> dict[str, Any]:
    """What this machine has and sees: see `_described`."""
    return _described()(str(lock.absolute()), [str(place) for place in places], versions.PACKAGES)


def _described() -> Callable[[str, Sequence[str], Sequence[str]], dict[str, Any]]:
    def describe(lock: str, places: Sequence[str], packages: Sequence[str]) -> dict[str, Any]:
        """What a machine has and sees. An inner function travels with its code, so it uses the standard library only.

        versions: of the packages, "" without it, and the digest of this package's code. seen: which of the places.
        holder: what the lock says. locked: whether another process holds it. processor: its name.
        """
        import fcntl  # noqa: PLC0415
        import hashlib  # noqa: PLC0415
        from importlib import metadata, util  # noqa: PLC0415

        found: dict[str, str] = {}
        for name in packages:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = ""
        code = hashlib.sha256()
        spec = util.find_spec("sonosynth")
        for path in sorted(Path(spec.origin).parent.rglob("*.py")) if spec and spec.origin else ():
            code.update(path.read_bytes())
        found["sonosynth's code"] = code.hexdigest()[:12]
        text, locked = "", False
        if os.path.isfile(lock):
            with open(lock, encoding="utf-8") as file:
                text = file.read()
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    locked = True
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8") if os.path.exists("/proc/cpuinfo") else ""
        models = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
        return {
            "versions": found, "seen": [place for place in places if os.path.exists(place)], "holder": text,
            "locked": locked, "processor": next(iter(models), ""),
        }  # fmt: skip

    return describe
