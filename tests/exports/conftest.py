import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from sonosynth.exporting import _Finished
from sonosynth.jobs import Made
from sonosynth.run import reopen
from sonosynth.sharing import Kind


@pytest.fixture(scope="session")
def opened(finished) -> _Finished:
    """The finished run, as it is exported."""
    study = reopen(finished)
    statuses = study.statuses(finished)
    made = {job.name: status.made for job, status in statuses}
    return _Finished(study.settings, {job.name: job for job, _ in statuses}, made, finished, force=False)


@pytest.fixture(scope="session")
def shared(opened):
    """All of it."""
    return dataclasses.replace(opened, force=True).shared([*Kind])


@pytest.fixture
def altered(opened, tmp_path) -> Callable:
    """The finished run, in which what a job made in a role is another text."""

    def changed(job: str, role: str, change: Callable[[str], str], **more) -> _Finished:
        made: Made = opened.made[job]
        file: Path = tmp_path / f"altered {len(list(tmp_path.iterdir()))}"
        file.write_text(change(made.places[role].read_text()))
        instead = dataclasses.replace(made, places={**made.places, role: file})
        return dataclasses.replace(opened, made={**opened.made, job: instead}, **more)

    return changed
