"""Times and figures in words."""

from collections.abc import Mapping


def duration(seconds: float) -> str:
    """A time to the second, minute or five minutes: 40 s, 25 min, 1 h 10 min."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(seconds / 300), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def remaining(seconds: float, unknown: int) -> str:
    """The time remaining, and how many jobs are not in it, since nobody knows yet what they take."""
    if unknown and not seconds:
        return "time remaining unknown, since no job of these kinds has finished"
    return f"about {duration(seconds)} remaining" + (
        f" (unknown: {unknown} job{'s' * (unknown != 1)})" if unknown else ""
    )


def figures(values: Mapping[str, float]) -> str:
    """The last figures of a task: loss 0.1234."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
