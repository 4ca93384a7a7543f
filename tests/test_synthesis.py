import numpy as np
import pandas as pd
from PIL import Image

from sonosynth.synthesis import load_images, load_set, make_set, plan, refinements, requests


def test_plan_of_the_paper():
    labels = ["benign"] * 349 + ["malignant"] * 168 + ["normal"] * 106
    assert plan(labels, 350) == {"benign": 1, "malignant": 182, "normal": 244}
    assert plan(labels, "largest") == {"benign": 0, "malignant": 181, "normal": 243}
    assert plan(labels, 200) == {"benign": 0, "malignant": 32, "normal": 94}


def test_requests_share_seeds_between_models_and_differ_within_a_set():
    sd = requests({"a": 3, "b": 2}, {"a": "p", "b": "q"}, seed=0)
    ti = requests({"a": 3, "b": 2}, {"a": "p <x>", "b": "q <x>"}, seed=0)
    assert [r.seed for r in sd] == [r.seed for r in ti]
    refined = refinements(sd, "sd", 0)
    assert len({r.seed for r in [*sd, *refined]}) == 10
    assert [r.source for r in refined] == [f"sd/{r.file_name}" for r in sd]


def test_sets_are_written_in_batches_and_resumed(tmp_path):
    wanted = requests({"a": 5}, {"a": "p"}, seed=0)
    calls = []

    def make(chosen):
        calls.append(len(chosen))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.stack([np.full((4, 4), r.seed % 256, np.uint8) for r in chosen])

    for _ in range(2):
        try:
            make_set(wanted, make, tmp_path / "sd", batch=2, columns={"steps": 7})
        except KeyboardInterrupt:
            assert not (tmp_path / "sd" / "metadata.csv").exists()
    assert calls == [2, 2, 2, 1]
    rows, images = load_set(tmp_path / "sd")
    assert [image[0, 0] for image in images] == [r.seed % 256 for r in wanted]
    assert list(rows.columns) == ["file_name", "label", "prompt", "seed", "source", "steps"]
    assert Image.open(tmp_path / "sd" / wanted[0].file_name).mode == "L"
    assert not list(tmp_path.rglob("*.partial"))


def test_an_empty_set_is_a_table_without_rows(tmp_path):
    make_set([], lambda chosen: 1 / 0, tmp_path / "sd", batch=2, columns={})
    rows, images = load_set(tmp_path / "sd")
    assert len(rows) == len(images) == 0
    assert list(pd.read_csv(tmp_path / "sd" / "metadata.csv").columns)[:2] == ["file_name", "label"]
    assert load_images(tmp_path, []).shape[0] == 0
