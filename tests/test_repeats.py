"""The splits of a study: folds, draws, generators, or the values of a column."""

from pathlib import Path

import pytest

from sonosynth.cohort.reading import Files
from sonosynth.cohort.sources import Source
from sonosynth.errors import UserError
from sonosynth.repeats import of_cohort, repeats
from sonosynth.settings import load


def files(*hospitals):
    sources = [Source(f"{i}", Path(f"{i}"), "ab"[i % 2], more=(("hospital", x),)) for i, x in enumerate(hospitals)]
    n = len(sources)
    return Files(Path("c"), Path("."), tuple(sources), ("",) * n, ("",) * n, ((),) * n, {}, {}, simulated=False)


def test_the_values_of_a_column_take_the_place_of_folds_and_draws():
    given = load("sound", [], ["split.leave_out=hospital"])
    found = repeats(of_cohort(given, files("B", "A", "", "C", "B")))
    assert [(r.draw, r.fold) for r in found] == [(0, (3, 0)), (0, (3, 1)), (0, (3, 2))]
    assert of_cohort(load("sound"), files("B", "A")) == load("sound")


@pytest.mark.parametrize(
    ("column", "message"),
    [("hospital", "has one value of hospital, A"), ("site", "has no column site")],
)
def test_a_column_that_divides_nothing_is_refused(column, message):
    with pytest.raises(UserError, match=f"{message}(.|\n)*further columns are: hospital"):
        of_cohort(load("quick", [], [f"split.leave_out={column}"]), files("A", "A", ""))
