import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.decoding import decode
from sonosynth.cohort.reading import read
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 20, 16), np.uint8)
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(pixels):
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return {"bytes": held.getvalue(), "path": "x.png"}


def saved(folder, cells=None, shards=2, **state):
    """What `Dataset.save_to_disk` of datasets 4 writes: streams of Arrow, and JSON about them."""
    folder.mkdir(parents=True)
    cells = cells or [picture(one) for one in PIXELS]
    rows = pa.table({"image": pa.array(cells, STRUCT), "finding": pa.array([0, 1] * (len(cells) // 2))})
    names = [f"data-{n:05}-of-{shards:05}.arrow" for n in range(shards)]
    size = -(-len(cells) // shards)
    for n, name in enumerate(names):
        part = rows.slice(n * size, size)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(part, max_chunksize=2)
    features = {"image": {"_type": "Image"}, "finding": {"_type": "ClassLabel", "names": ["benign", "malignant"]}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    state = {"_data_files": [{"filename": name} for name in names], "_split": None, **state}
    (folder / "state.json").write_text(json.dumps(state))


def test_one_data_set(tmp_path):
    saved(tmp_path / "x")
    found = list_sources(tmp_path / "x")
    assert [source.label for source in found.sources] == ["benign", "malignant"] * 3
    for pixels, source in zip(PIXELS, found.sources, strict=True):
        assert np.array_equal(decode(source.file)[0], pixels)
    cohort = read(tmp_path / "x")
    assert cohort.images["file"][5] == "data-00001-of-00002.arrow#image/2"
    assert cohort.images["sha256"].nunique() == 6


def test_one_for_each_split(tmp_path):
    for split in ("train", "test"):
        saved(tmp_path / "x" / split)
    (tmp_path / "x" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = list_sources(tmp_path / "x")
    assert {(source.id.split("/")[0], source.given) for source in found.sources} == {
        ("train", TRAIN), ("test", VALIDATION),
    }  # fmt: skip


def test_pictures_may_be_files_of_their_own(tmp_path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    saved(tmp_path / "x", [{"bytes": None, "path": str(tmp_path / "a.png")}, {"bytes": None, "path": "/none.png"}])
    found = list_sources(tmp_path / "x")
    assert [source.file for source in found.sources] == [tmp_path / "a.png"]
    assert list(found.problems.values()) == ["holds no image but a path, which is not a file"]


def test_selections_and_damaged_folders_are_named(tmp_path):
    saved(tmp_path / "x", _indices_data_files=[{"filename": "indices.arrow"}])
    with pytest.raises(UserError, match=r"is a selection of the rows[^$]*flatten_indices"):
        list_sources(tmp_path / "x")
    saved(tmp_path / "y")
    (tmp_path / "y" / "data-00000-of-00002.arrow").write_bytes(b"\xff\xff\xff\xfftext and more text")
    with pytest.raises(UserError, match=r"data-00000-of-00002.arrow: can't be read"):
        list_sources(tmp_path / "y")
    (tmp_path / "y" / "data-00000-of-00002.arrow").unlink()
    with pytest.raises(UserError, match=r"data-00000-of-00002.arrow: is not a file"):
        list_sources(tmp_path / "y")
    (tmp_path / "y" / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"state.json: can't be read"):
        list_sources(tmp_path / "y")


def test_a_file_outside_of_the_folder_is_not_read(tmp_path):
    saved(tmp_path / "x", _data_files=[{"filename": "../secret.arrow"}])
    (tmp_path / "secret.arrow").write_bytes((tmp_path / "x" / "data-00000-of-00002.arrow").read_bytes())
    with pytest.raises(UserError, match="is outside the folder"):
        list_sources(tmp_path / "x")
