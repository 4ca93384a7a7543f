"""The command line: one command per stage, no logic."""

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from sonosynth.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
CohortPath = Annotated[Path, typer.Argument(metavar="COHORT", help="Folder of class folders, or a CSV.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Changes = Annotated[list[str], typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting.")]


@app.callback()
def sonosynth() -> None:
    """Class-balancing synthetic ultrasound images, and whether they help."""


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Where the run goes.")] = Path("sonosynth-demo")) -> None:
    """The whole study on a simulated cohort and the embedded base: no input, no network, a few minutes."""
    from sonosynth.demo import run_demo

    run_demo(out)


@app.command()
def run(
    cohort: CohortPath,
    out: Annotated[Path, typer.Option(metavar="RUN", help="Where the run goes; the same folder resumes.")],
    preset: Annotated[str, typer.Option(help="paper or quick.")] = "quick",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML file of settings.")] = None,
    base: Annotated[str | None, typer.Option(metavar="embedded|DIR|HUB_ID", help="The model to adapt.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without files that can't be used.")] = False,
    change: Changes = [],  # noqa: B006 (typer copies it)
) -> None:
    """The whole study. The same command again resumes an interrupted one."""
    from sonosynth import config as settings
    from sonosynth.study import Study

    changes = (*([f"base={json.dumps(base)}"] if base is not None else []), *["skip_bad=true"] * skip_bad, *change)
    Study(cohort, out, settings.load(preset, config, changes)).everything()


@app.command()
def inspect(cohort: CohortPath, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """What is in a cohort, and which of its files can't be used."""
    from sonosynth.cohort import read
    from sonosynth.report.terminal import show_cohort

    description = read(cohort).describe()
    if as_json:
        typer.echo(json.dumps(description, indent=1, ensure_ascii=False))
    else:
        show_cohort(description)


@app.command()
def adapt(run: RunPath) -> None:
    """Learn the token and the LoRA of every model of a run."""
    from sonosynth.study import Study

    Study.reopen(run).adapt()


@app.command()
def synthesize(run: RunPath) -> None:
    """Make the synthetic sets of a run."""
    from sonosynth.study import Study

    Study.reopen(run).synthesize()


@app.command()
def evaluate(run: RunPath) -> None:
    """Predictions, scores and fidelity of a run."""
    from sonosynth.study import Study

    Study.reopen(run).evaluate()


@app.command()
def report(run: RunPath) -> None:
    """The table, the grid and the page of a run."""
    from sonosynth.study import Study

    Study.reopen(run).report()


@app.command()
def phantoms(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    count: Annotated[list[str], typer.Option(metavar="KIND=N", help="normal=133, benign=437 or malignant=210.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
) -> None:
    """Write a simulated cohort in BUSI layout, with masks."""
    from sonosynth.phantom import write_cohort

    counts = {}
    for text in count:
        kind, _, number = text.partition("=")
        if not number.isdecimal():
            raise UserError(f"--count {text}", "KIND=N, for example benign=437")
        counts[kind] = int(number)
    write_cohort(out, counts, seed)


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Where the embedded base and feature network go.")],
    work: Annotated[Path, typer.Option(help="Simulated images and checkpoints; the same folder resumes.")],
) -> None:
    """Pretrain the weights that ship with the package, on simulated images (about 2 hours on 2 cores)."""
    from sonosynth.pretraining import pretrain

    pretrain(out, work)


REFUSALS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EEXIST, errno.EISDIR,
    errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip


def _of_the_machine(error: BaseException) -> UserError | None:
    """What to tell a user whose disk or memory is at its end, or None for any other error."""
    if isinstance(error, OSError) and error.errno in REFUSALS:
        return UserError(
            f"{error.filename or 'a file'}: {error.strerror}",
            "files that can be read, and a folder that can be written to, on a disk with room",
            "mend that or give another folder; what is finished is kept, and the same command goes on",
        )
    lines = str(error).lower()
    if type(error).__name__ == "BrokenProcessPool":
        return UserError(
            "a process that trained a classifier was ended from outside; systems do that when memory runs out",
            fix="lower classifier.batch or classifier.resolution; the same command goes on",
        )
    if isinstance(error, MemoryError) or "out of memory" in lines or "can't allocate memory" in lines:
        return UserError(
            "the memory does not suffice",
            fix="lower lora.batch, token.batch and synthesis.batch (raise lora.accumulation as much), then resolution;"
            " precision: bf16 or fp16 takes half of fp32; what is finished is kept",
        )
    return None


def main() -> None:
    """Entry point: bad input exits with 2 and one message, an interruption with 130."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = app(standalone_mode=False) or 0  # typer returns the status of --help, and 130 if interrupted
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        told = _of_the_machine(error)
        if told:
            print(f"error: {told}", file=sys.stderr)
            sys.exit(2)
        show = getattr(error, "show", None)  # a mistake in the command line itself, whose class typer hides
        if show is None:
            raise
        show()
        status = 2
    if status == 130:
        print("interrupted; the same command goes on from here", file=sys.stderr)
    sys.exit(status)
