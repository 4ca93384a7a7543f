"""What all commands share: the application, options that several have, and how a run is opened."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from sonosynth import progress
from sonosynth.progress import Log
from sonosynth.progress.events import Ended

if TYPE_CHECKING:
    from sonosynth.run import Study

LOG = "log"


class Commands(TyperGroup):
    """Every command takes the application's `--log`, too."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, or None."""
        command = super().get_command(ctx, cmd_name)
        shared = [option for option in self.params if option.name == LOG]
        if command and not set(shared) <= set(command.params):
            command.params += shared
        return command


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
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


def _log_as(context: typer.Context, asked: Log | None) -> None:
    if asked:
        context.meta[LOG] = asked
        progress.relay(progress.view(asked))


def watched(context: typer.Context) -> bool:
    """Whether somebody may answer a question: both ends are a terminal, and the log is not for a program."""
    return sys.stdin.isatty() and sys.stderr.isatty() and context.meta.get(LOG) in {None, Log.PLAIN}


@app.callback()
def sonosynth(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
    log: Annotated[
        Log | None,
        typer.Option(
            callback=_log_as,
            is_eager=True,
            expose_value=False,
            help="What stderr gets; by default a live view on a terminal, else plain lines.",
        ),
    ] = None,
) -> None:
    """Class-balancing synthetic medical images, and whether they help."""


def interrupted() -> Ended:
    """How a command ends that a signal ended."""
    return Ended(130, "interrupted; run the same command again to resume")


def _end(*_: object) -> None:
    try:
        progress.emit(interrupted())
    finally:
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
