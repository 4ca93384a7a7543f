"""Extensions found by name: a file in the folder of their kind, or an entry point of another installed package.

The folders are `cohort/formats`, `sets` and `measures`; the entry point groups `sonosynth.formats`, `sonosynth.sets`
and `sonosynth.measures`. An entry point names a module.
"""

from importlib import import_module, resources
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import ModuleType

from sonosynth.errors import UserError

FOLDERS = {
    "formats": "sonosynth.cohort.formats",
    "sets": "sonosynth.sets",
    "measures": "sonosynth.measures",
}


def names(group: str) -> list[str]:
    """The names of a group ("formats", "sets" or "measures"), this package's own first; nothing is imported."""
    folder = resources.files("sonosynth").joinpath(*FOLDERS[group].split(".")[1:])
    own = sorted(file.name[:-3] for file in folder.iterdir() if file.name.endswith(".py") and file.name[0] != "_")
    return own + sorted({entry.name for entry in entry_points(group=f"sonosynth.{group}")} - set(own))


def check(group: str, name: str) -> None:
    """Raise ValueError unless the group has something of that name; nothing is imported."""
    known = names(group)
    if name not in known:
        raise ValueError(f"there is no {name}; known here: {', '.join(known)}")


def find(group: str, name: str) -> ModuleType:
    """The module called `name` in a group.

    Raises:
        UserError: if there is none, or it can't be imported.
    """
    try:
        check(group, name)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from None
    own = f"{FOLDERS[group]}.{name}"
    installed = [entry.value for entry in entry_points(group=f"sonosynth.{group}") if entry.name == name]
    target = installed[0] if installed and find_spec(own) is None else own
    try:
        return import_module(target)
    except ImportError as error:
        raise UserError(
            f"{group}: {name} can't be imported from {target} ({error})", fix="update or remove its package"
        ) from None
