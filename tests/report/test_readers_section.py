"""What is said of human readers."""

from dataclasses import replace

import pandas as pd
import pytest

from sonosynth.reader.scoring import score
from sonosynth.report.readers import COLUMNS, SOURCES, Readers, share
from sonosynth.report.sections.readers import readers

KEY = pd.DataFrame(
    {
        "origin": ["real", "real", "synthetic", "synthetic"], "set": ["", "", "sd", "ti"], "label": [*"abab"],
        "seen": ["no", "no", "", ""], "sha256": [*"1234"],
    }
)  # fmt: skip


def said(*origins):
    return pd.DataFrame({"origin": origins, "class": [*"abab"][: len(origins)], "quality": [*"3541"][: len(origins)]})


@pytest.fixture
def reading():
    answers = {
        "AB": said("real", "synthetic", "synthetic", "synthetic"), "CD": said("real", "real", "real")
    }  # fmt: skip
    return score("kit", KEY, answers)


def test_shares_are_counts_with_wilsons_interval(reading):
    first, second = Readers(reading, "34").rows()
    assert set(first) == {*COLUMNS}
    assert first["accuracy"] == "3/4, 75% (30–95%)" and first["images"] == "4"
    assert (second["sensitivity"], second["specificity"]) == ("0/1, 0% (0–79%)", "2/2, 100% (34–100%)")


def test_sources_are_rated_one_by_one(reading):
    rows = Readers(reading, "34").sources()
    assert [(row["source"], row["reader"]) for row in rows] == [
        (source, reader) for source in ("real", "sd", "ti") for reader in ("AB", "CD")
    ]
    assert set(rows[0]) == {*SOURCES} and rows[0]["quality"] == "4.0 (1.4)" and rows[2]["quality"] == "4.0"
    assert rows[-1]["quality"] == rows[-1]["synthetic"] == "–"  # CD has not read it


def test_what_the_readings_rest_on_is_said(reading):
    kit, seen, terms, intervals, origin, classes = Readers(reading, "34").sentences()
    assert kit.startswith("Kit kit: 2 real and 2 synthetic images (sd, ti)") and "2 readers" in kit
    assert "which no generator of these sets was trained on" in seen and "other readers" in intervals
    assert terms.startswith("Sensitivity is the share of synthetic images that were called synthetic")
    assert "real or synthetic: Cohen's kappa 0.00 (3 images that all have read)" in origin
    assert "class: Cohen's kappa 1.00" in classes
    assert "trained on 1 of the real images" in Readers(replace(reading, seen=1), "34").sentences()[1]
    assert "It is not known" in Readers(replace(reading, seen=None), "34").sentences()[1]
    undefined = Readers(replace(reading, kappas={"class": None}), "34").sentences()[-1]
    assert "undefined: all gave the same answer" in undefined


def test_images_that_the_run_no_longer_has_are_told(reading):
    assert "1 synthetic image is no longer in the run" in Readers(reading, "3").sentences()[2]


def test_the_figure_has_a_row_for_each_reader(reading):
    axis = readers([reading]).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["AB", "CD"]
    assert list(axis.containers[0][0].get_xdata()) == [0.75, 2 / 3]
    first, *_ = readers([reading, reading]).axes[0].get_yticklabels()
    assert first.get_text() == "kit: AB"


def test_nothing_read_is_a_dash(reading):
    assert share(reading.readers[1].sources[2].agreement) == "–"
