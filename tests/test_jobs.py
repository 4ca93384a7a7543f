import dataclasses
from graphlib import CycleError
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

import graph_examples
from graph_examples import Writing, join, joined, writing
from sonosynth.artefacts import Artefact
from sonosynth.jobs import Job, Made, differences, key, keyed, ordered, with_needs
from sonosynth.section import IF_GIVEN
from sonosynth.settings import load


def made(name="a", digest="1"):
    return Made(name, {"file": Path("a.txt")}, {"file": digest}, digest, 1.0, 10)


def test_the_key_is_of_everything_that_the_result_depends_on(monkeypatch):
    job, needs = joined("a", "b"), {"a": made("a"), "b": made("b", "2")}
    known = key(job.inputs(needs))
    assert key(joined("a", "b").inputs(dict(needs))) == known
    others = [
        joined("a", "b", text="-").inputs(needs),
        joined("b", "a").inputs(needs),
        job.inputs({"a": made("a", "3"), "b": made("b", "2")}),
        dataclasses.replace(job, run=graph_examples.write).inputs(needs),
    ]
    monkeypatch.setattr(graph_examples, "VERSION", 2)
    others.append(job.inputs(needs))
    assert len({known, *(key(other) for other in others)}) == 6


def test_what_has_no_effect_is_in_no_key():
    assert key(writing("a", speed=1).inputs({})) == key(writing("a", speed=9).inputs({}))
    synthesis = load("quick").synthesis
    assert keyed(synthesis) == keyed(synthesis.model_copy(update={"batch": 3}))
    assert "batch" not in keyed(synthesis) and keyed(synthesis)["steps"] == 12
    classifier = load("quick").classifier
    assert not {"seeds", "model"} & keyed(classifier).keys()


@dataclasses.dataclass
class Later:
    """Settings with a field that came later."""

    old: int
    new: Annotated[str | None, IF_GIVEN] = None


def test_what_came_later_is_in_a_key_only_where_it_is_given():
    assert keyed(Later(1)) == {"old": 1}
    assert keyed(Later(1, "a")) == {"old": 1, "new": "a"}


def test_a_key_holds_data_alone():
    assert keyed({"x": (1, 2.5, None, True, "a")}) == {"x": [1, 2.5, None, True, "a"]}
    for value in (Path("a"), object(), BaseModel, {1}):
        with pytest.raises(TypeError, match="can't be part of a job's key"):
            keyed({"x": value})


def test_jobs_come_after_what_they_need_and_nearly_as_given():
    jobs = [joined("c", "a"), writing("b"), writing("a"), writing("c")]
    assert [job.name for job in ordered(jobs)] == ["c", "a", "joined", "b"]
    assert [job.name for job in with_needs(ordered(jobs), lambda job: job.name == "joined")] == ["c", "a", "joined"]


@pytest.mark.parametrize(
    ("jobs", "error"),
    [
        ([writing("a"), writing("a")], "the same name"),
        ([writing("a"), dataclasses.replace(writing("b"), makes={"file": "a.txt"})], "the same file"),
        ([joined("a")], "joined needs a, which no job makes"),
    ],
)
def test_a_graph_that_does_not_hang_together_is_refused(jobs, error):
    with pytest.raises(ValueError, match=error):
        ordered(jobs)


def test_a_circle_is_refused():
    one, other = (Job(a, join, Writing(""), {"parts": (b,)}, {"file": a}) for a, b in (("a", "b"), ("b", "a")))
    with pytest.raises(CycleError):
        ordered([one, other])


def test_needs_are_opened_as_the_types_that_the_function_names():
    job = Job("j", join, Writing(""), {"parts": ("a", "b"), "first": "a"}, {"file": "j"})
    found = job.open({"a": made("a"), "b": made("b")})
    assert found == {"parts": (Artefact(made("a")), Artefact(made("b"))), "first": Artefact(made("a"))}


def test_differences_are_named_by_their_places():
    old = {"settings": {"lora": {"steps": 3, "rank": 2}, "seed": 1}, "version": 1}
    new = {"settings": {"lora": {"steps": 4, "rank": 2}}, "version": 1}
    assert differences(old, new) == ["settings.lora.steps", "settings.seed"]
    assert differences(old, old) == []
