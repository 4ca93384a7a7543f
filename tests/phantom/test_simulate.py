import numpy as np
import pytest
from PIL import Image

from sonosynth.errors import UserError
from sonosynth.phantom import KINDS, Probe, envelope, random_probe, simulate, write_cohort
from sonosynth.phantom.simulate import DEMO_PROBE


def test_homogeneous_tissue_gives_fully_developed_speckle():
    # Rayleigh statistics: mean over standard deviation sqrt(pi / (4 - pi)) = 1.91.
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(8):
        values = envelope(np.zeros((512, 512)), Probe(), rng)
        ratios.append(values.mean() / values.std())
    assert np.mean(ratios) == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.015)


def test_level_follows_echogenicity_at_every_depth():
    rng = np.random.default_rng(0)
    levels = np.mean([(envelope(np.zeros((256, 256)), Probe(), rng) ** 2).mean(axis=1) for _ in range(30)], axis=0)
    thirds = [part.mean() for part in np.array_split(levels, 3)]
    assert max(thirds) / min(thirds) < 1.1
    darker = (envelope(np.full((256, 256), -20.0), Probe(), rng) ** 2).mean()
    assert 10 * np.log10(levels.mean() / darker) == pytest.approx(20, abs=0.7)


def test_speckle_is_wider_away_from_the_focus():
    values = envelope(np.zeros((512, 512)), Probe(focus=10.0, aperture=20.0), np.random.default_rng(0))
    rows = values - values.mean(axis=1, keepdims=True)
    correlation = (rows[:, 2:] * rows[:, :-2]).mean(axis=1) / (rows**2).mean(axis=1)
    depth = (np.arange(512) + 0.5) * 38 / 512
    assert correlation[depth > 30].mean() > correlation[(depth > 8) & (depth < 12)].mean() + 0.1


def _extent(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (np.ptp(rows) + 1) / mask.shape[0] * 38, (np.ptp(columns) + 1) / mask.shape[1] * 40


def test_lesions_look_like_their_kind():
    shapes = {kind: [] for kind in KINDS}
    contrast = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for seed in range(20):
            phantom = simulate(kind, np.random.default_rng(seed), Probe(), 64)
            assert phantom.image.shape == phantom.mask.shape == (64, 64)
            assert phantom.image.dtype == np.uint8
            if kind == "normal":
                assert not phantom.mask.any()
                continue
            height, width = _extent(phantom.mask)
            shapes[kind].append(height / width)
            below = np.zeros_like(phantom.mask)
            last = np.flatnonzero(phantom.mask.any(axis=1)).max()
            columns = phantom.mask[last - 4 : last + 1].any(axis=0)
            below[last + 2 : last + 12, columns] = True
            beside = np.zeros_like(phantom.mask)
            beside[last + 2 : last + 12, ~phantom.mask.any(axis=0)] = True
            if below.any() and beside.any():
                contrast[kind].append(phantom.image[below].mean() - phantom.image[beside].mean())
    assert np.mean(shapes["benign"]) < 0.9 < np.mean(shapes["malignant"])
    assert np.mean(contrast["benign"]) > 3  # enhancement behind
    assert np.mean(contrast["malignant"]) < -10  # shadow


def test_the_demo_is_another_machine_than_the_base_knows():
    known = [random_probe(np.random.default_rng(seed)) for seed in range(300)]
    assert DEMO_PROBE.frequency > max(probe.frequency for probe in known)
    assert DEMO_PROBE.dynamic_range < min(probe.dynamic_range for probe in known)
    assert DEMO_PROBE.width / DEMO_PROBE.depth > max(probe.width / probe.depth for probe in known)


def test_compounding_evens_out_speckle():
    def roughness(looks):
        images = [simulate("normal", np.random.default_rng(i), Probe(looks=looks, smoothing=0.0)) for i in range(6)]
        return np.mean([np.abs(np.diff(phantom.image.astype(float), axis=0)).mean() for phantom in images])

    assert roughness(4) < 0.8 * roughness(1)


def test_same_seed_same_image_and_unknown_kind():
    first, second = (simulate("benign", np.random.default_rng(5), size=48) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    with pytest.raises(ValueError, match="known kinds: normal, benign, malignant"):
        simulate("cyst", np.random.default_rng(0))


def test_written_cohort_has_busi_layout(tmp_path):
    write_cohort(tmp_path / "c", {"normal": 1, "benign": 2}, seed=0, size=32)
    names = sorted(p.relative_to(tmp_path / "c").as_posix() for p in (tmp_path / "c").rglob("*.png"))
    assert names == [
        "benign/benign (1).png", "benign/benign (1)_mask.png", "benign/benign (2).png", "benign/benign (2)_mask.png",
        "normal/normal (1).png", "normal/normal (1)_mask.png",
    ]  # fmt: skip
    assert np.asarray(Image.open(tmp_path / "c/benign/benign (1)_mask.png")).any()
    with pytest.raises(UserError, match="not empty"):
        write_cohort(tmp_path / "c", {"normal": 1}, seed=0)
    with pytest.raises(UserError, match="cyst=3"):
        write_cohort(tmp_path / "d", {"cyst": 3}, seed=0)
