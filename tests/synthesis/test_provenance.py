"""What an image's file says of where it comes from."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from sonosynth import read_provenance
from sonosynth.synthesis.making import Maker, make_set
from sonosynth.synthesis.provenance import KEYWORD, Provenance, parse
from sonosynth.synthesis.requests import from_noise

GIVEN = Provenance(True, "sonosynth 1", "sd", "gutartig ü", "text", "an image {age}", 7, "b" * 64, "", False)


def making(calls=None):
    def make(chosen, _):
        if calls is not None:
            calls.append(len(chosen))
            if len(calls) == 2:
                raise KeyboardInterrupt
        return np.stack([np.random.default_rng(r.seed).integers(0, 256, (8, 8)).astype(np.uint8) for r in chosen])

    def provenance(request, seed):
        return dataclasses.replace(GIVEN, label=request.label, seed=seed)

    return Maker(make, {}, provenance=provenance)


def test_it_is_read_back_from_the_file_with_the_pixels_as_they_were(tmp_path):
    wanted = from_noise({"ü": 3}, {"ü": "p"}, seed=0)
    made = make_set(wanted, None, making(), tmp_path, name="sd", batch=2)
    plain = make_set(wanted, None, Maker(making().make, {}), tmp_path / "plain", name="sd", batch=2)
    for request, pixels in zip(wanted, made, strict=True):
        file = tmp_path / request.file_name
        assert read_provenance(file) == dataclasses.replace(GIVEN, label="ü", seed=request.seed)
        assert np.array_equal(np.asarray(Image.open(file)), pixels)
        assert read_provenance(tmp_path / "plain" / request.file_name) is None
    assert np.array_equal(made, plain)


def test_an_interrupted_set_ends_with_the_same_bytes(tmp_path):
    wanted, calls = from_noise({"a": 5}, {"a": "p"}, seed=0), []
    make_set(wanted, None, making(), tmp_path / "whole", name="sd", batch=2)
    with pytest.raises(KeyboardInterrupt):
        make_set(wanted, None, making(calls), tmp_path / "resumed", name="sd", batch=2)
    make_set(wanted, None, making(), tmp_path / "resumed", name="sd", batch=2)
    for request in wanted:
        whole, resumed = (tmp_path / name / request.file_name for name in ("whole", "resumed"))
        assert whole.read_bytes() == resumed.read_bytes()


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", GIVEN.json()[:-1], GIVEN.json().replace("true", '"yes"'), GIVEN.json().replace("7", "{}")]
)
def test_what_is_no_provenance_is_not_taken_for_one(text):
    assert parse(GIVEN.json()) == GIVEN
    assert parse(text) is None


def test_a_file_of_somebody_else_has_none(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert read_provenance(tmp_path / "a.png") is None
    with pytest.raises(OSError):
        read_provenance(tmp_path / "b.png")
    assert KEYWORD == "sonosynth"
