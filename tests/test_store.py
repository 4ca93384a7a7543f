import pytest

from sonosynth.store import Run, digest, write_text


def writer(text):
    def make(work):
        write_text(work / "folder" / "a.txt", text)
        write_text(work / "b.txt", text)

    return make


def test_a_finished_stage_is_kept_until_its_inputs_change(tmp_path):
    run = Run(tmp_path)
    outputs = ["folder", "b.txt"]
    assert run.stage("s", {"x": 1}, outputs, writer("one"))
    assert not run.stage("s", {"x": 1}, outputs, writer("two"))
    assert (tmp_path / "folder" / "a.txt").read_text() == "one"
    assert run.stage("s", {"x": 2}, outputs, writer("two"))
    assert (tmp_path / "folder" / "a.txt").read_text() == (tmp_path / "b.txt").read_text() == "two"
    (tmp_path / "b.txt").unlink()
    assert run.stage("s", {"x": 2}, outputs, writer("three"))
    assert not (tmp_path / ".work").exists()


def test_an_interrupted_stage_leaves_the_old_outputs_and_goes_on(tmp_path):
    run = Run(tmp_path)
    run.stage("s", {"x": 1}, ["b.txt", "folder"], writer("old"))

    def stopped(work):
        write_text(work / "half.txt", "done so far")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.stage("s", {"x": 2}, ["b.txt", "folder"], stopped)
    assert (tmp_path / "b.txt").read_text() == "old"

    def goes_on(work):
        assert (work / "half.txt").read_text() == "done so far"
        writer("new")(work)

    assert run.stage("s", {"x": 2}, ["b.txt", "folder"], goes_on)
    assert (tmp_path / "b.txt").read_text() == "new"
    assert not (tmp_path / "half.txt").exists()


def test_digest_sees_names_and_contents(tmp_path):
    write_text(tmp_path / "d" / "a", "1")
    first = digest(tmp_path / "d")
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    second = digest(tmp_path / "d")
    write_text(tmp_path / "d" / "b", "2")
    assert len({first, second, digest(tmp_path / "d")}) == 3
