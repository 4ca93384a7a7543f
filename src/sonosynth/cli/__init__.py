"""The command line: a few lines for each command, no logic."""

import errno
import io
import os
import signal
import sys

import typer

from sonosynth.cli import studies, using  # noqa: F401 (they add their commands)
from sonosynth.cli.app import INTERRUPTED, app
from sonosynth.errors import UserError, inert

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
