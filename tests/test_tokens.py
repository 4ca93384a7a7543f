"""A study with a token of its own for each class: the graph, and a run of it."""

import json
import shutil

import pandas as pd
import pytest

from conftest import sign
from sonosynth import disk
from sonosynth.adapters import jobs as adaptation
from sonosynth.artefacts import Adapter, CohortImages, Split
from sonosynth.bases.latents import Latents
from sonosynth.errors import UserError
from sonosynth.phantom import write_cohort
from sonosynth.run import Study, reopen

TOKENS = {"benign": "<b>", "malignant": "<m>", "normal": "<n>"}
EACH = f"token: {json.dumps(TOKENS)}"
CLASSES = (f"adapters.classes={{{EACH}, lora: {{}}}}", "sets.classes={from: noise, adapter: classes, count: 2}")


@pytest.fixture(scope="module")
def taught():
    """The images that each token is learned from in `made`, as latents and prompts, by its text."""
    return {}


@pytest.fixture(scope="module")
def made(settings, phantoms, tmp_path_factory, taught):
    """A run up to its images."""
    root, learn = tmp_path_factory.mktemp("tokens") / "run", adaptation.learning.learn_token

    def recorded(how, text, base, examples, **more):
        taught[text] = examples
        return learn(how, text, base, examples, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptation.learning, "learn_token", recorded)
        few = (
            "adapters={sd: null, sd+ti: null, plain: {token: <us>}}",
            "sets.plain={from: noise, adapter: plain, count: 1}",
        )
        Study(phantoms, settings(*CLASSES, *few)).run(root, "synthesize", processes=False)
    return root


def opened(root):
    """What the finished jobs of a run made, by name."""
    return {job.name: status.made for job, status in reopen(root).statuses(root) if status.made}


def test_each_token_is_a_job_of_its_own_and_leaves_every_other_job_as_it_is(planned):
    plain, jobs = planned(), planned(*CLASSES)
    tokens = {job.settings.text: name for name, job in jobs.items() if name.startswith("tokens/") and name not in plain}
    assert sorted(tokens) == sorted(TOKENS.values())
    for label, text in TOKENS.items():
        job = jobs[tokens[text]]
        assert job.run is adaptation.learn_token and job.settings.label == label
        assert job.settings.learning.prompts == {label: jobs["adapters/classes"].settings.learning.prompts[label]}
        assert job.needs == {"cohort": "cohort", "split": "split", "latents": "latents"}
    assert jobs["adapters/classes"].needs["token"] == tuple(tokens[text] for text in TOKENS.values())
    prompts = jobs["synthetic/classes"].settings.prompts
    assert prompts == {x: f"{jobs['adapters/sd'].settings.learning.prompts[x]} {TOKENS[x]}" for x in TOKENS}
    same = [name for name in plain if name.startswith(("adap", "tok", "synth"))]
    assert len([name for name in same if name.startswith("tokens/")]) == 1
    assert [jobs[name].inputs({}) for name in same] == [plain[name].inputs({}) for name in same]


def test_adapters_share_tokens_with_the_same_text_for_the_same_classes(planned):
    other = {"benign": "<b>", "malignant": "<x>", "normal": "<m>"}
    jobs = planned(
        *CLASSES, f"adapters.word={{{EACH}}}", "adapters.one={token: <b>}",
        f"adapters.other.token={json.dumps(other)}",
    )  # fmt: skip
    assert jobs["adapters/word"].needs["token"] == jobs["adapters/classes"].needs["token"]
    benign, _, normal = jobs["adapters/other"].needs["token"]
    assert benign == jobs["adapters/classes"].needs["token"][0]
    assert jobs[normal].settings.text == "<m>" and normal not in jobs["adapters/classes"].needs["token"]
    assert jobs["adapters/one"].needs["token"] not in jobs["adapters/classes"].needs["token"]
    assert jobs[jobs["adapters/one"].needs["token"]].settings.label is None


