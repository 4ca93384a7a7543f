"""Runs side by side, on the terminal."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from string import ascii_uppercase
from typing import Any

import pandas as pd
from rich.table import Column, Table

from sonosynth.errors import first_line
from sonosynth.evidence.between import Outcome
from sonosynth.report.terminal import plain_console, plain_text
from sonosynth.report.words import number, number_of, with_interval


class Untestable(StrEnum):
    """Why the scores of two runs can't be tested against each other."""

    NO_IMAGES = "they share no validation image (by the SHA-256 of its file, and its label)"
    OTHER_CLASSES = "their classes differ, so that macro F1 does not mean the same in both"
    OTHER_BLOCKS = (
        "their splits differ: what one run scored, the other may have been trained on, so that folds can't be paired;"
        " a test would take the differences between splits for an effect of the settings"
    )
    OTHER_GROUPS = "images that belong together in one run (patients, near-duplicates) do not in the other"
    CHOSEN = "one of them chose its epochs on the scored images (classifier.selection=validation)"
    NO_ARM = "no arm of the same name has valid scores in both"
    UNFINISHED = "no draw of folds that they share has been scored for all arms in both"


@dataclass(frozen=True)
class Against:
    """The arms of `run` minus those of the same name in `other`, in macro F1.

    why: no test is possible; None if it is. images, blocks: that they have in common. rows: as
    `evidence.between.outcomes` makes them.
    """

    run: str
    other: str
    why: Untestable | None
    images: int
    blocks: int
    rows: Sequence[Mapping[Any, Any]]


@dataclass(frozen=True)
class SideBySide:
    """Several runs. settings: those that differ, by name and run; a run without one has no entry. arms, distances: rows
    of each run. tests: of all others against the first.
    """

    runs: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]
    arms: Mapping[str, Sequence[Mapping[Any, Any]]]
    distances: Mapping[str, Sequence[Mapping[Any, Any]]]
    tests: tuple[Against, ...]


def exploratory(count: int) -> str:
    """What a comparison of runs can't show.

    Args:
        count: of the differences that are tested.
    """
    return (
        "Exploratory: which runs are compared was chosen after their results were known. p values and 95% intervals are"
        f" corrected for the {number_of(count, 'difference')} tested here (Holm, Bonferroni), not for other runs or"
        " settings that were tried. To confirm a setting that is chosen here, use images that no run has scored:"
        " split.sealed, or sonosynth test."
    )


def as_json(found: SideBySide) -> str:
    """The same as JSON; a number that there is not is null."""
    plain = asdict(found) | {"note": exploratory(len(tested(found)))}
    return json.dumps(_without_nan(plain), indent=1, ensure_ascii=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tested(found: SideBySide) -> list[Mapping[Any, Any]]:
    """The rows of all tests: arms with the same predictions in both runs are none."""
    return [row for test in found.tests for row in test.rows if row["finding"] != Outcome.IDENTICAL]


def show(found: SideBySide) -> None:
    """Print runs side by side; each has a letter, explained at the top."""
    console, letters = plain_console(), dict(zip(found.runs, ascii_uppercase, strict=False))
    say = lambda text: console.print(plain_text(text), soft_wrap=True, highlight=False)  # noqa: E731
    for run, letter in letters.items():
        say(f"{letter}: {run}")
    tables = [_settings(found, letters), _arms(found, letters), _distances(found, letters)]
    for table in tables:
        if table.row_count:
            console.print(table)
    if not found.settings:
        say("No setting differs.")
    if len({(row["features"], row["n_matched"]) for rows in found.distances.values() for row in rows}) > 1:
        say("Distances differ in features or numbers of images: compare each only with that of real images beside it.")
    for test in found.tests:
        pair = f"{letters[test.run]} minus {letters[test.other]}"
        if test.why:
            say(f"{pair}: no test is possible. The reason: {test.why}.")
            continue
        console.print(_tests(test, pair))
    if count := len(tested(found)):
        say(exploratory(count))


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    return Table(Column(first, overflow="fold"), *(Column(x, overflow="fold") for x in columns), title=title)


def _aligned(
    of_runs: Mapping[str, Sequence[Mapping[Any, Any]]], key: str
) -> Iterator[tuple[str, list[Mapping[Any, Any]]]]:
    """Each value of `key`, and the row that each run has for it; an empty one where it has none."""
    known = [{row[key]: row for row in rows} for rows in of_runs.values()]
    for name in dict.fromkeys(name for rows in known for name in rows):
        yield name, [rows.get(name, {}) for rows in known]


def _settings(found: SideBySide, letters: Mapping[str, str]) -> Table:
    table = _table("Settings that differ", "setting", [*letters.values()])
    for name, values in found.settings.items():
        cells = [first_line(repr(values[run])) if run in values else "absent" for run in found.runs]
        table.add_row(*map(plain_text, (name, *cells)))
    return table


def _arms(found: SideBySide, letters: Mapping[str, str]) -> Table:
    columns = [f"{letter}: {what}" for letter in letters.values() for what in ("macro F1", "against real")]
    table = _table("Arms", "arm", columns)
    for arm, rows in _aligned(found.arms, "arm"):
        cells = []
        for row in rows:
            score = with_interval(row["f1"], row["f1_low"], row["f1_high"]) if row else "absent"
            cells += [score, row.get("finding") or "–"]
        table.add_row(*map(plain_text, (arm, *cells)))
    return table


def _distances(found: SideBySide, letters: Mapping[str, str]) -> Table:
    columns = [f"{letter}: {what}" for letter in letters.values() for what in ("Fréchet", "of real images")]
    table = _table("Distances of sets to training images, at equal counts", "set", columns)
    for name, rows in _aligned(found.distances, "set"):
        cells = [number(row.get(value, math.nan), "%.3g") for row in rows for value in ("matched", "floor")]
        table.add_row(*map(plain_text, (name, *cells)))
    return table


def _tests(test: Against, pair: str) -> Table:
    common = f"{number_of(test.images, 'image')} in {number_of(test.blocks, 'block')} that both scored"
    table = _table(
        f"{pair}: difference in macro F1, {common}", "arm", ["difference", "95% interval", "p", "p (Holm)", "finding"]
    )
    for row in test.rows:
        known = pd.notna(row["low"])
        interval = f"{row['low']:+.3f} to {row['high']:+.3f}" if known else "–"
        cells = (number(row["difference"], "%+.3f"), interval, number(row["p"]), number(row["p_holm"]), row["finding"])
        table.add_row(*map(plain_text, (row["arm"], *cells)))
    return table
