"""Cohorts as they are shared, simulated: what `sonosynth inspect` takes for what, and the line that it gives."""

import itertools
import json
import shlex

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from sonosynth import cli, inspecting
from sonosynth import settings as loading
from sonosynth.cohort.reading import contents, list_files
from sonosynth.cohort.settings import AS_IT_IS, table_of
from sonosynth.errors import UserError
from sonosynth.jobs import keyed
from sonosynth.report.inspected import guessed, show_cohort
from sonosynth.settings import load

RNG = np.random.default_rng(0)
SIDE = 24


def picture(path, side=SIDE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (side, side), np.uint8)).save(path)


def mask(path, value=255, side=SIDE):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((side, side), np.uint8)
    values[: side // 4] = value
    Image.fromarray(values).save(path)


def inspect(path, table=AS_IT_IS):
    return inspecting.inspect(path, loading.load(inspecting.PRESET).model_copy(update={"cohort": table}))


def options(command):
    """The cohort, and how its table is read, in the line that was given."""
    words = shlex.split(command)
    assert words[:2] == ["sonosynth", "run"]
    given = dict(itertools.pairwise(words))
    columns, images = given.get("--columns", ""), given.get("--images")
    return words[2], table_of(columns, None).model_copy(update={"images": images or ""}), given


def inspected(path, capsys, table=AS_IT_IS):
    """What is found, and as text; the line given reads the same images, and nothing has to be guessed any more."""
    found = inspect(path, table)
    json.dumps(found)
    show_cohort(found)
    if not found["next"]["missing"]:
        place, named, _ = options(found["next"]["command"])
        again = list_files(type(path)(place), named)
        assert contents(keyed(again)) == contents(keyed(list_files(path, table)))
        assert not any(how.guessed for how in again.taken.values())
    return found, capsys.readouterr().out


def test_busi(tmp_path, capsys):
    for label in ("benign", "malignant", "normal"):
        for n in range(4):
            picture(tmp_path / label / f"{label} ({n}).png")
            mask(tmp_path / label / f"{label} ({n})_mask.png", 0 if label == "normal" else 255)
    mask(tmp_path / "benign" / "benign (1)_mask_1.png")
    found, told = inspected(tmp_path, capsys)
    assert found["masks"] == {"benign": 4, "malignant": 4, "normal": 4}
    assert found["lesion_share"] == {"benign": 0.25, "malignant": 0.25}
    assert "label: from the class folders" in told and "masks: from files X_mask beside X; what is not black" in told
    assert "groups: none; if you know the patients" in told
    assert options(found["next"]["command"])[2]["--config"] == "breast-ultrasound"
    assert "--set modality" not in told


def test_the_brain_mri_of_kaggle_with_its_own_split(tmp_path, capsys):
    for side, count in (("Training", 5), ("Testing", 2)):
        for label in ("glioma", "meningioma", "notumor", "pituitary"):
            for n in range(count):
                picture(tmp_path / side / label / f"{side[:2]}-{label[:2]}_{n:04}.jpg")
    found, told = inspected(tmp_path, capsys)
    assert found["classes"] == dict.fromkeys(["glioma", "meningioma", "notumor", "pituitary"], 7)
    assert {side: set(of.values()) for side, of in found["split"].items()} == {"train": {5}, "validation": {2}}
    assert "its own split: train 20 (5 glioma" in told and "used unless split.given=ignore" in told
    assert "add --set modality=mri" in told and "--config" not in found["next"]["command"]


def test_bus_bra_whose_masks_are_called_otherwise(tmp_path, capsys):
    rows = []
    for n in range(1, 9):
        for view in "lr":
            picture(tmp_path / "Images" / f"bus_{n:04}-{view}.png")
            mask(tmp_path / "Masks" / f"mask_{n:04}-{view}.png")
            rows.append([f"bus_{n:04}-{view}", n, "Fibroadenoma", ["benign", "malignant"][n % 2], 3, "GE", SIDE, SIDE])
    columns = ["ID", "Case", "Histology", "Pathology", "BIRADS", "Device", "Width", "Height"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "bus_data.csv", index=False)
    found, told = inspected(tmp_path / "bus_data.csv", capsys)
    assert found["masks"] == {"benign": 8, "malignant": 8} and found["groups"] == 8
    assert "label: from the column Pathology (guessed from its name)" in told
    assert "groups: 8, from the column Case" in told
    assert "further columns: Histology, BIRADS, Device, Width, Height" in told
    assert options(found["next"]["command"])[2]["--columns"] == "file=ID,label=Pathology,group=Case"
    with pytest.raises(UserError, match=r"it has a table: sonosynth inspect \S+bus_data.csv --images \S+Images"):
        inspect(tmp_path)


def test_isic_whose_ids_have_no_ending(tmp_path, capsys):
    names = [f"ISIC_{n:07}" for n in range(10)]
    for n, name in enumerate(names):
        picture(tmp_path / "skin images" / f"part_{n % 2}" / f"{name}.jpg")
    rows = pd.DataFrame({
        "lesion_id": [f"HAM_{n // 2}" for n in range(10)], "image_id": names, "dx": ["mel", "mel", "nv", "nv", "nv"] * 2
    })  # fmt: skip
    rows.to_csv(tmp_path / "meta.csv", index=False)
    table = table_of("", tmp_path / "skin images")
    found, _ = inspected(tmp_path / "meta.csv", capsys, table)
    assert found["classes"] == {"mel": 4, "nv": 6} and found["groups"] == 5
    _, _, given = options(found["next"]["command"])
    assert given["--columns"] == "file=image_id,label=dx,group=lesion_id"
    assert given["--images"] == str(tmp_path / "skin images")


def test_the_covid_radiographs_whose_masks_are_smaller(tmp_path, capsys):
    for label in ("COVID", "Normal", "Viral Pneumonia"):
        for n in range(4):
            picture(tmp_path / label / "images" / f"{label}-{n}.png", 30)
            mask(tmp_path / label / "masks" / f"{label}-{n}.png", 1, side=24)
        pd.DataFrame({"FILE NAME": [f"{label}-1"]}).to_excel(tmp_path / f"{label}.metadata.xlsx", index=False)
    found, told = inspected(tmp_path, capsys)
    assert found["classes"] == {"COVID": 4, "Normal": 4, "Viral Pneumonia": 4} == found["masks"]
    assert all(share == pytest.approx(0.25, abs=0.04) for share in found["lesion_share"].values())
    assert found["unusable"] == {} and set(found["ignored"]) == {f"{label}.metadata.xlsx" for label in found["classes"]}
    assert "masks: from folders for masks" in told


def test_colon_ultrasound_with_a_table_of_patients(tmp_path, capsys):
    lines = ["Dateiname;Befund;Patient"]
    for n in range(12):
        picture(tmp_path / "bilder" / f"{n}.bmp")
        lines.append(f"bilder/{n}.bmp;{['entzündet', 'gesund'][n % 2]};P{n // 2 % 5}")
    (tmp_path / "kolon.csv").write_bytes("\r\n".join(lines).encode("latin-1"))
    with pytest.raises(UserError, match=r"say which: --columns file=COLUMN,label=COLUMN"):
        inspect(tmp_path / "kolon.csv")
    found, told = inspected(tmp_path / "kolon.csv", capsys, table_of("file=Dateiname,label=Befund", None))
    assert found["classes"] == {"entzündet": 6, "gesund": 6} and found["groups"] == 5
    assert "label: from the column Befund\n" in told


def test_conflicting_twins_are_counted_by_class(tmp_path, capsys):
    for label in ("a", "b"):
        for n in range(5):
            picture(tmp_path / label / f"{n}.png")
    (tmp_path / "b" / "copy.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    found, told = inspected(tmp_path, capsys)
    reason = "label conflict of near-duplicates"
    assert found["excluded"] == [{"label": x, "reason": reason, "images": 1} for x in "ab"]
    assert f"a run leaves out: 1 b, {reason}" in told
    kept = loading.load(inspecting.PRESET, changes=["split.conflicts=keep"])
    assert inspecting.inspect(tmp_path, kept)["excluded"] == []


def test_what_is_missing_for_a_run_is_said(tmp_path, capsys):
    for n in range(3):
        picture(tmp_path / "a" / f"{n}.png")
    found, told = inspected(tmp_path, capsys)
    assert "all images have one label, a; give the folder that holds" in told and "next:" not in told
    picture(tmp_path / "b" / "0.png")
    (tmp_path / "b" / "x.png").write_bytes(b"%PDF-1.4")
    found, told = inspected(tmp_path, capsys)
    assert "no train image of b" in found["next"]["missing"]
    assert "can't be used: b/x.png is not a PNG, JPEG, BMP, TIFF, WebP or GIF image, but a PDF" in told
    picture(tmp_path / "b" / "1.png")
    assert inspect(tmp_path)["next"]["command"].endswith("--skip-bad")


def test_a_flat_folder_is_told_how_to_give_labels(tmp_path):
    for n in range(3):
        picture(tmp_path / "my scans" / f"{n}.png")
    with pytest.raises(UserError) as refused:
        inspect(tmp_path / "my scans")
    message = str(refused.value)
    assert "its 3 images have no labels" in message
    assert f"sonosynth inspect labels.csv --images '{tmp_path / 'my scans'}'" in message


def test_class_folders_of_files_that_are_not_read_are_told_what_these_are(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "scan.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: PCWIN64")
    with pytest.raises(UserError, match="its files: 2 times one that is not of a kind that is read, but a MATLAB file"):
        inspect(tmp_path)


def test_columns_whose_names_have_commas_are_given_as_a_setting(tmp_path):
    for n in range(4):
        picture(tmp_path / f"{n}.png")
    rows = pd.DataFrame({"file": [f"{n}.png" for n in range(4)], "finding, final": ["a", "b"] * 2})
    rows.to_csv(tmp_path / "t.csv", index=False)
    how = table_of("", None).model_copy(update={"columns": {"label": "finding, final"}})
    words = shlex.split(inspect(tmp_path / "t.csv", how)["next"]["command"])
    [setting] = [word for word in words if word.startswith("cohort.columns=")]
    assert load("quick", (), (setting,)).cohort == how


def test_what_was_guessed_is_said_once_and_what_was_told_is_not(tmp_path):
    for n in range(2):
        picture(tmp_path / f"{n}.png")
    (tmp_path / "t.csv").write_text("image_path,label,diagnosis\n0.png,a,x\n1.png,b,y\n")
    assert guessed(list_files(tmp_path / "t.csv").taken) == [
        "columns, guessed from their names: file from image_path (to confirm or change this: --columns file=image_path)"
    ]
    assert guessed(list_files(tmp_path / "t.csv", table_of("file=image_path", None)).taken) == []


def test_many_files_with_one_reason_are_counted(tmp_path, capsys):
    for label in "ab":
        for n in range(15):
            picture(tmp_path / label / f"{n}.png")
            (tmp_path / label / f"{n}.txt").write_text("0 0.5 0.5")
    _, told = inspected(tmp_path, capsys)
    assert told.count("ignored: ") == 11 and "ignored: 20 more, for the same reason" in told


def test_class_folders_that_lie_deeper_are_named(tmp_path, capsys):
    for side, label in itertools.product(("Training", "Testing"), "ab"):
        picture(tmp_path / "archive" / "brain" / side / label / "0.png")
    _, told = inspected(tmp_path, capsys)
    line = f"if the folders in archive/brain are the classes: sonosynth inspect {tmp_path / 'archive' / 'brain'}"
    assert f"all images have one label, archive; {line}" in told
    with pytest.raises(UserError, match="give the folder that holds them"):
        inspect(tmp_path / "archive" / "brain" / "Training" / "a")


def test_folders_below_those_taken_for_classes_are_mentioned(tmp_path, capsys):
    for patient, label, n in itertools.product("pqr", ("benign", "malignant"), range(3)):
        picture(tmp_path / patient / label / f"{n}.png")
    found, told = inspected(tmp_path, capsys)
    assert set(found["classes"]) == set("pqr")
    assert "ignored: folders below the class folders tell nothing (there are 6, such as p/benign)" in told


def test_what_a_split_lacks_is_told_with_a_way_out(tmp_path, capsys):
    for side, label, n in (
        *itertools.product(["train"], "ab", range(3)),
        *itertools.product(["test"], "abc", range(3)),
    ):
        picture(tmp_path / side / label / f"{n}.png")
    _, told = inspected(tmp_path, capsys)
    assert "can't be run as it is: " in told and "has no train image of c; " in told and "split.given" in told


def test_masks_among_the_images_and_12_bits_stored_as_16_are_noticed(tmp_path, capsys):
    for n in range(4):
        picture(tmp_path / "a" / "original" / f"{n}.png")
        mask(tmp_path / "a" / "outlined" / f"{n}.png")
        picture(tmp_path / "b" / f"{n}.png")
    dark = RNG.integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)
    dark[0, 0], dark[0, 1] = 0, 4095
    Image.fromarray(dark).save(tmp_path / "b" / "dark.png")
    found, told = inspected(tmp_path, capsys)
    assert found["few_levels"] == {f"a/outlined/{n}": 2 for n in range(4)} | {"b/dark": 17}
    assert "few grey levels: 5 images have 2 to 17 of 256, such as a/outlined/0, a/outlined/1, a/outlined/2; if" in told


def test_what_operating_systems_leave_behind_is_not_mentioned(tmp_path):
    for label, n in itertools.product("ab", range(3)):
        picture(tmp_path / label / f"{n}.png")
        for junk in (f"{label}/Thumbs.db", f"{label}/desktop.ini", f"__MACOSX/{label}/{n}.png"):
            (tmp_path / junk).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / junk).write_bytes(b"x")
    found = inspect(tmp_path)
    assert found["classes"] == {"a": 3, "b": 3} and found["ignored"] == {} == found["unusable"]


