"""The command line: a few lines for each command, no logic."""

import errno
import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonosynth.errors import UserError, first_line, inert

if TYPE_CHECKING:
    from sonosynth.run import Study

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
CohortPath = Annotated[Path, typer.Argument(metavar="COHORT", help="Folder of class folders, or a table.")]
Columns = Annotated[
    str,
    typer.Option(
        metavar="ROLE=COLUMN,…", help="Columns of the table: file, label, mask, group, split; else told by name."
    ),
]
Images = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the table's paths start; by default, where it is.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Preset = Annotated[str, typer.Option(help="paper, quick or sound.")]
Config = Annotated[list[str], typer.Option(metavar="FILE|NAME", help="YAML settings file, or a shipped one's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Given = Annotated[list[str], typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting.")]
Change = Annotated[
    bool,
    typer.Option("--change", help="Replace what was made with other settings, code or machine, and remove leftovers."),
]


@app.callback()
def sonosynth() -> None:
    """Class-balancing synthetic medical images, and whether they help."""


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Where the run goes.")] = Path("sonosynth-demo")) -> None:
    """Run the whole study on a simulated cohort with the embedded base: no input, no network, a few minutes."""
    from sonosynth.runners import workers

    workers.start()
    from sonosynth.demo import run_demo

    run_demo(out)


@app.command()
def run(  # noqa: PLR0913, PLR0917 (an argument for each option)
    cohort: CohortPath,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run; an existing run resumes.")],
    columns: Columns = "",
    images: Images = None,
    preset: Preset = "quick",
    config: Config = [],  # noqa: B006 (typer copies it)
    base: Annotated[str | None, typer.Option(metavar="embedded|DIR|HUB_ID", help="The model to adapt.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip files that can't be used.")] = False,
    change: Change = False,
    given: Given = [],  # noqa: B006
) -> None:
    """Run the whole study. Repeat the same command to resume an interrupted one."""
    from sonosynth import settings
    from sonosynth.runners import workers

    options = (*([f"base={json.dumps(base)}"] if base is not None else []), *["skip_bad=true"] * skip_bad)
    loaded = settings.load(preset, config, (*options, *_of_table(columns, images), *given))
    with _nothing_to_save():
        workers.start()
        from sonosynth.run import Study  # torch takes seconds, and a mistake in a setting needs none of it

    ask = _confirmed if sys.stdin.isatty() and sys.stderr.isatty() else None
    Study(cohort, loaded).run(out, change=change, ask=ask)


def _of_table(columns: str, images: Path | None) -> list[str]:
    """The settings that tell how a table is read."""
    from sonosynth.cohort.settings import table_of

    values = table_of(columns, images).model_dump(exclude_defaults=True)
    return [f"cohort.{key}={json.dumps(value)}" for key, value in values.items()]


def _confirmed(message: str) -> bool:
    typer.echo(inert(message), err=True)
    return typer.confirm("Change this run?", err=True)


