"""The one kind of error that the user can fix, and how untrusted text is shown on a terminal."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

LINE = 120  # the longest quotation of untrusted text in a message, in characters
HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, lone surrogates, line and paragraph separators
BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # they reorder the text that follows


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
        lines = [_shortened(line, 8 * LINE) for line in self.found.splitlines()]
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


def first_line(text: object, most: int = LINE) -> str:
    """The first line of a library's error message, or of any text, shortened; the class name if it is empty."""
    line = next(iter(str(text).strip().splitlines()), "") or type(text).__name__
    return _shortened(line, most)


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[: most - 1]}…"


def is_plain(text: str) -> bool:
    """Whether text holds none of the characters that move a terminal's cursor, start a line or can't be written."""
    return not any(c in BIDI_CONTROLS or unicodedata.category(c) in HIDDEN for c in text)


def inert(text: str) -> str:
    """The text with everything escaped, but for line breaks, that a terminal would interpret."""
    return "".join(c if c == "\n" or is_plain(c) else c.encode("unicode_escape").decode() for c in text)
