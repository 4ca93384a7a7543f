"""The one kind of error that the user can fix."""

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
        super().__init__(found, expected, fix)  # all three, so that it can be pickled
        self.found, self.expected, self.fix = found, expected, fix

    def __str__(self) -> str:
        lines = [self.found]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.fix:
            lines.append(f"fix: {self.fix}")
        return "\n".join(lines)


@contextmanager
def loading(what: str, expected: str, fix: str = "") -> Iterator[None]:
    """Turn whatever a loader raises into a UserError: `what` (setting and name) can't be loaded.

    The hub's client and the loaders raise many kinds of errors; all mean that there is no such model.
    """
    try:
        yield
    except Exception as error:
        raise UserError(f"{what} can't be loaded ({first_line(error)})", expected, fix) from None


def first_line(error: Exception) -> str:
    """The first line of a library's error message; its class where the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
