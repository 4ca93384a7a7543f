"""What another cohort's labels mean, which of its images a study knows, and classifiers in half precision."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sonosynth.cohort.reading import list_files, read
from sonosynth.errors import UserError
from sonosynth.firewall import Origins
from sonosynth.phantom import write_cohort
from sonosynth.tasks.classification import stored
from sonosynth.tasks.classification.classifier import Preprocessor, Trained
from sonosynth.tasks.classification.models import make, resolve
from sonosynth.tasks.classification.other_cohort import _known, contents_of, mapped

OURS = ("a", "a=b", "c")


def test_labels_mean_what_is_said_and_else_what_they_are_called():
    assert mapped(("a", "b"), ("a", "b"), ()) == {"a": "a", "b": "b"}
    theirs = ("A", "B1", "B2", "a", "rest")
    assert mapped(("a", "b"), theirs, ("b=B1", "b=B2")) == {"a": "a", "B1": "b", "B2": "b"}
    assert mapped(("a", "b"), theirs, ("b=a", "a=A")) == {"A": "a", "a": "b"}
    assert mapped(OURS, ("a", "c", "x=y"), ("a=b=x=y",)) == {"a": "a", "c": "c", "x=y": "a=b"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "no images of b; its labels: B, a\n"), (("b",), "--labels b\n"), (("b=x",), "theirs: B, a"),
        (("x=B",), "ours: a, b"), (("b=B", "a=B"), "B is b already"), (("b=a",), "no images of a; "),
    ],
)  # fmt: skip
def test_labels_that_leave_a_class_empty_or_mean_nothing_are_mistakes(given, message):
    with pytest.raises(UserError) as error:
        mapped(("a", "b"), ("B", "a"), given)
    assert message in str(error.value)


def test_what_a_study_knows_is_found_by_content_view_group_and_generator(phantoms, tmp_path):
    study = read(phantoms, 32)
    known = SimpleNamespace(images=study.images, pixels=study.squares)
    write_cohort(tmp_path / "b", {"benign": 5, "malignant": 1}, seed=8, size=56)
    shutil.copy(phantoms / "benign" / "benign (2).png", tmp_path / "b" / "benign" / "copied.png")
    groups = {"benign/copied.png": "p1", "benign/benign (1).png": "p1", "benign/benign (2).png": "p2"}
    files = [*groups, *(f"benign/benign ({n}).png" for n in (3, 4, 5)), "malignant/malignant (1).png"]
    lines = [f"{file},{file.partition('/')[0]},{groups.get(file, '')}" for file in files]
    (tmp_path / "b" / "table.csv").write_text("\n".join(["file,label,group", *lines]))
    found = read(tmp_path / "b" / "table.csv", 32)
    seen = found.images["sha256"][list(found.images["id"]).index("benign/benign (4).png")]
    sets = [SimpleNamespace(origins=Origins.of_images([seen])), SimpleNamespace(origins=Origins(frozenset(), ()))]
    said = dict(zip(found.images["id"], _known(found, known, sets), strict=True))
    assert {name: why for name, why in said.items() if why} == {
        "benign/copied.png": "copy of benign/benign (2)",
        "benign/benign (1).png": "belongs with benign/copied.png: copy of benign/benign (2)",
        "benign/benign (4).png": "seen by the generator of a set",
    }


def test_a_cohort_is_its_images_wherever_it_lies(phantoms, cohort_folder):
    assert contents_of(list_files(cohort_folder)) == contents_of(list_files(phantoms))
    (cohort_folder / "normal" / "normal (1).png").unlink()
    (cohort_folder / "normal" / "normal (1)_mask.png").unlink()
    assert contents_of(list_files(cohort_folder)) != contents_of(list_files(phantoms))


def test_half_precision_rounds_weights_and_keeps_what_it_has_no_numbers_for(tiny_classifier, tmp_path):
    start = resolve(str(tiny_classifier))
    network = make(start, 2, 0)
    state = network.module.state_dict()
    large = next(name for name in state if name.endswith("running_var"))
    state[large].fill_(1e6)
    mean, deviation = torch.full((3, 1, 1), 0.3), torch.full((3, 1, 1), 0.1)
    trained = Trained(network, Preprocessor(mean, deviation, torch.device("cpu")))
    sizes = []
    for halved in (False, True):
        (tmp_path / "weights").write_bytes(stored.save([trained], halved=halved))
        sizes.append((tmp_path / "weights").stat().st_size)
        [again] = stored.load(tmp_path / "weights", 1, start, 2)
        for name, tensor in again.network.module.state_dict().items():
            wanted = state[name]
            if halved and wanted.is_floating_point() and name != large:
                wanted = wanted.half().float()
            assert torch.equal(tensor.cpu(), wanted), name
        assert torch.equal(again.preprocessor.shift.cpu(), trained.preprocessor.shift)
    assert sizes[1] < 0.7 * sizes[0]
    assert np.isfinite(again.probabilities(np.zeros((2, 32, 32), np.uint8))).all()
