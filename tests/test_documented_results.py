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
    assert f"{of_seeds['real']:.3f} for `real` and {of_seeds[comparator]:.3f} for the simple baseline" in page
    assert found[["real_low", "comparator_low"]].max().max() < 0 < found[["real_high", "comparator_high"]].min().min()
    text, variation = found.loc[f"{comparator}+sd+ti"], found.loc[f"{comparator}+variation"]
    assert f"({text['embedded_distance']:.1f} where other real images are at {text['embedded_floor']:.1f})" in page
    assert f"({variation['embedded_distance']:.1f}), and {variation['copies']:.0%} of them are copies" in page
    smallest = f"{(found['real_high'] - found['real_low']).min() / 2:.3f}"
    assert f"no gain over `real` below {smallest} would have been significant" in readme
    assert f"gains over `real` below {smallest} can't be seen" in page


def test_the_run_with_quick(benchmark):
    found, page = pd.read_csv(STORED / "quick.csv"), words("docs/results.md")
    assert benchmark("results").tables(found).strip() in read("docs/results.md")
    (minutes,), (usual,) = {*found["minutes"]}, {*found["usual_minutes"]}
    assert f"It took {minutes:.0f} minutes on 2 cores; the usual scripts would take {usual:.0f} minutes" in page
    baseline, real = (found.set_index("arm").loc[arm] for arm in ("real+classical+oversampling", "real"))
    assert f"macro F1 {baseline['f1']:.3f}, with a standard deviation between seeds of" in page
    assert f"between seeds of {baseline['seeds_deviation']:.3f}; `real`" in page
    assert f"has one of {real['seeds_deviation']:.3f} on this one split" in page
    assert set(found["finding"].dropna()) == {"not enough runs"}


def test_the_study_of_every_way(benchmark):
    results, found = benchmark("results"), pd.read_csv(STORED / "results-64.csv")
    page, comparator = words("docs/results.md"), "real+classical+oversampling"
    assert results.tables(found).strip() in read("docs/results.md")
    own, spaces = found.set_index("arm"), [f"{name}_distance" for name in results.NETWORKS]
    assert set(own["finding"].dropna()) == {"no evidence"} and own["finding"].count() == 15
    smallest = (own["real_high"] - own["real_low"]).min() / 2
    assert f"no gain over `real` below {smallest:.3f} could have been: 15 arms" in page
    assert f"has a macro F1 of {own.loc[comparator, 'f1']:.3f}" in page
    assert own["comparator_difference"].nlargest(2).index.to_list() == ["replaced", "scratch"]
    best = own.loc["replaced"]
    of_best = [best[f"comparator_{part}"] for part in ("difference", "low", "high")]
    assert "(`replaced`): {:+.3f} ({:+.3f} to {:+.3f})".format(*of_best) in page
    copies = own.loc[f"{comparator}+copies", "f1"] - own.loc[comparator, "f1"]
    assert f"(`copies`) are at {copies:+.3f}" in page
    adapted = own.drop(index=["scratch", "unadapted"])[spaces[0]]
    assert own.loc["scratch", spaces[0]] > adapted.max()
    assert adapted.drop(index=f"{comparator}+copies").idxmin() == f"{comparator}+variation"
    far = own[spaces[1]].drop(index=f"{comparator}+copies")
    floors = own[f"{results.NETWORKS[1]}_floor"]
    assert f"({far.min():.0f} to {far.max():.0f}, floors of {floors.min():.0f} to {floors.max():.0f})" in page
    chosen, text = own.loc["selected"], own.loc[f"{comparator}+sd+ti"]
    assert f"({chosen[spaces[0]]:.1f} instead of {text[spaces[0]]:.1f})" in page
    assert f"({chosen['comparator_difference']:+.3f} and {text['comparator_difference']:+.3f})" in page


def test_the_studies_of_few_images(benchmark):
    results, found = benchmark("results"), pd.read_csv(STORED / "results-few.csv")
    page, comparator = words("docs/results.md"), "real+classical+oversampling"
    assert results.tables(found).strip() in read("docs/results.md")
    first, second = (rows.set_index("arm") for _, rows in found.groupby("study", sort=False))
    assert set(found["finding"].dropna()) == {"no evidence"} and first["finding"].count() == 8
    made = [arm for arm in first.index if first["embedded_distance"].notna()[arm] and not arm.endswith("copies")]
    base = [arm for arm in made if arm != "further"]
    losses = second.loc[base, "comparator_difference"]
    assert f"({losses.max():+.3f} to {losses.min():+.3f}, all intervals across 0)" in page
    assert second.loc[base, "comparator_low"].max() < 0 < second.loc[base, "comparator_high"].min()
    assert {own[score].idxmax() for own in (first, second) for score in ("f1", "auc")} == {"further"}
    gain = "{:+.3f} ({:+.3f} to {:+.3f})"
    over = [gain.format(*own.loc["further", [f"comparator_{part}" for part in ("difference", "low", "high")]])
            for own in (first, second)]  # fmt: skip
    real = gain.format(*first.loc["further", [f"real_{part}" for part in ("difference", "low", "high")]])
    assert f"{over[0]} and {over[1]} over the simple baseline, and {real} over `real`" in page
    near = first["embedded_distance"]
    assert f"({near['further']:.1f}, floor {first.loc['further', 'embedded_floor']:.1f})" in page
    text, nearest = f"{comparator}+sd+ti", f"{comparator}+variation"
    assert f"variations are at {near[nearest]:.1f}, text-to-image is at {near[text]:.1f}" in page
    assert f"without adaptation is at {near['unadapted']:.1f}" in page
    far = first["imagenet:features_distance"]
    assert f"at {far[base].min():.0f} to {far[base].max():.0f}, `further` is at {far['further']:.0f}" in page
    assert all(first.loc[base, f"{name}_distance"].idxmin() == nearest for name in results.NETWORKS)
    assert nearest not in {own.loc[base, "f1"].idxmax() for own in (first, second)}


