import builtins
import json
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_color_lut, apply_rescale, apply_voi_lut, convert_color_space, get_decoder
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, ExplicitVRLittleEndian, JPEGLosslessSV1, UltrasoundImageStorage, generate_uid
from typer.testing import CliRunner

from sonosynth import cli
from sonosynth.cohort.decoding import Unusable, decode
from sonosynth.cohort.description import describe
from sonosynth.cohort.formats import dicom
from sonosynth.cohort.formats._values import MASK
from sonosynth.cohort.masks import read_mask
from sonosynth.cohort.places import Part
from sonosynth.cohort.reading import read
from sonosynth.cohort.settings import Reading, Table
from sonosynth.cohort.sources import list_sources
from sonosynth.errors import UserError
from sonosynth.run import Study

RNG = np.random.default_rng(0)
SHIPPED = sorted(
    file for file in (Path(pydicom.__file__).parent / "data" / "test_files").rglob("*") if file.is_file()
)  # fmt: skip

REFUSALS = (InvalidDicomError, AttributeError, ValueError, RuntimeError)
"""What pydicom raises for files that it can't read, or that hold no pixels."""


def made(path, pixels, kind="MONOCHROME2", **more):
    """A DICOM file of the pixels (H, W), (H, W, 3), or (frames, H, W) if NumberOfFrames is given."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.PhotometricInterpretation = "US", kind
    data.SamplesPerPixel = 3 if pixels.shape[-1] == 3 else 1
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    rows = pixels.shape[1:] if "NumberOfFrames" in more else pixels.shape
    data.Rows, data.Columns = rows[:2]
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for name, value in more.items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return Part(path, "dicom")


def as_pydicom_shows(file):
    """The middle frame as pydicom's own functions give it, with values mapped from their whole range, float."""
    data = pydicom.dcmread(file)
    pixels = data.pixel_array  # RGB for YBR from pydicom 3 on
    frames = int(data.get("NumberOfFrames", 1))
    if frames > 1:
        pixels = pixels[frames // 2]
    if data.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, data)
    if pixels.ndim == 3:
        bits = 8 * pixels.dtype.itemsize
        return np.asarray(Image.fromarray(np.uint8(np.round(pixels / (2**bits - 1) * 255))).convert("L")).astype(float)
    values = apply_rescale(pixels, data)
    if "WindowWidth" in data or "VOILUTSequence" in data:
        shown = apply_voi_lut(values, data)
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        signed = data.PixelRepresentation
        low, high = -(2 ** (data.BitsStored - 1)) * signed, 2 ** (data.BitsStored - signed) - 1
        return (shown - (low * slope + intercept)) / ((high - low) * slope) * 255
    if data.BitsStored == 8 and data.BitsAllocated == 8 and "RescaleSlope" not in data:
        return values.astype(float)
    seen = values[pixels != data.PixelPaddingValue] if "PixelPaddingValue" in data else values
    return np.clip((values - seen.min()) / (seen.max() - seen.min()), 0, 1) * 255


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_file_that_pydicom_ships_is_read_as_by_pydicom_or_refused_with_a_reason(file):
    try:
        grey, *_ = decode(Part(file, "dicom"))
    except Unusable as reason:
        assert len(str(reason)) > 10
        with warnings.catch_warnings(action="ignore"), pytest.raises(REFUSALS):
            assert pydicom.dcmread(file).pixel_array is None
    else:
        with warnings.catch_warnings(action="ignore"):
            assert grey.dtype == np.uint8
            expected = as_pydicom_shows(file)
            inverted = pydicom.dcmread(file).PhotometricInterpretation == "MONOCHROME1"
            assert np.abs(grey - (255 - expected if inverted else expected)).max() <= 0.51


def test_most_of_what_pydicom_ships_is_read():
    images = [file for file in SHIPPED if file.suffix == ".dcm"]
    readable = 0
    for file in images:
        try:
            decode(Part(file, "dicom"))
        except Unusable:
            continue
        readable += 1
    assert readable >= 45, f"{readable} of {len(images)}"


