"""Trial adapters are judged on images that they have not seen, and the choice of steps and guidance follows a rule."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sonosynth.adapters.settings import Lora
from sonosynth.errors import UserError
from sonosynth.fidelity.jobs import Measuring
from sonosynth.firewall import Origins
from sonosynth.synthesis import probing
from sonosynth.synthesis.settings import Synthesis

LADDER = [(steps, guidance) for steps in (250, 500, 1000) for guidance in (1.0, 2.5)]


def chosen(tmp_path, values, error=0.1, shared=5.0):
    """What is chosen from kernel distances in the order of `LADDER`, and the table; one probe for each of the steps.

    error: of the difference of two of them; shared: of what moves all alike.
    """
    rows = [
        {"adapter": "1", "draw": 0, "split": 2, "steps": steps, "guidance": guidance, "features": "embedded",
         "class": label, "metric": metric, "value": found}
        for (steps, guidance), value in zip(LADDER, values, strict=True)
        # What a single class and other metrics say is the contrary, and must not count.
        for label, metric, found in (("", "kernel", value), ("a", "kernel", -value), ("a", "mean", -value))
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    influences = np.column_stack([np.full(6, shared), error / np.sqrt(2) * np.eye(6)])
    made = [
        SimpleNamespace(table=lambda *_, part=part: part.copy(), array=lambda _, rows=rows: rows)
        for (_, part), rows in zip(table.groupby("steps"), np.split(influences, 3), strict=True)
    ]
    probing.choose(None, probes=tuple(reversed(made)), work=tmp_path)
    about = json.loads((tmp_path / "about").read_text())
    return (about["steps"], about["guidance"]), pd.read_csv(tmp_path / "table", keep_default_na=False)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.9, 0.8, 0.7, 0.6, 0.3, 0.5), (1000, 1.0)),  # nothing is within 0.1 of 0.3
        ((0.9, 0.8, 0.45, 0.35, 0.3, 0.5), (500, 2.5)),  # 0.35 is
        ((0.9, 0.39, 0.39, 0.35, 0.3, 0.5), (250, 2.5)),  # fewer steps count before a lower guidance
        ((0.39, 0.3, 0.5, 0.5, 0.5, 0.5), (250, 1.0)),
        ((-0.1, -0.3, -0.05, -0.5, -0.42, 0.0), (500, 2.5)),  # unbiased distances may be negative
    ],
)
def test_the_fewest_steps_and_then_the_lowest_guidance_within_an_error_of_the_best_are_chosen(
    tmp_path, values, expected
):
    found, table = chosen(tmp_path, values)
    assert found == expected
    marked = table[table["chosen"]]
    assert set(zip(marked["steps"], marked["guidance"], strict=True)) == {expected}
    assert len(table) == 3 * len(LADDER) and len(marked) == 3


def test_the_error_that_counts_is_that_of_the_difference(tmp_path):
    _, table = chosen(tmp_path, (0.9, 0.8, 0.45, 0.35, 0.3, 0.5))
    errors = table.loc[(table["metric"] == "kernel") & (table["class"] == ""), "error"].astype(float)
    steps = table.loc[errors.index, ["steps", "guidance"]].apply(tuple, axis=1)
    assert dict(zip(steps, errors.round(6), strict=True)) == {one: 0.1 * (one != (1000, 1.0)) for one in LADDER}
    assert chosen(tmp_path, (0.9, 0.8, 0.45, 0.35, 0.3, 0.5), error=0.01)[0] == (1000, 1.0)


def test_a_few_steps_have_fewer_rungs():
    assert probing.steps_of(Lora(steps=500)) == [125, 250, 500]
    assert probing.steps_of(Lora(steps=2)) == [1, 2]
    assert probing.steps_of(Lora(steps=1)) == [1]


@pytest.fixture
def images():
    """40 images of two classes: the first 8 of each are trained on, 6 held back, 6 scored; features tell the number."""
    ids = [str(i) for i in range(40)]
    table = pd.DataFrame({"id": ids, "sha256": [f"sha {i}" for i in ids], "label": ["a"] * 20 + ["b"] * 20})
    side = np.tile(np.repeat([0, 1, 2], [8, 6, 6]), 2)
    table["group"] = ""
    train, inner, scored = (table[side == k] for k in range(3))
    split = SimpleNamespace(
        train=train, inner=inner, classes=["a", "b"], scored=frozenset([*inner["sha256"], *scored["sha256"]])
    )
    return SimpleNamespace(
        split=split, block=SimpleNamespace(scored=frozenset(scored["sha256"])),
        cohort=SimpleNamespace(
            rows=lambda wanted: wanted.astype(int).to_numpy(),
            origins=lambda rows: Origins.of_images(f"sha {i}" for i in rows),
        ),
        adapter=SimpleNamespace(origins=frozenset(train["sha256"]), folder="trial"),
        real=(SimpleNamespace(values={"features": np.arange(40.0)[:, None]}),),
    )  # fmt: skip


def probed(images, monkeypatch, tmp_path):
    """The table of a probe whose images all have the grey level 10 x guidance, which is their feature, too."""
    asked = []

    class Sampler:
        def __init__(self, base, folder, precision, resolution, settings):
            self.settings = settings

        def generate(self, prompts, seeds):
            asked.extend(zip(prompts, seeds, strict=True))
            return np.full((len(seeds), 2, 2), 10 * self.settings.guidance, np.uint8)

    measure = SimpleNamespace(
        describe=lambda pixels, _: {"features": pixels[:, 0, :1].astype(float)}, space=lambda _: "grey"
    )
    monkeypatch.setattr(probing, "Sampler", Sampler)
    monkeypatch.setattr(probing.extensions, "find", lambda group, name: measure)
    settings = probing.Probing(
        "sd", 250, (1.0, 2.5), Synthesis(guidance="auto", batch=10), {"a": "an a", "b": "a b"}, None, "fp32", 2,
        (Measuring("features", 1, None),), 5, 1, 3,
    )  # fmt: skip
    probing.probe(settings, **vars(images), work=tmp_path)
    return pd.read_csv(tmp_path / "table", keep_default_na=False), asked


def test_images_are_compared_with_those_held_back_class_by_class(images, monkeypatch, tmp_path):
    table, asked = probed(images, monkeypatch, tmp_path)
    assert len(asked) == 2 * 2 * probing.EACH and asked[: len(asked) // 2] == asked[len(asked) // 2 :]
    assert set(table["steps"]) == {250} and set(table["draw"]) == {1} and set(table["split"]) == {3}
    found = table.set_index(["guidance", "class"])["value"]
    for guidance, grey in ((1.0, 10), (2.5, 25)):
        for label, first in (("a", 8), ("b", 28)):
            held = np.arange(first, first + 6.0)
            kernel = (np.outer(held, held) + 1) ** 3
            within = (kernel.sum() - np.trace(kernel)) / 30
            expected = within + (grey**2 + 1) ** 3 - 2 * ((held * grey + 1) ** 3).mean()
            assert found[guidance, label] == pytest.approx(expected)
        assert found[guidance, ""] == pytest.approx((found[guidance, "a"] + found[guidance, "b"]) / 2)
    influences = np.load(tmp_path / "influences")
    assert influences.shape == (2, 12 + 2 * probing.EACH)  # each held-back image is a group of its own
    for row, grey in zip(influences, (10, 25), strict=True):
        of_real = []
        for held in (np.arange(8.0, 14), np.arange(28.0, 34)):
            kernel = (np.outer(held, held) + 1) ** 3
            own = 2 * ((kernel.sum(axis=1) - np.diag(kernel)) / 5 - (held * grey + 1) ** 3)
            of_real += [*(own - own.mean()) / 6 / 2]
        assert np.sort(row[:12]) == pytest.approx(np.sort(of_real))
        assert np.abs(row[12:]).max() < 1e-9 * np.abs(row).max()  # all images made are the same


def test_a_scored_image_in_a_probe_is_refused(images, monkeypatch, tmp_path):
    def said():
        with pytest.raises(UserError) as refused:
            probed(images, monkeypatch, tmp_path)
        return str(refused.value)

    trained = images.adapter.origins
    for leaked in ("sha 9", "sha 15"):  # held back, and scored
        images.adapter.origins = trained | {leaked}
        assert "the trial adapter trial: was made from 1 validation image(s)" in said()
    images.adapter.origins = trained
    images.block.scored = frozenset({"sha 9"})
    assert "the images that trial adapters are compared with: was made from 1 validation image(s)" in said()
