"""YAML as plain data: text, numbers, true, false, null, lists and mappings.

A settings file may come from anyone. What YAML has beyond that can run code (tags), grow without bound (aliases) or
turn text into something else (`on`, `010`, `1:30`, dates), so it is refused or read as text.
"""

import re
import unicodedata
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sonosynth.errors import UserError, first_line

MAX_BYTES = 2**20  # bytes of a file
MAX_DEPTH = 20  # nested lists and mappings
_TAG = "tag:yaml.org,2002:"
_NUMBER = r"[-+]?(0|[1-9][0-9]*)"
_SCALARS = {  # YAML 1.2's core schema, in decimal
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": (r"~|null|Null|NULL|", ("~", "n", "N", "")),
    "int": (_NUMBER, "-+0123456789"),
    "float": (rf"({_NUMBER}(\.[0-9]*)?|[-+]?\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Reads the scalars above alone, and each key of a mapping once."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern]]] = {}  # noqa: RUF012 (as in the base class)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping; of two equal keys, the first would be lost silently."""
        seen = set()
        for place, _ in node.value:
            named = isinstance(place, yaml.ScalarNode)
            key = self.construct_object(place) if named else None
            if not named or key in seen:
                reason = f"{first_line(key)} is given twice" if named else "a list or mapping used as a key"
                raise yaml.MarkedYAMLError(problem=reason, problem_mark=place.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes text that this or any other reader of YAML would take for something else, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always: `parse` would refuse them."""
        return True


for _name, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), list(_first))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor(f"{_TAG}int", _int)


def parse(text: str) -> Any:
    """The value that a YAML document holds.

    Raises:
        ValueError: with one line that says what is wrong, and where.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if reason := _refused(event, depth):
                raise ValueError(_line(event.start_mark) + reason)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_line(error.problem_mark) + first_line(error.problem)) from None
    except (yaml.YAMLError, ValueError) as error:  # a character that YAML forbids; a number of 5,000 digits
        raise ValueError(first_line(error)) from None


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}: " if mark else ""


def _refused(event: yaml.Event, depth: int) -> str:
    """Why an event of the parser is not plain data, or ""."""
    if isinstance(event, yaml.AliasEvent):
        return "aliases (*name) are not allowed; repeat the value"
    if getattr(event, "tag", None) not in (None, "!"):
        return "tags (!name) are not allowed; values are text, numbers, true, false, null, lists and mappings"
    if depth > MAX_DEPTH:
        return f"more than {MAX_DEPTH} nested levels"
    text = getattr(event, "value", "")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text if c not in "\n\t"):
        return "text with control characters or a lone surrogate"
    return ""


def read(file: Path) -> dict[Any, Any]:
    """The mapping in a YAML file; empty if the file is.

    Raises:
        UserError: if it can't be read or holds anything else.
    """
    try:
        if not file.is_file():  # opening a named pipe would block
            raise ValueError("is not a file" if file.exists() else "does not exist")
        if (size := file.stat().st_size) > MAX_BYTES:
            raise ValueError(f"has {size:,} bytes; at most {MAX_BYTES:,} are expected")
        values = parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: can't be read as YAML ({first_line(error)})", "a settings file") from None
    if values is not None and not isinstance(values, dict):
        raise UserError(f"{file}: holds a {type(values).__name__}", "a mapping of settings")
    return values or {}


def dump(values: Any) -> str:
    """Plain data as text that `parse` reads back."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
