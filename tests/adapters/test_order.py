"""Which samples a training sees, and how often."""

from collections import Counter

import torch

from sonosynth.adapters.order import draw

CLASSES = [torch.tensor([0, 3, 5, 6, 7, 8, 9, 10]), torch.tensor([1, 4]), torch.tensor([2, 11, 12])]


def test_one_stratum_is_plain_shuffled_epochs():
    everything = [torch.arange(13)]
    seen = draw(1, "test", everything, 0, 39).tolist()
    epochs = [seen[:13], seen[13:26], seen[26:]]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert seen != draw(2, "test", everything, 0, 39).tolist()


def test_classes_are_drawn_equally_often_and_their_images_too():
    of = {int(i): k for k, stratum in enumerate(CLASSES) for i in stratum}
    seen = draw(1, "test", CLASSES, 0, 3 * 48).tolist()
    for start in range(0, len(seen), 3):
        assert sorted(of[i] for i in seen[start : start + 3]) == [0, 1, 2]
    assert len({tuple(of[i] for i in seen[start : start + 3]) for start in range(0, 60, 3)}) > 3
    counts = Counter(seen)
    assert {i: counts[i] for i in of} == {i: 48 // len(CLASSES[k]) for i, k in of.items()}
    for stratum in CLASSES:
        of_class = [i for i in seen if i in stratum.tolist()]
        for start in range(0, 48, len(stratum)):
            assert sorted(of_class[start : start + len(stratum)]) == stratum.tolist()


def test_the_sequence_can_be_entered_anywhere():
    for strata in (CLASSES, [torch.arange(13)]):
        whole = draw(1, "test", strata, 0, 40)
        parts = [draw(1, "test", strata, start, 8) for start in range(0, 40, 8)]
        assert torch.equal(whole, torch.cat(parts))
