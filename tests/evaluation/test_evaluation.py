import numpy as np
import pandas as pd
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from sonosynth.errors import UserError
from sonosynth.evaluation import features, frechet_distance
from sonosynth.evaluation.classifier import make_model, predict
from sonosynth.evaluation.scores import score, table


def test_scores_by_hand():
    labels = np.array(["a", "a", "a", "b", "b", "c"])
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    got = score(labels, p, ["a", "b", "c"])
    # Predicted a a b b a a: a 2 of 4 right, b 1 of 2, c never predicted.
    assert got["accuracy"] == pytest.approx(3 / 6)
    assert got["ppv"] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert got["recall"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert got["f1"] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    # Pairs ordered rightly, ties half: a 5.5 of 9, b 8 of 8 less what stands above, c all equal.
    a = sum((x > y) + 0.5 * (x == y) for x in p[:3, 0] for y in p[3:, 0]) / 9
    b = sum((x > y) + 0.5 * (x == y) for x in p[3:5, 1] for y in p[[0, 1, 2, 5], 1]) / 8
    assert got["auc"] == pytest.approx((a + b + 0.5) / 3)


def test_table_has_a_row_per_arm_with_mean_and_deviation_over_seeds():
    rows = [
        {"arm": arm, "seed": seed, "id": f"{i}", "label": "ab"[i % 2], "p_a": p, "p_b": 1 - p}
        for arm, shift in (("real", 0), ("real+sd", 1))
        for seed in (0, 1)
        for i in range(4)
        for p in [0.9 if (i % 2 == 0) != (i < seed + shift) else 0.1]
    ]
    got = table(pd.DataFrame(rows), {"real": 5, "real+sd": 9})
    assert list(got["arm"]) == ["real", "real+sd"]
    assert list(got["n_train"]) == [5, 9]
    assert list(got["accuracy"]) == pytest.approx([(1 + 0.75) / 2, (0.75 + 0.5) / 2])
    assert got["accuracy_sd"][0] == pytest.approx(0.25 / np.sqrt(2))
    assert list(got["n_validation"]) == [4, 4]


def easy(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 32, 32)).astype(np.uint8)
    images[labels == 1, 8:24] += 120
    return images, labels


def test_classifier_learns_and_repeats_itself():
    images, labels = easy(40, 0)
    unseen, truth = easy(30, 1)
    told = []
    runs = [
        predict(
            images, labels, unseen, model="resnet-18", classes=2, steps=12, batch=8, learning_rate=1e-3, seed=seed,
            precision="fp32", advance=told.append,
        )
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert sum(told) == 36
    assert runs[0].shape == (30, 2)
    assert np.allclose(runs[0].sum(axis=1), 1)
    assert (runs[0].argmax(axis=1) == truth).mean() > 0.9
    assert np.array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_resnet_18_has_its_number_of_parameters():
    assert sum(p.numel() for p in make_model("resnet-18", 1000, 0).parameters()) == 11_689_512  # as published


def test_pretrained_classifiers_are_loaded_from_folders_and_others_refused(tmp_path):
    small = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], num_labels=5))
    small.save_pretrained(tmp_path / "small")
    loaded = make_model(str(tmp_path / "small"), 3, 0)
    assert loaded.config.num_labels == 3
    assert torch.equal(
        loaded.resnet.embedder.embedder.convolution.weight, small.resnet.embedder.embedder.convolution.weight
    )
    with pytest.raises(UserError, match=r"classifier\.model: nobody/has-this can't be loaded"):
        make_model("nobody/has-this", 3, 0)


def test_embedded_features_see_texture(phantoms):
    from PIL import Image
    from scipy.ndimage import gaussian_filter

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
