"""Scores within subgroups of the images, and the differences of arms from the reference there."""

from collections.abc import Mapping

import pandas as pd

from sonosynth.evidence import tables
from sonosynth.evidence.blocks import arranged
from sonosynth.evidence.scores import ALL

COLUMNS = [
    "subgroup", "arm", "class", "metric", "images", "score", "low", "high", "difference", "difference_low",
    "difference_high",
]  # fmt: skip
UNKNOWN = "(unknown)"


def subgroups(
    predictions: pd.DataFrame, values: Mapping[str, str], *, reference: str, groups: Mapping[str, str]
) -> pd.DataFrame:
    """AUC and recall of each class for the images of each value, with 95% intervals, and differences from `reference`.

    The intervals are those of single questions: nothing is corrected for their number, and no verdict rests on them.
    A difference smaller than half its interval's width could not have been seen.

    Args:
        predictions: see `blocks.arranged`. values: of images, by id; the others' is `UNKNOWN`. groups: see there.

    Returns:
        `COLUMNS`; images is the number of those that were scored, of the class if there is one. NaN where a value has
        no image of a class, or nothing repeats.
    """
    of = predictions["id"].map(lambda name: values.get(str(name)) or UNKNOWN)
    arms = list(dict.fromkeys(predictions["arm"]))
    found = []
    for value, own in predictions.groupby(of):
        design = arranged(own, groups)
        wide, classes = tables.scores(design, dict.fromkeys(arms, 0))
        aucs = wide.assign(**{"class": ALL, "metric": "auc"})
        aucs = aucs.rename(columns={"auc": "value", "auc_low": "low", "auc_high": "high"})
        scores = pd.concat([aucs, classes[classes["metric"] == "recall"]])
        apart = tables.differences(design, {arm: [reference] for arm in arms if arm != reference}, 0.0)
        apart = apart.rename(columns={"low": "difference_low", "high": "difference_high"})
        scores = scores[["arm", "class", "metric", "value", "low", "high"]]
        rows = scores.rename(columns={"value": "score"}).merge(
            apart[["arm", "class", "metric", "difference", "difference_low", "difference_high"]],
            on=["arm", "class", "metric"], how="left",
        )  # fmt: skip
        images = own.drop_duplicates("id")["label"].value_counts().to_dict()
        counts = {ALL: sum(images.values())} | images
        found.append(rows.assign(subgroup=value, images=[counts.get(name, 0) for name in rows["class"]]))
    return pd.concat(found, ignore_index=True)[COLUMNS]
