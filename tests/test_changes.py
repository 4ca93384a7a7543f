"""A run belongs to its cohort and its settings."""

import shutil

import pytest
from PIL import Image

from graph_examples import joined, writing
from sonosynth import leftovers
from sonosynth.errors import UserError
from sonosynth.jobs import State
from sonosynth.report import jobs as report
from sonosynth.report import tables
from sonosynth.run import Study, reopen
from sonosynth.runners.execution import execute
from sonosynth.runners.local import run_jobs
from sonosynth.store import Run


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def resume(study, root, **more):
    return study.run(root, processes=False, **more)


def add(cohort):
    shutil.copy(next((cohort / "normal").glob("*[0-9]).png")), cohort / "benign" / "one more.png")
    image = Image.open(cohort / "benign" / "one more.png").rotate(90)
    image.save(cohort / "benign" / "one more.png")


def remove(cohort):
    for file in (cohort / "normal").glob("*(1)*.png"):
        file.unlink()


def relabel(cohort):
    first = next((cohort / "normal").glob("*(1).png"))
    first.rename(cohort / "benign" / "other.png")
    for mask in (cohort / "normal").glob("*(1)_mask*.png"):
        mask.unlink()


@pytest.mark.parametrize(
    ("change", "counts"),
    [(add, "added: 1, removed: 0"), (remove, "added: 0, removed: 1"), (relabel, "added: 1, removed: 1")],
)  # fmt: skip
def test_another_cohort_is_refused_whatever_is_asked(copy, cohort_folder, settings, change, counts):
    change(cohort_folder)
    before = contents(copy)
    for agreed in (False, True):
        with pytest.raises(UserError, match=counts):
            resume(Study(cohort_folder, settings()), copy, change=agreed)
    assert contents(copy) == before


@pytest.mark.usefixtures("no_figures")
def test_a_cohort_that_moved_is_the_same(copy, cohort_folder, phantoms, settings, capsys):
    made = resume(Study(cohort_folder, settings()), copy)
    assert f"the cohort has moved: it was {phantoms}, and is {cohort_folder}" in capsys.readouterr().err
    assert str(cohort_folder) in (copy / "study.yaml").read_text()
    assert {status.state for _, status in reopen(copy).statuses(copy)} == {State.DONE}
    assert made.keys() == {job.name for job, _ in reopen(copy).statuses(copy)}


@pytest.mark.usefixtures("no_figures")
def test_changed_settings_are_listed_with_what_they_would_run_and_need_a_yes(copy, phantoms, settings):
    before, asked = contents(copy), []
    study = Study(phantoms, settings("refine.strength=0.5", "arms.new={balance: weights}"))

    def no(message):
        asked.append(message)
        return False

    with pytest.raises(UserError) as refused:
        resume(study, copy)
    said = refused.value.found
    with pytest.raises(UserError, match="was not changed"):
        resume(study, copy, ask=no)
    assert asked == [said]
    assert contents(copy) == before
    for line in (
        "refine.strength: 0.3 -> 0.5", "arms.new: absent -> {'balance': 'weights'}",
        "synthetic/sd+img2img (stale: settings.strength changed)", "classifiers/new/0 (missing: not run yet)",
        "copies/sd+img2img",
    ):  # fmt: skip
        assert f"  {line}\n" in f"{said}\n"
    assert "adapters/sd (" not in said
    assert "--change" in refused.value.fix
    made = resume(study, copy, ask=lambda message: True)
    assert "classifiers/new/1" in made
    resume(study, copy)  # these are its settings now


@pytest.mark.usefixtures("no_figures")
def test_other_code_replaces_nothing_unasked(copy, phantoms, settings, monkeypatch):
    monkeypatch.setattr(tables, "VERSION", 99)
    with pytest.raises(UserError, match=r"jobs to run \(1\):\n  tables \(stale: version changed\)\n"):
        resume(Study(phantoms, settings()), copy)
    monkeypatch.undo()
    monkeypatch.setattr(report, "VERSION", 99)
    resume(Study(phantoms, settings()), copy)  # the page alone may be drawn again at any time


