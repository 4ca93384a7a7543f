"""Verdicts where the classifiers of all blocks predict the same images."""

import numpy as np
import pandas as pd
import pytest

from sonosynth.evidence import judge
from sonosynth.evidence.blocks import arranged, of_common_images, scored
from sonosynth.evidence.contrasts import estimate
from sonosynth.evidence.scores import macro_f1

BLOCKS = [(draw, split) for draw in (0, 1) for split in range(3)]


def predictions(right):
    """Eight images of two classes, four each, alone; `right` says which of them an arm gets right, block by block."""
    rows = []
    for arm, of_blocks in right.items():
        for (draw, split), of_seeds in zip(BLOCKS, of_blocks, strict=True):
            for seed, hits in enumerate(of_seeds):
                for i in range(8):
                    p = 0.9 if (i in hits) == (i < 4) else 0.1
                    about = {"arm": arm, "draw": draw, "split": split, "generator": "" if arm == "real" else draw}
                    rows.append(about | {"seed": seed, "id": str(i), "label": "ab"[i // 4], "p_a": p, "p_b": 1 - p})
    return pd.DataFrame(rows)


def by_hand(hits):
    """Of two classes with four images each, and each image's influence, by the definitions."""
    truth = np.repeat([0, 1], 4)
    said = np.where(np.isin(np.arange(8), list(hits)), truth, 1 - truth)
    value, influence = 0.0, np.zeros(8)
    for k in (0, 1):
        n, m, t = (truth == k).sum(), (said == k).sum(), ((truth == k) & (said == k)).sum()
        f = 2 * t / (n + m)
        value += f / 2
        influence += (2 * ((truth == k) & (said == k)) - f * ((truth == k) * 1 + (said == k))) / (n + m) / 2
    return value, influence


def test_a_block_stands_as_a_generator_and_its_seeds_are_averaged():
    most, all_of_them = [set(range(7)), set(range(1, 8))], set(range(8))
    right = {
        "real": [
            [{0, 1, 2, 4, 5}, {0, 1, 4, 5, 6}],
            [{0, 1, 2, 3, 4}, {1, 2, 4, 5, 6, 7}],
            *[[{0, 4, 5, 6, 7}, {0, 1}]] * 4,
        ],
        "set": [[all_of_them], [most[0]], [most[1]], [all_of_them], [most[0]], [all_of_them]],
    }
    table = of_common_images(predictions(right))
    design = arranged(table, {})
    assert design.one_split and design.units("real") == design.units("set") == 6
    found = estimate(design, *(scored(design, arm, macro_f1) for arm in ("set", "real")))

    known = {arm: [[by_hand(hits) for hits in seeds] for seeds in blocks] for arm, blocks in right.items()}
    value = {arm: np.array([np.mean([v for v, _ in x]) for x in blocks]) for arm, blocks in known.items()}
    moves = {arm: np.stack([np.mean([u for _, u in x], axis=0) for x in blocks]) for arm, blocks in known.items()}
    difference = value["set"].mean() - value["real"].mean()
    between = sum(x.var(ddof=1) / 6 for x in value.values())
    within = sum(((x - x.mean(axis=0)) ** 2).sum() / (6 * 5) for x in moves.values())
    assert (found.value, found.between, found.within) == pytest.approx((difference, between, within))
    assert found.freedom == 5
    assert judge(table)["difference"].item() == pytest.approx(difference)


def test_generators_of_a_block_are_its_runs_and_count_by_themselves_where_there_is_one_block():
    rows = predictions({"real": [[{0, 1}]] * 6, "set": [[{0, 4}]] * 6})
    several = pd.concat([rows, *(rows[rows["arm"] == "set"].assign(generator=n) for n in range(2, 6))])
    design = arranged(of_common_images(several), {})
    assert design.generators == {"real": 6, "set": 6} and len(design.runs["set"][0]) == 30
    one = several[(several["draw"] == 0) & (several["split"] == 0)]
    assert arranged(of_common_images(one), {}).generators == {"real": 1, "set": 5}
    assert set(judge(of_common_images(one))["finding"]) == {"not enough runs"}  # of real: one seed
