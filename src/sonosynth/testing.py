"""The record in a run of the other cohorts that its classifiers are tested on, and of every look at one of them."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sonosynth import comparisons, disk, jobs, looks
from sonosynth.cohort.reading import Files
from sonosynth.cohort.settings import AS_IT_IS, Table
from sonosynth.errors import UserError, first_line
from sonosynth.report.facts import Tested
from sonosynth.settings import REFERENCE, Settings
from sonosynth.tasks.classification.other_cohort import contents_of, mapped

FILE = ".tested"
NAME = re.compile(r"\w[\w+-]{0,59}")


@dataclass(frozen=True)
class _Look:
    """settings: a digest of those that what is found depends on. date: ISO. The others: as in `Tested`."""

    name: str
    path: str
    contents: str
    labels: dict[str, str]
    settings: str
    date: str
    table: dict[str, Any] = field(default_factory=dict)


def tests(root: Path, settings: Settings) -> list[Tested]:
    """The tests of the run `root` with these settings, the latest of each name."""
    known = _read(root)
    latest = {look.name: look for look in known}
    return [_tested(look, known, settings) for look in latest.values() if look.settings == _digest(settings)]


def named(path: Path) -> str:
    """The name of a test on the cohort at `path`, where none is given."""
    return re.sub(r"[^\w+-]", "_", path.resolve().stem).lstrip("+-")[:60]


def check_kept(root: Path, settings: Settings) -> None:
    """Raise UserError unless the settings keep trained classifiers."""
    if not comparisons.kept(settings):
        raise UserError(
            f"{root}: keeps no trained classifiers (test.arms is empty)",
            "the classifiers of `real` and of the arms to test",
            f"sonosynth run COHORT --out {root} --config {root / 'study.yaml'} --set test.arms=null --change"
            " trains the classifiers of `real`, compare.cheap and compare.primary again, and keeps them",
        )


def prepare(
    root: Path, settings: Settings, files: Files, name: str, labels: Sequence[str], classes: Sequence[str],
    table: Table = AS_IT_IS,
) -> Tested:  # fmt: skip
    """A test of the run `root` on another cohort, which is not recorded yet.

    Args:
        files: the other cohort. labels: texts OURS=THEIRS. classes: of the study. table: how its table is read.

    Raises:
        UserError: if the name is no name of a folder, or that of a test on other images; or as
            `other_cohort.mapped`.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"--name {first_line(name)}", "letters, digits, _, - or +, at most 60", "give another --name")
    known, contents = _read(root), contents_of(files)
    other = next((look for look in known if look.name == name and look.contents != contents), None)
    if other:
        raise UserError(
            f"--name {name}: names the test on another cohort already ({other.path}, {other.date})",
            "one cohort under one name: the same images, with the same labels, groups and masks",
            "give another --name",
        )
    meaning = mapped(classes, files.labels, labels)
    now = datetime.now().astimezone().date().isoformat()
    look = _Look(name, str(files.path.resolve()), contents, meaning, _digest(settings), now, _values(table))
    return _tested(look, [*known, look], settings)


def note(root: Path, settings: Settings, test: Tested) -> None:
    """Record a test, and with it a look at its cohort; one that is there already becomes the latest."""
    table = _values(test.table)
    look = _Look(test.name, test.path, test.contents, dict(test.labels), _digest(settings), test.date, table)
    others = [x for x in _read(root) if replace(x, path=look.path, date=look.date, table=table) != look]
    disk.write_json(root / FILE, [asdict(known) for known in [*others, look]])


def _tested(look: _Look, known: Sequence[_Look], settings: Settings) -> Tested:
    kept, arms = comparisons.kept(settings), comparisons.comparisons(settings)
    lacking = {arm: tuple(x for x in arms[arm].against(REFERENCE) if x not in kept) for arm in kept}
    same = [(x.date, x.settings, x.labels) for x in known if x.contents == look.contents]
    date = min(x for x, *how in same if how == [look.settings, look.labels])
    count = len({jobs.key({"settings": digest, "labels": labels}) for _, digest, labels in same})
    return Tested(look.name, look.path, look.contents, look.labels, date, count, lacking, Table(**look.table))


def _values(table: Table) -> dict[str, Any]:
    return table.model_dump(exclude_defaults=True)


def _digest(settings: Settings) -> str:
    return jobs.key({"settings": looks.digest(settings), "arms": comparisons.kept(settings)})


def _read(root: Path) -> list[_Look]:
    if not root.exists():
        return []
    disk.check_regular(root, root / FILE)
    if not (root / FILE).exists():
        return []
    try:
        found = [_Look(**values) for values in json.loads((root / FILE).read_text(encoding="utf-8"))]
        _ = [Table(**look.table) for look in found]  # or a mistake
        if all([type(x) for x in asdict(look).values()] == [str, str, str, dict, str, str, dict] for look in found):
            return found
    except (ValueError, TypeError):
        pass
    raise UserError(f"{root / FILE}: can't be read", "the record of the cohorts that were tested", "restore it")