@pytest.mark.usefixtures("no_figures")
def test_what_was_agreed_goes_on_after_an_interruption(copy, phantoms, settings):
    study = Study(phantoms, settings("refine.strength=0.5"))
    with pytest.raises(KeyboardInterrupt):
        resume(study, copy, ask=lambda message: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(UserError, match="differs from the one that made them"):
        resume(study, copy)
    study.run(copy, "adapt", change=True, processes=False)
    with pytest.raises(UserError, match="differs from the one that made them"):
        resume(Study(phantoms, settings("refine.strength=0.7")), copy)
    resume(study, copy)
    assert not (copy / ".agreed").exists()


def test_what_a_setting_left_behind_is_listed_and_removed_when_asked(copy, phantoms, settings):
    (copy / ".work" / "adapters,old-0123456789ab").mkdir(parents=True)
    (copy / ".work" / "adapters,old-0123456789ab" / "lora.safetensors").write_bytes(b"x" * 1000)
    (copy / "notes.txt").write_text("mine")
    (copy / "adapters" / "sd+ti" / "notes.txt").write_text("mine")
    less = Study(phantoms, settings("adapters.sd+ti=null", "classifier.seeds=[0]"))
    found = {one.name: one for one in leftovers.find(Run(copy), less.statuses(copy))}
    assert {"adapters/sd+ti", "synthetic/sd+ti", "classifiers/real/1", "copies/sd+ti"} <= found.keys()
    assert found["unfinished work in adapters,old-0123456789ab"].size == 1000
    listed = [path for path in found["adapters/sd+ti"].paths if path.name == "learned_embeds.safetensors"]
    assert found["adapters/sd+ti"].size > listed[0].stat().st_size
    before = contents(copy)
    resume(less, copy, change=True)
    after = contents(copy)
    assert not leftovers.find(Run(copy), less.statuses(copy))
    gone = {name for name in before if name not in after}
    assert {str(path.relative_to(copy)) for one in found.values() for path in one.paths if path.is_file()} <= gone
    seeds = ("/1.csv", "/1.json", "/1.safetensors", "/lora.safetensors")
    assert not [name for name in gone if not ("sd+ti" in name or "/tokens/" in name or name.endswith(seeds))]
    assert {"notes.txt", "adapters/sd+ti/notes.txt"} <= after.keys()


@pytest.mark.parametrize("text", ["seed: [", "seed: 1", ""])
def test_a_torn_study_file_changes_nothing_by_itself(copy, phantoms, settings, text):
    (copy / "study.yaml").write_text(text)
    before = contents(copy)
    with pytest.raises(UserError, match=r"study\.yaml: can't be read as YAML|differs from the one that made them"):
        resume(Study(phantoms, settings()), copy)
    assert contents(copy) == before
    (copy / "study.yaml").unlink()
    resume(Study(phantoms, settings()), copy)
    assert {**contents(copy), "study.yaml": b""} == {**before, "study.yaml": b""}


def test_what_comes_out_differently_replaces_nothing_unasked(tmp_path):
    a, b = writing("a", "one"), joined("a")
    run_jobs(Run(tmp_path), [a, b], 1, processes=False)
    (tmp_path / "a.txt").unlink()
    run_jobs(Run(tmp_path), [a, b], 1, processes=False, replaceable=())
    execute(Run(tmp_path), writing("a", "two"), {})
    again = writing("a", "two")
    with pytest.raises(UserError, match="the inputs of joined came out differently this time"):
        run_jobs(Run(tmp_path), [again, b], 1, processes=False, replaceable=())
    assert (tmp_path / "joined.txt").read_text() == "one"
    run_jobs(Run(tmp_path), [again, b], 1, processes=False, replaceable=(b.run,))
    assert (tmp_path / "joined.txt").read_text() == "two"
