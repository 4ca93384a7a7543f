"""A whole study of a cohort with further columns: in prompts, as what is held out in turn, and as subgroups."""

import pandas as pd
import pytest

from sonosynth.phantom import write_cohort
from sonosynth.run import Study

FEW = (
    "adapters.sd=null", "sets={sd+ti: {count: 3}, sd+ti+img2img: {from: sd+ti, adapter: sd+ti}}",
    "classifier.seeds=[0]", "fidelity.measures=[features]", "split.leave_out=hospital", "compare.subgroups=[device]",
    "prompts.template=ultrasound image of {label}, {device}",
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


def test_scores_of_each_device_are_told_and_all_images_belong_to_one(run):
    found = read(run / "evaluation" / "subgroups.csv")
    whole = found[(found["metric"] == "auc") & (found["arm"] == "real")]
    assert dict(zip(whole["subgroup"], whole["images"], strict=True)) == {"X": 6, "Y": 6, "(unknown)": 6}
    assert "device: X" in (run / "report.html").read_text(encoding="utf-8")