@app.command()
def plan(
    place: Annotated[Path, typer.Argument(metavar="COHORT|RUN", help="A cohort, or the folder of a run.")],
    columns: Columns = "",
    images: Images = None,
    preset: Preset = "quick",
    config: Config = [],  # noqa: B006
    given: Given = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """List the jobs of a study, the state of each, and what they cost in time and memory. Nothing is written."""
    from sonosynth import leftovers, settings
    from sonosynth.parallel import cores
    from sonosynth.report.terminal import planned, show_plan, show_time_left
    from sonosynth.run import Study, reopen
    from sonosynth.store import Run

    is_run = any((place / name).exists() for name in ("study.yaml", ".jobs"))
    cohort, files = (reopen(place).path, [place / "study.yaml"]) if is_run else (place, [])
    changes = (*_of_table(columns, images), *given)
    study, root = Study(cohort, settings.load(preset, [*files, *config], changes)), place if is_run else None
    statuses = study.statuses(root)
    rows = planned(statuses, cores())
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        show_plan(rows, leftovers.find(Run(place), statuses) if is_run else (), study.sealed(root))
    show_time_left(statuses, cores())


@app.command()
def inspect(
    cohort: CohortPath,
    columns: Columns = "",
    images: Images = None,
    config: Config = [],  # noqa: B006
    given: Given = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show what is in a cohort, what was taken for what, which of its files can't be used, and what to run next."""
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
    """Make the tables of a run, and what they need."""
    _up_to("evaluate", run)


@app.command()
def report(
    run: RunPath,
    real_images: Annotated[
        bool | None,
        typer.Option(
            "--real-images/--no-real-images",
            help="Whether real images, and paths, are in the report and figures/; by default as before in this run.",
        ),
    ] = None,
) -> None:
    """Draw the figures and the page of a run, and make what they need."""
    _reopened(run).run(run, "report", real_images=real_images)


@app.command()
def unseal(run: RunPath) -> None:
    """Score the sealed part of a finished run (split.sealed), once, and report it."""
    _reopened(run).unseal(run)


@app.command()
def test(
    run: RunPath,
    cohort: CohortPath,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the test; by default the cohort's.")] = "",
    labels: Annotated[
        list[str], typer.Option(metavar="OURS=THEIRS", help="What a label of the other cohort means; several times.")
    ] = [],  # noqa: B006
    columns: Columns = "",
    images: Images = None,
) -> None:
    """Test the trained classifiers of a finished run on another hospital's images."""
    from sonosynth.cohort.settings import table_of

    _reopened(run).test(run, cohort, name, labels, table=table_of(columns, images))


@app.command()
def export(
    run: RunPath,
    to: Annotated[str, typer.Option(metavar="hub|webui|dicom", help="The form that other tools take.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also controls, images made from patients' and sets refused as copies.")
    ] = False,
) -> None:
    """Export the sets and adapters of a finished run in the form that other tools take."""
    with _nothing_to_save():
        from sonosynth import exporting

    exporting.export(run, to, out, force=force)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of finished runs.")],
    as_json: AsJson = False,
) -> None:
    """Show runs side by side: settings that differ, arms, distances; tested on the images that they share."""
    from sonosynth import comparing
    from sonosynth.report import side_by_side as told

    found = comparing.side_by_side(runs)
    typer.echo(told.as_json(found)) if as_json else told.show(found)


@app.command()
def reader(
    run: RunPath,
    out: Annotated[Path | None, typer.Option(metavar="KIT", help="A new page to hand out, KIT.html.")] = None,
    each: Annotated[
        int | None, typer.Option(min=1, help="Real images of each class in it, and as many synthetic ones.")
    ] = None,
    answers: Annotated[list[Path], typer.Option(metavar="FILE", help="Answers to take in; several times.")] = [],  # noqa: B006
) -> None:
    """Make a page of blinded images for human readers, or take in the answers that they saved."""
    if (out is None) == (not answers) or (answers and each):
        raise UserError("reader: needs either --out KIT (and --each N) or --answers FILE")
    study = _reopened(run)
    from sonosynth.readers import make_kit, take_answers

    make_kit(study, run, out, each) if out else take_answers(study, run, answers)


def _up_to(command: str, run: Path) -> None:
    _reopened(run).run(run, command)


def _reopened(run: Path) -> "Study":
    from sonosynth.runners import workers

    with _nothing_to_save():
        workers.start()
        from sonosynth.run import reopen

    return reopen(run)


INTERRUPTED = "interrupted; run the same command again to resume"


def _end(*_: object) -> None:
    os.write(sys.stderr.fileno(), f"{INTERRUPTED}\n".encode())
    os._exit(130)


@contextmanager
def _nothing_to_save() -> Iterator[None]:
    """End at once on a signal: while libraries are imported, an exception may be lost in one of them."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@app.command()
def phantoms(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    count: Annotated[list[str], typer.Option(metavar="KIND=N", help="normal=133, benign=437 or malignant=210.")],
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


REFUSALS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EEXIST, errno.EISDIR,
    errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip


def resource_error(error: BaseException) -> UserError | None:
    """The message for an error of disk, permissions or memory that the user can fix; None for any other error."""
    if isinstance(error, OSError) and error.errno in REFUSALS:
        return UserError(
            f"{error.filename or 'a file'}: {error.strerror}",
            "readable files, and a writable folder on a disk with free space",
            "correct that or choose another folder; finished work is kept, and the same command resumes",
        )
    lines = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in lines or "can't allocate memory" in lines:
        return UserError(
            "out of memory",
            fix="lower lora.batch, token.batch, unet.batch and synthesis.batch (raise the accumulation to match), then"
            " resolution; bf16 or fp16 precision needs half the memory of fp32. Use sonosynth run … --change; finished"
            " work that does not depend on these settings is kept",
        )
    return None


def main() -> None:
    """Entry point: bad input exits with 2 and one message, an interruption with 130."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):  # a terminal that has no such character gets another
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = app(standalone_mode=False) or 0  # typer returns the status of --help, and 130 if interrupted
    except UserError as error:
        print(f"error: {inert(str(error))}", file=sys.stderr)
        status = 2
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        known = resource_error(error)
        if known:
            print(f"error: {inert(str(known))}", file=sys.stderr)
            sys.exit(2)
        show = getattr(error, "show", None)  # a mistake in the command line itself, whose class typer hides
        if show is None:
            raise
        show()
        status = 2
    if status == 130:
        print(INTERRUPTED, file=sys.stderr)
    sys.exit(status)
