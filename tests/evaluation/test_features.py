import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from transformers import ViTConfig, ViTModel

from sonosynth.errors import UserError
from sonosynth.evaluation import features, frechet_distance


def test_embedded_features_see_texture(phantoms):
    files = sorted(p for p in phantoms.rglob("*.png") if "_mask" not in p.stem)
    images = np.stack([np.asarray(Image.open(file)) for file in files])
    extract = features.extractor("embedded")
    clean = extract(images)
    assert clean.shape == (len(images), 128)
    halves = frechet_distance(clean[::2], clean[1::2])
    blurred = extract(np.stack([gaussian_filter(image, 1.5) for image in images]))
    assert frechet_distance(clean, blurred) > halves


def test_inception_without_its_package_is_a_users_mistake(monkeypatch):
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    assert features.choose("auto") == "embedded"
    with pytest.raises(UserError, match=r"sonosynth\[inception\]"):
        features.choose("inception")


def test_a_vision_model_of_transformers_from_a_folder(tmp_path):
    network = ViTModel(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=32,
            patch_size=8,
        )
    ).eval()
    network.save_pretrained(tmp_path)
    about = {"size": {"height": 32, "width": 32}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(about))
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32), np.uint8)
    assert features.choose(str(tmp_path)) == str(tmp_path)
    found = features.extractor(str(tmp_path))(images)
    rgb = torch.from_numpy(images / 255).float()[:, None].repeat(1, 3, 1, 1)
    scaled = (rgb - torch.tensor(about["image_mean"]).view(3, 1, 1)) / torch.tensor(about["image_std"]).view(3, 1, 1)
    with torch.no_grad():
        assert np.allclose(found, network(pixel_values=scaled).pooler_output.numpy(), atol=1e-5)
    assert features.describe(str(tmp_path)).endswith("not an FID, not comparable with published ones")


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"fidelity\.features: nobody/nothing can't be loaded"):
        features.choose("nobody/nothing")


def test_an_image_is_shown_to_the_network_once(tmp_path, monkeypatch):
    asked = []

    def extractor(name):
        def features_of(images):
            asked.append((name, len(images)))
            return np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)

        return features_of

    monkeypatch.setattr(features, "extractor", extractor)
    monkeypatch.setattr(features, "identity", lambda name: f"weights of {name}")
    images = np.random.default_rng(0).integers(0, 255, (6, 8, 8), np.uint8)
    expected = np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1).astype(np.float32)
    first = features.remembering("a", tmp_path)
    assert np.array_equal(first(images[[3, 1, 3]]), expected[[3, 1, 3]])
    assert np.array_equal(features.remembering("a", tmp_path)(images), expected)
    assert np.array_equal(first(images[1:2]), expected[1:2])
    features.remembering("b", tmp_path)(images[:1])
    assert asked == [("a", 2), ("a", 4), ("b", 1)]
