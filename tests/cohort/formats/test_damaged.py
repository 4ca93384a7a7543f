"""Whatever stands in a file, it is read or refused with a reason."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom.data import get_testdata_file
from test_hugging_face import PIXELS, picture, saved
from test_parquet import table

from sonosynth.cohort.decoding import Unusable, decode
from sonosynth.cohort.masks import read_mask
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError


def _dicom(folder):
    (folder / "a").mkdir()
    for n, name in enumerate(("CT_small.dcm", "SC_rgb_rle_2frame.dcm", "examples_palette.dcm", "image_dfl.dcm")):
        (folder / "a" / f"{n}.dcm").write_bytes(Path(get_testdata_file(name, download=False)).read_bytes())


def _nifti(folder):
    (folder / "a").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((16, 12, 5), np.int16), np.eye(4)), folder / "a" / "x.nii")
    nibabel.save(nibabel.Nifti1Image(PIXELS[0], np.eye(4)), folder / "a" / "y.nii.gz")


def _npz(folder):
    images = {"train_images": PIXELS, "test_images": PIXELS}
    labels = {"train_labels": np.zeros((6, 1), np.uint8), "test_labels": np.ones((6, 1), np.uint8)}
    np.savez(folder / "x.npz", **images, **labels)
    np.savez_compressed(folder / "y.npz", **images, **labels)


def _parquet(folder):
    pq.write_table(table(), folder / "x.parquet", row_group_size=5)


def _arrow(folder):
    saved(folder / "x")


def _coco(folder):
    (folder / "a.png").write_bytes(picture(PIXELS[0])["bytes"])
    image = {"id": 1, "file_name": "a.png", "height": 20, "width": 16}
    note = {"image_id": 1, "category_id": 1, "segmentation": [[1, 2, 9, 2, 9, 9]]}
    content = {"images": [image], "annotations": [note], "categories": [{"id": 1, "name": "x"}]}
    (folder / "x.json").write_text(json.dumps(content))


@pytest.mark.parametrize("make", [_dicom, _nifti, _npz, _parquet, _arrow, _coco])
def test_changed_bytes_raise_nothing_unforeseen(tmp_path, make):
    make(tmp_path)
    rng = np.random.default_rng(0)
    kinds = (".dcm", ".gz", ".nii", ".npz", ".parquet", ".json", ".arrow")
    files = sorted(file for file in tmp_path.rglob("*") if file.suffix in kinds)
    read = 0
    for change in range(40):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        if change:  # all are whole at first
            file.write_bytes(_changed(whole, rng))
        cohort = file if make is _npz else tmp_path / "x" if make is _arrow else tmp_path
        try:
            sources = list_sources(cohort).sources
        except (UserError, MemoryError):
            sources = []
        for source in sources:
            try:
                read += decode(source.file)[0].size > 0
                if source.masks:
                    read_mask(source.masks, (20, 16))
            except (Unusable, MemoryError, OSError):
                pass
        file.write_bytes(whole)
    assert read > 0


def _changed(whole, rng):
    """A few bytes of another value, most of them where headers stand; or cut off."""
    if rng.random() < 0.2:
        return whole[: rng.integers(len(whole))]
    changed = bytearray(whole)
    for place in rng.integers(0, min(len(whole), rng.choice([200, 2000, len(whole)])), rng.integers(1, 6)):
        changed[place] = rng.choice([0, 1, 32, 127, 255, rng.integers(256)])
    return bytes(changed)
