"""What of a run is exported, what is held back, and when nothing is."""

import dataclasses
import json
import shutil
import sys

import pandas as pd
import pytest

from sonosynth.errors import UserError
from sonosynth.exporting import _check_left, export
from sonosynth.exports import hub
from sonosynth.sharing import Kind, LeftOut, Reason


def harmed(rows, column, count):
    """memorisation.csv in which the first images of the set sd count as copies, or as the same picture."""
    table = pd.read_csv(rows, keep_default_na=False)
    table[["copy", "verbatim"]] = False
    first = table.index[table["set"] == "sd"][:count]
    table.loc[first, column] = True
    return table.to_csv(index=False)


@pytest.fixture
def copying(opened, altered):
    """The run with copies in the set sd."""

    def changed(column, count, **more):
        job = opened.jobs["tables"].needs["copies"][0]
        place = opened.made[job].places["table"]
        return altered(job, "table", lambda _: harmed(place, column, count), **more)

    return changed


@pytest.fixture
def real(altered):
    """The run, whose set sd is one of variations of patients' images."""
    return lambda **more: altered(
        "synthetic/sd", "origins", lambda text: text.replace('"real": false', '"real": true'), **more
    )


def controlled(opened, settings, **more):
    return dataclasses.replace(opened, settings=settings("sets.sd.negative_control=true"), **more)


def foreign(opened, settings, **more):
    declared = settings()
    sd = declared.declared_sets["sd"].model_copy(update={"kind": "folder"})
    changed = declared.model_copy(update={"sets": {**declared.sets, "sd": sd}})
    return dataclasses.replace(opened, settings=changed, **more)


def test_what_may_be_given_away_is_exported(copying):
    shared = copying("copy", 0).shared([*Kind])
    assert [one.made.name for one in shared.sets] == ["sd", "sd+img2img", "sd+ti", "sd+ti+img2img"]
    assert [one.name for one in shared.adapters] == ["sd", "sd+ti"]
    assert not shared.left_out and not any(one.forced for one in (*shared.sets, *shared.adapters))
    assert all(len(one.kept) == (~one.made.flawed).sum() for one in shared.sets)


@pytest.mark.parametrize("force", [False, True])
def test_what_may_not_be_given_away_is_held_back_and_forced_with_the_reason(opened, settings, copying, real, force):
    found = {
        Reason.CONTROL: controlled(copying("copy", 0), settings, force=force),
        Reason.REAL: real(force=force),
        Reason.VERBATIM: copying("verbatim", 1, force=force),
        Reason.COPIES: copying("copy", 30, force=force),
        Reason.FOREIGN: foreign(copying("copy", 0), settings, force=force),
    }
    for reason, one in found.items():
        shared = one.shared([Kind.IMAGES])
        (sd,) = [x for x in shared.sets if x.made.name == "sd"] or [None]
        assert (LeftOut("set sd", reason) in shared.left_out) == (not force), reason
        assert (sd is None) == (not force), reason
        assert sd is None or reason in sd.forced


def test_an_adapter_stays_with_the_copies_that_it_made_but_not_with_variations_that_are_near(copying, real):
    assert [one.name for one in copying("verbatim", 1).shared([Kind.LORA]).adapters] == ["sd+ti"]
    (forced, other) = copying("verbatim", 1, force=True).shared([Kind.LORA]).adapters
    assert (forced.forced, other.forced) == ((Reason.COPIED_FROM,), ())
    varied = copying("verbatim", 1)
    varied = dataclasses.replace(varied, made={**varied.made, "synthetic/sd": real().made["synthetic/sd"]})
    assert [one.name for one in varied.shared([Kind.LORA]).adapters] == ["sd", "sd+ti"]


def test_single_images_that_are_flagged_are_left_out_or_named(copying):
    few = copying("copy", 1)
    (sd, *_) = few.shared([Kind.IMAGES]).sets
    assert len(sd.kept) == (~sd.made.flawed).sum() - 1 and not sd.forced
    assert few.shared([Kind.IMAGES]).left_out == [LeftOut("set sd", Reason.COPY, 1)]
    (sd, *_) = copying("copy", 1, force=True).shared([Kind.IMAGES]).sets
    assert len(sd.kept) == (~sd.made.flawed).sum() and sd.forced == (Reason.COPY,)
    assert (sd.flagged, sd.verbatim) == (1, 0)


