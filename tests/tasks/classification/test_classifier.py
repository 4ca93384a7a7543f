import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import (
    AutoModelForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ResNetModel,
    ViTConfig,
    ViTForImageClassification,
)

from sonosynth import hub
from sonosynth.errors import UserError
from sonosynth.firewall import Origins
from sonosynth.tasks.classification.classifier import (
    Recipe,
    Selection,
    check_resolution,
    make_model,
    predict,
    resolve,
)
from sonosynth.tasks.classification.remedies import class_weights, classical, mixed, oversampled
from sonosynth.tasks.classification.settings import Arm, Classifier
from sonosynth.tasks.training_set import TrainingSet


def easy(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 32, 32)).astype(np.uint8)
    images[labels == 1, 8:24] += 120
    return images, labels


def training_set(images, labels, weights=None):
    weights = np.ones(len(images)) if weights is None else np.asarray(weights, float)
    return TrainingSet(images, labels, weights, Origins.of_images(str(n) for n in range(len(images))))


def recipe(model, steps, *, batch=8, learning_rate=1e-2, classes=2):
    """Of the model in a folder, or of random weights."""
    settings = Classifier(batch=batch, learning_rate=learning_rate, resolution=32)
    return Recipe(settings, resolve(str(model)) if model else None, classes, steps, "fp32")


def test_classifier_learns_and_repeats_itself():
    images, labels = easy(40, 0)
    unseen, truth = easy(30, 1)
    how = recipe(None, 12, learning_rate=1e-3)
    runs = [predict(training_set(images, labels), unseen, recipe=how, arm=Arm(), seed=seed) for seed in (0, 0, 1)]
    assert runs[0].shape == (30, 2)
    assert np.allclose(runs[0].sum(axis=1), 1)
    assert (runs[0].argmax(axis=1) == truth).mean() > 0.9
    assert np.array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_resnet_18_has_its_number_of_parameters():
    assert sum(p.numel() for p in make_model(None, 1000, 0).parameters()) == 11_689_512  # as published


def test_pretrained_classifiers_are_loaded_from_folders_and_others_refused(tmp_path):
    small = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], num_labels=5))
    small.save_pretrained(tmp_path / "small")
    loaded = make_model(resolve(str(tmp_path / "small")), 3, 0)
    assert loaded.config.num_labels == 3
    assert torch.equal(
        loaded.resnet.embedder.embedder.convolution.weight, small.resnet.embedder.embedder.convolution.weight
    )
    with pytest.raises(UserError, match=r"classifier\.model: nobody/has-this can't be loaded"):
        resolve("nobody/has-this")
    (tmp_path / "small" / "config.json").write_text('{"model_type": "clap"}')
    with pytest.raises(UserError, match=r"classifier\.model: .*small can't be loaded"):
        resolve(str(tmp_path / "small"))


@pytest.fixture
def folder(tiny_classifier, tmp_path):
    """A copy of the tiny classifier that a test may change."""
    return shutil.copytree(tiny_classifier, tmp_path / "classifier")


def reweigh(folder, new):
    """Replace the weights by what `new` makes of them."""
    save_file(new(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})


def without(end):
    return lambda tensors: {name: x for name, x in tensors.items() if not name.endswith(end)}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (without("convolution.weight"), r"4 of its \d+ tensors are missing .*convolution\.weight"),
        (without("running_mean"), r"4 of its \d+ tensors are missing .*running_mean"),
        (lambda tensors: {f"model.{name}": x for name, x in tensors.items()}, r"2\d of its 2\d tensors are missing"),
        (
            lambda tensors: {name: x[:1] for name, x in tensors.items() if x.ndim},
            r"of its \d+ tensors are missing or have the wrong shape",
        ),
        (lambda tensors: {name: x / 0 for name, x in tensors.items()}, r"tensors contain NaN or infinite values"),
    ],
    ids=["missing", "statistics missing", "renamed", "other shape", "not finite"],
)
def test_a_classifier_that_lacks_weights_is_refused(folder, tiny_classifier, harm, said):
    complete = resolve(str(tiny_classifier))
    reweigh(folder, harm)
    with pytest.raises(UserError, match=rf"classifier\.model: .*{said}"):
        resolve(str(folder))
    if "missing" in said:
        with pytest.raises(UserError, match=rf"classifier\.model: .*{said}"):
            make_model(hub.Model("changed since", folder, complete.digest), 3, 0)