def test_eight_bits_stay_as_they_are_and_white_as_zero_is_inverted(tmp_path):
    pixels = RNG.integers(30, 200, (20, 16), np.uint8)
    assert np.array_equal(decode(made(tmp_path / "a.dcm", pixels))[0], pixels)
    assert np.array_equal(decode(made(tmp_path / "b.dcm", pixels, "MONOCHROME1"))[0], 255 - pixels)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", lambda x: (x - (40 - 0.5)) / (80 - 1) + 0.5),  # PS3.3 C.11.2.1.2.1
        ("LINEAR_EXACT", lambda x: (x - 40) / 80 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 40) / 80))),
    ],
)
def test_the_first_window_is_applied_to_rescaled_values(tmp_path, function, expected):
    stored = np.arange(1024, dtype=np.int16).reshape(32, 32)
    place = made(
        tmp_path / "a.dcm", stored, WindowCenter=[40, 400], WindowWidth=[80, 2000], VOILUTFunction=function,
        RescaleSlope=2, RescaleIntercept=-1024,
    )  # fmt: skip
    shares = np.clip(expected(stored * 2.0 - 1024), 0, 1)
    assert np.abs(decode(place)[0] - 255 * shares).max() <= 0.5001


def test_tables_map_rescaled_and_shown_values(tmp_path):
    def table(first, entries, bits):
        item = Dataset()
        item.LUTDescriptor = [len(entries), first, bits]
        item.add_new("LUTData", "US", list(entries))
        return Sequence([item])

    stored = np.arange(256, dtype=np.uint16).reshape(16, 16)
    place = made(tmp_path / "a.dcm", stored, VOILUTSequence=table(100, [0, 1023, 512], 10))
    expected = np.select([stored <= 100, stored == 101], [0, 255], np.round(512 / 1023 * 255))
    assert np.array_equal(decode(place)[0], expected)
    place = made(tmp_path / "b.dcm", stored, ModalityLUTSequence=table(0, list(range(255, -1, -1)), 8))
    assert np.array_equal(decode(place)[0], 255 - stored)


def test_padding_is_black_and_not_part_of_the_range(tmp_path):
    stored = np.arange(100, 356, dtype=np.int16).reshape(16, 16)
    stored[0] = -2000
    grey, *_ = decode(made(tmp_path / "a.dcm", stored, "MONOCHROME1", PixelPaddingValue=-2000))
    assert (grey[0] == 0).all()
    assert (grey[1, 0], grey[-1, -1]) == (255, 0)


def test_the_middle_frame_is_read_and_others_by_their_number(tmp_path):
    frames = RNG.integers(0, 256, (5, 20, 16), np.uint8)
    place = made(tmp_path / "a.dcm", frames, NumberOfFrames=5)
    assert np.array_equal(decode(place)[0], frames[2])
    assert np.array_equal(decode(Part(place.file, "dicom", "5"))[0], frames[4])
    with pytest.raises(Unusable, match="has 5 frames, none with the number 6"):
        decode(Part(place.file, "dicom", "6"))


def test_each_frame_has_its_own_functional_groups(tmp_path):
    frames = np.tile(np.arange(256, dtype=np.uint16).reshape(1, 16, 16), (2, 1, 1))
    groups = []
    for centre in (64, 192):
        voi, frame = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = centre, 128, "LINEAR_EXACT"
        frame.FrameVOILUTSequence = Sequence([voi])
        groups.append(frame)
    rescale, shared = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, 8
    shared.PixelValueTransformationSequence = Sequence([rescale])
    place = made(
        tmp_path / "a.dcm", frames, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=Sequence(groups),
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )  # fmt: skip
    for number, low in (("1", 0), ("2", 128)):
        expected = np.clip((frames[0] + 8.0 - low) / 128, 0, 1) * 255
        assert np.abs(decode(Part(place.file, "dicom", number))[0] - expected).max() <= 0.5001


@pytest.mark.parametrize(
    ("how", "low", "high"),
    [
        ({"window": (40, 400)}, -160, 240),
        ({"window": (-600, 1500.5)}, -1350.25, 150.25),
        ({"percentiles": (0, 100)}, -1024, 1022),
        ({"percentiles": (1, 99)}, -1024 + 0.01 * 2046, -1024 + 0.99 * 2046),
    ],
)
def test_the_settings_go_before_the_window_of_the_file_and_are_of_rescaled_values(tmp_path, how, low, high):
    stored = np.arange(1024, dtype=np.int16).reshape(32, 32)
    own = {"WindowCenter": 0, "WindowWidth": 100, "RescaleSlope": 2, "RescaleIntercept": -1024}
    place = made(tmp_path / "a.dcm", stored, **own)
    expected = 255 * np.clip((stored * 2.0 - 1024 - low) / (high - low), 0, 1)
    assert np.abs(decode(place, Reading(**how))[0] - expected).max() <= 0.5001
    inverse = made(tmp_path / "b.dcm", stored, "MONOCHROME1", **own)
    assert np.abs(decode(inverse, Reading(**how))[0] - (255 - expected)).max() <= 0.5001


