from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from sonosynth.errors import UserError
from sonosynth.evaluation.classifier import Recipe, Remedy, Selection, make_model, predict, predict_all
from sonosynth.evaluation.remedies import class_weights, classical, mixed, oversampled

RECIPE = Recipe(model="resnet-18", classes=2, steps=12, batch=8, learning_rate=1e-3, precision="fp32")


def easy(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 32, 32)).astype(np.uint8)
    images[labels == 1, 8:24] += 120
    return images, labels


def test_classifier_learns_and_repeats_itself():
    images, labels = easy(40, 0)
    unseen, truth = easy(30, 1)
    trainings = (partial(predict, images, labels, unseen, recipe=RECIPE, seed=seed) for seed in (0, 0, 1))
    runs, seconds = zip(*predict_all(trainings), strict=True)
    assert min(seconds) > 0
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


def test_every_remedy_trains_and_changes_the_result(tiny_classifier):
    images, labels = easy(40, 0)
    recipe = Recipe(str(tiny_classifier), 2, 6, 8, 1e-2, "fp32")
    remedies = (None, Remedy("oversample"), Remedy("weights"), Remedy(augmentation="classical"), Remedy(mixup=0.2))
    found = [
        predict(images, np.minimum(labels, np.arange(40) % 3), images, recipe=recipe, seed=0, remedy=r)
        for r in remedies
    ]
    assert all(np.isfinite(x).all() for x in found)
    assert len({x.tobytes() for x in found}) == len(found)


def test_the_step_that_is_best_on_the_selection_is_used(tiny_classifier):
    images, labels = easy(40, 0)
    recipe = Recipe(str(tiny_classifier), 2, 9, 8, 0.05, "fp32")
    steps = [
        predict(images, labels, images, recipe=Recipe(str(tiny_classifier), 2, n, 8, 0.05, "fp32"), seed=0)
        for n in (3, 6, 9)
    ]
    right = [(x.argmax(axis=1) == labels).mean() for x in steps]
    best = predict(images, labels, images, recipe=recipe, seed=0, select=Selection(images, labels, 3))
    assert np.allclose(best, steps[int(np.argmax(right))])


def test_oversampling_fills_classes_and_keeps_every_image():
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    rows = oversampled(labels)
    assert np.bincount(labels[rows]).tolist() == [5, 5, 5]
    assert set(rows) == set(range(8))
    assert np.bincount(rows).tolist() == [1, 1, 1, 1, 1, 3, 2, 5]


def test_class_weights_make_classes_count_alike():
    labels = np.array([0, 0, 0, 1])
    weights = class_weights(labels, 2).numpy()
    assert weights[0] * 3 == pytest.approx(weights[1])
    assert weights[labels].mean() == pytest.approx(1)


def test_classical_augmentation_moves_little_and_keeps_the_range():
    image = torch.zeros(64, 1, 64, 64)
    image[:, :, 28:36, 28:36] = 0.8
    moved = classical(image, torch.Generator().manual_seed(0))
    assert moved.shape == image.shape
    assert moved.min() >= 0 and moved.max() <= 1
    rows = torch.arange(64.0)
    centres = (moved.sum(dim=3)[:, 0] * rows).sum(dim=1) / moved.sum(dim=(1, 2, 3))
    assert (centres - 31.5).abs().max() < 64 * 0.05 + 1
    assert centres.std() > 0.5
    level = moved[:, 0, 31:33, 31:33].mean(dim=(1, 2)) / 0.8
    assert level.min() > 0.7 and level.std() > 0.05


def test_mixup_mixes_images_and_targets_alike():
    images = F.one_hot(torch.arange(4), 4).float()
    got, targets = mixed(images, images.clone(), 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(got, targets)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    assert ((targets > 0) & (targets < 1)).any()
