"""One command on a run folder: read the cohort, plan the study, run the part that is asked for."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from sonosynth import jobs, progress, store
from sonosynth.cohort.reading import Files, list_files
from sonosynth.errors import UserError
from sonosynth.jobs import Job, Made, Status
from sonosynth.machine import Machine, resolve
from sonosynth.runners.local import run_jobs
from sonosynth.settings import NOT_SETTINGS, Settings, as_yaml, load, read_yaml, shipped_words, validated
from sonosynth.study import COMMANDS, plan

PACKAGES = ("sonosynth", "torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "scikit-learn", "pillow")


@dataclass(frozen=True)
class Study:
    """A cohort, and the settings of what is done with it.

    Args:
        path: the cohort.
    """

    path: Path
    settings: Settings

    def run(self, root: Path, command: str = "report", *, processes: bool = True) -> dict[str, Made]:
        """Run the study in the folder `root`, up to what a command is for: adapt, synthesize, evaluate or report.

        Finished work is kept; the same call resumes after an interruption. Returns what each job made, by name.

        Args:
            processes: see `runners.local.run_jobs`.

        Raises:
            UserError: if the input or a setting is wrong, or `root` holds something else.
            KeyboardInterrupt: on SIGINT or SIGTERM, once what is running is saved.
        """
        _check_folder(root)
        for place in (self.path, root):
            if not str(place).isprintable():
                raise UserError(f"{str(place)!r}: has unprintable characters", "a path in UTF-8 text")
        run = store.Run(root)
        with run.locked():
            files, machine = list_files(self.path), resolve(self.settings)
            text = self.as_yaml(machine)
            ordered = plan(self.settings, files, machine, text)
            store.write_text(root / store.STUDY, text)
            self._announce(files)
            wanted = jobs.with_needs(ordered, lambda job: job.run in COMMANDS[command])
            made = run_jobs(run, wanted, machine.cores, processes=processes)
            if left := run.tidy(ordered):
                progress.say(f"results of {len(left)} jobs are no longer part of the study: {', '.join(left[:5])}")
        if command == "report":
            print(made["report"].places["summary"].read_text(encoding="utf-8"), end="")
            progress.say(f"report: {root / 'report.html'}")
        return made

    def statuses(self, root: Path | None = None) -> list[tuple[Job, Status]]:
        """The jobs of the study and their states in the folder `root`; nothing is written.

        Raises:
            UserError: if the input, a setting or a file of the run is wrong.
        """
        machine = resolve(self.settings)
        ordered = plan(self.settings, list_files(self.path), machine, self.as_yaml(machine))
        found = store.Run(root or Path("/nonexistent")).statuses(ordered)
        return [(job, found[job.name]) for job in ordered]

    def as_yaml(self, machine: Machine) -> str:
        """study.yaml: the cohort, the settings, what they resolve to here, and the versions."""
        resolved = {
            "base": {"folder": str(machine.base.folder), "digest": machine.base.digest},
            "precision": machine.precision,
            "features": machine.network.name,
            "versions": {name: version(name) for name in PACKAGES},
        }
        head, tail = ({"cohort": str(self.path.resolve())}, {"resolved": resolved})
        first, last = (yaml.safe_dump(part, sort_keys=False, allow_unicode=True) for part in (head, tail))
        return f"{first}{as_yaml(self.settings)}{last}"

    def _announce(self, files: Files) -> None:
        """Print the prompts and, where none were given, the name of shipped ones that fit."""
        prompts = self.settings.prompts
        for label in files.labels:
            progress.say(f"prompt of {label}: {prompts.of(label)}")
        for name, adapter in self.settings.declared_adapters.items():
            if adapter.token:
                progress.say(f"prompts with the adapter {name} end with {adapter.token}")
        if not prompts.labels:
            for name, words in shipped_words().items():
                if set(files.labels) <= set(words):
                    progress.say(f"prompts for these labels come with the package: --config {name}")


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
    values = read_yaml(file)
    path = values.get("cohort")
    if not isinstance(path, str):
        raise UserError(f"{file}: does not name its cohort", fix="sonosynth run COHORT --out RUN")
    return Study(Path(path), validated({k: v for k, v in values.items() if k not in NOT_SETTINGS}, str(file)))


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
    if root.exists() and (not root.is_dir() or (not store.is_empty(root) and not (root / store.STUDY).exists())):
        raise UserError(f"--out {root}: exists and is not a run folder", "a new or empty folder, or a run folder")