def test_time_to_equal_quality(benchmark):
    quality, found = benchmark("quality"), pd.read_csv(STORED / "quality.csv")
    shown = found.sort_values(["side", "steps"], kind="stable")
    assert quality.tables(shown).strip() in read("benchmarks/README.md")
    script, ours = (found[found["side"] == side] for side in (quality.SCRIPT, quality.OURS))
    last, first = script[script["steps"] == 1000], ours[ours["steps"] == 60]
    for space in ("embedded", "imagenet:features"):
        assert first[space].max() < last[space].min()
    assert 15.5 < last["seconds"].mean() / first["seconds"].mean() < 16.5
    per_step = [rows.groupby("steps")["seconds"].mean() for rows in (script, ours)]
    theirs, own = ((x.iloc[-1] - x.iloc[0]) / (x.index[-1] - x.index[0]) for x in per_step)
    assert (round(theirs, 2), round(own, 2), round(theirs / own, 1)) == (0.27, 0.20, 1.3)


def test_what_compiling_costs_and_saves(benchmark):
    found, page = pd.read_csv(STORED / "compiling.csv"), words("benchmarks/README.md")
    assert benchmark("compiling").table(found).strip() in read("benchmarks/README.md")
    plain, _, whole = found.set_index("way").to_dict("index").values()
    assert f"A step becomes {plain['step'] / whole['step']:.1f} times as fast" in page
    saved = 10 * 500 * (plain["step"] - whole["step"]) - whole["first"] - 9 * whole["again"] + 10 * plain["again"]
    assert f"would save {saved / 60:.0f} of its 100 minutes" in page


def test_the_editions_of_the_embedded_base(benchmark):
    found, page = pd.read_csv(STORED / "editions.csv"), words("docs/embedded-base.md")
    assert benchmark("editions").tables(found).strip() in read("docs/embedded-base.md")
    first, second = (found[found["base"] == name] for name in ("first", "second"))
    assert f"kept {first['fine'].min():.0%} to {first['fine'].max():.0%} of its power" in page
    errors = [f"{rows['L1'].min():.3f} and {rows['L1'].max():.3f}" for rows in (second, first)]
    assert f"({errors[0]} instead of {errors[1]})" in page
    assert second["pattern"].max() < 1.5 and first["pattern"].min() > 9
    (mine,), (before,) = (rows.loc[rows["images"] == "BUSI", "fine"] for rows in (second, first))
    assert round(mine, 2) == 1.25 and before < 0.1
    adapted = [rows[rows["made"].str.startswith("adapted", na=False)] for rows in (first, second)]
    for space in ("embedded", "imagenet:features"):
        earlier, later = (rows[space] for rows in adapted)
        assert abs(later.mean() - earlier.mean()) < max(later.max() - later.min(), earlier.max() - earlier.min())
    before, after = (rows["imagenet:features"].mean() for rows in adapted)
    assert f"is a little further ({after:.3f} instead of {before:.3f}, means)" in page


def test_the_images_under_masks():
    found, page = pd.read_csv(STORED / "obedience.csv"), read("docs/masks.md")
    for (name, label), rows in found.groupby(["set", "label"]):
        mean = rows[["dice", "exchanged", "nothing", "unmatched"]].mean()
        dice, exchanged = ("–" if pd.isna(x) else f"{x:.2f}" for x in mean[["dice", "exchanged"]])
        cells = [name, label, str(len(rows)), dice, exchanged, f"{mean['nothing']:.0%}", f"{mean['unmatched']:.2f}"]
        assert f"| {' | '.join(cells)} |" in page
    of = found.groupby(["set", "label"])["dice"].mean().unstack("set")
    assert (of["masked"] / of["real"]).mean() == pytest.approx(0.73, abs=0.03)
    reach = found[found["asked"] > 0].assign(reach=lambda rows: rows["dice"] >= 0.5).groupby("set")["reach"]
    assert reach.agg(["sum", "size"]).to_numpy().tolist() == [[38, 80], [88, 127]]
    small = found[(found["label"] == "benign") & (found["asked"] <= 0.03)].groupby("set")["dice"].mean()
    assert f"the Dice is {small['masked']:.2f} (real images: {small['real']:.2f})" in " ".join(page.split())


def test_what_a_runner_costs(benchmark):
    found = pd.read_csv(STORED / "runners.csv")
    assert benchmark("runners").table(found).strip() in read("docs/scaling.md")
    assert 267 * found["overhead_ms"].max() / 1e3 < 0.002 * 3600


def test_what_many_images_cost(benchmark):
    found, page = pd.read_csv(STORED / "scale.csv"), words("benchmarks/README.md")
    assert benchmark("scale").table(found).strip() in read("benchmarks/README.md")
    each = (1e3 * found["seconds"] / found["images"])[found["images"] == 10_000].set_axis(found["work"].unique())
    assert f"{each['inspect']:.0f} ms an image at 10,000, of which {each['twins alone']:.0f} are" in page
