import threading

from sonosynth.parallel import in_threads


def test_what_is_made_comes_in_order():
    assert list(in_threads(lambda i: i * i, range(100))) == [i * i for i in range(100)]


def test_work_that_nobody_waits_for_any_more_holds_nobody_up():
    """The garbage collector may close it in a thread that starts or ends, where waiting for others never ends."""
    go_on = threading.Event()
    made = in_threads(lambda i: i if i == 0 else go_on.wait(60), range(100))
    assert next(made) == 0
    closing = threading.Thread(target=made.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    go_on.set()
