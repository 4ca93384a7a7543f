"""The folders for the hub: data set and models, with cards."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from sonosynth import disk, read_provenance
from sonosynth.adapters import unet
from sonosynth.artefacts import Adapter
from sonosynth.exports import _cards, hub
from sonosynth.jobs import Made
from sonosynth.sharing import Kind


@pytest.fixture(scope="module")
def written(shared, tmp_path_factory):
    out = tmp_path_factory.mktemp("hub")
    hub.write(shared, out)
    return out


def header(card):
    return yaml.safe_load(card.read_text(encoding="utf-8").split("---\n")[1])


def test_each_set_is_an_image_folder_with_its_files_as_they_were(written, shared, finished):
    configs = {one["config_name"]: one["data_dir"] for one in header(written / "dataset" / "README.md")["configs"]}
    assert list(configs) == [one.made.name for one in shared.sets]
    for one in shared.sets:
        folder = written / "dataset" / configs[one.made.name]
        rows = pd.read_csv(folder / "metadata.csv")
        files = {file.relative_to(folder).as_posix() for file in folder.rglob("*.png")}
        assert set(rows["file_name"]) == files and len(rows) == len(one.kept)
        for row in rows.to_dict("records"):
            source = finished / "synthetic" / one.made.name / row["file_name"]
            assert (folder / row["file_name"]).read_bytes() == source.read_bytes()
            said = read_provenance(folder / row["file_name"])
            assert said.synthetic and not said.real
            assert (said.set, said.label, said.prompt, said.seed) == (
                one.made.name, row["label"], row["prompt"], row["seed"],
            )  # fmt: skip
            assert (said.base, said.adapter) == (row["base"], row["adapter"])


def test_what_is_not_kept_is_not_there(shared, tmp_path):
    one = dataclasses.replace(shared.sets[0], kept=shared.sets[0].kept[1:3])
    hub.write(dataclasses.replace(shared, sets=[one], adapters=[]), tmp_path)
    rows = pd.read_csv(tmp_path / "dataset" / "sd" / "metadata.csv")
    assert list(rows["file_name"]) == list(one.made.rows["file_name"].iloc[one.kept])
    assert len(list(tmp_path.rglob("*.png"))) == 2 and not (tmp_path / "models").exists()
    card = (tmp_path / "dataset" / "README.md").read_text(encoding="utf-8")
    assert sum(int(count) for count in re.findall(r"^- `\w+`: (\d+)$", card.split("## The cohort")[0], re.M)) == 2


def test_datasets_loads_it(written, shared):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: the format is read with pandas alone")
    for one in shared.sets:
        loaded = datasets.load_dataset("imagefolder", data_dir=str(written / "dataset" / one.made.name), split="train")
        assert len(loaded) == len(one.kept) and {"image", "label", "prompt", "seed"} <= set(loaded.column_names)
        named = datasets.load_dataset(str(written / "dataset"), one.made.name, split="train")
        assert np.array_equal(np.asarray(named[0]["image"]), np.asarray(loaded[0]["image"]))


def test_nothing_of_patients_and_no_path_leaves(written, finished, tiny_base):
    cohort = pd.read_csv(finished / "cohort.csv", dtype=str, keep_default_na=False)
    secrets = {*cohort["id"], *cohort["sha256"], str(tiny_base), str(finished), *map(str, tiny_base.parents[:3])}
    for file in (file for file in written.rglob("*") if file.is_file()):
        data = file.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in data], file
    assert not list(written.rglob("adapter.json")) and not list(written.rglob("losses.csv"))


def test_the_cards_say_what_it_is(written, shared):
    card = (written / "dataset" / "README.md").read_text(encoding="utf-8")
    for one in shared.sets:
        assert all(sentence in card for sentence in one.verdicts)
        assert f"of {one.searched} images that were compared" in card
        assert all(str(reason) in card for reason in one.forced)
    assert shared.origin.cohort in card and shared.origin.base_digest in card
    assert "**To be filled in.**" in card and "Not for\ndiagnosis" in card and "no patient was imaged" in card
    assert header(written / "dataset" / "README.md")["license"] == "other"
    assert "<" not in re.sub(r"n<1K|<ultrasound>", "", card)
    card = (written / "models" / "sd+ti" / "README.md").read_text(encoding="utf-8")
    assert header(written / "models" / "sd+ti" / "README.md")["tags"][-2:] == ["lora", "textual_inversion"]
    for label, prompt in shared.adapters[1].prompts.items():
        assert f"- `{label}`: `{prompt} <ultrasound>`" in card
    assert "rank 2" in card and "no verdict" not in card


@pytest.mark.parametrize("name", ["sd", "sd+ti"])
def test_the_lines_of_a_model_card_make_images(written, tiny_base, monkeypatch, name):
    folder = written / "models" / name
    card = (folder / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", card, re.S)
    assert ("load_textual_inversion" in lines) == (name == "sd+ti") and "load_lora_weights" in lines
    monkeypatch.chdir(folder)
    names = {}
    exec(lines.replace("FOLDER-OF-THE-BASE", str(tiny_base)), names)
    assert isinstance(names["image"], Image.Image) and names["image"].size == (32, 32)


def test_the_lines_of_a_whole_unets_card_make_images(shared, tiny_base, tmp_path, monkeypatch):
    folder = tmp_path / "whole"
    unet.save(unet.start(tiny_base, "random", 0), torch.float32, folder)
    disk.write_json(folder / "adapter.json", {"images": ["a hash"]})
    made = Adapter(Made("adapters/whole", {"adapter": folder}, {}, "", 0.0, 0))
    tokens = dict.fromkeys(shared.adapters[0].prompts)
    one = dataclasses.replace(shared.adapters[0], made=made, kind=Kind.UNET, tokens=tokens, learned={"unet": {}})
    hub.write(dataclasses.replace(shared, sets=[], adapters=[one]), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out" / "models" / "whole")
    card = Path("README.md").read_text(encoding="utf-8")
    names = {}
    exec(re.findall(r"```python\n(.*?)```", card, re.S)[0].replace("FOLDER-OF-THE-BASE", str(tiny_base)), names)
    kept, own = names["pipe"].unet.state_dict(), unet.load(folder, torch.float32).state_dict()
    assert all(torch.equal(kept[name], own[name]) for name in own) and names["image"].size == (32, 32)
    assert not Path("adapter.json").exists() and header(Path("README.md"))["tags"][-1] == "sonosynth"


@pytest.mark.parametrize(("text", "shown"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("<script>", "`<script>`")])
def test_words_of_a_user_are_no_markup(text, shown):
    assert _cards.code(text) == shown