def test_percentiles_are_of_what_is_no_padding(tmp_path):
    stored = np.arange(100, 356, dtype=np.int16).reshape(16, 16)
    stored[0] = -2000
    place = made(tmp_path / "a.dcm", stored, PixelPaddingValue=-2000)
    low, high = np.percentile(stored[1:], [5, 90])
    expected = np.round(255 * np.clip((stored - low) / (high - low), 0, 1))
    assert np.array_equal(decode(place, Reading(percentiles=(5, 90)))[0], expected)


@pytest.mark.parametrize(("frame", "index"), [("middle", 2), (1, 0), (5, 4), (0.01, 0), (0.5, 2), (0.79, 3), (0.99, 4)])
def test_a_frame_is_chosen_by_number_or_by_share_and_its_mask_with_it(tmp_path, frame, index):
    frames = RNG.integers(0, 256, (5, 20, 16), np.uint8)
    place, how = made(tmp_path / "a.dcm", frames, NumberOfFrames=5), Reading(frame=frame)
    assert np.array_equal(decode(place, how)[0], frames[index])
    mask = made(tmp_path / "m.dcm", (frames > 200).astype(np.uint8), NumberOfFrames=5)
    assert np.array_equal(read_mask([replace(mask, name=MASK)], (20, 16), how), frames[index] > 200)
    with pytest.raises(Unusable, match=r"has 5 frames or slices, none with the number 6 \(reading.frame\)"):
        decode(place, Reading(frame=6))


def test_a_scale_of_values_is_not_for_colour(tmp_path):
    place = made(tmp_path / "a.dcm", RNG.integers(0, 256, (20, 16, 3), np.uint8), "RGB")
    with pytest.raises(Unusable, match=r"is in colour.* reading\.window"):
        decode(place, Reading(window=(0, 100)))


def test_inspect_reads_as_the_settings_say(tmp_path):
    for n in range(6):
        values = np.full((16, 16), 100, np.int16)
        values[4:12, 4:12] = 1100 + n
        made(tmp_path / "c" / "ab"[n % 2] / f"{n}.dcm", values, RescaleSlope=1, RescaleIntercept=-1024)
    (tmp_path / "s.yaml").write_text("reading: {window: [40, 60]}")  # white from 70 on; the squares are of 76 to 81

    def inspected(*options):
        return json.loads(CliRunner().invoke(cli.app, ["inspect", str(tmp_path / "c"), "--json", *options]).stdout)

    same = inspected("--config", str(tmp_path / "s.yaml"))
    assert same["exact_copies"] == [["a/0", "a/2", "a/4", "b/1", "b/3", "b/5"]]
    assert inspected("--set", "reading.window=[78, 10]")["exact_copies"] == []
    Image.new("L", (16, 16)).save(tmp_path / "c" / "a" / "9.png")
    assert inspected("--set", "reading.percentiles=[1, 99]")["unusable"] == {
        "a/9.png": "has one picture of 8 or 16 bits, and no scale: reading.percentiles is for DICOM and NIfTI"
    }


def test_colour_is_luma(tmp_path):
    colours = RNG.integers(0, 256, (20, 16, 3), np.uint8)
    luma = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(decode(made(tmp_path / "a.dcm", colours, "RGB"))[0], luma)
    ybr = convert_color_space(colours, "RGB", "YBR_FULL")
    grey, mode, _ = decode(made(tmp_path / "b.dcm", ybr, "YBR_FULL"))
    assert mode == "RGB" and np.abs(grey.astype(int) - luma).max() <= 2


def test_what_no_decoder_reads_is_named(tmp_path, monkeypatch):
    place = made(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8))
    data = pydicom.dcmread(place.file)
    data.PixelData = pydicom.encaps.encapsulate([data.PixelData])
    data["PixelData"].VR = "OB"
    for syntax, message in (
        (JPEGLosslessSV1, r"compressed as JPEG Lossless.*which no installed decoder reads: pip install pylibjpeg"),
        (MPEG2MPML, "stored as MPEG2 .* which pydicom doesn't read"),
    ):
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(place.file)
        with pytest.raises(Unusable, match=message):
            decode(place)
    monkeypatch.setattr(type(get_decoder(JPEGLosslessSV1)), "is_available", False)
    with pytest.raises(Unusable):
        decode(place)


