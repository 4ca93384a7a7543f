from sonosynth import progress


def test_plain_lines_tell_how_much_is_done_and_left(capsys):
    with progress.task("working", 8, done=2) as bar:
        for _ in range(6):
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["working: 3/8", "working: 4/8", "working: 6/8", "working: 8/8"]
    assert lines[-1].endswith("0 s left")
