from collections import Counter

import numpy as np
import pandas as pd
import pytest

from sonosynth import artefacts
from sonosynth.cohort.partition import split
from sonosynth.cohort.split import kept_part
from sonosynth.cohort.twins import components
from sonosynth.errors import UserError
from sonosynth.jobs import Made


def units(names, groups):
    """Images of one name, and those of one group, together."""
    first = {}
    keys = [(i, key) for i, pair in enumerate(zip(names, groups, strict=True)) for key in enumerate(pair) if key[1]]
    return components(len(names), [(first.setdefault(key, i), i) for i, key in keys])


def hashes(n):
    return [f"{i * 7919 % 10007:05d}" for i in range(n)]


def test_counts_are_the_integer_part_as_in_the_paper():
    labels = ["benign"] * 437 + ["malignant"] * 210 + ["normal"] * 133
    sides = split(labels, hashes(780), units(hashes(780), [""] * 780), 0.2, np.random.default_rng(0))
    assert Counter(zip(labels, sides, strict=True)) == {
        ("benign", "train"): 349, ("malignant", "train"): 168, ("normal", "train"): 106,
        ("benign", "validation"): 88, ("malignant", "validation"): 42, ("normal", "validation"): 27,
    }  # fmt: skip


def test_order_changes_nothing_and_the_seed_does():
    labels = [f"{i % 3}" for i in range(90)]
    groups = [f"g{i // 2}" if i < 20 else "" for i in range(90)]
    names = hashes(90)
    first = dict(zip(names, split(labels, names, units(names, groups), 0.2, np.random.default_rng(1)), strict=True))
    order = np.random.default_rng(5).permutation(90)
    shuffled = [names[i] for i in order]
    together = units(shuffled, [groups[i] for i in order])
    again = split([labels[i] for i in order], shuffled, together, 0.2, np.random.default_rng(1))
    assert dict(zip(shuffled, again, strict=True)) == first
    other = split(labels, names, units(names, groups), 0.2, np.random.default_rng(2))
    assert dict(zip(names, other, strict=True)) != first


@pytest.mark.parametrize("seed", range(20))
def test_groups_and_copies_stay_together_and_counts_hold(seed):
    labels = [f"{i % 2}" for i in range(60)]
    groups = [f"patient {i // 5}" if i < 30 else "" for i in range(60)]
    names = hashes(60)
    names[40] = names[51]  # exact copies under two labels
    sides = split(labels, names, units(names, groups), 0.2, np.random.default_rng(seed))
    assert all(len({sides[i] for i in range(60) if groups[i] == g}) == 1 for g in set(groups) - {""})
    assert sides[40] == sides[51]
    assert Counter(zip(labels, sides, strict=True)) == {
        ("0", "train"): 24, ("1", "train"): 24, ("0", "validation"): 6, ("1", "validation"): 6,
    }  # fmt: skip


def test_a_class_that_is_one_group_is_refused():
    labels = ["a"] * 10 + ["b"] * 10
    with pytest.raises(ValueError, match="image of a"):
        split(labels, hashes(20), units(hashes(20), ["g"] * 10 + [""] * 10), 0.2, np.random.default_rng(0))


def test_text_of_a_table_comes_back_as_text(tmp_path):
    (tmp_path / "cohort.csv").write_text("id,label,group\n007,01,\nNA,1e3,2\n")
    made = Made("split", {"table": tmp_path / "cohort.csv"}, {}, "", 0.0, 0)
    assert artefacts.Split(made).rows.to_dict("list") == {
        "id": ["007", "NA"], "label": ["01", "1e3"], "group": ["", "2"],
    }  # fmt: skip


def training_rows(groups):
    n = len(groups)
    return pd.DataFrame(
        {"id": hashes(n), "label": ["ab"[i % 3 == 0] for i in range(n)], "sha256": hashes(n), "group": groups}
    )


def test_a_part_of_the_training_images_is_kept_class_by_class_and_smaller_parts_lie_in_larger_ones():
    train = training_rows([""] * 90)
    parts = {share: set(kept_part(train, share, 5)) for share in (0.01, 0.1, 0.5, 1)}
    assert parts[1] == set(train.index)
    assert {share: train["label"][list(rows)].value_counts().to_dict() for share, rows in parts.items()} == {
        0.01: {"a": 1, "b": 1}, 0.1: {"a": 6, "b": 3}, 0.5: {"a": 30, "b": 15}, 1: {"a": 60, "b": 30},
    }  # fmt: skip
    assert parts[0.01] < parts[0.1] < parts[0.5]
    assert parts[0.5] != set(kept_part(train, 0.5, 6))


def test_groups_are_kept_or_left_out_whole():
    train = training_rows([f"g{i // 4}" if i < 40 else "" for i in range(90)])
    kept = train.index.isin(kept_part(train, 0.3, 0))
    assert train.assign(kept=kept).query("group != ''").groupby("group")["kept"].nunique().eq(1).all()
    assert train["label"][kept].value_counts().to_dict() == {"a": 18, "b": 9}
    with pytest.raises(UserError, match=r"split\.keep=0\.1: no group of b"):
        kept_part(training_rows(["one"] * 30 + [""] * 60).query("group != '' or label == 'a'"), 0.1, 0)


def deviation(labels, sides, holdout):
    """From the wanted share of each class and of all images together, squared."""
    totals, out = Counter(labels), Counter(x for x, side in zip(labels, sides, strict=True) if side == "validation")
    wanted = {x: n - int((1 - holdout) * n + 1e-9) for x, n in totals.items()}
    apart = sum(((out[x] - wanted[x]) / n) ** 2 for x, n in totals.items())
    return apart + (sum(out[x] - wanted[x] for x in totals) / len(labels)) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_few_patients_are_split_as_near_to_the_wanted_shares_as_any_assignment_of_them(seed):
    rng = np.random.default_rng(seed)
    patients = [f"p{number}" for number in range(11) for _ in range(rng.integers(1, 60))]
    labels = [str(rng.choice(["a", "b", "c"], p=[0.6, 0.3, 0.1])) for _ in patients]
    names = hashes(len(labels))
    sides = split(labels, names, units(names, patients), 0.2, np.random.default_rng(seed))
    every = []
    for bits in range(1, 2**11 - 1):
        of = ["validation" if bits >> int(patient[1:]) & 1 else "train" for patient in patients]
        if len(set(zip(labels, of, strict=True))) == 2 * len(set(labels)):
            every.append(deviation(labels, of, 0.2))
    assert deviation(labels, sides, 0.2) == pytest.approx(min(every))
