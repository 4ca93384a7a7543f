from importlib import import_module
from pathlib import Path

import numpy as np

from sonosynth.phantom.simulate import KINDS


def test_the_corpus_depends_on_seed_and_place_alone(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "tools")
    corpus = import_module("corpus").corpus
    few, more = list(corpus(4, seed=3)), list(corpus(7, seed=3))
    for (phantom, text), (again, same) in zip(few, more, strict=False):
        assert np.array_equal(phantom.image, again.image) and text == same
    assert [phantom.kind for phantom, _ in more] == [*KINDS, *KINDS, "normal"]
    assert all(text.startswith("ultrasound image of a ") for _, text in more)