def test_bombs_are_not_inflated(tmp_path):
    place = made(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8), Rows=50000, Columns=50000)
    with pytest.raises(Unusable, match="50000 x 50000 pixels"):
        decode(place)
    deflated = next(file for file in SHIPPED if file.name == "image_dfl.dcm").read_bytes()
    start = 144 + int.from_bytes(deflated[140:144], "little")
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(press.compress(bytes(10**7)) for _ in range(60)) + press.flush()
    (tmp_path / "b.dcm").write_bytes(deflated[:start] + bomb)
    with pytest.raises(Unusable, match="inflates to more than"):
        decode(Part(tmp_path / "b.dcm", "dicom"))


@pytest.mark.parametrize("length", [0, 100, 131, 140, 300, 500, 700, 1000])
def test_cut_files_are_refused(tmp_path, length):
    place = made(tmp_path / "a.dcm", RNG.integers(0, 256, (20, 30), np.uint8))
    place.file.write_bytes(place.file.read_bytes()[:length])
    with pytest.raises(Unusable):
        decode(place)


def patient(path, number, study="1.2.3", **more):
    pixels = np.uint8(np.clip(RNG.normal(120, 60, (24, 32)), 0, 255))
    return made(path, pixels, PatientID=number, StudyInstanceUID=study, **more)


def test_images_of_one_patient_are_one_group(tmp_path):
    for label in ("benign", "malignant"):
        for person in ("17", "23", "42"):
            patient(tmp_path / label / person / "IM0001", f"{label}{person}", f"1.2.{person}")
            patient(tmp_path / label / person / "1.2.840.1", f"{label}{person}", f"1.3.{person}")
        patient(tmp_path / label / "unknown.dcm", "", f"1.4.{len(label)}")
    (tmp_path / "benign" / "17" / "readme.txt").write_text("text")
    report = Dataset()
    report.file_meta, report.SOPClassUID = FileMetaDataset(), "1.2.840.10008.5.1.4.1.1.88.11"
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.SOPInstanceUID = generate_uid()
    report.save_as(tmp_path / "benign" / "17" / "report.dcm", enforce_file_format=True)
    images = read(tmp_path).images.set_index("id")
    assert len(images) == 14
    groups = images.groupby("group").groups
    assert sorted(map(len, groups.values())) == [1, 1, 2, 2, 2, 2, 2, 2]
    assert images["group"]["benign/17/IM0001"] == images["group"]["benign/17/1.2.840.1"]
    assert {name.split()[0] for name in groups} == {"patient", "study"}
    ignored = list_sources(tmp_path).ignored
    assert ignored["benign/17/readme.txt"].startswith("is not of a kind that is read")
    assert ignored["benign/17/report.dcm"] == "is a DICOM file without an image"


def test_one_patient_number_for_all_is_none(tmp_path):
    for n in range(6):
        patient(tmp_path / "ab"[n % 2] / f"{n}.dcm", "ANONYMOUS", f"1.2.{n // 2}")
    assert sorted(read(tmp_path).images["group"].value_counts()) == [2, 2, 2]
    for n in range(6):
        patient(tmp_path / "ab"[n % 2] / f"{n}.dcm", "ANONYMOUS", "1.2.3")
    assert set(read(tmp_path).images["group"]) == {""}


def test_masks_may_be_dicom_or_not(tmp_path):
    mask = np.zeros((24, 32), np.uint8)
    mask[:6] = 1
    patient(tmp_path / "a" / "1.dcm", "1")
    made(tmp_path / "a" / "1_mask.dcm", mask)
    patient(tmp_path / "b" / "2.dcm", "2")
    patient(tmp_path / "b" / "3.dcm", "2")
    Image.fromarray(255 * mask).save(tmp_path / "b" / "2_mask.png")
    images = read(tmp_path).images
    assert list(images["id"]) == ["a/1", "b/2", "b/3"]
    assert list(images["lesion"].fillna(0)) == [0.25, 0.25, 0]


PLANTED = {
    "PatientName": "Verysecret^Person", "PatientBirthDate": "19561231",
    "OtherPatientIDs": "MRN5551212", "PatientAddress": "221B Bakerstreet", "AccessionNumber": "ACC777888",
    "StudyDate": "20231117", "ReferringPhysicianName": "Referring^Doctor", "InstitutionName": "Hospital Zebrafish",
    "PatientComments": "afraid of needles",
}  # fmt: skip


