"""Sets that are drawn in shards are those that are not, bit for bit."""

import numpy as np
import pandas as pd
import pytest

from sonosynth import disk
from sonosynth.jobs import State
from sonosynth.phantom import write_cohort
from sonosynth.run import Study
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis.making import Maker, make_set
from sonosynth.synthesis.requests import from_noise

GIVEN = (
    "adapters.sd=null", "synthesis.batch=4",
    "sets={sd: null, sd+ti: {count: 5}, sd+ti+img2img: null, refined: {from: sd+ti, adapter: sd+ti},"
    " variation: {from: real, adapter: sd+ti, count: 3, strength: [0.3, 0.6], mirror: true, select: true}}",
    "arms={real+oversampling: {balance: oversample}}", "classifier.seeds=[0]", "fidelity.measures=[features]",
)  # fmt: skip
SETS = ("sd+ti", "refined", "variation")


@pytest.fixture(scope="module")
def study(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("shards")
    write_cohort(folder / "cohort", {"benign": 11, "malignant": 8, "normal": 6}, seed=4, size=32)

    def of(shards):
        return Study(folder / "cohort", settings(*GIVEN, f"synthesis.shards={shards}")), folder / f"run {shards}"

    return of


def test_sets_in_shards_are_the_same_bit_for_bit(study):
    whole, parts = (study_of.run(root, "synthesize", processes=False) for study_of, root in (study(1), study(3)))
    for name in SETS:
        assert whole[f"synthetic/{name}"].files == parts[f"synthetic/{name}"].files  # SHA-256 of each
    drawn = [job for job in parts if job.startswith("drawn/")]
    assert len(drawn) == 3 * len(SETS) and not [job for job in whole if job.startswith("drawn/")]
    batches = [path.name for n in range(3) for path in sorted(parts[f"drawn/sd+ti/{n}"].places["batches"].iterdir())]
    assert batches == ["000000.npy", "000004.npy", "000008.npy", "000012.npy"]
    rows = pd.read_csv(parts["synthetic/sd+ti"].places["images"] / "metadata.csv")
    first = np.load(parts["drawn/sd+ti/1"].places["batches"] / "000004.npy")
    kept = rows["attempts"][4:8].to_numpy() == 1
    assert kept.any() and np.array_equal(first[kept], np.load(parts["synthetic/sd+ti"].places["pixels"])[4:8][kept])


def test_sets_of_a_run_without_shards_stay_done_and_a_shard_without_a_batch_loads_no_model(study, monkeypatch):
    """With more shards than batches, some have nothing to do."""
    one, root = study(1)
    made = one.run(root, "synthesize", processes=False)
    assert {s.state for job, s in one.statuses(root) if job.run is synthesis.make} == {State.DONE}
    jobs = {job.name: job for job, _ in study(60)[0].statuses(root)}
    empty, work = jobs["drawn/sd+ti/0"], root.parent / "empty"
    work.mkdir()
    monkeypatch.setattr("sonosynth.synthesis.composing.Composition.maker", lambda _: 1 / 0)
    empty.run(empty.settings, **empty.open(made), work=work)
    assert not list((work / "batches").iterdir())


def noise(request):
    return np.random.default_rng(request.seed).integers(0, 256, (8, 8)).astype(np.uint8)


def test_what_was_drawn_before_is_tried_again_in_order(tmp_path):
    """The third image repeats the first: both ways, it is made again with its second seed."""
    wanted = from_noise({"a": 5}, {"a": "p"}, seed=0)
    calls = []

    def make(chosen, _):
        calls.append([r.file_name for r in chosen])
        return np.stack([noise(wanted[0] if r is wanted[2] else r) for r in chosen])

    whole = make_set(wanted, None, Maker(make, {}), tmp_path / "whole", name="s", batch=2)
    drawn = {start: tmp_path / f"{start}.npy" for start in (0, 2)}
    for start, path in drawn.items():
        disk.write_array(path, make(wanted[start : start + 2], None))
    calls.clear()
    parts = make_set(wanted, None, Maker(make, {}), tmp_path / "parts", name="s", batch=2, drawn=drawn)
    assert np.array_equal(whole, parts) and calls == [["a/00002.png"], ["a/00004.png"]]
    files = [{p.name: p.read_bytes() for p in (tmp_path / x).rglob("*.*")} for x in ("whole", "parts")]
    assert files[0] == files[1] and b",2,\n" in files[0]["metadata.csv"]


def test_a_shard_that_was_interrupted_goes_on(study, monkeypatch):
    three, root = study(3)
    made = three.run(root, "synthesize", processes=False)
    jobs = {job.name: job for job, _ in three.statuses(root)}
    shard, work = jobs["drawn/sd+ti/2"], root.parent / "again"
    (work / "batches").mkdir(parents=True)
    there = made[shard.name].places["batches"]
    (work / "batches" / "000008.npy").write_bytes((there / "000008.npy").read_bytes())
    before = (work / "batches" / "000008.npy").stat().st_mtime_ns
    shard.run(shard.settings, **shard.open(made), work=work)
    assert {p.name: p.read_bytes() for p in (work / "batches").iterdir()} == {
        p.name: p.read_bytes() for p in there.iterdir()
    }  # fmt: skip
    assert (work / "batches" / "000008.npy").stat().st_mtime_ns == before
