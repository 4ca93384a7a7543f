import numpy as np
import pytest
from scipy.stats import fisher_exact

from sonosynth.cohort import traits
from sonosynth.cohort.traits import COLOUR, Trait

LABELS = np.repeat(["benign", "malignant", "normal"], [40, 40, 20])


def compared(marked, colour=None):
    colour = np.zeros(len(marked)) if colour is None else colour
    return {trait.kind: trait for trait in traits.compare(list(marked), colour, list(LABELS))}


def test_the_class_that_stands_out_is_named_with_fishers_p_value():
    marked = np.where((LABELS == "malignant") & (np.arange(100) % 2 == 0), "text;border", "")
    found = compared(marked)
    assert found.keys() == {"text", "border"}
    text = found["text"]
    assert text.counts == {"benign": 0, "malignant": 20, "normal": 0}
    assert (text.label, text.share, text.others, text.total) == ("malignant", 0.5, 0, 20)
    assert text.p == pytest.approx(12 * fisher_exact([[20, 20], [0, 60]])[1])
    assert text.suspicious
    assert text.tally == "0 of 40 benign, 20 of 40 malignant, 0 of 20 normal"
    assert Trait.of(text.described()) == text


def test_chance_raises_an_alarm_in_fewer_than_one_in_a_hundred_cohorts():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(150):
        marked = [";".join(kind for kind in ("text", "calipers", "border") if rng.random() < 0.3) for _ in LABELS]
        alarms += any(trait.suspicious for trait in compared(marked).values())
    assert alarms <= 3


def test_what_goes_with_patients_is_no_evidence_from_each_of_their_images():
    rng, alarms = np.random.default_rng(0), 0
    labels, patients = np.repeat(["a", "b"], 300), np.repeat(range(40), 15)
    for _ in range(60):
        marked = np.where((rng.random(40) < 0.4)[patients], "text", "")
        alarms += any(x.suspicious for x in traits.compare(list(marked), np.zeros(600), list(labels), patients))
    assert alarms <= 2  # 18 if each image counted by itself


def test_a_difference_of_little_size_is_no_alarm_however_certain():
    labels = np.repeat(["a", "b"], 4000)
    marked = np.where(np.arange(8000) % 4000 < np.where(labels == "a", 2000, 2300), "text", "")
    (found,) = traits.compare(list(marked), np.zeros(8000), list(labels))
    assert found.p < 1e-6
    assert not found.suspicious


def test_an_image_with_few_coloured_pixels_is_grey_and_few_coloured_images_are_no_matter():
    assert compared([""] * 100, np.full(100, traits.COLOURED)) == {}
    colour = np.zeros(100)
    colour[[0, 50, 90]] = 1
    assert not compared([""] * 100, colour)[COLOUR].considerable
    colour[:40:4] = 1
    assert compared([""] * 100, colour)[COLOUR].considerable
