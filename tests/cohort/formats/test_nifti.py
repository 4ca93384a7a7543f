import builtins

import nibabel
import numpy as np
import pytest

from sonosynth.cohort.decoding import Unusable, decode
from sonosynth.cohort.masks import read_mask
from sonosynth.cohort.places import Part
from sonosynth.cohort.reading import read
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError

RNG = np.random.default_rng(0)
LPS = np.diag([-1.0, -1, 1, 1])


def saved(path, values, affine=LPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return Part(path, "nifti")


@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
def test_a_picture_stands_as_it_was_taken(tmp_path, end):
    shown = RNG.integers(0, 256, (40, 30), np.uint8)
    grey, mode, _ = decode(saved(tmp_path / f"x{end}", shown.T))
    assert np.array_equal(grey, shown) and mode == "L"


def test_of_a_clip_the_middle_frame_is_read(tmp_path):
    clip = RNG.integers(0, 256, (30, 40, 7), np.uint8)
    assert np.array_equal(decode(saved(tmp_path / "x.nii.gz", clip))[0], clip[:, :, 3].T)
    further = RNG.integers(0, 256, (30, 40, 1, 9), np.uint8)
    assert np.array_equal(decode(saved(tmp_path / "y.nii.gz", further))[0], further[:, :, 0, 4].T)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SAL", "IPR", "ASR"])
def test_an_axial_slice_looks_the_same_however_it_is_stored(tmp_path, codes):
    volume = RNG.integers(0, 256, (20, 24, 28), np.uint8)  # to the left, the back and the head
    ras = nibabel.Nifti1Image(volume, LPS)
    start = nibabel.orientations.io_orientation(ras.affine)
    end = nibabel.orientations.axcodes2ornt(codes)
    stored = ras.as_reoriented(nibabel.orientations.ornt_transform(start, end))
    assert "".join(nibabel.aff2axcodes(stored.affine)) == codes
    nibabel.save(stored, tmp_path / "x.nii.gz")
    up = codes[next(n for n, code in enumerate(codes) if code in "SI")] == "S"
    middle = 14 if up else 27 - 14
    assert np.array_equal(decode(Part(tmp_path / "x.nii.gz", "nifti"))[0], volume[:, :, middle].T)


def test_single_sagittal_and_coronal_slices_stand_upright(tmp_path):
    volume = RNG.integers(0, 256, (1, 24, 28), np.uint8)  # one slice from the left: front on the left, head on top
    assert np.array_equal(decode(saved(tmp_path / "s.nii", volume))[0], volume[0, :, ::-1].T)
    volume = RNG.integers(0, 256, (20, 1, 28), np.uint8)
    assert np.array_equal(decode(saved(tmp_path / "c.nii", volume))[0], volume[:, 0, ::-1].T)


def test_without_an_orientation_the_stored_order_holds(tmp_path):
    values = RNG.integers(0, 256, (20, 24, 5), np.uint8)
    image = nibabel.Nifti1Image(values, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "x.nii")
    assert np.array_equal(decode(Part(tmp_path / "x.nii", "nifti"))[0], values[:, :, 2].T)


def test_other_values_are_mapped_from_the_full_range_of_the_slice(tmp_path):
    values = np.arange(1024, dtype=np.int16).reshape(32, 32) - 1024
    grey, *_ = decode(saved(tmp_path / "x.nii", values))
    assert np.array_equal(grey, np.round((values.T + 1024) / 1023 * 255))
    hurt = values.astype(np.float32)
    hurt[0, 0] = np.nan
    assert decode(saved(tmp_path / "y.nii", hurt))[0][0, 0] == 0


def test_class_folders_with_masks_make_a_cohort(tmp_path):
    for label in ("EF_low", "EF_high"):
        for n in range(3):
            saved(tmp_path / label / f"patient{n}" / "2CH_ED.nii.gz", RNG.integers(0, 256, (30, 40), np.uint8))
            mask = np.zeros((30, 40), np.uint8)
            mask[:15], mask[:3] = 1, 3
            saved(tmp_path / label / f"patient{n}" / "2CH_ED_gt.nii.gz", mask)
    cohort = read(tmp_path)
    assert list(cohort.images["id"][:2]) == ["EF_high/patient0/2CH_ED", "EF_high/patient1/2CH_ED"]
    assert list(cohort.images["label"]) == ["EF_high"] * 3 + ["EF_low"] * 3
    assert list(cohort.images["lesion"]) == [0.5] * 6
    assert cohort.problems == {}
    source = list_sources(tmp_path).sources[0]
    assert np.array_equal(read_mask(source.masks, (40, 30)), np.tile(np.arange(30) < 15, (40, 1)))


@pytest.mark.parametrize("kind", [b"", b"text", "cut", "complex"])
def test_what_is_no_picture_is_refused_with_a_reason(tmp_path, kind):
    file = tmp_path / "x.nii.gz"
    saved(file, np.ones((30, 40), np.complex64) if kind == "complex" else RNG.integers(0, 256, (300, 40), np.uint8))
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:4000])
    elif kind != "complex":
        file.write_bytes(kind)
    with pytest.raises(Unusable, match=r"as NIfTI|no grey values"):
        decode(Part(file, "nifti"))


def test_a_slice_of_too_many_pixels_is_not_read(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((20000, 20000))
    header["vox_offset"], header["magic"] = 352, b"n+1"
    (tmp_path / "x.nii").write_bytes(header.binaryblock + bytes(4))
    with pytest.raises(Unusable, match="20000 x 20000 pixels"):
        decode(Part(tmp_path / "x.nii", "nifti"))


def test_without_nibabel_the_way_to_get_it_is_told(tmp_path, monkeypatch):
    place = saved(tmp_path / "a" / "x.nii.gz", np.zeros((30, 40), np.uint8))
    known = builtins.__import__

    def lacking(name, *rest):
        if name == "nibabel":
            raise ImportError
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(UserError, match=r"pip install 'sonosynth\[nifti\]'"):
        list_sources(tmp_path)
    with pytest.raises(Unusable, match=r"pip install 'sonosynth\[nifti\]'"):
        decode(place)
