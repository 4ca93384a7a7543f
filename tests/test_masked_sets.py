"""Sets that are made under lesion masks: the graph, what is refused before anything runs, and a run."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import sign
from sonosynth import disk, hub
from sonosynth.adapters import control
from sonosynth.adapters import jobs as adaptation
from sonosynth.artefacts import Adapter, Split, SyntheticSet
from sonosynth.bases import sd1
from sonosynth.cohort.reading import list_files
from sonosynth.errors import UserError
from sonosynth.exports import hub as exporting
from sonosynth.jobs import keyed
from sonosynth.machine import resolve
from sonosynth.run import Study, reopen
from sonosynth.sharing import SharedSet
from sonosynth.study import plan

MASK = "adapters.mask={token: <ultrasound>, lora: {}, control: mask}"
MASKED = (
    MASK, "control={steps: 2, batch: 2}",
    "sets.masked={from: noise, adapter: mask, condition: mask, count: {benign: 2, normal: 1}}",
    "sets.tissue={from: real, adapter: mask, condition: mask, keep: lesion, strength: 0.5, count: {benign: 2}}",
    "sets.again={from: masked, adapter: mask, condition: mask, strength: 0.5}",
)  # fmt: skip
ALONE = ("adapters={sd: null, sd+ti: null}", "sets.variation=null")


@pytest.fixture(scope="module")
def made(settings, phantoms, tmp_path_factory):
    """The folder of a run with masked sets, and what its jobs made."""
    root = tmp_path_factory.mktemp("masked") / "run"
    return root, Study(phantoms, settings(*MASKED, *ALONE)).run(root, "synthesize", processes=False)


def test_a_control_is_a_job_of_its_own_and_leaves_the_keys_of_all_others_as_they_are(planned):
    plain, jobs = planned(), planned(*MASKED)
    for name, job in plain.items():
        if name != "report":
            assert jobs[name].function == job.function and jobs[name].makes == job.makes, name
            if name.startswith(("adapters", "synthetic")):
                assert jobs[name].needs == job.needs and keyed(jobs[name].settings) == keyed(job.settings)
    assert not [name for name in plain if name in ("masks", "uncontrolled")]
    assert not {"condition", "masks", "keep"} & keyed(plain["synthetic/sd"].settings).keys()
    job = jobs["adapters/mask"]
    assert job.run is adaptation.learn_control and job.makes == {"adapter": "adapters/mask"}
    assert job.needs["adapter"] == "uncontrolled/mask" and job.needs["masks"] == "masks"
    assert keyed(jobs["uncontrolled/mask"].settings) == keyed(jobs["adapters/sd+ti"].settings)
    assert jobs["synthetic/masked"].needs["masks"] == "masks" and "cohort" not in jobs["synthetic/masked"].needs
    probed = planned(*MASKED, "adapt.stop=probe")
    assert "choice" in probed["uncontrolled/mask"].needs and "choice" not in probed["adapters/mask"].needs
    trials = [name for name in probed if name.startswith("probing/adapters/mask/")]
    assert trials and all(probed[name].run is adaptation.learn for name in trials)


def test_a_published_controlnet_enters_the_key_by_its_content(planned, tiny_base, tmp_path):
    network = control.start(sd1.load_network(tiny_base, "unet", sd1.DTYPES["fp32"]), 4, None, 0)
    network.save_pretrained(tmp_path / "published")
    network.save_pretrained(tmp_path / "copy")
    first, copy = (
        planned(*MASKED, f"adapters.mask.control={{kind: mask, start: {tmp_path / name}}}")["adapters/mask"]
        for name in ("published", "copy")
    )
    assert isinstance(first.settings.start, hub.Model)
    assert keyed(first.settings) == keyed(copy.settings) != keyed(planned(*MASKED)["adapters/mask"].settings)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("sets.a={from: noise, adapter: sd, condition: mask}", r"sets\.a\.condition: needs an adapter with a control"),
        ("sets.a={from: noise, condition: mask}", r"sets\.a\.condition: needs an adapter with a control"),
        ("adapters.mask.control=edges", r"adapters\.mask\.control\.kind: must be .mask."),
        ("adapters.mask.control={kind: mask, steps: 0}", r"adapters\.mask\.control\.steps"),
        ("sets.a={from: noise, adapter: mask, masks: shapes}", "masks, keep and obey: only with condition: mask"),
        ("sets.a={from: noise, adapter: mask, condition: mask, keep: lesion}", "keep: needs images to start from"),
        ("sets.a={from: real, adapter: mask, condition: mask, masks: shapes}", "masks: an image shows its own lesion"),
        ("sets.a={from: sd, adapter: mask, condition: mask}", "the images of sd have no masks"),
        ("sets.a={from: noise, adapter: mask, condition: mask, masks: nowhere}", "masks: nowhere: does not exist"),
        ("masks.empty=[cyst]", "masks.empty: the cohort has no class cyst"),
    ],
)
def test_what_can_not_be_made_under_masks_is_refused(planned, change, mistake):
    with pytest.raises(UserError, match=mistake):
        planned(MASK, change)


def test_a_cohort_without_masks_is_refused(settings, phantoms):
    wanted, files = settings(*MASKED), list_files(phantoms)
    bare = tuple(dataclasses.replace(source, masks=()) for source in files.sources)
    with pytest.raises(UserError, match="no image has a mask that shows a lesion"):
        plan(wanted, dataclasses.replace(files, sources=bare), resolve(wanted))
    some = tuple(x if x.label != "normal" else dataclasses.replace(x, masks=()) for x in files.sources)
    with pytest.raises(UserError, match="no image of normal has a mask file"):
        plan(wanted, dataclasses.replace(files, sources=some), resolve(wanted))
    wanted = settings(*MASKED, "masks.empty=[normal]")
    assert plan(wanted, dataclasses.replace(files, sources=some), resolve(wanted))


def test_every_image_lies_beside_the_mask_that_it_was_made_under(made):
    root, finished = made
    for name, sources in (("masked", None), ("tissue", "benign"), ("again", "masked")):
        images, folder = SyntheticSet(finished[f"synthetic/{name}"]), root / "synthetic" / name
        rows = images.rows
        assert list(rows["mask_file_name"]) == [file.replace(".png", "_mask.png") for file in rows["file_name"]]
        for file, mask, label in zip(rows["mask_file_name"], images.masks, rows["label"], strict=True):
            with Image.open(folder / file) as stored:
                assert stored.mode == "L" and set(np.unique(np.asarray(stored))) <= {0, 255}
                assert np.array_equal(np.asarray(stored) > 0, mask)
            assert mask.any() == (label == "benign")
        assert sources is None or all(source.startswith(sources) for source in rows["source"])
        as_cohort = list_files(folder)
        assert len(as_cohort.sources) == len(rows) and all(source.masks for source in as_cohort.sources)
    masked, again = (SyntheticSet(finished[f"synthetic/{name}"]) for name in ("masked", "again"))
    assert np.array_equal(masked.masks, again.masks) and not np.array_equal(masked.pixels, again.pixels)


def test_masks_are_of_training_images_which_are_origins_but_excuse_no_copy(made):
    finished = made[1]
    images, split = SyntheticSet(finished["synthetic/masked"]), Split(finished["split"])
    hashes = split.train.set_index("id")["sha256"]
    assert {*hashes[images.rows["mask_source"]]} <= images.origins.shared
    assert set(images.origins.own) == {frozenset()} and not images.real
    assert not images.origins.all() & split.scored
    tissue = SyntheticSet(finished["synthetic/tissue"])
    assert [*tissue.origins.own] == [frozenset([hashes[name]]) for name in tissue.rows["source"]] and tissue.real
    assert list(tissue.rows["mask_source"]) == list(tissue.rows["source"]) and set(tissue.rows["keep"]) == {"lesion"}


def test_the_kept_lesion_is_the_images_own(made, phantoms):
    tissue = SyntheticSet(made[1]["synthetic/tissue"])
    for source, pixels, mask in zip(tissue.rows["source"], tissue.pixels, tissue.masks, strict=True):
        with Image.open(phantoms / f"{source}.png") as file:
            own = np.asarray(file.convert("L").resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
        away = np.abs(own - pixels)
        inside = mask.astype(bool)
        inner = inside & np.roll(inside, 1, 0) & np.roll(inside, -1, 0) & np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
        assert away[inner].max() <= 1 < away[~inside].mean()


def test_the_adapter_holds_what_was_learned_without_the_control_too(made):
    plain, whole = (Adapter(made[1][name]) for name in ("uncontrolled/mask", "adapters/mask"))
    assert whole.about == plain.about | {"control": "mask", "images": whole.about["images"]}
    assert whole.losses["part"].value_counts().to_dict() == {"token": 2, "lora": 2, "control": 2}
    files = {file.relative_to(plain.folder) for file in plain.folder.rglob("*")}
    assert all((whole.folder / file).exists() for file in files) and (whole.folder / "control" / "config.json").exists()


def test_a_validation_image_in_what_a_control_is_learned_from_fails_the_run(made, tmp_path):
    copy = shutil.copytree(made[0], tmp_path / "run")
    file = copy / ".parts" / "uncontrolled" / "mask" / "adapter.json"
    about = json.loads(file.read_text())
    disk.write_json(file, about | {"images": [*about["images"], min(Split(made[1]["split"]).scored)]})
    sign(copy, "uncontrolled/mask")
    with pytest.raises(UserError, match="uncontrolled/mask: was made from 1 validation image"):
        reopen(copy).run(copy, "adapt", change=True, processes=False)


def test_masks_are_exported_with_their_images(made, tmp_path):
    images = SyntheticSet(made[1]["synthetic/masked"])
    one = SharedSet(images, np.array([0, 2]), "text", "noise", "mask", 3, 0, 0, ())
    exporting._write_set(one, tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out" / "metadata.csv")
    assert all((tmp_path / "out" / name).is_file() for name in (*rows["file_name"], *rows["mask_file_name"]))
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4 and "mask_source" not in rows
