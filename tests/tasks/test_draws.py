"""How often images are drawn, against the frequencies that were asked for."""

import numpy as np
import pytest
from scipy import stats

from sonosynth.firewall import Origins
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.draws import draws, scheduled, settling
from sonosynth.tasks.training_set import TrainingSet

REAL, SYNTHETIC = (70, 20, 10), (30, 30, 60)


def training_set(real, synthetic):
    """So many images of each class."""
    labels = np.concatenate([np.repeat(np.arange(3), real), np.repeat(np.arange(3), synthetic)])
    n = len(labels)
    images = np.zeros((n, 1, 1), np.uint8)
    origins, synthetic = Origins.of_images(map(str, range(n))), np.arange(n) >= sum(real)
    return TrainingSet(images, labels, np.eye(3)[labels], origins, synthetic, np.full(n, -1))


def drawn(training, balance, share, count, seed=0):
    return draws(training, balance, share, count, seed)


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_without_a_share_every_image_is_drawn_equally_often(balance):
    training = training_set(REAL, SYNTHETIC)
    rows = drawn(training, balance, None, 3 * 220 + 100)
    assert (np.bincount(rows[: 3 * 220], minlength=220) == 3).all()
    assert len(set(rows[3 * 220 :])) == 100
    assert list(rows) == list(drawn(training, balance, None, 3 * 220 + 200)[:760])
    assert list(rows) != list(drawn(training, balance, None, 3 * 220 + 100, seed=1))


@pytest.mark.parametrize(
    ("balance", "share", "of_class"),
    [("oversample", None, (1 / 3,) * 3), ("oversample", 0.4, (1 / 3,) * 3), ("none", 0.4, (0.7, 0.2, 0.1))],
)
def test_classes_and_sources_are_as_frequent_as_asked_for(balance, share, of_class):
    training, count = training_set(REAL, SYNTHETIC), 20_000
    rows = drawn(training, balance, share, count)
    for k, chance in enumerate(of_class):
        own = training.labels[rows] == k
        assert stats.binomtest(int(own.sum()), count, chance).pvalue > 0.001
        if share:
            from_sets = int(training.synthetic[rows[own]].sum())
            assert stats.binomtest(from_sets, int(own.sum()), share).pvalue > 0.001
    times = np.bincount(rows, minlength=len(training.labels))
    for k in range(3):
        for synthetic in (False, True) if share else (None,):
            part = (training.labels == k) & ((training.synthetic == synthetic) if share else True)
            assert np.ptp(times[part]) <= 1  # in shuffled turns


def test_batch_statistics_see_real_images_in_the_mix_that_was_trained_on():
    training = training_set(REAL, SYNTHETIC)
    for balance, expected in (("none", (70, 20, 10)), ("oversample", (70, 70, 70))):
        rows = settling(training, balance)
        assert not training.synthetic[rows].any()
        assert tuple(np.bincount(training.labels[rows])) == expected
        halves = [np.bincount(training.labels[half], minlength=3) for half in np.array_split(rows, 2)]
        assert np.abs(halves[0] - halves[1]).max() <= 2
    without_real = training_set((0, 0, 0), SYNTHETIC)
    assert set(settling(without_real, "none")) == set(range(120))


def test_the_source_does_not_tell_the_class_and_a_class_without_it_is_refused():
    with pytest.raises(ValueError, match="real and synthetic images of every class"):
        drawn(training_set(REAL, (0, 30, 60)), "none", 0.5, 10)


def test_real_images_are_replaced_by_those_made_from_them_in_every_class_alike():
    made = np.repeat(np.arange(100), 2)[:-1]  # two of every real image, one of the last; none of the first
    labels = np.repeat(np.arange(3), REAL)
    training = TrainingSet(
        np.zeros((299, 1, 1), np.uint8), np.append(labels, labels[made]), np.eye(3)[np.append(labels, labels[made])],
        Origins.of_images(map(str, range(299))), np.arange(299) >= 100,
        np.append(np.full(100, -1), np.where(made, made, 1)),
    )  # fmt: skip
    arm = Arm(balance="oversample", sets=("variation",), replace=0.5)
    plain, swapped = (scheduled(training, one, 30_000, 7) for one in (arm.model_copy(update={"replace": 1e-12}), arm))
    alone = TrainingSet.of_real(training.images[:100], labels, 3, training.origins.choose(range(100)))
    assert np.array_equal(plain, draws(alone, "oversample", None, 30_000, 7))  # the order of the arm without its sets
    moved = swapped != plain
    assert (training.source[swapped[moved]] == plain[moved]).all() and not moved[plain == 0].any()
    for k in range(3):
        own = (labels[plain] == k) & (plain > 1)
        assert moved[own].mean() == pytest.approx(0.5, abs=0.03)
    of_two = swapped[moved & (plain == 50)]
    assert set(of_two) == set(np.flatnonzero(training.source == 50)) and len(of_two) > 50


@pytest.mark.parametrize(("share", "until"), [(0.25, 0.5), (1.0, 0.3)])
def test_synthetic_images_are_drawn_in_the_first_part_of_the_steps_alone(share, until):
    training = training_set(REAL, SYNTHETIC)
    arm = Arm(balance="oversample", sets=("sd",), share=share, until=until)
    order = scheduled(training, arm, 10_000, 3)
    synthetic = training.synthetic[order]
    assert synthetic[: round(until * 10_000)].mean() == pytest.approx(share, abs=0.03)
    assert not synthetic[round(until * 10_000) :].any()
    assert arm.drawn == pytest.approx(synthetic.mean(), abs=0.02)
    assert np.bincount(training.labels[order[-3000:]]) / 3000 == pytest.approx(1 / 3, abs=0.03)
