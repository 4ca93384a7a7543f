import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sonosynth.cohort import twins
from sonosynth.cohort.twins import Rule
from sonosynth.phantom import KINDS, simulate
from sonosynth.phantom.simulate import DEMO_PROBE


def find(images):
    views = [twins.view(image) for image in images]
    return twins.find(views, twins.details(views))


@pytest.fixture(scope="module")
def strangers():
    """60 images of different simulated patients."""
    return [simulate(KINDS[i % 3], np.random.default_rng(i), DEMO_PROBE).image for i in range(60)]


def test_twins_are_those_that_a_comparison_of_all_pixels_finds(strangers):
    rng = np.random.default_rng(0)
    images = strangers[:40]
    for i in range(12):  # near and not so near ones, on both sides of the limits
        changed = images[i].astype(float) + ndimage.gaussian_filter(rng.normal(0, 25 * i, images[i].shape), 3)
        images.append(np.uint8(np.clip(changed[:, :: -1 if i % 2 else 1], 0, 255)))
    images.append(np.full((128, 128), 7, np.uint8))
    found = {(t.first, t.second): t for t in find(images) if t.rule != Rule.ALIGNED}

    small = [np.asarray(Image.fromarray(x).resize((64, 64), Image.Resampling.BOX), float) for x in images]
    expected = {}
    for i in range(len(images) - 1):
        for j in range(i + 1, len(images) - 1):
            for other in (images[j], images[j][:, ::-1]):
                reduced = small[j] if other is images[j] else small[j][:, ::-1]
                alike = np.corrcoef(small[i].ravel(), reduced.ravel())[0, 1]
                bits = imagehash.phash(Image.fromarray(images[i])) - imagehash.phash(Image.fromarray(other))
                if alike >= twins.ALIKE or (bits <= twins.NEAR and alike >= twins.CONFIRMED):
                    expected[i, j] = Rule.HASH if bits <= twins.NEAR else Rule.PIXELS
                    assert abs(found[i, j].correlation - alike) < 1e-3
    assert {pair: t.rule for pair, t in found.items()} == expected
    assert 5 <= len(expected) < 12


def moved(image, rng, *, turn=0.0, zoom=1.0, shift=(0.0, 0.0), mirrored=False):
    """The same view with the probe moved a little, another gain and other noise."""
    angle = np.deg2rad(turn)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    centre = (np.array(image.shape) - 1) / 2
    upright = image[:, ::-1] if mirrored else image
    offset = centre - matrix @ centre - shift
    there = ndimage.affine_transform(upright.astype(float), matrix, offset, order=1, mode="nearest")
    noise = ndimage.gaussian_filter(rng.normal(0, 12, image.shape), 1)
    return np.uint8(np.clip(there * rng.uniform(0.8, 1.2) + noise, 0, 255))


@pytest.mark.parametrize(
    "change",
    [
        {"turn": 5}, {"turn": -3}, {"shift": (5, -6)}, {"zoom": 1.07}, {"zoom": 0.92},
        {"turn": 3, "zoom": 1.05, "shift": (3, -3), "mirrored": True},
    ],
    ids=["turned", "turned back", "shifted", "nearer", "farther", "all"],
)  # fmt: skip
def test_views_from_a_moved_probe_are_twins_and_other_patients_are_none(strangers, change):
    rng = np.random.default_rng(0)
    found = find(strangers + [moved(image, rng, **change) for image in strangers[:15]])
    assert all(t.second == t.first + 60 for t in found)
    assert len(found) >= 14
    assert sum(t.rule == Rule.ALIGNED for t in found) >= 8  # the other rules miss half of them and more
    assert all(t.mirrored == change.get("mirrored", False) for t in found)


def test_lesions_of_one_shape_in_different_tissue_are_no_twins(strangers):
    down, across = np.mgrid[:128, :128]
    lesion = ((across - 64) / 24) ** 2 + ((down - 60) / 16) ** 2 < 1
    behind = (abs(across - 64) < 22) & (down > 76)
    enhanced = [np.where(behind, np.minimum(255, 1.6 * image), image) for image in strangers]
    assert find([np.uint8(np.where(lesion, 0.15 * image, image)) for image in enhanced]) == []


def sector(half_angle):
    down, across = np.mgrid[:128, :128]
    angle, depth = np.degrees(np.arctan2(across - 63.5, down + 24)), np.hypot(across - 63.5, down + 24)
    return (abs(angle) < half_angle) & (depth > 28) & (depth < 148)


@pytest.mark.parametrize("angles", [(35,), (25, 30, 35, 40)], ids=["one sector", "several sectors"])
def test_the_edges_of_a_sector_make_no_twins_and_hide_none(strangers, angles):
    shown = [np.uint8(image * sector(angles[i % len(angles)])) for i, image in enumerate(strangers)]
    assert [t for t in find(shown) if t.rule == Rule.ALIGNED] == []
    rng = np.random.default_rng(0)
    again = [
        np.uint8(moved(image, rng, turn=3) * sector(angles[i % len(angles)])) for i, image in enumerate(strangers[:15])
    ]
    found = {(t.first, t.second) for t in find(shown + again)}
    assert {pair for pair in found if pair[1] != pair[0] + 60} == set()
    assert len(found) >= 10


def test_twins_do_not_depend_on_the_order_of_the_images(strangers):
    rng = np.random.default_rng(0)
    images = strangers[:30] + [moved(image, rng, turn=3, zoom=1.04) for image in strangers[:10]]
    order = rng.permutation(40)
    found = {frozenset((t.first, t.second)): t.rule for t in find(images)}
    again = {frozenset(order[[t.first, t.second]].tolist()): t.rule for t in find([images[i] for i in order])}
    assert found == again
    assert len(found) == 10


def test_blocks_change_nothing(monkeypatch, strangers):
    images = [strangers[i % 7] for i in range(20)]
    whole = find(images)
    monkeypatch.setattr(twins, "BLOCK", 3)
    assert find(images) == whole
    assert len(whole) == 19  # 6 kinds of 3 images, one of 2


@pytest.mark.parametrize("count", [1, 2])
def test_few_images(strangers, count):
    assert find(strangers[:count]) == []
    assert len(find([strangers[0]] * count)) == count * (count - 1) // 2
