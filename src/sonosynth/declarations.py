"""How adapters, sets and arms refer to each other, checked on the values as given.

On values, not on sections, so that these mistakes are reported together with those that the sections find.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ValidationError

from sonosynth import extensions
from sonosynth.adapters.settings import Control, Lora, Unet
from sonosynth.errors import first_line
from sonosynth.section import Section
from sonosynth.synthesis.settings import NOISE, REAL, Refine, Synthesis

GROUPS = ("adapters", "sets", "arms")
NAME = re.compile(r"\w([\w+. -]{,98}[\w+-])?")
RESERVED = {"adapters": (), "sets": (NOISE, REAL), "arms": ()}

Needs = list[tuple[str, str]]
"""The group and name of entries."""


WANTED = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "bool_parsing": "true or false", "string_type": "text", "none_required": "null",
    "tuple_type": "a list", "list_type": "a list", "dict_type": "a group of settings",
    "model_type": "a group of settings", "model_attributes_type": "a group of settings", "literal_error": "{expected}",
    "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}", "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}  # fmt: skip
"""What a value must be, by the type of pydantic's error; other errors are told in its own words."""


def explained(error: ValidationError, section: type[BaseModel], values: Any, place: str = "") -> Iterator[str]:
    """Each setting in which a section found a mistake, one per line. `values` are what the section was given."""
    wanted: dict[str, dict[str, Any]] = {}  # of each setting, what it must be, and the value that was found
    for item in error.errors():
        path = _path(item["loc"], values)
        name = ".".join([*([place] if place else []), *map(str, path)])
        known = WANTED.get(item["type"])
        said = f"must be {known.format(**item.get('ctx', {}))}" if known else item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            said = f"there is no such setting{_similar(section, path)}"
        wanted.setdefault(name, {})[said] = {} if item["type"] == "extra_forbidden" else item["input"]
    for name, parts in wanted.items():
        first, *others = parts
        said = " or ".join([first, *(part.removeprefix("must be ") for part in others)])
        found = "" if isinstance(parts[first], Mapping | BaseModel) else f" (found {first_line(repr(parts[first]))})"
        yield f"{name}: {said}{found}"


def _path(loc: Sequence[str | int], values: Any) -> list[str | int]:
    """The keys that lead to a value, without the names that pydantic gives to the alternatives of a union."""
    path = []
    for key in loc:
        inside = key in values if isinstance(values, Mapping) else isinstance(key, int)
        if inside or (key == loc[-1] and isinstance(values, Mapping)):
            path.append(key)
            values = values.get(key) if isinstance(values, Mapping) else values[int(key)]
    return path


def _similar(section: type[BaseModel], path: Sequence[str | int]) -> str:
    """A question whether another setting was meant, if one has a similar name."""
    *parents, last = path
    fields = _fields(section)
    for key in parents:
        inner = fields.get(str(key))
        fields = _fields(inner) if isinstance(inner, type) and issubclass(inner, BaseModel) else {}
    near = get_close_matches(str(last), fields, 1)
    return f"; did you mean {'.'.join([*map(str, parents), *near])}?" if near else ""


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def moved(values: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Mistakes that name a key of an earlier version, with what to write instead; and the values without those keys."""
    found: list[str] = []
    kept = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}

    def take(section: str, key: str, instead: str) -> None:
        if key in _mapping(kept.get(section)):
            found.append(f"{section}.{key}: {instead} (found {first_line(repr(kept[section].pop(key)))})")

    take("prompts", "token", 'a token belongs to an adapter: adapters.NAME.token, for example "<ultrasound>"')
    take("repeats", "times", "is called repeats.draws")
    take("refine", "from", "refinement starts from the saved picture; remove this line")
    for label in [key for key in _mapping(kept.get("prompts")) if key not in ("template", "labels")]:
        take("prompts", label, f"the prompt for a label goes under prompts.labels: prompts.labels.{label}")
    for name, arm in _entries(kept, "arms").items():
        if "synthetic" in arm:
            sets = [] if arm["synthetic"] == "none" else [arm["synthetic"]]
            found.append(f"arms.{name}.synthetic: an arm names its sets: arms.{name}.sets: {sets}")
            kept["arms"][name] = {key: value for key, value in arm.items() if key != "synthetic"}
    return found, kept


def without_removed(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the default entries that need a removed one; an entry that stands in `given` stays, and is a mistake."""
    out = {key: dict(value) if key in GROUPS and isinstance(value, Mapping) else value for key, value in values.items()}
    while gone := [
        (group, name)
        for group, name, needed in _needs(out)
        if any(_mapping(out.get(g)).get(n, ...) is None for g, n in needed) and not _entries(given, group).get(name)
    ]:
        for group, name in gone:
            out[group][name] = None
    return out


def _needs(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Needs]]:
    """Every entry that is not removed: its group, its name, and the entries that it needs."""
    for name, entry in _entries(values, "sets").items():
        needed = [("adapters", entry.get("adapter")), ("sets", entry.get("from"))]
        yield "sets", name, [(g, n) for g, n in needed if isinstance(n, str) and n not in RESERVED["sets"]]
    for name, entry in _entries(values, "arms").items():
        named = (("sets", _names(entry, "sets")), ("arms", _names(entry, "best_of")))
        yield "arms", name, [(group, other) for group, others in named for other in others]