@pytest.mark.parametrize("accepted", [without("num_batches_tracked"), without(("classifier.1.weight", "1.bias"))])
def test_the_head_and_counters_may_be_missing(folder, accepted):
    complete = make_model(resolve(str(folder)), 5, 0).state_dict()
    reweigh(folder, accepted)
    found = make_model(resolve(str(folder)), 5, 0).state_dict()
    assert found.keys() == complete.keys()
    assert all(torch.equal(found[name], complete[name]) for name in found if not name.endswith("tracked"))


def test_a_classifier_in_half_precision_is_trained_in_full(folder):
    reweigh(folder, lambda tensors: {name: x.half() if x.is_floating_point() else x for name, x in tensors.items()})
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | {"dtype": "float16"}))
    found = resolve(str(folder))
    check_resolution(found, 32)
    assert {x.dtype for x in make_model(found, 3, 0).parameters()} == {torch.float32}


def test_a_new_head_is_the_librarys_for_the_seed(tmp_path):
    torch.manual_seed(0)
    backbone = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]))
    backbone.save_pretrained(tmp_path)
    for classes in (2, 3):
        found = make_model(resolve(str(tmp_path)), classes, 7).state_dict()
        torch.manual_seed(7)
        expected = AutoModelForImageClassification.from_pretrained(tmp_path, num_labels=classes).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"attn_implementation": "kernels-community/flash-attn2"}, "config.json has attn_implementation: kernels-comm"),
        ({"a": {"b": [{"quantization_config": {"quant_method": "awq"}}]}}, "config.json has quantization_config"),
        ({"transformers_weights": "adapter_model.bin"}, "config.json has transformers_weights"),
        ({"depths": [2000]}, "config.json has depths: 2000"),
        ({"embedding_size": 10**12}, "config.json has embedding_size: 1000000000000"),
        ({"hidden_sizes": "wide"}, "can't be loaded"),
    ],
)
def test_a_config_that_a_library_should_not_follow_is_refused(folder, values, said):
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | values))
    with pytest.raises(UserError, match=rf"classifier\.model: .*{said}"):
        resolve(str(folder))


def test_labels_are_no_settings_of_the_network(folder):
    stored = json.loads((folder / "config.json").read_text())
    labels = {f"label {n}": n for n in range(2000)} | {"bricklayer": 2000, "depth charge": 2001}
    classes = {"label2id": labels, "id2label": {n: name for name, n in labels.items()}}
    (folder / "config.json").write_text(json.dumps(stored | classes))
    assert make_model(resolve(str(folder)), 3, 0).config.num_labels == 3


def test_images_have_a_size_that_the_classifier_takes(tiny_classifier, without_batch_norm):
    check_resolution(None, 32)
    check_resolution(resolve(str(tiny_classifier)), 48)
    check_resolution(resolve(str(without_batch_norm)), 32)
    with pytest.raises(UserError, match=r"classifier\.resolution: .*can't classify images of 48 x 48 pixels"):
        check_resolution(resolve(str(without_batch_norm)), 48)


def test_a_pretrained_classifier_is_known_by_its_weights_wherever_it_lies(tiny_classifier, tmp_path):
    assert resolve("resnet-18") is None
    found = resolve(str(tiny_classifier))
    assert isinstance(found, hub.Model)
    assert (found.name, found.folder) == (str(tiny_classifier), tiny_classifier)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_classifier / name).read_bytes())
    assert resolve(str(tmp_path)).digest == found.digest
    (tmp_path / "model.safetensors").write_bytes((tiny_classifier / "model.safetensors").read_bytes()[:-1] + b"x")
    assert resolve(str(tmp_path)).digest != found.digest


