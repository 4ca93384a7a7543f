"""What classifiers start from."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageClassification, ResNetConfig, ResNetForImageClassification, ResNetModel

from sonosynth.errors import UserError
from sonosynth.fidelity import networks
from sonosynth.fidelity.networks import extractor
from sonosynth.tasks.classification.models import Start, check_resolution, make, resolve
from sonosynth.tasks.classification.settings import RANDOM


def test_resnet_18_has_its_number_of_parameters():
    assert sum(p.numel() for p in make(resolve(RANDOM), 1000, 0).module.parameters()) == 11_689_512  # as published


def test_pretrained_classifiers_are_loaded_from_folders_and_others_refused(tmp_path):
    small = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], num_labels=5))
    small.save_pretrained(tmp_path / "small")
    loaded = make(resolve(str(tmp_path / "small")), 3, 0).module
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
            make(Start("changed since", folder, complete.digest), 3, 0)


@pytest.mark.parametrize("accepted", [without("num_batches_tracked"), without(("classifier.1.weight", "1.bias"))])
def test_the_head_and_counters_may_be_missing(folder, accepted):
    complete = make(resolve(str(folder)), 5, 0).module.state_dict()
    reweigh(folder, accepted)
    found = make(resolve(str(folder)), 5, 0).module.state_dict()
    assert found.keys() == complete.keys()
    assert all(torch.equal(found[name], complete[name]) for name in found if not name.endswith("tracked"))


def test_a_classifier_in_half_precision_is_trained_in_full(folder):
    reweigh(folder, lambda tensors: {name: x.half() if x.is_floating_point() else x for name, x in tensors.items()})
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stored | {"dtype": "float16"}))
    found = resolve(str(folder))
    check_resolution(found, 32)
    assert {x.dtype for x in make(found, 3, 0).module.parameters()} == {torch.float32}


def test_a_new_head_is_the_librarys_for_the_seed(tmp_path):
    torch.manual_seed(0)
    backbone = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]))
    backbone.save_pretrained(tmp_path)
    for classes in (2, 3):
        found = make(resolve(str(tmp_path)), classes, 7).module.state_dict()
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
    assert make(resolve(str(folder)), 3, 0).module.config.num_labels == 3


def test_images_have_a_size_that_the_classifier_takes(tiny_classifier, without_batch_norm):
    check_resolution(resolve(RANDOM), 32)
    check_resolution(resolve(str(tiny_classifier)), 48)
    check_resolution(resolve(str(without_batch_norm)), 32)
    with pytest.raises(UserError, match=r"classifier\.resolution: .*can't classify images of 48 x 48 pixels"):
        check_resolution(resolve(str(without_batch_norm)), 48)


def test_a_pretrained_classifier_is_known_by_its_weights_wherever_it_lies(tiny_classifier, tmp_path):
    found = resolve(str(tiny_classifier))
    assert (found.name, found.folder) == (str(tiny_classifier), tiny_classifier)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_classifier / name).read_bytes())
    assert resolve(str(tmp_path)).digest == found.digest
    (tmp_path / "model.safetensors").write_bytes((tiny_classifier / "model.safetensors").read_bytes()[:-1] + b"x")
    assert resolve(str(tmp_path)).digest != found.digest


def test_the_embedded_network_keeps_its_weights_and_normalisation():
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128), np.uint8)
    network = make(resolve("embedded"), 3, 0)
    network.module.eval()
    assert network.normalisation == ((0.5,), (0.5,))
    with torch.no_grad():
        features = network.module.resnet((torch.tensor(images)[:, None] / 255 - 0.5) / 0.5).pooler_output.flatten(1)
        assert network.logits(torch.zeros(2, 1, 128, 128)).shape == (2, 3)
    assert np.allclose(features, extractor(networks.resolve("embedded"))(images), atol=1e-5)


@pytest.fixture
def installed_module(tmp_path, monkeypatch):
    (tmp_path / "mynetworks.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "mynetworks.py"
    sys.modules.pop("mynetworks", None)


CODE = """
import torch

def flat(classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, classes))

def five(classes):
    return flat(5)

def nothing(classes):
    return classes
"""


def test_a_function_of_an_installed_package_makes_the_network(installed_module):
    start = resolve("mynetworks:flat")
    check_resolution(start, 32)
    one, same, other = (make(start, 4, seed).module.state_dict() for seed in (0, 0, 1))
    assert one["1.bias"].shape == (4,)
    assert torch.equal(one["1.weight"], same["1.weight"])
    assert not torch.equal(one["1.weight"], other["1.weight"])
    assert start.digest != resolve("mynetworks:five").digest
    installed_module.write_text(CODE + "# changed")
    assert start.digest != resolve("mynetworks:flat").digest


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere_to_be_found:net", "can't be imported"),
        ("mynetworks:absent", "has no such function"),
        ("mynetworks:nothing", "it returns a int"),
        ("mynetworks:five", "can't classify images of 32 x 32"),
    ],
)
def test_a_function_that_makes_no_classifier_is_refused(installed_module, name, said):
    with pytest.raises(UserError, match=said):
        check_resolution(resolve(name), 32)
