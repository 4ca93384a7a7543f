"""What follows from the modality: defaults, and words. Nothing in a brain MRI's run speaks of ultrasound or breasts."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from conftest import FEW_IMAGES, SMALL
from sonosynth import modality
from sonosynth import settings as loading
from sonosynth.cohort.settings import Prompts
from sonosynth.layers import fitting
from sonosynth.modality import MODALITIES
from sonosynth.run import Study
from sonosynth.settings import Settings, as_yaml, load

FOREIGN = (b"ultraso", b"breast", b"speckle statistics")


def test_what_ultrasound_implies_is_what_is_default_anyway():
    assert Prompts().template == modality.template("ultrasound")
    assert Settings().token.init == modality.INITIAL["ultrasound"]
    assert Settings().fidelity.measures == ("features", modality.texture("ultrasound"))
    assert load("quick").declared_adapters["sd+ti"].token == modality.token("ultrasound")
    assert load("quick", (), ("modality=ultrasound",)) == load("quick")
    there_and_back = fitting(fitting({"adapters": {"sd+ti": {"token": "<ultrasound>"}}}, "ct"), "ultrasound")
    assert there_and_back["adapters"] == {"sd+ti": {"token": "<ultrasound>"}}


@pytest.mark.parametrize("preset", ["quick", "paper", "sound", "demo"])
@pytest.mark.parametrize("name", [name for name in MODALITIES if name != "ultrasound"])
def test_another_modality_changes_prompts_token_measure_and_noise(preset, name):
    s = load(preset, (), (f"modality={name}",))
    assert s.modality == name
    assert s.prompts.of("benign") == f"{modality.WORDS[name]} image of benign"
    assert s.declared_adapters["sd+ti"].token == modality.token(name)
    assert s.fidelity.measures == ("features", "texture")
    assert not s.classifier.speckle
    assert "ultrasound" not in as_yaml(s)


def test_what_is_given_goes_before_what_the_modality_implies(tmp_path):
    given = {
        "prompts.labels.tumour": "a brain with a tumour", "token.init": "brain", "classifier.speckle": "true",
        "adapters.sd+ti.token": "<b>", "fidelity.measures": "[features]",
    }  # fmt: skip
    s = load("quick", (), ("modality=mri", *(f"{key}={value}" for key, value in given.items())))
    assert s.prompts.of("tumour") == "a brain with a tumour"
    assert s.prompts.of("none") == "MRI image of none"
    assert (s.token.init, s.classifier.speckle, s.fidelity.measures) == ("brain", True, ("features",))
    assert s.declared_adapters["sd+ti"].token == "<b>"
    file = tmp_path / "study.yaml"
    file.write_text(f"{as_yaml(s)}resolved: {{by: test}}\n")
    assert load("quick", [file]) == s
    removed = load("quick", (), ("modality=ct", "adapters.sd+ti=null"))
    assert "sd+ti" not in removed.declared_adapters


@pytest.mark.parametrize("value", ["mrt", "[mri]", "{a: 1}", "true"])
def test_an_unknown_modality_is_a_mistake_among_others(value):
    with pytest.raises(Exception, match=r"(?s)modality: .*lora.rnk: there is no such setting"):
        load("quick", (), (f"modality={value}", "lora.rnk=3"))


def test_a_run_on_brain_mri_says_nothing_of_ultrasound_or_breasts(tmp_path, tiny_base, tiny_classifier, capsys):
    rng, cohort = np.random.default_rng(0), tmp_path / "brains"
    for label, count in (("tumour", 9), ("none", 7)):
        (cohort / label).mkdir(parents=True)
        for i in range(count):
            image = gaussian_filter(rng.normal(0, 60, (48, 48)), 1 + i / 20) + 90
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(cohort / label / f"{i}.png")
    changes = (
        "modality=mri", *SMALL, FEW_IMAGES, "classifier.seeds=[0]", f"base={tiny_base}",
        f"classifier.model={tiny_classifier}", "adapt.mirror=false", "classifier.mirror=false", "marks.remove=all",
    )  # fmt: skip
    root = tmp_path / "run"
    Study(cohort, loading.load("quick", (), changes)).run(root, processes=False)
    told = capsys.readouterr()
    assert "prompt of tumour: MRI image of tumour" in told.err + told.out
    texts = {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
    texts |= {"out": told.out.encode(), "err": told.err.encode()}
    for name, text in texts.items():
        assert not [word for word in FOREIGN if word in text.lower()], name
    page = texts[(root / "report.html").relative_to(root)].decode()
    assert "validation MRI images" in page
    assert "Mirror images were not used to train the generator or classifiers." in page
    assert "were filled in from their surroundings" in page
    assert (root / "evaluation" / "texture.csv").is_file()
    assert (root / "figures" / "texture.png").is_file()
