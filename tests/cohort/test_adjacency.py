import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from sonosynth.cohort import adjacency
from sonosynth.cohort.alignment import unit


def files(count, label="a"):
    return [f"{label}/{label} ({n}).png" for n in range(1, count + 1)]


def details(count, seed, *, per_patient=1, share=0.0):
    """Random details (N, 16, 16); images of one patient, one after the other, share a part of them."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(rng.normal(size=(-(-count // per_patient), 16, 16)), per_patient, axis=0)[:count]
    return rng.normal(size=(count, 16, 16)) + share * patients


def test_images_numbered_patient_by_patient_are_suspicious():
    found = adjacency.compare(details(120, 0, per_patient=3, share=0.5), files(120), ["a"] * 120, np.arange(120))
    assert (found[0].label, found[0].pairs, found[0].suspicious) == ("a", 119, True)
    assert found[0].median > found[0].others + 0.05  # two pairs of three share a fifth of their variance


def test_chance_raises_no_alarm():
    labels = ["a"] * 60 + ["b"] * 30
    names = files(60) + files(30, "b")
    ps = [min(x.p for x in adjacency.compare(details(90, seed), names, labels, np.arange(90))) for seed in range(100)]
    assert min(ps) >= adjacency.ALARM  # p is corrected for the classes: 1 in 10 by chance
    assert np.mean(np.array(ps) < 0.05) <= 0.12  # 5% are expected, 12 of 100 is the 99.9% quantile of that


def test_images_alike_with_everybody_raise_no_alarm_by_standing_side_by_side():
    images = details(120, 0)
    images[40:80] += details(1, 1)  # a third of the images, of many patients, are of one device
    rng = np.random.default_rng(2)
    ps = [
        adjacency.compare(images[rng.permutation(120)], files(120), ["a"] * 120, np.arange(120))[0].p for _ in range(50)
    ]
    assert min(ps) >= adjacency.ALARM
    assert np.median(ps) == pytest.approx(0.5, abs=0.2)


def test_numbers_are_those_of_the_rank_test():
    images = details(40, 3, per_patient=2, share=0.3)
    groups = np.arange(40)
    groups[10] = groups[11] = 5  # near-duplicates of one another, and of image 5
    found = adjacency.compare(images, files(40), ["a"] * 40, groups)[0]
    alike = unit(images) @ unit(images).T
    near = [alike[i, i + 1] for i in range(39) if i != 10]
    assert (found.pairs, found.median) == (38, pytest.approx(np.median(near)))
    apart = (abs(np.subtract.outer(range(40), range(40))) > 1) & (groups[:, None] != groups)
    others = alike[np.triu(apart)]  # of all other pairs, random ones were drawn
    assert found.others == pytest.approx(np.median(others), abs=0.03)
    assert np.log10(found.p) == pytest.approx(
        np.log10(mannwhitneyu(near, others, alternative="greater").pvalue), abs=1.5
    )


def test_neighbours_have_the_same_name_but_for_the_last_number():
    names = [
        "a/x_9.png",
        "a/x_10.jpg",
        "b/x_11.png",
        "a/y_11.png",
        "a/7_1_left.png",
        "a/7_2_right.png",
        "a/7_2_left.png",
    ]
    found = adjacency._consecutive([*names, "a/none.png"], range(8))
    assert found == {(0, 1), (4, 6)}


def test_a_class_without_enough_neighbours_is_not_tested():
    names = [f"a/{n}.png" for n in (*range(0, 40, 2), *range(100, 109))]
    assert adjacency.compare(details(29, 0), names, ["a"] * 29, np.arange(29)) == []
    assert adjacency.compare(details(2, 0), ["a/1.png", "b/1.png"], ["a", "b"], np.arange(2)) == []
