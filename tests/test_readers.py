"""Human readers' part of a run: a kit of its images, answers, and the section of the report."""

import re
import shutil

import numpy as np
import pandas as pd

from sonosynth.disk import sha256
from sonosynth.reader import answers
from sonosynth.readers import make_kit, take_answers
from sonosynth.run import reopen


def test_a_kit_of_a_run_and_what_its_readers_say(copy, tmp_path, capsys):
    study, page = reopen(copy), tmp_path / "kit.html"
    make_kit(study, copy, tmp_path / "kit")
    said = capsys.readouterr()
    assert "hand out kit.html alone" in said.out + said.err
    folder = copy / "reader" / "kit"
    key = pd.read_csv(folder / "key.csv", dtype=str, keep_default_na=False)
    split = pd.read_csv(copy / "cohort.csv", dtype=str, keep_default_na=False).set_index("id")
    real, synthetic = key[key["origin"] == "real"], key[key["origin"] == "synthetic"]
    assert {*split.loc[real["id"], "split"]} == {"validation"} and {*real["seen"]} == {"no"}
    assert list(split.loc[real["id"], "sha256"]) == list(real["sha256"])
    assert dict(real["label"].value_counts()) == dict(synthetic["label"].value_counts())
    for row in synthetic.to_dict("records"):
        places = [copy / "synthetic" / row["set"], copy / ".parts" / "samples" / row["set"]]
        (file,) = [place / row["id"] for place in places if (place / row["id"]).is_file()]
        assert sha256(file) == row["sha256"] and row["id"].startswith(f"{row['label']}/")
    assert str(copy) not in page.read_text(encoding="utf-8")

    rng, files = np.random.default_rng(0), []
    for name in ("AB", "CD", "EF"):
        rows = key.assign(kit=answers.kit_id(folder), reader=name, quality=rng.choice([*"12345"], len(key)))
        rows["class"] = rows["label"]
        rows["origin"] = rng.choice(["real", "synthetic"], len(key))
        files.append(tmp_path / f"{name}.csv")
        rows[answers.COLUMNS].to_csv(files[-1], index=False)
    before = sha256(copy / "evaluation" / "verdicts.csv")
    take_answers(reopen(copy), copy, files, processes=False)
    shown = capsys.readouterr().out
    text = (copy / "report.html").read_text(encoding="utf-8")
    assert "Fleiss' kappa" in shown and '<section id="readers">' in text and 'id="figure-readers"' in text
    assert re.search(r"Agreement between the readers, class: Fleiss&#39; kappa 1\.00", text)
    assert sha256(copy / "evaluation" / "verdicts.csv") == before
    statuses = reopen(copy).statuses(copy)
    assert {str(status.state) for _, status in statuses} == {"done"}


def test_the_command_needs_one_task_and_a_finished_set(copy, answer, tmp_path):
    for arguments in ((), ("--out", tmp_path / "k.html", "--answers", "a.csv"), ("--answers", "a.csv", "--each", "2")):
        status, message = answer("reader", copy, *arguments)
        assert status == 2 and "needs either --out KIT (and --each N) or --answers FILE" in message
    shutil.rmtree(copy / "synthetic" / "sd")
    status, message = answer("reader", copy, "--out", tmp_path / "k.html")
    assert status == 2 and "has not been made yet" in message and not (tmp_path / "k.html").exists()
