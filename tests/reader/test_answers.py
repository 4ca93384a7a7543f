"""Files of answers are read, checked and kept."""

import pandas as pd
import pytest
from kit_examples import answered, made, saved

from sonosynth.errors import UserError
from sonosynth.reader.answers import readings, take


@pytest.fixture
def kit(tmp_path):
    run, _, key = made(tmp_path)
    return run, key


def test_answers_are_kept_whole_and_scored(kit, tmp_path):
    run, key = kit
    assert readings(run) == () == readings(tmp_path / "none")
    files = [saved(answered(run, key, name), tmp_path / f"{name}.csv") for name in ("AB", "C-2")]
    files[0].write_bytes(b"\xef\xbb\xbf" + files[0].read_bytes())  # of a spreadsheet
    take(run, files)
    for file in files:
        assert (run / "reader" / "kit" / "answers" / file.name).read_bytes() == file.read_bytes()
    (found,) = readings(run)
    assert [one.name for one in found.readers] == ["AB", "C-2"]
    assert [(one.accuracy.hits, one.accuracy.of) for one in found.readers] == [(8, 8)] * 2


def test_a_longer_file_replaces_the_one_it_begins_with(kit, tmp_path):
    run, key = kit
    file = tmp_path / "a.csv"
    for images in (3, 3, 8):
        take(run, [saved(answered(run, key, images=images), file)])
        assert readings(run)[0].readers[0].accuracy.of == images
    for other in (answered(run, key, images=3), answered(run, key, quality="1"), answered(run, key, "ab")):
        with pytest.raises(UserError, match="has answered this kit before, differently"):
            take(run, [saved(other, file)])
    assert readings(run)[0].readers[0].accuracy.of == 8


def test_all_files_are_taken_or_none(kit, tmp_path):
    run, key = kit
    good, bad = (
        saved(answered(run, key), tmp_path / "a.csv"),
        saved(answered(run, key, "CD", kit="0" * 16), tmp_path / "b.csv"),
    )
    with pytest.raises(UserError, match=r"of which .* has no key"):
        take(run, [good, bad])
    assert readings(run) == ()


def changed(column, value):
    return lambda rows: rows.assign(**{column: [value, *rows[column][1:]]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("origin", "fake"), "origin is fake"),
        (changed("class", "cyst"), "class is cyst"),
        (changed("quality", "3.0"), r"quality is 3\.0"),
        (changed("quality", ""), "quality is "),
        (changed("reader", "other"), "answers of several readers"),
        (changed("kit", "0"), "answers of several kits"),
        (lambda rows: rows.assign(reader="../../x"), "the reader is called"),
        (lambda rows: rows[::-1], "are not numbered 1, 2"),
        (lambda rows: rows.iloc[1:], "are not numbered 1, 2"),
        (lambda rows: pd.concat([rows, rows]), "are not numbered 1, 2"),
        (lambda rows: rows.iloc[:0], "holds no answers"),
        (lambda rows: rows[["kit", "reader"]], "holds no answers"),
    ],
)
def test_wrong_files_are_refused_with_one_message(kit, tmp_path, change, message):
    run, key = kit
    file = saved(change(answered(run, key)), tmp_path / "a.csv")
    with pytest.raises(UserError, match=f"a.csv: .*{message}") as refused:
        take(run, [file])
    assert refused.value.expected
    assert readings(run) == ()


@pytest.mark.parametrize("data", [b"", b"\x00\xff\x00", b"\xd0\xcf\x11\xe0", b'a,"b\n', None])
def test_what_is_no_table_is_refused(kit, tmp_path, data):
    run, _ = kit
    file = tmp_path / "a.csv"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.csv: holds no answers"):
        take(run, [file])


def test_a_key_that_was_altered_is_no_longer_the_kits(kit, tmp_path):
    run, key = kit
    file = saved(answered(run, key), tmp_path / "a.csv")
    place = run / "reader" / "kit" / "key.csv"
    text = place.read_text()
    place.write_text(text.replace("real", "synthetic", 1))
    with pytest.raises(UserError, match="has no key"):
        take(run, [file])
    place.write_text(text)
    take(run, [file])
    place.write_text(text.replace("real", "synthetic", 1))
    with pytest.raises(UserError, match="kit is"):
        readings(run)
