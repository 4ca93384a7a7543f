import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sonosynth import disk
from sonosynth.synthesis.making import Maker, make_set
from sonosynth.synthesis.requests import from_images, from_noise


def noise(request):
    return np.random.default_rng(request.seed).integers(0, 256, (8, 8)).astype(np.uint8)


def read(folder):
    """metadata.csv of a set, and its files."""
    rows = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
    return rows, [np.asarray(Image.open(folder / name)) for name in rows["file_name"]]


def test_sets_are_written_in_batches_and_resumed(tmp_path):
    wanted = from_noise({"a": 5}, {"a": "p"}, seed=0)
    calls = []

    def make(chosen, starts):
        assert starts is None
        calls.append(len(chosen))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.stack([noise(r) for r in chosen])

    made = None
    for _ in range(2):
        try:
            made = make_set(wanted, None, Maker(make, {"steps": 7}), tmp_path / "sd", name="sd", batch=2)
        except KeyboardInterrupt:
            assert not (tmp_path / "sd" / "metadata.csv").exists()
            assert disk.sha256(tmp_path / "sd" / wanted[1].file_name)
            # the second of a batch is torn: the batch is made again as it was, whatever is left of it
            (tmp_path / "sd" / wanted[1].file_name).write_bytes(b"\x89PNG\r\n\x1a\n torn")
    assert calls == [2, 2, 2, 2, 1]
    rows, images = read(tmp_path / "sd")
    assert np.array_equal(made, [noise(r) for r in wanted])
    assert np.array_equal(images, made)
    assert list(rows.columns) == ["file_name", "label", "prompt", "seed", "source", "attempts", "flaw", "steps"]
    assert Image.open(tmp_path / "sd" / wanted[0].file_name).mode == "L"
    assert not list(tmp_path.rglob("*.partial"))


def test_batches_that_are_whole_are_kept_with_what_is_known_of_them(tmp_path):
    wanted = from_noise({"a": 4}, {"a": "p"}, seed=0)
    grey = np.full((8, 8), 90, np.uint8)
    maker = Maker(lambda chosen, _: np.stack([grey if r is wanted[1] else noise(r) for r in chosen]), {})
    first = make_set(wanted, None, maker, tmp_path / "sd", name="sd", batch=2)
    before = (tmp_path / "sd" / "metadata.csv").read_bytes()
    assert list(read(tmp_path / "sd")[0]["attempts"]) == [1, 2, 1, 1]
    (tmp_path / "sd" / "metadata.csv").unlink()
    again = make_set(wanted, None, Maker(lambda chosen, _: 1 / 0, {}), tmp_path / "sd", name="sd", batch=2)
    assert np.array_equal(again, first)
    assert (tmp_path / "sd" / "metadata.csv").read_bytes() == before


def swap(one, other):
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def repaint(one, other):
    with Image.open(one) as image:
        about = PngInfo()
        for key, value in image.info.items():
            about.add_text(key, value)
        Image.fromarray(np.asarray(image) // 2).save(one, pnginfo=about)


@pytest.mark.parametrize("harm", [swap, repaint, lambda one, other: one.write_bytes(one.read_bytes()[:99])])
def test_an_image_of_an_interrupted_set_that_was_altered_is_made_again(tmp_path, harm):
    wanted = from_noise({"a": 4}, {"a": "p"}, seed=0)
    calls = []

    def make(chosen, _):
        calls.append([r.file_name for r in chosen])
        return np.stack([noise(r) for r in chosen])

    first = make_set(wanted, None, Maker(make, {}), tmp_path / "sd", name="sd", batch=2)
    calls.clear()
    harm(*(tmp_path / "sd" / r.file_name for r in wanted[:2]))
    assert np.array_equal(make_set(wanted, None, Maker(make, {}), tmp_path / "sd", name="sd", batch=2), first)
    assert calls == [[r.file_name for r in wanted[:2]]]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_unusable_images_are_made_again_and_those_that_remain_so_are_reported(tmp_path, batch, capsys):
    wanted = from_noise({"a": 5, "b": 1}, {"a": "p", "b": "q"}, seed=0)
    first = {r.seed: n for n, r in enumerate(wanted)}

    def make(chosen, _):
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

    made = make_set(wanted, None, Maker(make, {}), tmp_path / "work", name="sd", batch=batch)
    rows, images = read(tmp_path / "work")
    assert list(rows["attempts"]) == [1, 2, 1, 2, 1, 4]
    assert list(rows["flaw"]) == ["", "", "", "", "", "constant"]
    assert np.array_equal(images, made)
    assert np.array_equal(images[1], noise(dataclasses.replace(wanted[1], seed=rows["seed"][1])))
    assert len({image.tobytes() for image in images}) == 6
    assert "sd: 3 images made again, since they showed nothing new; 1 remain unusable" in capsys.readouterr().err


@pytest.mark.parametrize("batch", [1, 3])
def test_each_image_is_made_from_its_own_start_in_further_attempts_too(tmp_path, batch):
    wanted = from_images({"a": 5}, {"a": "p"}, 0, {"a": [f"sd/{n}" for n in range(5)]}, depth=1)
    starts = np.random.default_rng(0).integers(0, 200, (5, 8, 8)).astype(np.uint8)
    seen = []

    def make(chosen, begun):
        seen.extend(zip([r.source for r in chosen], begun, strict=True))
        black = [r.seed == wanted[2].seed for r in chosen]
        return np.where(np.array(black)[:, None, None], 0, begun + 1).astype(np.uint8)

    made = make_set(wanted, starts, Maker(make, {}), tmp_path / "sd", name="sd", batch=batch)
    assert np.array_equal(made, starts + 1)
    assert len(seen) == 6
    assert all(np.array_equal(begun, starts[int(source[-1])]) for source, begun in seen)
    rows, _ = read(tmp_path / "sd")
    assert list(rows["source"]) == [r.source for r in wanted]
    assert list(rows["attempts"]) == [1, 1, 2, 1, 1]


def test_an_empty_set_is_a_table_without_rows(tmp_path):
    maker = Maker(lambda chosen, _: 1 / 0, {"steps": 7})
    made = make_set([], None, maker, tmp_path / "sd", name="sd", batch=2)
    assert (made.shape, made.dtype) == ((0, 1, 1), np.uint8)
    rows, _ = read(tmp_path / "sd")
    assert len(rows) == 0
    assert list(rows.columns)[:2] == ["file_name", "label"]
    assert rows.columns[-1] == "steps"


def test_images_that_are_not_drawn_may_repeat_each_other_and_are_made_once(tmp_path):
    wanted = from_images({"a": 5}, {"a": "p"}, 0, {"a": ["x", "flat"]}, depth=1)
    starts = np.random.default_rng(0).integers(0, 200, (5, 8, 8)).astype(np.uint8)
    starts[[2, 4]] = starts[0]
    starts[[1, 3]] = 90
    calls = []

    def make(chosen, begun):
        calls.append(len(chosen))
        return begun

    made = make_set(wanted, starts, Maker(make, {}, draws=False), tmp_path / "c", name="c", batch=3)
    rows, images = read(tmp_path / "c")
    assert np.array_equal(made, starts) and np.array_equal(images, starts)
    assert calls == [3, 2]
    assert list(rows["attempts"]) == [1] * 5
    assert list(rows["flaw"]) == ["", "constant", "", "constant", ""]
