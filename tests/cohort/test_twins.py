import imagehash
import numpy as np
from PIL import Image
from scipy import ndimage

from sonosynth.cohort import twins
from sonosynth.phantom import simulate
from sonosynth.phantom.simulate import DEMO_PROBE


def test_twins_are_those_that_a_comparison_of_all_pixels_finds():
    rng = np.random.default_rng(0)
    images = [simulate("benign", np.random.default_rng(i), DEMO_PROBE).image for i in range(40)]
    for i in range(12):  # near and not so near ones, on both sides of the limits
        changed = images[i].astype(float) + ndimage.gaussian_filter(rng.normal(0, 25 * i, images[i].shape), 3)
        images.append(np.uint8(np.clip(changed[:, :: -1 if i % 2 else 1], 0, 255)))
    images.append(np.full((128, 128), 7, np.uint8))
    found = {(t.first, t.second): t for t in twins.find([twins.view(image) for image in images])}

    small = [np.asarray(Image.fromarray(x).resize((64, 64), Image.Resampling.BOX), float) for x in images]
    expected = set()
    for i in range(len(images) - 1):
        for j in range(i + 1, len(images) - 1):
            for other in (images[j], images[j][:, ::-1]):
                reduced = small[j] if other is images[j] else small[j][:, ::-1]
                alike = np.corrcoef(small[i].ravel(), reduced.ravel())[0, 1]
                bits = imagehash.phash(Image.fromarray(images[i])) - imagehash.phash(Image.fromarray(other))
                if alike >= twins.ALIKE or (bits <= twins.NEAR and alike >= twins.CONFIRMED):
                    expected.add((i, j))
                    assert abs(found[i, j].correlation - alike) < 1e-3
    assert set(found) == expected
    assert 5 <= len(expected) < 12


def test_blocks_change_nothing(monkeypatch):
    images = [simulate("benign", np.random.default_rng(i % 7), DEMO_PROBE).image for i in range(20)]
    views = [twins.view(image) for image in images]
    whole = twins.find(views)
    monkeypatch.setattr(twins, "BLOCK", 3)
    assert twins.find(views) == whole
    assert len(whole) == 19  # 6 kinds of 3 images, one of 2
