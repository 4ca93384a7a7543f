"""A study is a graph of jobs. A job is a value: what is run, on which settings and results, and what that makes.

Its key is a digest of everything that its result depends on. The record of a finished job holds the digests of what was
made, so a change shows as a stale job, and spreads only as far as results really differ.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel

from sonosynth.section import IF_GIVEN, NO_EFFECT

FORMAT = 3  # of records and results; those of another format are made again


@dataclass(frozen=True)
class Job:
    """One piece of work of a study.

    name: unique in the study. run: a module-level function, called as `run(settings, **needs, work=folder)`; it writes
    `folder / role` for every role of `makes`, and finds in that folder what an interrupted call left there. settings:
    a section or a dataclass. needs: the jobs whose results its keyword arguments are, by argument; each is
    opened as the type that its annotation names. makes: role to path, relative to the run. threads: on the CPU; fixed
    by the kind of job and the machine, since rounding depends on them. device: "cpu" or "cuda". memory: MB
    that it is expected to take; 0: not known.
    """

    name: str
    run: Callable[..., None]
    settings: Any
    needs: Mapping[str, str | tuple[str, ...]]
    makes: Mapping[str, str]
    threads: int = 1
    device: str = "cpu"
    memory: int = 0

    @property
    def needed(self) -> list[str]:
        """The names of all jobs whose results it uses."""
        return [name for names in self.needs.values() for name in ((names,) if isinstance(names, str) else names)]

    @property
    def function(self) -> str:
        """The full name of `run`."""
        return f"{self.run.__module__}.{self.run.__qualname__}"

    def inputs(self, made: Mapping[str, "Made"]) -> dict[str, Any]:
        """Everything that the result depends on, as JSON values; a need that is not in `made` is None."""

        def digest(name: str) -> str | None:
            return made[name].digest if name in made else None

        return {
            "format": FORMAT,
            "function": self.function,
            "version": sys.modules[self.run.__module__].VERSION,
            "settings": keyed(self.settings),
            "makes": dict(self.makes),
            "needs": {
                argument: digest(names) if isinstance(names, str) else [digest(name) for name in names]
                for argument, names in self.needs.items()
            },
        }

    def open(self, made: Mapping[str, "Made"]) -> dict[str, Any]:
        """The keyword arguments of `run`: each need as the handle that its annotation names.

        A handle is a class of one argument, a `Made`. `X | None` is opened as X, `tuple[X, ...]` as a tuple of X; an
        argument that takes either is `X | tuple[X, ...]`.
        """
        hints = get_type_hints(self.run)

        def handle(argument: str, name: str) -> Any:
            kind = next((inner for inner in get_args(hints[argument]) if inner is not type(None)), hints[argument])
            return made[name] if kind is Made else kind(made[name])

        return {
            argument: handle(argument, names) if isinstance(names, str) else tuple(handle(argument, n) for n in names)
            for argument, names in self.needs.items()
        }


@dataclass(frozen=True)
class Made:
    """What a finished job made, checked against its record.

    job: its name. places: file or folder of each role. files: SHA-256 of each "role/path below it". digest: of `files`.
    seconds: how long the job took, interrupted calls included. peak_mb: as in `records.Record`.
    """

    job: str
    places: Mapping[str, Path]
    files: Mapping[str, str]
    digest: str
    seconds: float
    peak_mb: int


class State(StrEnum):
    """The state of a job; WAITING: its needs will run first, so it is not yet known whether it has to run."""

    DONE = "done"
    MISSING = "missing"
    STALE = "stale"
    WAITING = "waiting"


@dataclass(frozen=True)
class Status:
    """The state of a job, why it is in it, and what it made if that is usable.

    last: what a waiting job made when it last ran, with the same settings.
    """

    state: State
    reason: str = ""
    made: Made | None = None
    last: Made | None = None


def key(inputs: Mapping[str, Any]) -> str:
    """The digest of a job's inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def keyed(value: Any) -> Any:
    """Settings as JSON values, without the fields that are marked as NO_EFFECT, or as IF_GIVEN and are None.

    Raises:
        TypeError: for a value that is neither data nor settings; a path, say, which differs between machines.
    """
    if isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        names = type(value).model_fields if isinstance(value, BaseModel) else [field.name for field in fields(value)]
        left_out = _marked(type(value), NO_EFFECT)
        left_out |= {name for name in _marked(type(value), IF_GIVEN) if getattr(value, name) is None}
        return {name: keyed(getattr(value, name)) for name in names if name not in left_out}
    if isinstance(value, Mapping):
        return {str(name): keyed(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [keyed(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{value!r}: a {type(value).__name__} can't be part of a job's key")


def paths(settings: Any) -> set[Path]:
    """The files and folders that fields of settings name, and those of settings in them."""
    if isinstance(settings, Path):
        return {settings}
    if isinstance(settings, BaseModel) or (is_dataclass(settings) and not isinstance(settings, type)):
        return {path for value in vars(settings).values() for path in paths(value)}
    return set()


@cache
def _marked(kind: type, mark: str) -> frozenset[str]:
    hints = get_type_hints(kind, include_extras=True)
    return frozenset(name for name, hint in hints.items() if mark in getattr(hint, "__metadata__", ()))


def differences(old: Any, new: Any, place: str = "") -> list[str]:
    """The dotted names of the values in which two nested mappings differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted({*old, *new})
        return [x for name in names for x in differences(old.get(name), new.get(name), f"{place}.{name}".lstrip("."))]
    return [] if old == new else [place]


def ordered(jobs: Iterable[Job]) -> list[Job]:
    """The jobs, each after those it needs, and otherwise as close to the given order as possible.

    Raises:
        ValueError: if two jobs share a name or a place, or one needs a job that isn't there.
        graphlib.CycleError: if jobs need each other in a cycle.
    """
    listed = list(jobs)
    named = {job.name: job for job in listed}
    places = [place for job in listed for place in job.makes.values()]
    if len(named) < len(listed) or len(set(places)) < len(places):
        raise ValueError("two jobs have the same name or make the same file")
    for job in listed:
        if unknown := set(job.needed) - named.keys():
            raise ValueError(f"{job.name} needs {', '.join(sorted(unknown))}, which no job makes")
    TopologicalSorter({job.name: job.needed for job in listed}).prepare()
    order: dict[str, Job] = {}

    def place(job: Job) -> None:
        if job.name not in order:
            for name in job.needed:
                place(named[name])
            order[job.name] = job

    for job in listed:
        place(job)
    return list(order.values())


def with_needs(jobs: Sequence[Job], wanted: Callable[[Job], bool]) -> list[Job]:
    """The jobs that `wanted` picks from `ordered` ones, and all that they need, in the same order."""
    chosen: set[str] = set()
    for job in reversed(jobs):
        if job.name in chosen or wanted(job):
            chosen |= {job.name, *job.needed}
    return [job for job in jobs if job.name in chosen]
