"""What all commands share: the application, options that several have, and how a run is opened."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sonosynth.run import Study

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
CohortPath = Annotated[Path, typer.Argument(metavar="COHORT", help="Folder of class folders, or a table.")]
Columns = Annotated[
    str,
    typer.Option(
        metavar="ROLE=COLUMN,…", help="Columns for file, label, mask, group, split; by default recognised by name."
    ),
]
Images = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder that the table's paths start from; by default its own.")
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Preset = Annotated[str, typer.Option(help="paper, quick or sound.")]
Config = Annotated[
    list[str],
    typer.Option(metavar="FILE|NAME", help="Settings (YAML), or a shipped file's name; repeatable."),
]
Base = Annotated[str | None, typer.Option(metavar="embedded|DIR|HUB_ID", help="The model to adapt.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Skip files that can't be used.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Given = Annotated[list[str], typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a setting; repeatable.")]
Change = Annotated[
    bool,
    typer.Option("--change", help="Replace what was made with other settings, code or machine; remove leftovers."),
]


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sonosynth {version('sonosynth')}")
        raise typer.Exit


@app.callback()
def sonosynth(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Class-balancing synthetic medical images, and whether they help."""


INTERRUPTED = "interrupted; run the same command again to resume"


def _end(*_: object) -> None:
    os.write(sys.stderr.fileno(), f"{INTERRUPTED}\n".encode())
    os._exit(130)


@contextmanager
def nothing_to_save() -> Iterator[None]:
    """End at once on a signal: while libraries are imported, an exception may be lost in one of them."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def reopened(run: Path) -> "Study":
    """The study of a run.

    Raises:
        UserError: if the folder is none.
    """
    from sonosynth.runners import workers

    with nothing_to_save():
        workers.start()
        from sonosynth.run import reopen

    return reopen(run)
