"""What the documents say of runs on real images stands in stored results."""

from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
STORED = ROOT / "docs" / "results"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return import_module


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def words(page):
    return " ".join(read(page).split())


def test_the_tables_of_the_run_with_sound(benchmark):
    results, found = benchmark("results"), pd.read_csv(STORED / "sound.csv")
    assert results.tables(found, results.SHORT).strip() in read("README.md")
    assert results.tables(found).strip() in read("docs/results.md")


def test_what_is_said_of_the_run_with_sound():
    found = pd.read_csv(STORED / "sound.csv").set_index("arm")
    comparator = "real+classical+oversampling"
    (minutes,), (usual,) = {*found["minutes"]}, {*found["usual_minutes"]}
    readme, page = words("README.md"), words("docs/results.md")
    assert f"It took {minutes:.0f} minutes on 2 cores" in readme and f"It took {minutes:.0f} minutes on 2 cores" in page
    assert f"the usual scripts would take {usual / 60:.0f} hours" in readme and f"{usual:.0f} minutes" in page
    baseline = found.loc[comparator]
    assert f"macro F1 {baseline['f1']:.3f}, AUC {baseline['auc']:.3f}" in page
    of_seeds = found["seeds_deviation"]
    assert f"{of_seeds['real']:.3f} for `real` and {of_seeds[comparator]:.3f} for the comparator" in page
    assert found[["real_low", "comparator_low"]].max().max() < 0 < found[["real_high", "comparator_high"]].min().min()
    text, variation = found.loc[f"{comparator}+sd+ti"], found.loc[f"{comparator}+variation"]
    assert f"({text['embedded_distance']:.1f} where other real images are at {text['embedded_floor']:.1f})" in page
    assert f"({variation['embedded_distance']:.1f}), and {variation['copies']:.0%} of them are copies" in page
    smallest = f"{(found['real_high'] - found['real_low']).min() / 2:.3f}"
    assert f"no gain over `real` below {smallest} would have been significant" in readme
    assert f"gains over `real` below {smallest} can't be seen" in page
