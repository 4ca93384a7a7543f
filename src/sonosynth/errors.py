"""The one kind of error that is the user's to mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Bad input or a bad setting; the command line prints it without a traceback and exits with 2.

    Args:
        found: what was found, and where (file, setting, value).
        expected: what was expected instead.
        fix: what the user can do about it.
    """

    def __init__(self, found: str, expected: str = "", fix: str = "") -> None:
        lines = [found]
        if expected:
            lines.append(f"expected: {expected}")
        if fix:
            lines.append(f"to mend it: {fix}")
        super().__init__("\n".join(lines))


@contextmanager
def loading(what: str, expected: str, fix: str = "") -> Iterator[None]:
    """Whatever a loader raises, as a UserError: `what` (setting and name) can't be loaded.

    The hub's client and the loaders raise many kinds of errors; all mean that there is no such model.
    """
    try:
        yield
    except Exception as error:
        raise UserError(f"{what} can't be loaded ({first_line(error)})", expected, fix) from None


def first_line(error: Exception) -> str:
    """What a library's error says, without its further lines; its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