def test_a_whole_unet_and_an_empty_set_are_left_out_whatever_is_forced(opened, settings, altered):
    def empty(text):
        return text.splitlines()[0] + "\n"

    changed = altered("synthetic/sd", "origins", str, force=True)
    folder = changed.made["synthetic/sd"].places["origins"].parent / "empty"
    folder.mkdir()
    (folder / "metadata.csv").write_text(
        empty((opened.made["synthetic/sd"].places["images"] / "metadata.csv").read_text())
    )
    made = changed.made["synthetic/sd"]
    made = dataclasses.replace(made, places={**made.places, "images": folder})
    adapters = settings("sets={sd: null, sd+img2img: null}", "adapters.sd={lora: null, unet: {}}")
    changed = dataclasses.replace(changed, made={**changed.made, "synthetic/sd": made})
    assert LeftOut("set sd", Reason.EMPTY) in changed.shared([Kind.IMAGES]).left_out
    whole = dataclasses.replace(opened, settings=adapters, force=True)
    assert whole.shared([Kind.LORA]).left_out == [LeftOut("adapter sd", Reason.UNFIT)]
    assert whole.shared([Kind.LORA, Kind.UNET]).adapters[0].kind is Kind.UNET


def test_if_nothing_is_left_the_message_says_why(copying, finished):
    shared = copying("copy", 0).shared([Kind.IMAGES])
    nothing = dataclasses.replace(
        shared, sets=[], left_out=[LeftOut("set sd", Reason.REAL), LeftOut("set b", Reason.COPY, 3)]
    )
    with pytest.raises(UserError) as error:
        _check_left(finished, nothing)
    assert "set sd: made from patients' images\nset b: 3 images, flagged as copies" in str(error.value)
    assert "fix: --force" in str(error.value)
    with pytest.raises(UserError, match="fix: export another form"):
        _check_left(finished, dataclasses.replace(nothing, left_out=[LeftOut("adapter u", Reason.UNFIT)]))


def test_the_command_writes_a_new_folder_or_nothing(finished, tmp_path, answer, monkeypatch):
    out = tmp_path / "out"
    code, said = answer("export", finished, "--to", "hub", "--out", out, "--force")
    assert code == 0 and f"exported: {out}" in said
    assert (out / "dataset" / "README.md").is_file() and not list(tmp_path.glob(".out*"))
    code, said = answer("export", finished, "--to", "hub", "--out", out)
    assert code == 2 and "exists and is not empty" in said
    code, said = answer("export", finished, "--to", "hub", "--out", finished / "synthetic" / "out")
    assert code == 2 and "lies in the run" in said
    code, said = answer("export", finished, "--to", "zip", "--out", tmp_path / "zip")
    assert code == 2 and "there is no zip; known here: dicom, hub, webui" in said
    monkeypatch.setattr(hub, "_write_adapter", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(finished, "hub", tmp_path / "torn", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_run_that_is_not_finished_is_refused_with_the_command(finished, tmp_path, answer):
    copy = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(copy / "adapters" / "sd+ti")
    code, said = answer("export", copy, "--to", "dicom", "--out", tmp_path / "out")
    assert code == 2 and f"fix: finish it: sonosynth report {copy}" in said and not (tmp_path / "out").exists()


def test_another_package_adds_a_form(finished, tmp_path, monkeypatch):
    (tmp_path / "listing.py").write_text(
        "from sonosynth.sharing import Kind\n\nTAKES = (Kind.LORA,)\n\n\n"
        "def write(shared, out):\n    (out / 'names').write_text(' '.join(one.name for one in shared.adapters))\n"
    )
    info = tmp_path / "listing-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: listing\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[sonosynth.exports]\nlisting = listing\n")
    monkeypatch.syspath_prepend(tmp_path)
    export(finished, "listing", tmp_path / "out", force=True)
    assert (tmp_path / "out" / "names").read_text() == "sd sd+ti"
    del sys.modules["listing"]


def test_every_set_knows_whether_it_was_made_from_patients_images(finished):
    for file in (finished / ".parts" / "origins").iterdir():
        assert json.loads(file.read_text())["real"] is False
