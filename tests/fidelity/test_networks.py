import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from sonosynth.errors import UserError
from sonosynth.fidelity import networks
from sonosynth.fidelity.distances import frechet_distance


def test_embedded_features_see_texture(phantoms):
    files = sorted(p for p in phantoms.rglob("*.png") if "_mask" not in p.stem)
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    extract = networks.extractor(networks.resolve("embedded"))
    clean = extract(images)
    assert (clean.shape, clean.dtype) == ((len(images), 128), np.float32)
    halves = frechet_distance(clean[::2], clean[1::2])
    blurred = extract(np.stack([gaussian_filter(image, 1.5) for image in images]))
    assert frechet_distance(clean, blurred) > halves


def test_inception_without_its_package_is_a_users_mistake(monkeypatch):
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    assert networks.resolve("auto") == networks.resolve("embedded")
    assert networks.resolve("auto").name == "embedded"
    with pytest.raises(UserError, match=r"sonosynth\[inception\]"):
        networks.resolve("inception")


def test_inception_is_taken_where_its_package_is_installed(monkeypatch):
    monkeypatch.setattr(networks, "find_spec", lambda name: name)
    monkeypatch.setattr(networks, "version", lambda name: f"{name}'s")
    assert networks.resolve("auto") == networks.Network("inception", None, "torch-fidelity torch-fidelity's")


CONFIG = ViTConfig(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
)
ABOUT = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
IMAGES = np.random.default_rng(0).integers(0, 255, (5, 32, 32), np.uint8)


def save(network, folder):
    network.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(ABOUT))


def outputs(network):
    """What the model returns for `IMAGES`."""
    rgb = torch.from_numpy(IMAGES / 255).float()[:, None].repeat(1, 3, 1, 1)
    scaled = (rgb - torch.tensor(ABOUT["image_mean"]).view(3, 1, 1)) / torch.tensor(ABOUT["image_std"]).view(3, 1, 1)
    with torch.no_grad():
        return network(pixel_values=scaled)


def test_a_vision_model_of_transformers_from_a_folder(tmp_path):
    network = ViTModel(CONFIG)
    save(network, tmp_path)
    resolved = networks.resolve(str(tmp_path))
    assert (resolved.name, resolved.folder) == (str(tmp_path), tmp_path)
    found = networks.extractor(resolved)(IMAGES)
    assert np.allclose(found, outputs(network).pooler_output.numpy(), atol=1e-5)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert networks.resolve(str(tmp_path)).digest != resolved.digest


def test_a_classifiers_features_are_its_last_hidden_state_not_a_random_pooler(tmp_path):
    network = ViTForImageClassification(CONFIG)
    save(network, tmp_path)
    found = networks.extractor(networks.resolve(str(tmp_path)))(IMAGES)
    assert np.allclose(found, outputs(network.vit).last_hidden_state.mean(dim=1).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t: {name: x for name, x in t.items() if "layernorm_before" not in name},
            r"2 of its \d+ tensors are missing",
        ),
        (lambda t: {f"model.{name}": x for name, x in t.items()}, r"\d\d of its \d+ tensors are missing"),
        (lambda t: {name: x[:1] for name, x in t.items()}, r"of its \d+ tensors are missing or have the wrong shape"),
        (lambda t: {name: x / 0 for name, x in t.items()}, "no numbers"),
    ],
    ids=["missing", "renamed", "other shape", "not finite"],
)
def test_a_network_that_lacks_weights_is_refused(tmp_path, change, said):
    save(ViTModel(CONFIG), tmp_path)
    save_file(change(load_file(tmp_path / "model.safetensors")), tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=rf"fidelity\.features: .*{said}"):
        networks.resolve(str(tmp_path))


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        (
            "config.json",
            {"attn_implementation": "someone/kernel"},
            "config.json has attn_implementation: someone/kernel",
        ),
        ("config.json", {"image_size": 48}, "missing or have the wrong shape"),
        ("preprocessor_config.json", {"size": 48}, "can't be loaded"),
        ("preprocessor_config.json", {"size": -1}, "has the size -1"),
        ("preprocessor_config.json", {"size": 10**9}, "has the size 1000000000"),
        ("preprocessor_config.json", {"image_mean": "grey"}, "can't be loaded"),
        ("preprocessor_config.json", {"image_std": [0, 0, 0]}, "no numbers"),
    ],
)
def test_a_network_that_can_not_be_used_is_refused(tmp_path, file, values, said):
    save(ViTModel(CONFIG), tmp_path)
    stored = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps(stored | values))
    with pytest.raises(UserError, match=rf"fidelity\.features: .*{said}"):
        networks.resolve(str(tmp_path))


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"fidelity\.features: nobody/nothing can't be loaded"):
        networks.resolve("nobody/nothing")


def test_a_model_that_does_not_say_how_its_input_is_prepared_is_refused(tmp_path):
    ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"a transformers vision model with a preprocessor_config.json"):
        networks.resolve(str(tmp_path))
