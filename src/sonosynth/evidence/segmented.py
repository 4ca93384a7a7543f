"""Scores of predicted masks, and tables of them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from sonosynth.evidence.blocks import Design, arranged, scored
from sonosynth.evidence.scores import Metric, Score, Valued, mean_dice, ratio
from sonosynth.evidence.tables import contrasts_by, interval

DICE = Metric("dice")


def mean_hd95(rows: pd.DataFrame) -> Valued:
    """Mean over images with a lesion of HD95, pixels: see `scores.Score`."""
    return ratio(rows["hd95"].to_numpy(np.float64), np.ones(len(rows)))


def sensitivity(rows: pd.DataFrame) -> Valued:
    """Share of the lesions of all images together that are found: see `scores.Score`."""
    return ratio(rows["found"].to_numpy(np.float64), rows["lesions"].to_numpy(np.float64))


def nothing_predicted(rows: pd.DataFrame) -> Valued:
    """Share of the images with a lesion for which an empty mask is predicted: see `scores.Score`."""
    return ratio((rows["found"] + rows["false"] == 0).to_numpy(np.float64), np.ones(len(rows)))


def false_per_image(rows: pd.DataFrame) -> Valued:
    """False lesions per image, with or without lesions: see `scores.Score`."""
    return ratio(rows["false"].to_numpy(np.float64), np.ones(len(rows)))


def false_alarms(rows: pd.DataFrame) -> Valued:
    """Share of the images without a lesion in which one is predicted: see `scores.Score`."""
    return ratio((rows["false"] > 0).to_numpy(np.float64), np.ones(len(rows)))


OF_LESIONS: dict[Metric, Score] = {
    DICE: mean_dice, Metric("hd95"): mean_hd95, Metric("sensitivity"): sensitivity,
    Metric("nothing_predicted"): nothing_predicted,
}  # fmt: skip
"""Scores of the images with a lesion, all of which count alike."""
OF_ALL: dict[Metric, Score] = {Metric("false_per_image"): false_per_image}
"""Scores of all images."""
OF_HEALTHY: dict[Metric, Score] = {Metric("false_alarms"): false_alarms}
"""Scores of the images without a lesion."""
NOT_SHARES = frozenset({"hd95", "false_per_image"})


def with_lesions(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of segmentation.csv of images with a lesion, which Dice is defined for."""
    return predictions[predictions["lesions"] > 0]


def _parts(
    predictions: pd.DataFrame, groups: Mapping[str, str]
) -> Iterator[tuple[Design, dict[Metric, Score]]]:  # fmt: skip
    """Each group of scores, with the images that count in it; none of images that there are none of."""
    healthy = predictions[predictions["lesions"] == 0]
    for rows, metrics in ((with_lesions(predictions), OF_LESIONS), (predictions, OF_ALL), (healthy, OF_HEALTHY)):
        if len(rows):
            yield arranged(rows, groups), metrics


def scores(predictions: pd.DataFrame, groups: Mapping[str, str], n_train: Mapping[str, int]) -> pd.DataFrame:
    """The scores of every arm: see `tables.scores`.

    Args:
        predictions: the columns arm, draw, split, generator, seed, id, dice, hd95, lesions, found and false. groups: of
            an image by its id. n_train: training images of each arm, in the order of the rows.

    Returns:
        One row per arm: each score, its standard deviation over runs (_sd), its interval (_low, _high).
    """
    parts, n_lesions = list(_parts(predictions, groups)), with_lesions(predictions)["id"].nunique()
    every = next(design for design, metrics in parts if metrics is OF_ALL)
    wide: dict[str, dict[str, object]] = {
        arm: {
            "arm": arm, "status": "run", "n_train": n_train[arm], "n_validation": every.folds.shape[1],
            "n_lesions": n_lesions, "runs": sum(map(len, every.runs[arm])),
        } if arm in every.runs else {"arm": arm, "status": "not run"} for arm in n_train
    }  # fmt: skip
    for design, metrics in parts:
        for metric, score in metrics.items():
            for arm in design.runs:
                own = scored(design, arm, score)
                low, high = interval(design, own, None if metric.name in NOT_SHARES else design.group_count)
                spread = float(own.runs.std(ddof=1)) if len(own.runs) > 1 else np.nan
                named = {"": own.value, "_sd": spread, "_low": low, "_high": high}
                wide[arm] |= {metric.name + end: value for end, value in named.items()}
    return pd.DataFrame(wide.values())


def differences(
    predictions: pd.DataFrame, groups: Mapping[str, str], pairs: Mapping[str, Sequence[str]], transfer: float
) -> pd.DataFrame:
    """The differences of arms from those in `pairs` in all scores but Dice: see `tables.differences`."""
    parts = [
        contrasts_by({metric: score for metric, score in metrics.items() if metric != DICE}, design, pairs, transfer)
        for design, metrics in _parts(predictions, groups)
    ]
    return pd.concat(parts, ignore_index=True)
