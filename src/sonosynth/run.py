"""One command on a run folder: read the cohort, plan the study, run the part that is asked for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sonosynth import changes, disk, jobs, leftovers, looks, plain_yaml, privacy, progress, store, testing, unsealing
from sonosynth.announcing import announce
from sonosynth.artefacts import Split
from sonosynth.cohort.reading import Files, list_files
from sonosynth.cohort.settings import AS_IT_IS, Table, path_of
from sonosynth.errors import UserError, inert, is_plain
from sonosynth.graph import COHORT
from sonosynth.jobs import Job, Made, State, Status
from sonosynth.machine import Machine, resolve
from sonosynth.reader import answers
from sonosynth.report import words
from sonosynth.report.facts import Remembered, Tested
from sonosynth.runners.local import run_jobs
from sonosynth.settings import Settings, load
from sonosynth.study import COMMANDS, TABLES, TESTS, plan
from sonosynth.study_file import settings_of, text_of

RunJobs = Callable[..., dict[str, Made]]
"""Runs jobs, as `runners.local.run_jobs` does."""


@dataclass(frozen=True)
class _Started:
    """A run whose settings are written. change: whether its results may be replaced."""

    run: store.Run
    files: Files
    machine: Machine
    ordered: Sequence[Job]
    change: bool


@dataclass(frozen=True, init=False)
class Study:
    """A cohort, and the settings of what is done with it.

    Args:
        path: the cohort, a folder or a file.
        settings: as `load_settings` gives them.
    """

    path: Path
    settings: Settings

    def __init__(self, path: str | Path, settings: Settings) -> None:
        object.__setattr__(self, "path", Path(path))
        object.__setattr__(self, "settings", settings)

    def run(
        self, root: str | Path, command: str = "report", *, change: bool = False,
        ask: Callable[[str], bool] | None = None, processes: bool = True, real_images: bool | None = None,
        runner: RunJobs | None = None,
    ) -> dict[str, Made]:  # fmt: skip
        """Run the study in the folder `root`, up to what a command is for: adapt, synthesize, evaluate or report.

        Finished work is kept; the same call resumes after an interruption. Returns what each job made, by name.

        Args:
            change: whether results of a run with other settings may be replaced, and leftovers removed.
            ask: asks a person for that permission, given what would change; None if nobody can be asked.
            processes: see `runners.local.run_jobs`. real_images: whether the report has them, and paths; None: as it
                did before in this folder, and at first. runner: runs the jobs; None: this machine.

        Raises:
            UserError: if the input or a setting is wrong, `root` holds something else, or its results would be
                replaced without consent.
            KeyboardInterrupt: on SIGINT or SIGTERM, once what is running is saved.
        """
        root = Path(root)
        with self._started(root, ask, change=change, real_images=real_images) as started:
            run, ordered, files, machine = started.run, started.ordered, started.files, started.machine
            withheld = privacy.withheld(root)
            if command == "report" and (said := privacy.told(root, withheld=withheld, simulated=files.simulated)):
                progress.say(said)
            wanted = jobs.with_needs(ordered, lambda job: job.run in COMMANDS[command])
            replaceable = None if started.change else COMMANDS["report"]
            runner = runner or partial(run_jobs, processes=processes)
            made = runner(run, wanted, machine.cores, replaceable=replaceable)
            run.tidy()
            if TABLES in made:
                looks.note(root, self.settings, files.sources)
            if command == "report":
                statuses = [(job, Status(State.DONE, made=made[job.name])) for job in ordered]
                self._clear(run, statuses, remove=started.change)
        if command == "report":
            print(inert(made["report"].places["summary"].read_text(encoding="utf-8")), end="")
            progress.result(f"report: {root / 'report.html'}")
        return made

    def start(self, root: str | Path) -> list[tuple[Job, Status]]:
        """Start or resume the study in the folder `root`, but run nothing; returns its jobs and their states.

        Raises:
            UserError: as `run`.
        """
        with self._started(Path(root)) as started:
            return started.run.statuses(started.ordered)

    @contextmanager
    def _started(
        self, root: Path, ask: Callable[[str], bool] | None = None, *, change: bool = False,
        real_images: bool | None = None,
    ) -> Iterator[_Started]:  # fmt: skip
        """The run, locked, with the settings of the study."""
        _check_folder(root)
        for place in (self.path, root):
            if not is_plain(str(place)):
                raise UserError(f"{str(place)!r}: has control characters or is not UTF-8", "a path in plain text")
        run = store.Run(root)
        with run.locked():
            files, machine = list_files(self.path, self.settings.cohort), resolve(self.settings)
            changes.check_cohort(run, COHORT, files)
            text = text_of(self.path, self.settings, machine)
            privacy.withheld(root, real_images)
            ordered = self._plan(root, files, machine)
            unsealing.check_unseen(run, ordered)
            change = changes.may_replace(run, text, ordered, COMMANDS["report"], ask, change=change)
            disk.write_text(root / store.STUDY, text)
            announce(self.settings, files)
            opened = unsealing.opened(root, self.settings)
            if opened and opened.spoiled:
                progress.warn(
                    f"the sealed part is spoiled: it was opened on {opened.date}, with other settings, and isn't scored"
                    " with these"
                )
            yield _Started(run, files, machine, ordered, change)

    @staticmethod
    def _clear(run: store.Run, statuses: Sequence[tuple[Job, Status]], *, remove: bool) -> None:
        """Remove what earlier settings left behind, or say that it is there."""
        left = leftovers.find(run, statuses)
        if left and remove:
            for one in left:
                one.remove()
            progress.say(f"removed what is no longer part of the study: {', '.join(one.name for one in left)}")
        elif left:
            size = sum(one.size for one in left) / 1e6
            progress.say(
                f"{size:.1f} MB of files are no longer part of the study: sonosynth plan {run.root} lists them,"
                " sonosynth run … --change removes them"
            )
        run.agreed = ""

    def statuses(
        self, root: str | Path | None = None, wanted: Callable[[Job], bool] = lambda _: True
    ) -> list[tuple[Job, Status]]:
        """The jobs of the study and their states in the folder `root`; nothing is written.

        Args:
            wanted: which jobs, besides those that they need.

        Raises:
            UserError: if the input, a setting or a file of the run is wrong.
        """
        machine, run = resolve(self.settings), store.Run(Path(root or "/nonexistent"))
        files = list_files(self.path, self.settings.cohort)
        changes.check_cohort(run, COHORT, files)
        return run.statuses(jobs.with_needs(self._plan(run.root, files, machine), wanted))

    def sealed(self, root: Path | None = None) -> str:
        """The state of the sealed part in the folder `root`, in words; "" if there is none."""
        share = self.settings.split.sealed
        opened = unsealing.opened(root, self.settings) if root else None
        return words.sealed(f"{share:.0%} of the images of each class", opened) if share else ""

    def _plan(self, root: Path, files: Files, machine: Machine, *tests: Tested) -> list[Job]:
        latest = {test.name: test for test in (*testing.tests(root, self.settings), *tests)}
        seen, opened = looks.count(root, self.settings, files.sources), unsealing.opened(root, self.settings)
        read, shown = answers.readings(root), not privacy.withheld(root)
        known = Remembered(seen, opened, tuple(latest.values()), read, real_images=shown)
        return plan(self.settings, files, machine, text_of(self.path, self.settings, machine), known)

    def unseal(self, root: str | Path, *, processes: bool = True) -> dict[str, Made]:
        """Open the sealed part of a finished run, once: score it, and draw the report again; returns as `run`.

        Raises:
            UserError: if there is no such part, the run isn't finished, or the part was opened with other settings.
        """
        root = Path(root)
        _check_folder(root)
        with store.Run(root).locked():
            check_finished(
                root, self.statuses(root),
                "a run in which all classifiers are trained: the sealed part is scored once, by all of them",
            )  # fmt: skip
            unsealing.open_once(root, self.settings)
        return self.run(root, processes=processes)

    def test(
        self, root: str | Path, cohort: str | Path, name: str = "", labels: Sequence[str] = (), *,
        table: Table = AS_IT_IS, processes: bool = True,
    ) -> dict[str, Made]:  # fmt: skip
        """Test the kept classifiers of a finished run on another cohort, and draw the report again; returns as `run`.

        Args:
            cohort: the other one.
            name: of the folder in `tests/` for what is found; "": as the cohort is called.
            labels: texts OURS=THEIRS, where the cohorts call the same class differently.
            table: how the other cohort's table is read.

        Raises:
            UserError: if the run isn't finished or keeps no classifiers, or the other cohort, its name or its labels
                don't fit.
        """
        root, cohort = Path(root), Path(cohort)
        _check_folder(root)
        testing.check_kept(root, self.settings)
        run = store.Run(root)
        with run.locked():
            files, machine = list_files(self.path, self.settings.cohort), resolve(self.settings)
            changes.check_cohort(run, COHORT, files)
            made = check_finished(
                root, run.statuses(self._plan(root, files, machine)),
                "a run in which all classifiers are trained, and those of the arms in test.arms kept",
                f"; if it has not kept them, sonosynth run COHORT --out {root} --config {root / store.STUDY}"
                " --change trains them again",
            )  # fmt: skip
            classes = Split(made["split"]).classes
            name = name or testing.named(cohort)
            test = testing.prepare(root, self.settings, list_files(cohort, table), name, labels, classes, table)
            ordered = self._plan(root, files, machine, test)
            wanted = jobs.with_needs(ordered, lambda job: job.name == f"{TESTS}/{test.name}")
            run_jobs(run, wanted, machine.cores, processes=processes)
            run.tidy()
            testing.note(root, self.settings, test)
        return self.run(root, processes=processes)


def reopen(root: Path) -> Study:
    """The study of an existing run folder.

    Raises:
        UserError: if it is not one.
    """
    file = root / store.STUDY
    if not file.is_file():
        raise UserError(
            f"{root}: is not a run folder ({store.STUDY} is missing)", fix="start one: sonosynth run COHORT --out RUN"
        )
    _check_folder(root)
    values = plain_yaml.read(file)
    path = path_of(values.get("cohort"))
    if not path:
        raise UserError(f"{file}: does not name its cohort", fix="sonosynth run COHORT --out RUN")
    return Study(Path(path), settings_of(values, str(file)))


def check_finished(
    root: Path, statuses: Sequence[tuple[Job, Status]], expected: str, more: str = "",
    wanted: Callable[[Job], bool] = lambda job: job.name == TABLES,
) -> dict[str, Made]:  # fmt: skip
    """What the jobs of a run have made, if all that those `wanted` need is done; by default, those of its tables.

    Raises:
        UserError: if not, with what was `expected`, and `more` on how to finish it.
    """
    made = {job.name: status.made for job, status in statuses if status.made}
    needed = jobs.with_needs([job for job, _ in statuses], wanted)
    if left := [job.name for job in needed if job.name not in made]:
        raise UserError(
            f"{root}: is not finished: {len(left)} jobs are left, the first is {left[0]}", expected,
            f"finish it: sonosynth report {root}{more}",
        )  # fmt: skip
    return made


def _check_folder(root: Path) -> None:
    """Refuse a folder that is neither new nor a run of this version."""
    if (root / store.OLD_RECORDS).is_dir():
        try:
            load("quick", [root / store.STUDY])
            lines = ""
        except UserError as error:
            lines = "\nlines of its settings to change:\n" + "\n".join(error.found.splitlines()[1:])
        raise UserError(
            f"{root}: made by sonosynth 0.1",
            "a run of this version",
            f"start a new run: sonosynth run COHORT --out NEW --config {root / store.STUDY}{lines}",
        )
    if root.exists() and (
        not root.is_dir()
        or (not any(map(Path.exists, (root / store.STUDY, root / store.RECORDS))) and not store.is_empty(root))
    ):
        raise UserError(f"--out {root}: exists and is not a run folder", "a new or empty folder, or a run folder")
