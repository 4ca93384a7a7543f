"""Jobs without the run that they belong to: what they need, packed, is all that they get."""

import hashlib
from dataclasses import replace

import pytest

from graph_examples import Writing, joined, writing
from sonosynth.run import reopen
from sonosynth.runners import staging
from sonosynth.runners.local import run_jobs
from sonosynth.store import Run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(staging.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_every_kind_of_job_of_a_study_makes_the_same_away_from_its_run(finished, tmp_path):
    """`report` apart, whose page says what each job took."""
    statuses = reopen(finished).statuses(finished)
    made = {job.name: status.made for job, status in statuses}
    parcels = {name: staging.pack(one.places) for name, one in made.items()}
    kinds = {job.function: job for job, _ in statuses if job.name != "report"}
    finished.rename(away := finished.with_name("elsewhere"))
    try:
        for job in kinds.values():
            needed = {name: made[name] for name in job.needed}
            returned = staging.run_staged(job, needed, parcels.__getitem__, "key")
            assert digests(returned.parcel) == made[job.name].files, job.name
    finally:
        away.rename(finished)
    staging.forget("key")
    assert not (tmp_path / "sonosynth-key").exists()


def digests(parcel):
    return {name: hashlib.sha256(data).hexdigest() for name, data in parcel.items() if not name.endswith("/")}


def test_what_was_fetched_is_kept_and_a_folder_stays_one(tmp_path):
    made = run_jobs(Run(tmp_path / "run"), [writing("a", "x"), writing("b", "x")], 1, processes=False)
    fetched = []

    def fetch(name):
        fetched.append(name)
        return staging.pack(made[name].places)

    for _ in range(2):
        returned = staging.run_staged(joined("a", "b"), made, fetch, "key")
        assert returned.parcel == {"file": b"x+x"} and returned.spent.peak_mb > 0
    assert fetched == ["a", "b"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "there" / "folder" / "old").mkdir(parents=True)
    staging.unpack(staging.pack({"folder": tmp_path / "empty"}), {"folder": tmp_path / "there" / "folder"})
    assert not list((tmp_path / "there" / "folder").iterdir())


def test_a_job_that_does_not_write_what_it_said_fails_there(tmp_path):
    job = replace(writing("a"), makes={"file": "a.txt", "other": "b.txt"}, settings=Writing("x"))
    with pytest.raises(FileNotFoundError, match="other"):
        staging.run_staged(job, {}, lambda _: {}, "key")
