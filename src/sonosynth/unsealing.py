"""The record in a run that its sealed part was opened: once, with one set of settings."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sonosynth import disk, looks, records
from sonosynth.cohort.jobs import seal
from sonosynth.errors import UserError
from sonosynth.jobs import Job, keyed
from sonosynth.report.facts import Unsealed
from sonosynth.settings import Settings
from sonosynth.store import Run

FILE = ".unsealed"


@dataclass(frozen=True)
class _Record:
    """settings: their digest. date: ISO. looks: see `Unsealed`."""

    settings: str
    date: str
    looks: int


def opened(root: Path, settings: Settings) -> Unsealed | None:
    """When the sealed part of the run `root` was opened, and whether that was with other settings; None if never."""
    record = _read(root)
    return Unsealed(record.date, record.looks, spoiled=record.settings != looks.digest(settings)) if record else None


def open_once(root: Path, settings: Settings) -> None:
    """Record that the sealed part is opened now, with these settings; nothing happens if it was, with the same ones.

    Raises:
        UserError: if there is no sealed part, or it was opened with other settings.
    """
    if not settings.split.sealed:
        raise UserError(
            f"{root}: has no sealed part (split.sealed is 0)",
            "a study that has set images aside before anything was trained",
            "start another run with --set split.sealed=0.2",
        )
    before = opened(root, settings)
    if before and before.spoiled:
        raise UserError(
            f"{root}: its sealed part was opened on {before.date}, with other settings",
            "the settings that it was opened with: a study changed after its result was seen is no longer tested",
            "go back to these settings (sonosynth run … --change), or find images that the study has not seen",
        )
    if not before:
        now = datetime.now().astimezone().date().isoformat()
        disk.write_json(root / FILE, asdict(_Record(looks.digest(settings), now, looks.count(root, settings))))


def check_unseen(run: Run, ordered: Sequence[Job]) -> None:
    """Refuse to seal images that the run has trained on or scored before.

    Args:
        ordered: the jobs of the study.

    Raises:
        UserError: if validation images were scored before this part was sealed.
    """
    job = next((job for job in ordered if job.run is seal), None)
    if job is None or not (run.root / looks.FILE).exists():
        return
    record = records.read(run.record_path(job.name))
    if record is None or record.inputs.get("settings") != keyed(job.settings):
        raise UserError(
            f"{run.root}: has scored validation images without this sealed part",
            "images that were set aside before anything was trained (split.sealed, split.conflicts and seed as before)",
            "give another --out, and base no decision there on what you have seen here",
        )


def _read(root: Path) -> _Record | None:
    if not root.exists():
        return None
    disk.check_regular(root, root / FILE)
    if not (root / FILE).exists():
        return None
    try:
        values = _Record(**json.loads((root / FILE).read_text(encoding="utf-8")))
        if [type(value) for value in asdict(values).values()] == [str, str, int]:
            return values
    except (ValueError, TypeError):
        pass
    raise UserError(f"{root / FILE}: can't be read", "the record of when the sealed part was opened", "restore it")
