import builtins
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.cohort.decoding import Unusable, decode
from sonosynth.cohort.formats import parquet
from sonosynth.cohort.reading import read
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (9, 20, 16), np.uint8)
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"_type": "ClassLabel", "names": ["benign", "malignant", "normal"]},
}


def content(pixels):
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def pictures(pixels=PIXELS):
    return pa.array([{"bytes": content(one), "path": f"{n}.png"} for n, one in enumerate(pixels)], STRUCT)


def table(features=FEATURES, **columns):
    found = pa.table({"image": pictures(), "label": pa.array([0, 1, 2] * 3, pa.int64())} | columns)
    return found.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})} if features else {}
    )


def test_a_folder_as_on_the_hub(tmp_path):
    folder = tmp_path / "busi" / "data"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        pq.write_table(table(), folder / f"{split}-00000-of-00001.parquet", row_group_size=4)
    found = list_sources(tmp_path / "busi")
    assert {source.given for source in found.sources if "train" in source.id} == {TRAIN}
    assert {source.given for source in found.sources if "test" in source.id} == {VALIDATION}
    assert [s.label for s in found.sources[:3]] == ["benign", "malignant", "normal"]
    for n, source in enumerate(found.sources[:9]):
        grey, mode, _ = decode(source.file)
        assert np.array_equal(grey, PIXELS[n]) and mode == "L"
    cohort = read(tmp_path / "busi")
    assert len(cohort.images) == 18
    assert cohort.images["file"][0] == "data/test-00000-of-00001.parquet#image/0"


def test_train_alone_is_no_split(tmp_path):
    pq.write_table(table(), tmp_path / "train-00000-of-00001.parquet")
    assert {source.given for source in list_sources(tmp_path).sources} == {""}


def test_masks_groups_and_further_columns(tmp_path):
    squares = np.zeros((9, 20, 16), np.uint8)
    squares[:, :5] = 255
    masks = pa.array([None, *pictures(squares).to_pylist()[1:]], STRUCT)
    further = {"mask": masks, "patient_id": [f"p{n // 2}" for n in range(9)], "age": [40, None, *range(7)]}
    pq.write_table(table(**further), tmp_path / "x.parquet")
    cohort = read(tmp_path / "x.parquet")
    assert np.isnan(cohort.images["lesion"][0]) and list(cohort.images["lesion"][1:]) == [0.25] * 8
    assert list(cohort.images["group"][:3]) == ["p0", "p0", "p1"]
    assert list(cohort.own.columns) == ["id", "age"]
    assert list(cohort.own["age"][:3]) == ["40", "", "0"]
    assert set(cohort.images["given"]) == {""}


def test_plain_bytes_and_labels_of_text_or_numbers_without_names(tmp_path):
    plain = pa.array([content(one) for one in PIXELS])
    pq.write_table(table(None, image=plain), tmp_path / "x.parquet")
    assert [source.label for source in list_sources(tmp_path / "x.parquet").sources[:3]] == ["0", "1", "2"]
    pq.write_table(table(None, image=plain, label=list("abc" * 3)), tmp_path / "x.parquet")
    found = list_sources(tmp_path / "x.parquet")
    assert [source.label for source in found.sources[:3]] == ["a", "b", "c"]
    assert np.array_equal(decode(found.sources[4].file)[0], PIXELS[4])


def test_rows_without_a_label_or_an_image_are_named(tmp_path):
    images = pa.array([{"bytes": b"text", "path": None}, None, *pictures().to_pylist()[2:]], STRUCT)
    pq.write_table(table(image=images, label=pa.array([0, 1, 7, None, *[2] * 5])), tmp_path / "x.parquet")
    cohort = read(tmp_path / "x.parquet")
    assert cohort.problems == {
        "x/2": "has no label", "x/3": "has no label", "x.parquet#image/1": "holds no image",
        "x.parquet#image/0": "is not a PNG, JPEG, BMP, TIFF, WebP or GIF image, but a text file",
    }  # fmt: skip


def test_a_table_of_names_is_not_for_this_format(tmp_path):
    pq.write_table(pa.table({"file": ["a.png"], "label": ["x"]}), tmp_path / "x.parquet")
    assert not parquet.reads(tmp_path / "x.parquet")
    assert not parquet.reads(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 text")
    assert not parquet.reads(tmp_path / "x.parquet")


def test_columns_that_can_t_be_told_are_named(tmp_path):
    pq.write_table(table().rename_columns(["image", "what"]).replace_schema_metadata({}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"none of the columns is recognised as the label: image, what"):
        list_sources(tmp_path / "x.parquet")
    pq.write_table(table(image2=pictures()).rename_columns(["a", "label", "b"]), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="none of the columns is recognised as the image: a, label, b"):
        list_sources(tmp_path / "x.parquet")


def test_damaged_pages_and_large_row_groups_are_named(tmp_path, monkeypatch):
    file = tmp_path / "x.parquet"
    pq.write_table(table(), file, compression="NONE")
    found = list_sources(file)
    monkeypatch.setattr(parquet, "LARGEST", 100)
    with pytest.raises(Unusable, match=r"stands in a row group of [\d,]+ bytes, more than 100"):
        decode(found.sources[0].file)
    monkeypatch.undo()
    hurt = bytearray(file.read_bytes())
    hurt[4:60] = b"\xff" * 56
    file.write_bytes(hurt)
    with pytest.raises(Unusable, match=r"can't be read from parquet"):
        decode(found.sources[0].file)


def test_without_pyarrow_the_way_to_get_it_is_told(tmp_path, monkeypatch):
    pq.write_table(table(), tmp_path / "x.parquet")
    known = builtins.__import__

    def lacking(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(UserError, match=r"pyarrow is not installed\nfix: pip install 'sonosynth\[tables\]'"):
        list_sources(tmp_path / "x.parquet")