def test_trial_adapters_have_tokens_of_the_four_fifths_that_they_see(planned):
    jobs = planned(*CLASSES, "adapt.stop=probe", "lora.steps=4")
    tokens = jobs["probing/adapters/classes/4"].needs["token"]
    assert len(tokens) == 3 and all(name.startswith("probing/tokens/") for name in tokens)
    assert {jobs[name].needs["split"] for name in tokens} == {"probing/split"}
    prompts = jobs["probing/distances/classes/4"].settings.prompts
    assert {label: prompt.split()[-1] for label, prompt in prompts.items()} == TOKENS


def test_a_token_is_learned_from_the_images_of_its_class_alone(made, taught):
    found = opened(made)
    train, cohort = Split(found["split"]).train, CohortImages(found["cohort"])
    latents = Latents.load(found["latents"].places["latents"])
    for label, text in TOKENS.items():
        own = train[train["label"] == label]
        assert set(taught[text].prompts) == {reopen(made).settings.prompts.of(label)}
        assert taught[text].latents.mean.equal(latents.choose(cohort.rows(own["id"])).mean)
        about = [json.loads(file.read_text()) for file in (made / ".parts" / "tokens").glob("*.json")]
        (about,) = (one for one in about if one["text"] == text)
        assert about["images"] == sorted(own["sha256"]) and about["label"] == label
    adapter = json.loads((made / "adapters" / "classes" / "adapter.json").read_text())
    assert adapter["images"] == sorted(train["sha256"])
    assert {label: own["text"] for label, own in adapter["token"].items()} == TOKENS


def test_prompts_end_with_the_token_of_their_class_and_losses_tell_which_is_which(made):
    rows = pd.read_csv(made / "synthetic" / "classes" / "metadata.csv")
    assert list(rows["prompt"].str.split().str[-1]) == [TOKENS[label] for label in rows["label"]]
    files = sorted(
        str(p.relative_to(made / "adapters" / "classes")) for p in (made / "adapters").rglob("classes/**/l*")
    )
    assert files == ["losses.csv", *(f"tokens/{label}/learned_embeds.safetensors" for label in TOKENS)]
    found = opened(made)
    table = Adapter(found["adapters/classes"]).losses
    assert list(zip(table["part"], table["label"], strict=True)) == [
        *(("token", label) for label in TOKENS for _ in range(2)), ("lora", ""), ("lora", ""),
    ]  # fmt: skip
    assert list(pd.read_csv(made / "adapters" / "plain" / "losses.csv").columns) == ["part", "step", "loss"]
    assert set(Adapter(found["adapters/plain"]).losses["label"]) == {""}


def test_a_validation_image_in_the_token_of_a_class_fails_the_run(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "run")
    leaked = min(Split(opened(copy)["split"]).scored)
    abouts = {file: json.loads(file.read_text()) for file in (copy / ".parts" / "tokens").glob("*.json")}
    (file,) = (file for file, about in abouts.items() if about["text"] == "<m>")
    disk.write_json(file, abouts[file] | {"images": [*abouts[file]["images"], leaked]})
    sign(copy, f"tokens/{file.stem}")
    with pytest.raises(UserError, match=rf"the token of tokens/{file.stem}: was made from 1 validation image"):
        reopen(copy).run(copy, "adapt", change=True, processes=False)


def test_a_class_with_one_training_image_has_a_token_and_one_with_none_is_named(settings, tmp_path):
    folder, root = tmp_path / "cohort", tmp_path / "run"
    write_cohort(folder, {"benign": 6, "malignant": 2}, seed=3, size=32)
    tokens = {"benign": "<b>", "malignant": "<m>"}
    few = (
        "adapters={sd: null, sd+ti: null}",
        "sets={sd: null, sd+ti: null}",
        f"adapters.mine.token={json.dumps(tokens)}",
    )
    Study(folder, settings(*few)).run(root, "adapt", processes=False)
    train = Split(opened(root)["split"]).train
    assert list(train["label"]).count("malignant") == 1
    assert (root / "adapters" / "mine" / "tokens" / "malignant" / "learned_embeds.safetensors").is_file()

    (folder / "cyst").mkdir()
    (folder / "cyst" / "broken.png").write_text("not an image")
    third = f"adapters.mine.token={json.dumps(tokens | {'cyst': '<c>'})}"
    with pytest.raises(UserError, match="there is no training image of cyst to learn a token from"):
        Study(folder, settings(*few, third, "skip_bad=true")).run(tmp_path / "other", "adapt", processes=False)
