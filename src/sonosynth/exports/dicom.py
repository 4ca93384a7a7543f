"""DICOM: a Secondary Capture image (PS3.3 A.8.1) for each synthetic one, marked as synthetic and derived.

One patient for the run, who is called SYNTHETIC, one study for each set, one series for each class. Unique identifiers
come from what they stand for, so that the same run gives the same files. There are no dates: nothing was examined.
The modality is OT: it says which device or process produced the data (C.7.3.1.1.1), and no scanner did; what kind of
images they resemble is in words. Needs pydicom.
"""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sonosynth import disk
from sonosynth.cohort.formats.dicom import INSTALL
from sonosynth.errors import UserError
from sonosynth.exports import _cards
from sonosynth.modality import WORDS
from sonosynth.sharing import Kind, Shared, SharedSet
from sonosynth.synthesis.provenance import Provenance, read

TAKES = (Kind.IMAGES,)
SHORT, LONG = 64, 1024  # characters of the value representations LO and ST, at most
OTHER, SYNTHETIC_IMAGE = "OT", "SYN"  # the modality; the type of conversion, C.8.6.1


def write(shared: Shared, out: Path) -> None:
    """Write `<set>/<label>/<number>.dcm` and README.md.

    Raises:
        UserError: if pydicom is not installed.
    """
    try:
        import pydicom  # noqa: F401, PLC0415 (an extra)
    except ImportError:
        raise UserError("DICOM files: pydicom is not installed", fix=INSTALL) from None
    for one in shared.sets:
        rows, series, counts = one.made.rows, dict[str, int](), dict[str, int]()
        for row in one.kept:
            label, name = str(rows["label"].iloc[row]), str(rows["file_name"].iloc[row])
            number = series.setdefault(label, len(series) + 1)
            counts[label] = counts.get(label, 0) + 1
            said = read(one.made.place("images") / name)
            assert said is not None
            image = _image(one, said, np.asarray(one.made.pixels[row]), shared, (number, counts[label]))
            _write(image, (out / one.made.name / name).with_suffix(".dcm"))
    _cards.write(out / "README.md", "dicom", shared, sets=shared.sets)


def _image(one: SharedSet, said: Provenance, pixels: np.ndarray, shared: Shared, place: tuple[int, int]) -> Any:
    """The dataset of an image (H, W) uint8; place: the numbers of its series and in it, from 1."""
    from pydicom.dataset import Dataset, FileMetaDataset  # noqa: PLC0415 (an extra)
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid  # noqa: PLC0415

    study = ["sonosynth", shared.origin.cohort, one.made.made.digest]
    series = [*study, said.label]
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    # Patient and General Study: what nobody knows, since there is nobody, is empty.
    image.PatientID = f"SYNTHETIC-{shared.origin.cohort[:12]}"
    image.PatientName = "SYNTHETIC^sonosynth"
    image.PatientBirthDate = image.PatientSex = ""
    image.StudyInstanceUID = generate_uid(entropy_srcs=study)
    image.StudyDate = image.StudyTime = image.StudyID = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.StudyDescription = _short(f"SYNTHETIC {said.set}")
    # General Series, General Equipment, SC Equipment
    image.Modality, image.ConversionType = OTHER, SYNTHETIC_IMAGE
    image.SeriesInstanceUID = generate_uid(entropy_srcs=series)
    image.SeriesNumber, image.InstanceNumber = place
    image.SeriesDescription = _short(f"SYNTHETIC {WORDS[shared.origin.modality]}: {said.label}")
    image.Manufacturer = image.ManufacturerModelName = "sonosynth"
    image.SecondaryCaptureDeviceManufacturer = image.SecondaryCaptureDeviceManufacturerModelName = "sonosynth"
    image.SoftwareVersions = image.SecondaryCaptureDeviceSoftwareVersions = _short(said.software)
    # General Image, SC Image
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.PatientOrientation = ""
    image.DerivationDescription = _described(one, said)
    image.ImageComments = said.json()
    if not one.made.real:  # what is made from a patient's image may show what was burnt into that
        image.BurnedInAnnotation = "NO"
    # SOP Common
    image.SOPClassUID = SecondaryCaptureImageStorage
    image.SOPInstanceUID = generate_uid(
        entropy_srcs=[*series, str(place[1]), hashlib.sha256(pixels.tobytes()).hexdigest()]
    )
    image.SyntheticData = "YES" if said.synthetic else "NO"
    image.set_pixel_data(pixels, "MONOCHROME2", 8, generate_instance_uid=False)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _described(one: SharedSet, said: Provenance) -> str:
    forced = "".join(f" Exported by force: {reason}." for reason in one.forced)
    kind = "Synthetic image" if said.synthetic else "Copy of a patient's image"
    return f"{kind}, by {said.software} (set {said.set}, class {said.label}).{forced} Not for diagnosis."[:LONG]


def _short(text: str) -> str:
    """As a long string (LO): a backslash would separate two values."""
    return text.replace("\\", "/")[:SHORT].strip()


def _write(image: Any, file: Path) -> None:
    data = BytesIO()
    image.save_as(data, enforce_file_format=True)
    disk.write_bytes(file, data.getvalue())
