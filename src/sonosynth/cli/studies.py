"""Commands that read a cohort, and those that go on with a study."""

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sonosynth.cli.app import (
    AsJson,
    Base,
    Change,
    CohortPath,
    Columns,
    Config,
    Given,
    Images,
    Preset,
    RunPath,
    SkipBad,
    app,
    nothing_to_save,
    reopened,
    watched,
)
from sonosynth.errors import UserError, first_line, inert


class Runner(StrEnum):
    """What runs the jobs of a study."""

    LOCAL = "local"
    RAY = "ray"


class Scheduler(StrEnum):
    """What else can."""

    SLURM = "slurm"


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for cohort and run.")] = Path("sonosynth-demo"),
) -> None:
    """Run the whole study on a simulated cohort with the embedded base: no input, no network, a few minutes."""
    from sonosynth.runners import workers

    workers.start()
    from sonosynth.demo import run_demo

    run_demo(out)


@app.command()
def run(  # noqa: PLR0913, PLR0917 (an argument for each option)
    context: typer.Context,
    cohort: CohortPath,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run; an existing run resumes.")],
    columns: Columns = "",
    images: Images = None,
    preset: Preset = "quick",
    config: Config = [],  # noqa: B006 (typer copies it)
    base: Base = None,
    skip_bad: SkipBad = False,
    change: Change = False,
    given: Given = [],  # noqa: B006
    runner: Annotated[Runner, typer.Option(help="local: this machine; ray: a Ray cluster.")] = Runner.LOCAL,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="A running Ray cluster; by default, one is started here.")
    ] = "",
) -> None:
    """Run the whole study. Repeat the same command to resume an interrupted one."""
    from sonosynth import settings
    from sonosynth.runners import workers

    if address and runner is not Runner.RAY:
        raise UserError(f"--address {first_line(address)}: is of a Ray cluster", fix="add --runner ray")
    loaded = settings.load(preset, config, (*_of_options(base, skip_bad), *_of_table(columns, images), *given))
    with nothing_to_save():
        if runner is Runner.RAY:
            from sonosynth.runners import ray

            run_jobs = partial(ray.run_jobs, address=address)
        else:
            workers.start()
            run_jobs = None
        from sonosynth.run import Study  # torch takes seconds, and a mistake in a setting needs none of it

    ask = _confirmed if watched(context) else None
    Study(cohort, loaded).run(out, change=change, ask=ask, runner=run_jobs)


def _of_options(base: str | None, skip_bad: bool) -> list[str]:
    """The settings that options stand for."""
    return [f"base={json.dumps(base)}"] * (base is not None) + ["skip_bad=true"] * skip_bad


def _of_table(columns: str, images: Path | None) -> list[str]:
    """The settings that tell how a table is read."""
    from sonosynth.cohort.settings import table_of

    values = table_of(columns, images).model_dump(exclude_defaults=True)
    return [f"cohort.{key}={json.dumps(value)}" for key, value in values.items()]


def _confirmed(message: str) -> bool:
    typer.echo(inert(message), err=True)
    return typer.confirm("Change this run?", err=True)


