"""The jobs of adapters whose steps and guidance are chosen by probes: the graph, and a run of it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sonosynth.cohort.reading import list_files
from sonosynth.errors import UserError
from sonosynth.machine import resolve
from sonosynth.phantom import write_cohort
from sonosynth.run import Study
from sonosynth.study import plan
from sonosynth.synthesis import probing

PROBE = ("adapt.stop=probe", "lora.steps=8", "synthesis.guidance=auto")
OTHER_SETS = ("sets.sd+img2img.synthesis={guidance: 3}", "sets.copies={kind: copy, from: real, count: 3}")


def test_without_probes_nothing_is_planned_for_them_and_the_setting_is_in_no_key(planned):
    plain, fixed = planned(), planned("adapt.stop=fixed")
    assert [job.inputs({}) for job in plain.values()] == [job.inputs({}) for job in fixed.values()]
    assert not [name for name in plain if "prob" in name]
    assert not [name for name, job in plain.items() if "choice" in job.needs]


def test_every_adapter_is_probed_after_each_number_of_steps_on_a_split_of_its_own(planned):
    jobs = planned(*PROBE, "adapters.word={token: <other>}", *OTHER_SETS)
    found = {name: dict(job.needs) for name, job in jobs.items() if name.startswith("probing/")}
    token = next(name for name in found if name.startswith("probing/tokens/"))
    images = {"cohort": "cohort", "split": "probing/split", "latents": "latents"}
    described = ("measures/features/real", "measures/ultrasound/real")
    expected = {"probing/split": {"split": "split"}, token: images}
    for name in ("sd", "sd+ti"):
        for steps in (2, 4, 8):
            adapter, distances = f"probing/adapters/{name}/{steps}", f"probing/distances/{name}/{steps}"
            expected[adapter] = images | ({"token": token} if name == "sd+ti" else {})
            splits = {"split": "probing/split", "block": "split"}
            expected[distances] = {"cohort": "cohort", **splits, "adapter": adapter, "real": described}
            assert jobs[adapter].settings.lora.steps == steps
            assert jobs[adapter].settings.learning == jobs["adapters/sd"].settings.learning
            assert jobs[distances].settings.guidances == probing.GUIDANCES
        expected[f"probing/choices/{name}"] = {"probes": tuple(f"probing/distances/{name}/{n}" for n in (2, 4, 8))}
        assert jobs[f"adapters/{name}"].needs["choice"] == f"probing/choices/{name}"
        assert jobs[f"synthetic/{name}"].needs["choice"] == f"probing/choices/{name}"
    assert found == expected
    assert "choice" not in jobs["adapters/word"].needs  # it has no LoRA
    assert all("choice" not in jobs[f"synthetic/{name}"].needs for name in ("sd+img2img", "copies"))
    assert jobs["probes"].needs["parts"] == ("probing/choices/sd", "probing/choices/sd+ti")
    assert "probes" in jobs["report"].needs["tables"]


def test_a_split_is_probed_once_for_all_its_generators_at_the_guidance_that_is_given(planned):
    jobs = planned("adapt.stop=probe", "repeats={folds: 2, generators: 2}", "synthesis.guidance=3")
    assert {name.split("probing/")[0] for name in jobs if "probing/" in name} == {"", "repeats/2/"}
    assert jobs["repeats/3/adapters/sd"].needs["choice"] == "repeats/2/probing/choices/sd"
    assert jobs["repeats/3/adapters/sd"].needs["split"] == "repeats/3/split"
    assert jobs["probing/distances/sd/2"].settings.guidances == (3,)
    jobs = planned("adapt.stop=probe", "sets.sd.synthesis={guidance: 2}")
    assert jobs["probing/distances/sd/2"].settings.guidances == (2,)  # at which its images will be made
    assert "choice" not in jobs["synthetic/sd"].needs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("synthesis.guidance=auto",), "synthesis.guidance: auto, for the set sd.*\n.*\nfix: give adapt.stop=probe"),
        ((*PROBE, "sets.bare={from: noise}"), "for the set bare.*\n.*\n.*sets.bare.synthesis.guidance=1"),
        (("adapt={stop: probe, on: all}",), "adapt: stop: probe holds back training images"),
    ],
)
def test_a_guidance_that_nothing_chooses_and_probes_that_hold_nothing_back_are_refused(planned, changes, said):
    with pytest.raises(UserError, match=said):
        planned(*changes)


def test_adapters_and_sets_take_what_was_chosen_by_images_that_trial_adapters_have_not_seen(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(probing, "EACH", 2)
    monkeypatch.setattr(probing, "GUIDANCES", (1.0, 2.5))
    write_cohort(tmp_path / "cohort", {"benign": 14, "malignant": 13}, seed=3, size=32)
    wanted = settings(
        *PROBE,
        "lora.steps=2",
        "adapters.sd=null",
        "sets={sd+ti: {count: 2}, sd+ti+img2img: null, variation: {from: real, adapter: sd+ti, count: 1}}",
    )
    study, root = Study(tmp_path / "cohort", wanted), tmp_path / "run"
    study.run(root, "synthesize", processes=False)
    chosen = json.loads((root / ".parts" / "probing" / "choices" / "sd+ti.json").read_text())
    losses = pd.read_csv(root / "adapters" / "sd+ti" / "losses.csv")
    assert (losses["part"] == "lora").sum() == chosen["steps"]
    for name in ("sd+ti", "variation"):
        assert set(pd.read_csv(root / "synthetic" / name / "metadata.csv")["guidance"]) == {chosen["guidance"]}
    table = pd.read_csv(root / ".parts" / "probing" / "choices" / "sd+ti.csv")
    assert sorted(set(table["steps"])) == [1, 2] and set(table["guidance"]) == set(probing.GUIDANCES)
    assert np.isfinite(table["value"]).all() and table.groupby(["steps", "guidance"])["chosen"].first().sum() == 1

    rows = pd.read_csv(root / ".parts" / "probing" / "split.csv", keep_default_na=False)
    trained = set(json.loads((root / ".parts/probing/adapters/sd+ti/2/adapter.json").read_text())["images"])
    assert trained == set(rows["sha256"][rows["split"] == "train"])


def test_encoders_are_trained_for_loras_that_ask_for_them_on_the_split_of_each(planned):
    plain = planned()
    assert not [name for name in plain if "encoders" in name]
    assert not [name for name, job in plain.items() if "encoders" in job.needs]
    jobs = planned(*PROBE, "adapters.sd.lora={diagnostic: 0.1}", "repeats={folds: 2, generators: 2}")
    at = ("", "probing/", "repeats/1/", "repeats/2/", "repeats/2/probing/", "repeats/3/")
    assert sorted(name for name in jobs if name.endswith("encoders")) == sorted(f"{place}encoders" for place in at)
    for place in at:
        expected = {"cohort": "cohort", "split": f"{place}split", "latents": "latents"}
        assert jobs[f"{place}encoders"].needs == expected
        adapters = [job for name, job in jobs.items() if name.startswith(f"{place}adapters/")]
        assert {job.needs.get("encoders") for job in adapters if "/sd" in job.name} == {f"{place}encoders", None}
        assert all(("encoders" in job.needs) == (job.settings.lora.diagnostic > 0) for job in adapters)
    assert jobs["encoders"].settings.seed != jobs["repeats/1/encoders"].settings.seed


@pytest.mark.parametrize(("base", "folds", "threads"), [("embedded", 2, 4), ("embedded", None, 4), (None, 2, 8)])
def test_small_generators_have_half_the_cores_each(settings, phantoms, base, folds, threads):
    named = (f"base={base}",) if base else ()
    wanted = settings(*named, f"repeats.folds={folds or 'null'}", "resolution=64")
    jobs = plan(wanted, list_files(phantoms), replace(resolve(wanted), cores=8, device="cpu"))
    by_name = {job.name: job.threads for job in jobs}
    assert {by_name[name] for name in ("adapters/sd", "synthetic/sd", "synthetic/sd+img2img")} == {threads}
    assert by_name["classifiers/real/0"] == 2
