"""What a study finds out about the machine's models before a job is planned."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from sonosynth.errors import UserError
from sonosynth.machine import resolve
from sonosynth.run import Study
from sonosynth.tasks.classification.settings import RANDOM

CONFIG = ViTConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
)


def halve(file):
    """Remove every second tensor."""
    save_file(dict(list(load_file(file).items())[::2]), file, {"format": "pt"})


@pytest.fixture
def models(tiny_base, tmp_path):
    """A base, a classifier and a feature network that a test may harm, and the settings that name them."""
    shutil.copytree(tiny_base, tmp_path / "base")
    ViTForImageClassification(CONFIG).save_pretrained(tmp_path / "classifier")
    ViTModel(CONFIG).save_pretrained(tmp_path / "features")
    about = {"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "features" / "preprocessor_config.json").write_text(json.dumps(about))
    named = {"base": "base", "classifier.model": "classifier", "fidelity.features": "features"}
    return tmp_path, [f"{setting}={tmp_path / folder}" for setting, folder in named.items()]


def test_models_are_found_and_what_is_left_to_the_machine_is_decided(models, settings):
    folder, named = models
    found = resolve(settings(*named, "precision=auto"))
    assert found.base.folder == folder / "base"
    assert found.classifier.folder == folder / "classifier"
    assert found.networks[0].folder == folder / "features"
    assert found.precision in ("fp32", "bf16", "fp16")
    assert found.cores >= 1 and found.device in ("cpu", "cuda")
    assert resolve(settings(f"classifier.model={RANDOM}")).classifier.folder is None


@pytest.mark.parametrize(
    ("harm", "changes", "said"),
    [
        (lambda f: halve(f / "base" / "text_encoder" / "model.safetensors"), [], r"text_encoder: .* of its .* missing"),
        (lambda f: halve(f / "classifier" / "model.safetensors"), [], r"classifier\.model: .* of its .* missing"),
        (lambda f: halve(f / "features" / "model.safetensors"), [], r"fidelity\.features: .* of its .* missing"),
        (lambda f: None, ["resolution=36"], "resolution: 36\nexpected: a multiple of 8"),
        (lambda f: None, ["classifier.resolution=48"], r"classifier\.resolution: .* images of 48 x 48 pixels"),
    ],
    ids=["base", "classifier", "features", "resolution", "classifier's resolution"],
)  # fmt: skip
def test_models_that_would_fail_later_are_refused_before_anything_is_written(
    models, settings, phantoms, tmp_path, harm, changes, said
):
    folder, named = models
    harm(folder)
    study = Study(phantoms, settings(*named, *changes))
    for use in (study.statuses, lambda: study.run(tmp_path / "run")):
        with pytest.raises(UserError, match=said):
            use()
    assert not (tmp_path / "run").exists()