@app.command()
def plan(  # noqa: PLR0913, PLR0917
    place: Annotated[Path, typer.Argument(metavar="COHORT|RUN", help="A cohort, or the folder of a run.")],
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of the run that these options would start or resume.")
    ] = None,
    columns: Columns = "",
    images: Images = None,
    preset: Preset = "quick",
    config: Config = [],  # noqa: B006
    base: Base = None,
    skip_bad: SkipBad = False,
    given: Given = [],  # noqa: B006
    as_json: AsJson = False,
    export: Annotated[
        Scheduler | None, typer.Option(help="Start the run, and print the commands that submit its jobs.")
    ] = None,
) -> None:
    """List the jobs of a study, the state of each, and what they cost in time and memory. Nothing is written.

    Takes the options of run: a line of one is a line of the other. With --export alone, the run is started.
    """
    from sonosynth import leftovers, settings
    from sonosynth.parallel import cores
    from sonosynth.report.terminal import planned, show_plan, show_time_left
    from sonosynth.run import Study, reopen
    from sonosynth.runners.execution import working
    from sonosynth.store import Run

    is_run = any((place / name).exists() for name in ("study.yaml", ".jobs"))
    cohort, files = (reopen(place).path, [place / "study.yaml"]) if is_run else (place, [])
    changes = (*_of_options(base, skip_bad), *_of_table(columns, images), *given)
    study, root = Study(cohort, settings.load(preset, [*files, *config], changes)), out or (place if is_run else None)
    if export:
        from sonosynth.scheduled import for_slurm

        if root is None:
            raise UserError("--export: no run is named", fix="add --out RUN")
        typer.echo(for_slurm(study, root), nl=False)
        return
    statuses = study.statuses(root)
    rows = planned(statuses, cores(), working(Run(root), statuses) if root else {})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        show_plan(rows, leftovers.find(Run(root), statuses) if root else (), study.sealed(root))
    show_time_left(statuses, cores())


@app.command("run-job")
def run_job(
    run: RunPath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A job, as sonosynth plan lists it.")],
    threads: Annotated[
        int | None, typer.Option(min=1, help="As many as it was planned with; by default those of this machine.")
    ] = None,
) -> None:
    """Run one job of a run, whoever else works on others: for schedulers, see sonosynth plan --export."""
    study = reopened(run)
    from sonosynth.scheduled import run_job

    run_job(study, run, name, threads)


@app.command()
def inspect(
    cohort: CohortPath,
    columns: Columns = "",
    images: Images = None,
    config: Config = [],  # noqa: B006
    given: Given = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show what is in a cohort, where labels and masks were found, which files can't be used, and what to run next."""
    from sonosynth import inspecting, settings
    from sonosynth.report.inspected import show_cohort

    loaded = settings.load(inspecting.PRESET, config, (*_of_table(columns, images), *given))
    repeated = [*(("--config", name) for name in config), *(("--set", change) for change in given)]
    description = inspecting.inspect(cohort, loaded, [word for pair in repeated for word in pair])
    if as_json:
        typer.echo(json.dumps(description, indent=1))
    else:
        show_cohort(description)


@app.command()
def adapt(run: RunPath) -> None:
    """Train the adapters of a run."""
    _up_to("adapt", run)


@app.command()
def synthesize(run: RunPath) -> None:
    """Make the synthetic sets of a run, and what they need."""
    _up_to("synthesize", run)


@app.command()
def evaluate(run: RunPath) -> None:
    """Make the score tables of a run, and what they need."""
    _up_to("evaluate", run)


@app.command()
def report(
    run: RunPath,
    real_images: Annotated[
        bool | None,
        typer.Option(
            "--real-images/--no-real-images",
            help="Show real images and paths in the report and figures/, or leave both out; by default as last time.",
        ),
    ] = None,
) -> None:
    """Make the figures and the report of a run, and what they need."""
    reopened(run).run(run, "report", real_images=real_images)


def _up_to(command: str, run: Path) -> None:
    reopened(run).run(run, command)


@app.command()
def phantoms(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    count: Annotated[
        list[str],
        typer.Option(metavar="KIND=N", help="Images of a kind (normal, benign, malignant); repeatable."),
    ],
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same images.")] = 0,
) -> None:
    """Write a simulated cohort in BUSI layout, with masks."""
    from sonosynth.phantom import write_cohort

    counts = {}
    for text in count:
        kind, _, number = text.partition("=")
        if not (number.isdecimal() and len(number) <= 6):
            raise UserError(f"--count {first_line(text)}", "KIND=N, at most 999999 of each, for example benign=437")
        counts[kind] = int(number)
    write_cohort(out, counts, seed)
