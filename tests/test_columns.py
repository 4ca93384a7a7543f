"""A whole study of a cohort with further columns: in prompts, as what is held out in turn, and as subgroups."""

from dataclasses import replace

import pandas as pd
import pytest

from conftest import figures_of
from sonosynth.cohort.reading import list_files
from sonosynth.errors import UserError
from sonosynth.machine import resolve
from sonosynth.phantom import write_cohort
from sonosynth.repeats import of_cohort
from sonosynth.run import Study
from sonosynth.settings import load
from sonosynth.study import plan
from sonosynth.synthesis import strata
from sonosynth.synthesis.jobs import make

FEW = (
    "adapters.sd=null", "sets.copies={kind: copy, from: real, count: 4}",
    "sets={sd+ti: {count: 3}, sd+ti+img2img: {from: sd+ti, adapter: sd+ti}}",
    "classifier.seeds=[0]", "fidelity.measures=[features]", "split.leave_out=hospital", "compare.subgroups=[device]",
    "prompts.template={modality} image of {label}, {device}", "balance.by=[device]",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("columns")
    write_cohort(folder, {"benign": 10, "malignant": 8}, seed=4, size=32)
    files = sorted(p.relative_to(folder) for p in folder.glob("*/*.png") if "_mask" not in p.stem)
    table = pd.DataFrame({"file": files, "label": [file.parent.name for file in files]})
    table["hospital"] = ["north" if n % 2 else "south" for n in range(len(files))]
    table["device"] = ["X", "Y", ""] * 6
    table.to_csv(folder / "cohort.csv", index=False)
    with figures_of():
        Study(folder / "cohort.csv", settings(*FEW)).run(folder / "run", processes=False)
    return folder / "run"


def read(file):
    return pd.read_csv(file, keep_default_na=False)


def test_each_hospital_is_held_out_in_turn(run):
    for place, hospital in (("", "north"), ("repeats/1/", "south")):
        rows = read(run / f"{place}cohort.csv")
        assert list(rows.columns)[-2:] == ["hospital", "device"]
        assert set(rows["hospital"][rows["split"] == "validation"]) == {hospital}
        assert hospital not in set(rows["hospital"][rows["split"] == "train"])
    assert "each of the 2 values of hospital held out in turn" in (run / "report.html").read_text(encoding="utf-8")


def test_prompts_have_the_columns_of_a_training_image(run):
    device = read(run / "cohort.csv").query("split == 'train'").set_index("id")["device"]
    made, refined = (read(run / "synthetic" / name / "metadata.csv") for name in ("sd+ti", "sd+ti+img2img"))
    for row in made.to_dict("records"):
        there = f", {device[row['described']]}" if device[row["described"]] else ""
        assert row["prompt"] == f"ultrasound image of {row['label']}{there} <ultrasound>"
    assert list(refined["described"]) == list(made["described"]) and list(refined["prompt"]) == list(made["prompt"])


def test_synthetic_images_are_distributed_among_devices_as_planned(run):
    train = read(run / "cohort.csv").query("split == 'train'")
    made, device = read(run / "synthetic" / "sd+ti" / "metadata.csv"), train.set_index("id")["device"]
    of = strata.members(train, ("device",))
    for label, own in made.groupby("label"):
        assert [(device[name],) for name in own["described"]] == strata.order(of, label, 3)
    for label, own in read(run / "synthetic" / "copies" / "metadata.csv").groupby("label"):
        assert [(device[name],) for name in own["source"]] == strata.order(of, label, 4)
        assert set(own["source"]) <= set(train["id"][train["label"] == label])


def test_sets_that_keep_what_they_start_from_are_in_no_strata(run, settings):
    more = "sets={each: {from: real, adapter: sd+ti, each: 1}, between: {kind: between, from: real, adapter: sd+ti}}"
    wanted = settings(*FEW, more)
    jobs = plan(wanted, list_files(run.parent / "cohort.csv"), resolve(wanted))
    by = {job.settings.name: job.settings.by for job in jobs if job.run is make}
    assert by == {"sd+ti": ("device",), "copies": ("device",), "sd+ti+img2img": (), "each": (), "between": ()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("balance.by=[scanner]",), r"balance\.by: the cohort has no column scanner.*device"),
        (("prompts.template=image of {label}", "balance.by=[device]"), r"balance\.by: not every prompt names device"),
        (("prompts.template=image of {label}, {site}",), r"no column site\n.*\{label\}, \{modality\}, .*device"),
    ],
)
def test_what_prompts_and_strata_cannot_say_is_refused_early(run, settings, changes, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        Study(run.parent / "cohort.csv", settings(*FEW[:-2], *changes)).statuses()


def test_a_column_goes_before_the_setting_of_its_name(run):
    files = list_files(run.parent / "cohort.csv")
    words = ("prompts.template={modality} of {label}", "prompts.labels.x={label} by {modality}")
    template = load("quick", (), ("modality=mri", *words))
    assert of_cohort(template, files).prompts.of("a_b") == "MRI of a b"
    assert of_cohort(template, files).prompts.of("x") == "x by MRI"
    own = replace(files, sources=(replace(files.sources[0], more=(("modality", "CT"),)),))
    assert of_cohort(template, own).prompts.of("a") == "{modality} of a"


def test_scores_of_each_device_are_told_and_all_images_belong_to_one(run):
    found = read(run / "evaluation" / "subgroups.csv")
    whole = found[(found["metric"] == "auc") & (found["arm"] == "real")]
    assert dict(zip(whole["subgroup"], whole["images"], strict=True)) == {"X": 6, "Y": 6, "(unknown)": 6}
    assert "device: X" in (run / "report.html").read_text(encoding="utf-8")
