"""The sealed part: images that are set aside before any split."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth.cohort import sealing
from sonosynth.cohort.reading import read
from sonosynth.cohort.settings import Split
from sonosynth.cohort.split import independent, to_table
from sonosynth.errors import UserError
from sonosynth.jobs import keyed


@pytest.fixture
def cohort(tmp_path):
    """30 images of a, 20 of b. The first ten of each are of two patients; a20 and a21, b15 and b16 are twins."""
    rng, lines = np.random.default_rng(0), ["file,label,group"]
    for label, count in (("a", 30), ("b", 20)):
        pixels = [rng.integers(0, 250, (24, 20), np.uint8) for _ in range(count)]
        copied = 20 if label == "a" else 15
        pixels[copied + 1] = pixels[copied] + 3
        for i, image in enumerate(pixels):
            Image.fromarray(image).save(tmp_path / f"{label}{i}.png")
            lines.append(f"{label}{i}.png,{label},{f'{label} {i // 5}' if i < 10 else ''}")
    (tmp_path / "c.csv").write_text("\n".join(lines))
    return read(tmp_path / "c.csv")


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("groups", ["twins", "none"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_a_share_of_each_class_in_whole_groups_and_twins(cohort, share, groups, seed):
    sealed = sealing.draw(cohort, Split(groups=groups), share, seed)
    images = cohort.images.assign(sealed=cohort.images["id"].isin(sealed))
    assert images.groupby("label")["sealed"].sum().to_dict() == {"a": 30 * share, "b": 20 * share}
    assert (images[images["group"] != ""].groupby("group")["sealed"].nunique() == 1).all()
    side = dict(zip(images["id"], images["sealed"], strict=True))
    assert len(cohort.twins) == 2
    assert all(side[a] == side[b] for a, b in zip(cohort.twins["id"], cohort.twins["twin"], strict=True))


def test_it_is_the_same_in_all_splits_and_the_others_are_split_without_it(cohort):
    sealed = sealing.draw(cohort, Split(), 0.2, 7)
    assert sealed != sealing.draw(cohort, Split(), 0.2, 8)
    tables = [to_table(cohort, Split(), seed, (4, i), sealed=sealed) for seed in (1, 2) for i in range(4)]
    tables += [to_table(cohort, Split(), 3, sealed=sealed)]
    for table in tables:
        assert set(table["id"][table["split"] == "sealed"]) == set(sealed)
        assert set(table["split"]) == {"train", "validation", "sealed"}
    counts = pd.concat(tables[:4])[lambda x: x["split"] == "validation"]["id"].value_counts()
    assert set(counts) == {1} and set(counts.index) == set(cohort.images["id"]) - set(sealed)
    assert to_table(cohort, Split(), 1, (4, 0)).equals(to_table(cohort, Split(sealed=0), 1, (4, 0), sealed=[]))


def test_a_class_of_one_group_can_not_be_shared(tmp_path, cohort):
    cohort.images.loc[cohort.images["label"] == "b", "group"] = "b"
    with pytest.raises(UserError, match=r"split\.sealed=0\.2"):
        sealing.draw(cohort, Split(), 0.2, 0)


def test_without_it_no_key_of_a_job_knows_the_setting():
    assert set(keyed(Split())) == {"holdout", "groups", "conflicts", "keep", "leave_out", "given"}
    assert keyed(Split(sealed=0.2)) == keyed(Split())  # the job that seals has the share, and splits need what it makes


def test_what_is_independent_is_told_by_groups_and_twins_whatever_the_split_keeps_together(cohort):
    names = independent(cohort.images, cohort.twins)
    assert len(names) == 24 and "a12.png" not in names
    assert len(set(names.values())) == 6
    assert names["a20.png"] == names["a21.png"] and names["b15.png"] == names["b16.png"]
    assert len({names[f"a{i}.png"] for i in range(5)}) == 1 and names["a0.png"] != names["a5.png"]
