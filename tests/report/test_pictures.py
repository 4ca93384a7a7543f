"""The grid shows pictures pixel by pixel."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from sonosynth.report.figures import PAGE, save, wrapped
from sonosynth.report.sections.classifier import confusion, roc, views
from sonosynth.report.sections.pictures import Column, grid


@pytest.mark.parametrize(("side", "sets", "zoom", "each"), [(32, 3, 7, 4), (128, 7, 1, 4), (224, 2, 2, 1)])
def test_each_picture_of_the_grid_is_a_whole_multiple_of_itself(side, sets, zoom, each, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (2 * each, side, side), np.uint8)
    rows = pd.DataFrame({"label": ["a"] * each + ["b"] * each})
    shown = {f"set {i}": Column(rows, pixels, each) for i in range(sets)}
    save({"grid": grid(shown, ["a", "b"], [])}, tmp_path / "figures")
    drawn = np.asarray(Image.open(tmp_path / "figures" / "grid.png").convert("L"))
    lines = [line.tobytes() for line in drawn]
    for picture in pixels:
        middle = np.repeat(picture[side // 2], zoom).tobytes()
        assert sum(line.count(middle) for line in lines) == sets * zoom


def predictions(classes):
    rng = np.random.default_rng(0)
    labels = np.repeat(classes, 6)
    rows = pd.DataFrame({"id": range(len(labels)), "label": labels, "draw": 0, "split": 0, "generator": 0, "seed": 0})
    p = rng.dirichlet(np.ones(len(classes)), len(labels))
    rows = rows.assign(**{f"p_{name}": own for name, own in zip(classes, p.T, strict=True)})
    return pd.concat([rows.assign(arm=arm) for arm in ("real", "b", "c")], ignore_index=True)


@pytest.mark.parametrize("name", ["a rather long class", "x" * 60])
@pytest.mark.parametrize("count", [2, 4, 12])
def test_confusion_matrices_of_2_to_12_classes_have_room_for_every_number(count, name):
    figure = confusion(predictions([f"{name} {i}" for i in range(count)]))
    assert figure.get_figwidth() == PAGE
    figure.draw_without_rendering()
    for axis in figure.axes[:3]:
        cell = axis.get_window_extent().width / count
        boxes = [text.get_window_extent().width for text in axis.texts]
        assert len(boxes) == count**2 and max(boxes) < cell
    assert figure.axes[0].get_title() == "real" and figure.get_supxlabel().startswith("predicted class")
    plt.close(figure)


def test_curves_are_of_few_classes_of_the_one_that_matters_or_of_all_together():
    assert [views(["a", "b"], None), views(["a", "b"], "a"), views(["a", "b", "c"], "a")] == [
        ["b"],
        ["a"],
        ["a", "b", "c"],
    ]
    assert [views(list("abcd"), "c"), views(list("abcd"), None)] == [["c"], [""]]
    figure = roc(predictions(["a", "b", "c", "d"]), {}, "real", None)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["b\nmean over classes", "c\nmean over classes"]  # each beside the reference, which has no panel
    assert all(len(axis.collections) == 2 for axis in figure.axes)
    plt.close(figure)


def test_long_names_are_broken_where_they_can_be():
    assert wrapped("real+classical+oversampling+sd", 18) == "real+classical+\noversampling+sd"
    assert wrapped("short") == "short" and wrapped("a" * 30) == "a" * 30
