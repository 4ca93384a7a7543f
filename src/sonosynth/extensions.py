"""Extensions found by name: a file in the folder of their kind, or an entry point of another installed package.

The folders are `cohort/formats`, `sets`, `measures` and `exports`; the entry point groups `sonosynth.formats`,
`sonosynth.sets`, `sonosynth.measures` and `sonosynth.exports`. An entry point names a module.
"""

from functools import cache
from importlib import import_module, resources
from importlib.metadata import entry_points
from types import ModuleType

from sonosynth.errors import UserError

FOLDERS = {
    "formats": "sonosynth.cohort.formats",
    "sets": "sonosynth.sets",
    "measures": "sonosynth.measures",
    "exports": "sonosynth.exports",
}


@cache
def _own(group: str) -> tuple[str, ...]:
    folder = resources.files("sonosynth").joinpath(*FOLDERS[group].split(".")[1:])
    return tuple(sorted(x.name[:-3] for x in folder.iterdir() if x.name.endswith(".py") and x.name[0] != "_"))


def names(group: str) -> list[str]:
    """The names of a group (a key of `FOLDERS`), this package's own first; nothing is imported."""
    own = _own(group)
    return [*own, *sorted({entry.name for entry in entry_points(group=f"sonosynth.{group}")} - set(own))]


def check(group: str, name: str) -> None:
    """Raise ValueError unless the group has something of that name; nothing is imported."""
    if name not in _own(group) and name not in names(group):  # reading every package's entry points takes time
        raise ValueError(f"there is no {name}; known here: {', '.join(names(group))}")


def find(group: str, name: str) -> ModuleType:
    """The module called `name` in a group.

    Raises:
        UserError: if there is none, or it can't be imported.
    """
    try:
        check(group, name)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from None
    if name in _own(group):
        target = f"{FOLDERS[group]}.{name}"
    else:
        target = next(entry.value for entry in entry_points(group=f"sonosynth.{group}") if entry.name == name)
    try:
        return import_module(target)
    except ImportError as error:
        raise UserError(
            f"{group}: {name} can't be imported from {target} ({error})", fix="update or remove its package"
        ) from None