def test_every_remedy_trains_and_changes_the_result(tiny_classifier):
    images, labels = easy(40, 0)
    training = training_set(images, np.minimum(labels, np.arange(40) % 3))
    arms = (
        Arm(), Arm(balance="oversample"), Arm(balance="weights"), Arm(augmentation="classical"),
        Arm(augmentation="trivial"), Arm(mixup=0.2),
    )  # fmt: skip
    found = [predict(training, images, recipe=recipe(tiny_classifier, 6), arm=arm, seed=0) for arm in arms]
    assert all(np.isfinite(x).all() for x in found)
    assert len({x.tobytes() for x in found}) == len(found)


def test_the_step_that_is_best_on_the_selection_is_used(tiny_classifier):
    images, labels = easy(40, 0)

    def predicted(steps, select=None):
        how = recipe(tiny_classifier, steps, learning_rate=0.05)
        return predict(training_set(images, labels), images, recipe=how, arm=Arm(), seed=0, select=select)

    steps = [predicted(n) for n in (3, 6, 9)]
    right = [(x.argmax(axis=1) == labels).mean() for x in steps]
    best = predicted(9, Selection(images, labels, 3))
    assert np.allclose(best, steps[int(np.argmax(right))])


@pytest.fixture(scope="module")
def without_batch_norm(tmp_path_factory):
    """A classifier for which each image counts by itself: no statistics of a batch, no dropout."""
    folder = tmp_path_factory.mktemp("model") / "vit"
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    ViTForImageClassification(config).save_pretrained(folder)
    return folder


def test_weights_of_images_act_as_repeated_images_do(without_batch_norm):
    counts = np.array([1, 4, 2, 1, 3, 1])
    images, _ = easy(6, 3)
    images[..., 16:] = images[..., 15::-1]  # mirror images are the same, so that flips change nothing
    labels = np.array([0, 0, 1, 1, 0, 1])

    def trained(rows, weights):
        # One batch holds all images, so that every step sees each of them as often as it is there.
        how = recipe(without_batch_norm, 6, batch=len(rows), learning_rate=0.02)
        training = training_set(images[rows], labels[rows], weights)
        return predict(training, images, recipe=how, arm=Arm(), seed=0)

    rows, weights = np.arange(6), counts / counts.mean()
    repeated = trained(np.repeat(rows, counts), None)
    assert trained(rows, weights) == pytest.approx(repeated, abs=1e-5)
    assert np.abs(trained(rows, None) - repeated).max() > 0.02


def test_weights_go_with_their_images_when_small_classes_are_repeated(without_batch_norm):
    images, _ = easy(6, 3)
    images[..., 16:] = images[..., 15::-1]
    labels, weights = np.array([0, 0, 0, 0, 1, 1]), np.array([0.5, 1.5, 1, 2, 0.3, 0.7])
    rows = oversampled(labels)

    def trained(training, arm):
        how = recipe(without_batch_norm, 6, batch=len(rows), learning_rate=0.02)
        return predict(training, images, recipe=how, arm=arm, seed=0)

    found = trained(training_set(images, labels, weights), Arm(balance="oversample"))
    assert np.array_equal(found, trained(training_set(images[rows], labels[rows], weights[rows]), Arm()))
    assert not np.allclose(found, trained(training_set(images[rows], labels[rows]), Arm()), atol=1e-3)


def test_a_training_set_has_a_label_a_weight_and_origins_for_every_image():
    images, labels = easy(4, 0)
    origins = Origins.of_images("abcd")
    assert len(TrainingSet(images, labels, np.ones(4), origins).images) == 4
    for parts in (
        (images[:3], labels, np.ones(4), origins),
        (images, labels[:3], np.ones(4), origins),
        (images, labels, np.ones(5), origins),
        (images, labels, np.ones(4), origins.choose([0, 1])),
    ):
        with pytest.raises(ValueError, match="differ in number"):
            TrainingSet(*parts)


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
