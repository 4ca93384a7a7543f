import pytest

from sonosynth import progress
from sonosynth.progress import words


def test_plain_lines_tell_how_much_is_done_and_left(capsys):
    with progress.task("working", 8, done=2) as bar:
        for _ in range(6):
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["working: 3/8", "working: 4/8", "working: 6/8", "working: 8/8"]
    assert lines[-1].endswith("0 s remaining")


def test_work_of_two_kinds_at_a_time_is_counted_apart(capsys):
    with progress.task("first", 4) as first:
        first.advance(2)
        with progress.task("second", 2) as second:
            second.advance()
            first.advance()
            second.advance(loss=0.5)
        first.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "first: 2/4", "second: 1/2", "first: 3/4", "second: 2/2", "first: 4/4",
    ]  # fmt: skip
    assert lines[3].endswith("0 s remaining loss 0.5")


def test_the_same_work_again_is_told_again(capsys):
    for _ in range(2):
        with progress.task("working", 1) as bar:
            bar.advance()
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == ["working: 1/1"] * 2


def test_work_that_breaks_off_leaves_others_alone(capsys):
    try:
        with progress.task("broken", 2):
            raise RuntimeError
    except RuntimeError:
        pass
    with progress.task("working", 1) as bar:
        bar.advance()
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == ["working: 1/1"]


def test_what_is_said_is_one_line_as_it_stands(capsys):
    line = "[bold]images[/bold] of " + 40 * "C:\\a\\long folder/"
    progress.say(line)
    captured = capsys.readouterr()
    assert captured.err == line + "\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "0 s"),
        (179, "179 s"),
        (181, "3 min"),
        (3569, "59 min"),
        (3599, "1 h"),
        (4200, "1 h 10 min"),
        (86400, "24 h"),
    ],
)
def test_times_are_told_no_finer_than_they_are_known(seconds, text):
    assert words.duration(seconds) == text


def test_the_time_left_says_what_nobody_knows():
    assert words.remaining(600, 0) == "about 10 min remaining"
    assert words.remaining(600, 1) == "about 10 min remaining (unknown: 1 job)"
    assert words.remaining(0, 42).startswith("time remaining unknown")
