"""Who works on what, so that no other process or machine does it, too.

A claim is a file that names its holder, and a lock on that file (flock(2), which NFS passes on to the server). The
system frees the lock of a process or machine that is gone: nothing has to send signs of life, no clocks are compared.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sonosynth import progress
from sonosynth.errors import UserError, inert

PATIENCE = 120.0
"""Seconds in which the lock of a machine that has crashed is free again: an NFS server's lease takes 90."""

POLL = 0.1  # seconds
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


class HeldError(Exception):
    """Another process has the claim. holder: which one."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def myself() -> str:
    """This process, as claims name it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def held(path: Path, patience: float = 0.0, more: str = "") -> Iterator[None]:
    """Hold the claim at `path`, which exists only as long as it is held.

    Args:
        patience: seconds to wait for another holder. more: what it says besides who holds it.

    Raises:
        HeldError: if another process holds it, even after that time.
        UserError: if the file system has no locks.
    """
    handle = _locked(path, patience)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, inert(f"{myself()}{more}").encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked: whoever waits finds that it is gone, and makes another one
        os.close(handle)


def holder(path: Path) -> str:
    """Who holds the claim at `path`; "" if nobody does. Nothing is written."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read() or "another process"
        except OSError:
            return ""
    return ""


def _locked(path: Path, patience: float) -> int:
    """An open file at `path`, locked."""
    began, told = time.monotonic(), False
    while True:
        if (handle := _try(path)) is not None:
            return handle
        by = holder(path)
        if by and time.monotonic() - began >= patience:
            raise HeldError(by)
        if by and not told:
            progress.say(f"{path.stem}: waiting for {by}")
            told = True
        time.sleep(POLL if by else 0)


def _try(path: Path) -> int | None:
    """An open file at `path`, locked; None if another process has locked it, or was just removing it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.lstat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(handle)
        if error.errno in NO_LOCKS:
            raise UserError(
                f"{path}: can't be locked ({error.strerror})", "a file system with locks (flock)",
                "mount it with them, or give another --out",
            ) from None  # fmt: skip
        raise
    os.close(handle)
    return None
