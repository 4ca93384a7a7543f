import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sonosynth import store
from sonosynth.errors import UserError
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


def noise(request):
    return np.random.default_rng(request.seed).integers(0, 256, (8, 8)).astype(np.uint8)


def test_sets_are_written_in_batches_and_resumed(tmp_path):
    wanted = requests({"a": 5}, {"a": "p"}, seed=0)
    calls = []

    def make(chosen):
        calls.append(len(chosen))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.stack([noise(r) for r in chosen])

    for _ in range(2):
        try:
            make_set(wanted, make, tmp_path / "sd", batch=2, columns={"steps": 7})
        except KeyboardInterrupt:
            assert not (tmp_path / "sd" / "metadata.csv").exists()
            assert store.sha256(tmp_path / "sd" / wanted[1].file_name)
            # the second of a batch is torn: the batch is made again as it was, whatever is left of it
            (tmp_path / "sd" / wanted[1].file_name).write_bytes(b"\x89PNG\r\n\x1a\n torn")
    assert calls == [2, 2, 2, 2, 1]
    rows, images = load_set(tmp_path / "sd")
    assert np.array_equal(images, [noise(r) for r in wanted])
    assert list(rows.columns) == ["file_name", "label", "prompt", "seed", "source", "attempts", "flaw", "steps"]
    assert Image.open(tmp_path / "sd" / wanted[0].file_name).mode == "L"
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_useless_images_are_made_again_and_those_that_stay_so_are_told(tmp_path, batch, capsys):
    wanted = requests({"a": 5, "b": 1}, {"a": "p", "b": "q"}, seed=0)
    first = {r.seed: n for n, r in enumerate(wanted)}

    def make(chosen):
        images = []
        for request in chosen:
            images.append(noise(request))
            if first.get(request.seed) == 1:
                images[-1] = np.zeros((8, 8), np.uint8)  # black, then well
            elif first.get(request.seed) == 3:
                images[-1] = noise(wanted[0])  # the first one again, then well
            elif request.label == "b":
                images[-1] = np.full((8, 8), 90, np.uint8)  # constant for ever
        return np.stack(images)

    make_set(wanted, make, tmp_path / "sd", batch=batch, columns={})
    rows, images = load_set(tmp_path / "sd")
    assert list(rows["attempts"]) == [1, 2, 1, 2, 1, 4]
    assert list(rows["flaw"]) == ["", "", "", "", "", "constant"]
    assert np.array_equal(images[1], noise(dataclasses.replace(wanted[1], seed=rows["seed"][1])))
    assert len({image.tobytes() for image in images}) == 6
    assert "3 images made again, since they showed nothing new; 1 stay useless" in capsys.readouterr().err


def test_images_are_read_from_their_set_alone(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "link.png").symlink_to(tmp_path / "x.png")
    for name in ("../x.png", "link.png", str(tmp_path / "x.png")):
        with pytest.raises(UserError, match="lies outside of the set"):
            load_images(tmp_path / "sd", [name])


def test_an_empty_set_is_a_table_without_rows(tmp_path):
    make_set([], lambda chosen: 1 / 0, tmp_path / "sd", batch=2, columns={})
    rows, images = load_set(tmp_path / "sd")
    assert len(rows) == len(images) == 0
    assert list(pd.read_csv(tmp_path / "sd" / "metadata.csv").columns)[:2] == ["file_name", "label"]
    assert load_images(tmp_path, []).shape[0] == 0