def mistakes(values: Mapping[str, Any]) -> Iterator[str]:
    """Every mistake in how adapters, sets and arms are named, and in how they refer to each other."""
    for group in GROUPS:
        yield from _bad_names(group, _mapping(values.get(group)))
    for group, name, needed in _needs(values):
        for other_group, other in needed:
            entries = _mapping(values.get(other_group))
            if entries.get(other, ...) is None:
                yield f"{group}.{name}: needs {other_group}.{other}, which is removed; also set {group}.{name}: null"
            elif other not in entries:
                known = ", ".join(_entries(values, other_group)) or "none"
                yield f"{group}.{name}: needs {other_group}.{other}, which is not declared (declared: {known})"
    sets = _entries(values, "sets")
    try:
        TopologicalSorter({name: [str(entry.get("from"))] for name, entry in sets.items()}).prepare()
    except CycleError as error:
        circle = error.args[1]
        yield f"sets.{circle[-1]}.from: a cycle, {' from '.join(reversed(circle))}"
    for name, entry in sets.items():
        yield from _bad_set(f"sets.{name}", entry)
        if entry.get("condition") and not _entries(values, "adapters").get(str(entry.get("adapter")), {}).get(
            "control"
        ):
            yield f"sets.{name}.condition: needs an adapter with a control, for example {{lora: {{}}, control: mask}}"
    choosing = {name: chosen for name, arm in _entries(values, "arms").items() if (chosen := _names(arm, "best_of"))}
    for name, chosen in choosing.items():
        for other in choosing.keys() & chosen:
            yield f"arms.{name}.best_of: {other} chooses among arms itself; name arms that are trained"
    for name, entry in _entries(values, "adapters").items():
        yield from _bad_values(f"adapters.{name}.lora", Lora, entry.get("lora"))
        yield from _bad_values(f"adapters.{name}.unet", Unet, entry.get("unet"))
        control = entry.get("control")
        yield from _bad_values(
            f"adapters.{name}.control", Control, {"kind": control} if isinstance(control, str) else control
        )


def _names(entry: Mapping[str, Any], key: str) -> list[str]:
    given = entry.get(key)
    return [str(name) for name in given] if isinstance(given, (list, tuple)) else []


def _bad_names(group: str, entries: Mapping[Any, Any]) -> Iterator[str]:
    reserved = RESERVED[group]
    for name in entries:
        if not isinstance(name, str) or not NAME.fullmatch(name) or len(name.encode()) > 100 or name in reserved:
            rule = "letters, digits, + - . _ and spaces, a letter or digit first, no . or space last"
            yield f"{group}.{name}: invalid name; {rule}" + (f"; not {' or '.join(reserved)}" * bool(reserved))
    for one, other in pairwise(sorted(map(str, entries), key=str.casefold)):
        if one.casefold() == other.casefold():
            yield f"{group}.{one}, {group}.{other}: names must differ in more than case"


def _bad_set(place: str, entry: Mapping[str, Any]) -> Iterator[str]:
    yield from _bad_values(f"{place}.synthesis", Synthesis, entry.get("synthesis"))
    yield from _bad_values(f"{place}.refine", Refine, entry.get("refine"))
    strength, refine = entry.get("strength") is not None, _mapping(entry.get("refine"))
    if (strength or refine) and entry.get("from", NOISE) == NOISE:
        yield f"{place}.strength: needs images to start from: {place}.from: real, or another set"
    if strength and "strength" in refine:
        yield f"{place}.strength: is also given in {place}.refine; give it once"
    if isinstance(entry.get("kind"), str):
        try:
            extensions.check("sets", entry["kind"])
        except ValueError as error:
            yield f"{place}.kind: {error}"


def _bad_values(place: str, section: type[Section], own: Any) -> Iterator[str]:
    """The mistakes in the values with which an entry overrides the section that it inherits from."""
    try:
        section.model_validate(dict(_mapping(own)))
    except ValidationError as error:
        yield from explained(error, section, own, place)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(values: Mapping[str, Any], group: str) -> dict[str, Mapping[str, Any]]:
    """The entries of a group that are not removed."""
    return {str(name): entry for name, entry in _mapping(values.get(group)).items() if isinstance(entry, Mapping)}
