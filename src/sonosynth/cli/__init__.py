"""The command line: a few lines for each command, no logic."""

import errno
import io
import os
import signal
import sys
import traceback

import typer

from sonosynth import progress
from sonosynth.cli import studies, using  # noqa: F401 (they add their commands)
from sonosynth.cli.app import app, interrupted
from sonosynth.errors import UserError
from sonosynth.progress.events import Ended

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
    progress.relay(progress.view())
    progress.take_warnings()
    try:
        ended = Ended(app(standalone_mode=False) or 0)  # typer returns the status of --help
    except Exception as error:
        ended = _of(error)
    except KeyboardInterrupt:
        ended = interrupted()
    progress.emit(interrupted() if ended.status == 130 else ended)  # which typer returns, too
    sys.exit(ended.status)


def _of(error: Exception) -> Ended:
    """How a command ends that raised an error."""
    if isinstance(error, typer.Abort):
        return interrupted()
    known = error if isinstance(error, UserError) else resource_error(error)
    if known:
        return Ended(2, known.found, known.expected, known.fix)
    if hasattr(error, "format_message"):  # a mistake in the command line itself, whose class typer hides
        command = getattr(getattr(error, "ctx", None), "command_path", "sonosynth")
        return Ended(2, error.format_message(), fix=f"{command} --help lists what there is")
    return Ended(1, "".join(traceback.format_exception(error)).rstrip())
