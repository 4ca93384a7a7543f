"""A finished run opened from Python, and the steps of a study on its arrays."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sonosynth
from sonosynth import UserError, find_copies, judge, open_run, score
from sonosynth.phantom.simulate import DEMO_PROBE


@pytest.fixture(scope="module")
def run(finished):
    return open_run(str(finished))


def test_tables_are_the_files_of_the_run(run, finished):
    for name in ("predictions", "table", "classes", "verdicts", "fidelity", "memorisation"):
        stored = pd.read_csv(finished / "evaluation" / f"{name}.csv")
        found = getattr(run, name)
        assert list(found) == list(stored) and len(found) == len(stored) > 0
        numbers = found.select_dtypes("number")
        pd.testing.assert_frame_equal(numbers, stored[list(numbers)], check_dtype=False)
    assert list(run.cohort["id"]) == list(pd.read_csv(finished / "cohort.csv")["id"])
    assert set(run.verdicts["class"]) >= {"", "benign"}  # text, and no NaN
    assert set(run.read("ultrasound")["set"]) >= {"sd", "real training"}
    assert run.settings.resolution == 32


def test_images_are_those_of_the_files(run, finished):
    rows, pixels = run.synthetic("sd")
    files = [finished / "synthetic" / "sd" / name for name in rows["file_name"]]
    assert np.array_equal(pixels, np.stack([np.asarray(Image.open(file)) for file in files]))
    real = run.real
    assert real.pixels.shape == (len(real.rows), 32, 32)
    assert set(real.rows["split"]) == {"train", "validation"} and set(real.rows["excluded"]) == {""}
    assert list(real.rows["id"]) == list(run.cohort["id"][run.cohort["excluded"] == ""])


def test_verdicts_and_scores_follow_from_the_predictions(run):
    decisive = run.verdicts[
        (run.verdicts["metric"] == "f1") & (run.verdicts["class"] == "") & run.verdicts["p"].notna()
    ]
    against = decisive.groupby("arm")["against"].agg(list)
    again = judge(run.judged, groups=run.groups, against={arm: others[1:] for arm, others in against.items()})
    again = again.set_index(["arm", "against"]).loc[list(zip(decisive["arm"], decisive["against"], strict=True))]
    for column in ("difference", "low", "high", "p"):
        assert np.allclose(again[column], decisive[column], equal_nan=True)
    arms, classes = score(run.judged, groups=run.groups)
    known = run.table.set_index("arm").loc[arms["arm"]]
    assert np.allclose(arms[["f1", "f1_low", "f1_high"]], known[["f1", "f1_low", "f1_high"]])
    assert np.allclose(classes["value"], run.classes["value"], equal_nan=True)


def test_a_search_for_copies_is_that_of_the_run(run):
    train = run.real.rows["split"] == "train"
    rows, pixels = run.synthetic("sd")
    known = run.real.rows[train]
    found = find_copies(
        pixels, rows["label"], run.real.pixels[train], known["label"], groups=known["id"].replace(run.groups)
    )
    stored = run.memorisation[run.memorisation["set"] == "sd"].reset_index(drop=True)
    assert not (rows["flaw"] != "").any() and list(stored["file_name"]) == list(rows["file_name"])
    assert list(known["id"].to_numpy()[found["nearest"]]) == list(stored["nearest"])
    compared = ["correlation", "cosine", "copy", "verbatim"]
    pd.testing.assert_frame_equal(found[compared], stored[compared], check_dtype=False)


def test_a_copy_is_found_and_another_image_is_none():
    images = np.stack([sonosynth.simulate("benign", np.random.default_rng(i), DEMO_PROBE, 64).image for i in range(45)])
    training, other = images[:44], images[44]
    made = np.stack([training[7][:, ::-1], other])
    found = find_copies(made, ["benign"] * 2, training, ["benign"] * 44)
    assert found["nearest"][0] == 7 and list(found["verbatim"]) == [True, False] and not found["copy"][1]
    with pytest.raises(ValueError, match="no training image of cyst"):
        find_copies(made, ["benign", "cyst"], training, ["benign"] * 44)
    with pytest.raises(ValueError, match="one entry for each image"):
        find_copies(made, ["benign"] * 2, training, ["benign"] * 44, groups=["a"])
    with pytest.raises(ValueError, match="uint8"):
        sonosynth.features(made / 255.0)


def test_what_is_not_there_is_said_with_what_is(run, finished, tmp_path):
    with pytest.raises(UserError, match=r"has no table choices\n.*one of classes, .*verdicts"):
        run.read("choices")
    with pytest.raises(UserError, match=r"has no set gan\n.*one of sd, "):
        run.synthetic("gan")
    with pytest.raises(UserError, match="is not a run folder"):
        open_run(tmp_path)
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "evaluation" / "table.csv").write_text("arm\n")
    with pytest.raises(UserError, match=r"table.csv: is missing, or not what the job tables wrote"):
        _ = open_run(copy).table
    (copy / ".jobs" / "tables.json").unlink()
    with pytest.raises(UserError, match="is not finished"):
        open_run(copy)


def test_public_names_are_found_when_they_are_used():
    assert all(getattr(sonosynth, name).__doc__ for name in sonosynth.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sonosynth.nothing


def test_a_path_may_be_text(settings, phantoms):
    study, same = sonosynth.Study(str(phantoms), settings()), sonosynth.Study(phantoms, settings())
    assert study == same and len(study.statuses()) == len(same.statuses(None))
    assert sonosynth.read_cohort(str(phantoms)).labels == sonosynth.read_cohort(phantoms).labels
