"""Functions of other installed packages, named as module:name, and imported only where the settings name them."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sonosynth import disk
from sonosynth.errors import UserError, first_line

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Refusal = Callable[[str], UserError]
"""From what is wrong to the error that names the setting."""


def is_function(setting: str) -> bool:
    """Whether a setting names a function of a module, and no folder of that name exists."""
    return FUNCTION.fullmatch(setting) is not None and not Path(setting).is_dir()


def digest(name: str, refusal: Refusal) -> str:
    """The SHA-256 of the source file of the function's module; what that file imports or reads is not part of it."""
    file = getattr(_module(name, refusal), "__file__", None)
    if file is None:
        raise refusal("its module has no source file")
    return disk.sha256(Path(file))


def load(name: str, refusal: Refusal) -> Callable:
    """The function.

    Raises:
        UserError: if its module can't be imported, or has no such function.
    """
    function = getattr(_module(name, refusal), name.partition(":")[2], None)
    if not callable(function):
        raise refusal("its module has no such function")
    return function


def _module(name: str, refusal: Refusal) -> ModuleType:
    module = name.partition(":")[0]
    try:
        return import_module(module)
    except Exception as error:  # a module can raise anything when it is imported
        raise refusal(f"{module} can't be imported: {first_line(error)}") from error