def test_nothing_personal_reaches_a_run_or_the_terminal(tmp_path, capfd, settings):
    folder, out = tmp_path / "cohort", tmp_path / "run"
    for n in range(12):
        patient(folder / ("benign" if n < 6 else "malignant") / f"{n}.dcm", f"ID8675309{n // 2}", **PLANTED)
    damaged = folder / "benign" / "bad.dcm"
    patient(damaged, "ID86753099", **PLANTED)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-300].replace(b"19561231", b"1956-2-3"))
    assert describe(read(folder))["ignored"]["personal data in DICOM headers"] == (
        "stand in 13 of 13 files (name in 13, patient ID in 13, further patient IDs in 13, birth date in 13,"
        " address in 13, comments in 13, study date in 13, accession number in 13, referring physician in 13,"
        " institution in 13); nothing of it is copied"
    )
    Study(folder, settings("skip_bad=true")).run(out, "adapt", processes=False)
    shown = capfd.readouterr()
    texts = [shown.out.encode(), shown.err.encode(), *(p.read_bytes() for p in out.rglob("*") if p.is_file())]
    secrets = [*PLANTED.values(), "ID8675309", "Verysecret", "1956-2-3", "Bakerstreet", "Zebrafish", "Doctor"]
    assert [secret for secret in secrets if any(secret.encode() in text for text in texts)] == []
    assert "patient " in (out / "cohort.csv").read_text()


def test_without_pydicom_the_way_to_get_it_is_told(tmp_path, monkeypatch):
    place = patient(tmp_path / "a" / "1.dcm", "1")
    known = builtins.__import__

    def lacking(name, *rest):
        if name.startswith("pydicom"):
            raise ImportError
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(UserError, match=r"pydicom is not installed\nfix: pip install 'sonosynth\[dicom\]'"):
        list_sources(tmp_path)
    with pytest.raises(Unusable, match=r"is a DICOM file: pip install 'sonosynth\[dicom\]'"):
        decode(place)


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    secret = patient(tmp_path / "elsewhere" / "1.dcm", "1").file
    patient(tmp_path / "cohort" / "a" / "2.dcm", "2")
    (tmp_path / "cohort" / "a" / "1.dcm").symlink_to(secret)
    (tmp_path / "cohort" / "a" / "more").symlink_to(secret.parent)
    found = dicom.listing(tmp_path / "cohort")
    assert [source.id for source in found.sources] == ["a/2"]
    assert found.problems == {
        "a/1.dcm": "is a link that points outside the folder",
        "a/more": "is a link to a folder, and links to folders are not followed",
    }


def test_patients_are_groups_in_tables_and_among_other_images_too(tmp_path):
    for n in range(4):
        made(tmp_path / "a" / f"{n}.dcm", RNG.integers(0, 255, (16, 16), np.uint8), PatientID=f"p{n // 2}")
        Image.fromarray(RNG.integers(0, 255, (16, 16), np.uint8)).save(tmp_path / "a" / f"{n}.png")
        Image.fromarray(RNG.integers(0, 255, (16, 16), np.uint8)).save(tmp_path / "a" / f"more {n}.png")
    mixed = list_sources(tmp_path)
    assert mixed.format == "folders" and "personal data in DICOM headers" in mixed.ignored
    groups = {source.id: source.group for source in mixed.sources}
    assert groups["a/0.dcm"] == groups["a/1.dcm"] != groups["a/2.dcm"] == groups["a/3.dcm"] != ""
    assert {groups[f"a/{n}.png"] for n in range(4)} == {""}
    (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"a/{n}.dcm,{n % 2}\n" for n in range(4)))
    listed = list_sources(tmp_path / "t.csv")
    assert [s.group for s in listed.sources] == [groups[f"a/{n}.dcm"] for n in range(4)]
    none = list_sources(tmp_path / "t.csv", Table(columns={"group": ""}))
    assert {source.group for source in none.sources} == {""}


def test_the_list_of_a_disc_is_no_image(tmp_path):
    made(tmp_path / "a" / "0.dcm", RNG.integers(0, 255, (16, 16), np.uint8))
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / "a" / "0.dcm").read_bytes())
    assert list_sources(tmp_path).ignored["DICOMDIR"] == "lists DICOM files, and holds no image"


def test_a_flat_folder_is_told_that_labels_are_missing(tmp_path):
    made(tmp_path / "0.dcm", RNG.integers(0, 255, (16, 16), np.uint8))
    with pytest.raises(UserError, match=r"its 1 images have no labels(.|\n)*sonosynth inspect labels.csv --images"):
        list_sources(tmp_path)
