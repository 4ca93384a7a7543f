import tracemalloc

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import entropy

from sonosynth.fidelity import distances
from sonosynth.fidelity.distances import frechet_distance, kernel_distance, kernel_influences, prdc, vendi_score


def test_frechet_distance_in_closed_form():
    assert frechet_distance([[1, 2]] * 3, [[2, 2], [1, 2], [1, 2]]) == pytest.approx(4 / 9)


@pytest.mark.parametrize(("n", "m"), [(300, 200), (12, 200), (12, 9)])
def test_frechet_distance_is_the_matrix_square_root(n, m):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n, 16)), rng.normal(0.3, 2, size=(m, 16)) @ rng.normal(size=(16, 16))
    s1, s2 = np.cov(a.T), np.cov(b.T)
    shift = a.mean(axis=0) - b.mean(axis=0)
    root = np.sqrt(np.clip(np.linalg.eigvals(s1 @ s2).real, 0, None)).sum()
    if n > 16 < m:
        root = np.trace(sqrtm(s1 @ s2)).real
    expected = shift @ shift + np.trace(s1) + np.trace(s2) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance, prdc])
def test_distances_refuse_what_does_not_fit(distance):
    with pytest.raises(ValueError, match=r"needed|needs 2"):
        distance(np.ones((1, 3)), np.ones((5, 3)))
    with pytest.raises(ValueError, match="are expected"):
        distance(np.ones((4, 3)), np.ones((5, 2)))


def test_kernel_distance_in_closed_form():
    assert kernel_distance([[1], [-1]], [[2], [2]]) == pytest.approx(99)


def test_kernel_distance_has_no_bias():
    rng = np.random.default_rng(0)
    values = [kernel_distance(*rng.normal(size=(2, 8, 4))) for _ in range(3000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(3000)


def test_prdc_in_closed_form():
    got = prdc(np.array([[0.0], [1], [2], [10]]), np.array([[0.5], [1.5], [10.5], [30]]), k=1)
    assert got == {"precision": 0.75, "recall": 1, "density": 1.25, "coverage": 1}


def test_blocks_change_nothing(monkeypatch):
    a, b = np.random.default_rng(0).normal(size=(2, 50, 3))
    whole = [kernel_distance(a, b[:40]), *prdc(a, b[:40]).values()]
    monkeypatch.setattr(distances, "BLOCK", 7 * 50)
    assert [kernel_distance(a, b[:40]), *prdc(a, b[:40]).values()] == pytest.approx(whole, rel=1e-12)


def test_no_matrix_of_all_pairs_is_held(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 50_000)
    a, b = np.random.default_rng(0).normal(size=(2, 1500, 8))
    tracemalloc.start()
    prdc(a, b)
    kernel_distance(a, b)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < a.shape[0] * b.shape[0] * 8 / 4


def test_prdc_sees_lost_modes():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(50, 1, (100, 2))])
    got = prdc(real, rng.normal(0, 1, (100, 2)))
    assert got["precision"] > 0.9
    assert got["coverage"] == pytest.approx(0.5, abs=0.05)
    assert got["recall"] == pytest.approx(0.5, abs=0.05)


def test_vendi_score_counts_what_differs():
    assert vendi_score(np.eye(3) * [[1], [2], [5]]) == pytest.approx(3)
    assert vendi_score(np.ones((3, 4))) == pytest.approx(1)
    features = np.random.default_rng(0).normal(size=(20, 5))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert vendi_score(features) == pytest.approx(np.exp(entropy(np.linalg.eigvalsh(unit @ unit.T / 20).clip(1e-15))))


def test_the_error_of_a_kernel_distance_is_its_deviation_over_data_sets():
    """Images of one group differ by less than those of two; single images would have an error too small."""
    rng = np.random.default_rng(0)

    def real(groups):
        return rng.normal(size=(groups, 1, 4)).repeat(3, axis=1).reshape(-1, 4) + rng.normal(0, 0.3, (3 * groups, 4))

    def error(pair, groups):
        of_real, of_made = kernel_influences(*pair)
        return np.hypot(np.linalg.norm(np.bincount(groups, of_real)), np.linalg.norm(of_made))

    pairs = [(real(20), rng.normal(0.7, 1, (100, 4))) for _ in range(300)]
    deviation = np.std([kernel_distance(*pair) for pair in pairs])
    errors = [
        np.sqrt(np.mean([error(pair, of) ** 2 for pair in pairs])) for of in (np.arange(20).repeat(3), np.arange(60))
    ]
    assert errors[0] == pytest.approx(deviation, rel=0.15)
    assert errors[1] < 0.85 * errors[0]


def test_the_error_of_a_difference_of_kernel_distances_is_smaller_where_both_move_together():
    rng = np.random.default_rng(1)
    differences, errors, of_one = [], [], []
    for _ in range(300):
        real, made = rng.normal(size=(60, 4)), rng.normal(0.7, 1, (100, 4))
        pairs = [(real, made), (real, made + 0.3 + rng.normal(0, 0.1, made.shape))]
        differences.append(kernel_distance(*pairs[1]) - kernel_distance(*pairs[0]))
        first, second = (np.concatenate(kernel_influences(*pair)) for pair in pairs)
        errors.append(np.linalg.norm(second - first))
        of_one.append(np.linalg.norm(second))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(differences), rel=0.15)
    assert np.mean(errors) < 0.7 * np.mean(of_one)
