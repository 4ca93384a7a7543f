"""Secondary Capture images: valid, marked as synthetic, and the same pixels for every reader."""

import dataclasses

import numpy as np
import pytest

from sonosynth.cohort.decoding import decode
from sonosynth.cohort.formats import dicom as reader
from sonosynth.exports import dicom
from sonosynth.sharing import Reason
from sonosynth.synthesis.provenance import parse, read

pydicom = pytest.importorskip("pydicom")

PERSONAL = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")


@pytest.fixture(scope="module", autouse=True)
def strict():
    before = pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
    yield
    pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode = before


@pytest.fixture(scope="module")
def written(shared, tmp_path_factory, strict):
    out = tmp_path_factory.mktemp("dicom")
    dicom.write(shared, out)
    return out


def all_of(out):
    return {file.relative_to(out).as_posix(): pydicom.dcmread(file) for file in sorted(out.rglob("*.dcm"))}


def test_every_image_is_there_with_the_pixels_of_the_set_for_pydicom_and_for_sonosynth(written, shared):
    found = all_of(written)
    assert len(found) == sum(len(one.kept) for one in shared.sets)
    for one in shared.sets:
        for row in one.kept:
            name = f"{one.made.name}/{one.made.rows['file_name'].iloc[row].removesuffix('.png')}.dcm"
            assert np.array_equal(found[name].pixel_array, one.made.pixels[row])
            (part,) = reader.parts(written / name)
            assert np.array_equal(decode(part)[0], one.made.pixels[row])
            said = read(one.made.place("images") / one.made.rows["file_name"].iloc[row])
            assert parse(found[name].ImageComments) == said


def test_it_says_that_it_is_synthetic_and_of_nobody(written):
    for name, image in all_of(written).items():
        for element in image.iterall():  # decodes every value, which raises if one is not valid
            assert element.value is not None or element.tag == 0x7FE00010
        assert image.SOPClassUID == image.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert image.SyntheticData == "YES" and image.ConversionType == "SYN" and image.Modality == "OT"
        assert list(image.ImageType) == ["DERIVED", "SECONDARY"] and image.BurnedInAnnotation == "NO"
        assert str(image.PatientName).startswith("SYNTHETIC") and image.PatientID.startswith("SYNTHETIC")
        assert not any(image[tag].value for tag in PERSONAL)
        assert not [element for element in image if element.VR in ("DA", "TM", "DT") and element.value]
        set_name, label, _ = name.split("/")
        assert set_name in image.StudyDescription and label in image.SeriesDescription
        assert image.Manufacturer == "sonosynth" and image.DerivationDescription.startswith("Synthetic image")


def test_identifiers_are_unique_nested_and_the_same_for_the_same_run(written, shared, tmp_path):
    found = all_of(written)
    assert len({image.SOPInstanceUID for image in found.values()}) == len(found)
    nested = {(name.split("/")[0], name.split("/")[1]): image for name, image in found.items()}
    assert len({image.SeriesInstanceUID for image in found.values()}) == len(nested)
    assert len({image.StudyInstanceUID for image in found.values()}) == len(shared.sets)
    places = {(image.SeriesInstanceUID, image.InstanceNumber) for image in found.values()}
    assert len(places) == len(found)
    dicom.write(shared, tmp_path)
    for name in found:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_what_is_forced_says_so_in_every_file(shared, tmp_path):
    one = dataclasses.replace(shared.sets[0], kept=shared.sets[0].kept[:1], forced=(Reason.CONTROL, Reason.COPIES))
    dicom.write(dataclasses.replace(shared, sets=[one]), tmp_path)
    (image,) = all_of(tmp_path).values()
    assert f"Exported by force: {Reason.CONTROL}." in image.DerivationDescription
    assert str(Reason.COPIES) in image.DerivationDescription
    assert str(Reason.COPIES) in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_real_image_is_not_called_synthetic(shared, tmp_path):
    one, pixels = shared.sets[0], np.zeros((4, 4), np.uint8)
    said = dataclasses.replace(read(one.made.place("images") / one.made.rows["file_name"].iloc[0]), synthetic=False)
    image = dicom._image(one, said, pixels, shared, (1, 1))
    assert image.SyntheticData == "NO" and image.DerivationDescription.startswith("Copy of a patient's image")


@pytest.mark.parametrize("label", ["a\\b", "x" * 100, "gutartig ü", "良性"])
def test_any_label_gives_a_valid_file(shared, tmp_path, label):
    one = shared.sets[0]
    said = dataclasses.replace(read(one.made.place("images") / one.made.rows["file_name"].iloc[0]), label=label)
    image = dicom._image(one, said, np.zeros((3, 5), np.uint8), shared, (1, 1))
    dicom._write(image, tmp_path / "a.dcm")
    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert isinstance(found.SeriesDescription, str) and len(found.SeriesDescription) <= 64
    assert parse(found.ImageComments).label == label
    assert found.pixel_array.shape == (3, 5)
