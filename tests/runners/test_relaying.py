"""Events of other machines: fewer of them, in order, and at the times of the one that shows them."""

from dataclasses import replace
from datetime import timedelta

from sonosynth import progress
from sonosynth.progress.events import JobFinished, JobStarted, Message, Outcome, Overall, TaskAdvanced, now
from sonosynth.runners import relaying
from sonosynth.runners.relaying import Sending, Showing, shown

OVERALL = Overall(0, 1, None, 1)


def step(done, job="a"):
    return TaskAdvanced("1-0", job, "counting", done, 10, 1.0, None, {})


def test_clocks_of_machines_may_differ():
    shown = []
    before = progress.relay(shown.append)
    with Showing() as showing:
        showing.late(Message("ahead", time=now() + timedelta(hours=3)))
        progress.say("here")
        showing.late(Message("behind", time=now() - timedelta(hours=3)))
    progress.relay(before)
    assert [event.text for event in shown] == ["ahead", "here", "behind"]
    assert [event.time for event in shown] == sorted(event.time for event in shown)
    assert abs(shown[-1].time - now()) < timedelta(hours=1)


def test_progress_of_a_job_that_is_over_comes_too_late():
    shown = []
    before = progress.relay(shown.append)
    with Showing() as showing:
        progress.emit(JobStarted("a", 1, "", OVERALL))
        showing.late(step(1))
        progress.emit(JobFinished("a", Outcome.DONE, 1.0, OVERALL))
        showing.late(step(2))
        showing.late(Message("made again"))
    progress.relay(before)
    assert [getattr(event, "done", None) for event in shown] == [None, 1, None, None]


def test_not_every_step_is_sent_and_what_is_has_been_shown(monkeypatch):
    got, clock = [], [0.0]
    monkeypatch.setattr(relaying.time, "monotonic", lambda: clock[0])
    before = progress.relay(got.append)
    with shown("127.0.0.1") as address:
        progress.emit(JobStarted("a", 1, "", OVERALL))
        with Sending(address) as send:
            for done in range(11):
                clock[0] += 0.2
                send(step(done))
            send(Message("all"))
        assert [getattr(event, "done", None) for event in got] == [None, 0, 3, 6, 9, 10, None]
        with Sending(replace(address, key=b"?" * 32)) as stranger:
            stranger(Message("of a stranger"))
    progress.relay(before)
    assert len(got) == 7
    with Sending(address) as send:  # nobody listens any more: the job goes on
        send(Message("lost"))