def test_what_nnu_net_calls_its_folders_is_no_label(tmp_path):
    for folder in ("imagesTr", "labelsTr"):
        picture(tmp_path / folder / "case_0.png")
    with pytest.raises(UserError, match="its 1 images have no labels"):
        inspect(tmp_path)


def test_who_has_a_table_is_told_to_name_the_column_of_patients(tmp_path, capsys):
    for n in range(4):
        picture(tmp_path / f"{n}.png")
    rows = {"file": [f"{n}.png" for n in range(4)], "label": ["a", "b"] * 2, "wer": [1, 2, 3, 4]}
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    _, told = inspected(tmp_path / "t.csv", capsys)
    assert "groups: none; if you know the patients, say which column has them: --columns group=COLUMN" in told


def test_the_line_that_runs_a_study_plans_it_too(tmp_path):
    for label, n in itertools.product("ab", range(4)):
        picture(tmp_path / label / f"{n}.png")
    (tmp_path / "b" / "x.png").write_bytes(b"")
    words = shlex.split(inspect(tmp_path)["next"]["command"])
    assert words[:2] == ["sonosynth", "run"] and {"--out", "--skip-bad"} < set(words)
    words[words.index("--out") + 1] = str(tmp_path / "none yet")
    done = CliRunner().invoke(cli.app, ["plan", *words[2:], "--base", "embedded"])
    assert done.exit_code == 0 and "images" in done.stdout, done.output
    assert not (tmp_path / "none yet").exists()
