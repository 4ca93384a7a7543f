import sys
from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sonosynth.firewall import Origins
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification.classifier import Recipe, Selection, predict
from sonosynth.tasks.classification.models import IMAGENET, resolve
from sonosynth.tasks.classification.remedies import class_weights, mixed
from sonosynth.tasks.classification.settings import RANDOM, Classifier
from sonosynth.tasks.training_set import TrainingSet

SHIFT, SCALE = (torch.tensor(x).view(3, 1, 1) for x in IMAGENET)


def easy(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 32, 32)).astype(np.uint8)
    images[labels == 1, 8:24] += 120
    return images, labels


def training_set(images, labels, weights=None):
    weights = np.ones(len(images)) if weights is None else np.asarray(weights, float)
    origins = Origins.of_images(str(n) for n in range(len(images)))
    targets = np.eye(max(2, max(labels) + 1))[labels] * weights[:, None]
    return replace(TrainingSet.of_real(images, labels, targets.shape[1], origins), targets=targets)


def recipe(model, steps, *, batch=8, learning_rate=1e-2, classes=2, schedule="constant"):
    settings = Classifier(batch=batch, learning_rate=learning_rate, resolution=32, schedule=schedule)
    return Recipe(settings, resolve(str(model)), classes, steps, "fp32")


def test_classifier_learns_and_repeats_itself():
    images, labels = easy(40, 0)
    unseen, truth = easy(30, 1)
    how = recipe(RANDOM, 12, learning_rate=1e-3)
    runs = [predict(training_set(images, labels), unseen, recipe=how, arm=Arm(), seed=seed) for seed in (0, 0, 1)]
    assert runs[0].shape == (30, 2)
    assert np.allclose(runs[0].sum(axis=1), 1)
    assert (runs[0].argmax(axis=1) == truth).mean() > 0.9
    assert np.array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_every_remedy_trains_and_changes_the_result(tiny_classifier):
    images, labels = easy(40, 0)
    training = training_set(images, np.minimum(labels, np.arange(40) % 3))
    arms = (
        Arm(), Arm(balance="oversample"), Arm(balance="weights"), Arm(augmentation="classical"),
        Arm(augmentation="trivial"), Arm(mixup=0.2),
    )  # fmt: skip
    found = [predict(training, images, recipe=recipe(tiny_classifier, 6), arm=arm, seed=0) for arm in arms]
    assert all(np.isfinite(x).all() for x in found)
    assert len({x.tobytes() for x in found}) == len(found)


def test_the_step_that_is_best_on_the_selection_is_used(tiny_classifier):
    images, labels = easy(40, 0)

    def predicted(steps, select=None):
        how = recipe(tiny_classifier, steps, learning_rate=0.05)
        return predict(training_set(images, labels), images, recipe=how, arm=Arm(), seed=0, select=select)

    steps = [predicted(n) for n in (3, 6, 9)]
    right = [(x.argmax(axis=1) == labels).mean() for x in steps]
    best = predicted(9, Selection(images, labels, 3))
    assert np.allclose(best, steps[int(np.argmax(right))])


@pytest.fixture
def affine(monkeypatch):
    """A network of one weight matrix, and what it was at every step."""
    seen = []

    class Affine(torch.nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.linear = torch.nn.Linear(3 * 32 * 32, classes)
            torch.nn.init.zeros_(self.linear.weight)
            torch.nn.init.zeros_(self.linear.bias)

        def forward(self, images):
            if self.training:
                seen.append(self.linear.weight.detach().clone())
            return self.linear(images.flatten(1))

    module = ModuleType("affine_networks")
    module.Affine, module.__file__ = Affine, __file__
    monkeypatch.setitem(sys.modules, "affine_networks", module)
    return seen


def test_a_cosine_moves_weights_less_and_less(affine):
    """Adam moves each weight by the rate if all gradients are alike: one image, again and again, at a tiny rate."""
    images, rate = np.full((8, 32, 32), 255, np.uint8), 1e-7
    training = training_set(images, np.zeros(8, int))
    for schedule, expected in (("constant", [1, 1, 1]), ("cosine", [1, 0.75, 0.25])):
        affine.clear()
        how = recipe("affine_networks:Affine", 3, learning_rate=rate, schedule=schedule)
        predict(training, images, recipe=how, arm=Arm(), seed=0)
        predict(training, images, recipe=replace(how, steps=4), arm=Arm(), seed=0)  # the fourth shows the third's move
        moves = [float((b - a).abs().mean()) / rate for a, b in pairwise(affine[3:])]
        wanted = expected if schedule == "constant" else [(1 + np.cos(np.pi * n / 4)) / 2 for n in range(3)]
        assert moves == pytest.approx(wanted, rel=1e-2)


def test_averaged_weights_are_the_mean_of_the_last_steps(affine):
    images, labels = easy(16, 0)
    how = recipe("affine_networks:Affine", 8, learning_rate=1e-3)
    training = training_set(images, labels)
    predict(training, images, recipe=replace(how, steps=9), arm=Arm(), seed=0)
    after = torch.stack(affine[1:9])  # the weights after each of the first eight steps
    found = predict(training, images, recipe=averaging(how, 0.5), arm=Arm(), seed=0)
    last = predict(training, images, recipe=how, arm=Arm(), seed=0)
    inputs = (torch.tensor(images)[:, None] / 255 - SHIFT) / SCALE

    def difference(weights):
        """Of the two logits but for the biases."""
        logits = inputs.flatten(1) @ weights.T
        return (logits[:, 0] - logits[:, 1]).numpy()

    def log_odds(probabilities):
        return np.log(probabilities[:, 0] / probabilities[:, 1])

    for predicted, weights in ((found, after[4:].mean(dim=0)), (last, after[-1])):
        biases = log_odds(predicted) - difference(weights)
        assert np.ptp(biases) < 1e-3
    assert np.ptp(log_odds(found) - difference(after[-1])) > 1e-2


def averaging(how, share):
    return replace(how, settings=how.settings.model_copy(update={"average": share}))


def test_batch_statistics_of_averaged_weights_and_of_settled_arms_are_those_of_real_images(tiny_classifier):
    images, labels = easy(40, 0)
    images[20:] = 255 - images[20:]  # the synthetic ones are negatives
    training = replace(training_set(images, labels), synthetic=np.arange(40) >= 20)
    how = averaging(recipe(tiny_classifier, 3, learning_rate=1e-7), 0.5)
    arm = Arm(sets=("made",), share=0.5)
    real_alone = predict(training_set(images[:20], labels[:20]), images, recipe=how, arm=Arm(), seed=0)
    assert np.allclose(predict(training, images, recipe=how, arm=arm, seed=0), real_alone, atol=1e-3)
    how = averaging(how, 0.0)
    assert np.abs(predict(training, images, recipe=how, arm=arm, seed=0) - real_alone).max() > 1e-2
    settled = arm.model_copy(update={"settle": True})
    assert np.allclose(predict(training, images, recipe=how, arm=settled, seed=0), real_alone, atol=1e-3)
    select = Selection(images, labels, every=1)
    assert np.allclose(predict(training, images, recipe=how, arm=settled, seed=0, select=select), real_alone, atol=1e-3)


def test_every_image_counts_alike_in_the_statistics_of_batches(tiny_classifier):
    images, labels = easy(33, 0)
    images[-2:] = 255  # a last batch of these two alone would count as much as all others together
    how = averaging(recipe(tiny_classifier, 3, learning_rate=1e-7), 0.5)
    once, twice = (
        predict(training_set(np.tile(images, (n, 1, 1)), np.tile(labels, n)), images, recipe=how, arm=Arm(), seed=0)
        for n in (1, 2)
    )
    assert np.allclose(once, twice, atol=2e-3)


def test_weights_of_images_act_as_repeated_images_do(without_batch_norm):
    counts = np.array([1, 4, 2, 1, 3, 1])
    images, _ = easy(6, 3)
    images[..., 16:] = images[..., 15::-1]  # mirror images are the same, so that flips change nothing
    labels = np.array([0, 0, 1, 1, 0, 1])

    def trained(rows, weights):
        # One batch holds all images, so that every step sees each of them as often as it is there.
        how = recipe(without_batch_norm, 6, batch=len(rows), learning_rate=0.02)
        training = training_set(images[rows], labels[rows], weights)
        return predict(training, images, recipe=how, arm=Arm(), seed=0)

    rows, weights = np.arange(6), counts / counts.mean()
    repeated = trained(np.repeat(rows, counts), None)
    assert trained(rows, weights) == pytest.approx(repeated, abs=1e-5)
    assert np.abs(trained(rows, None) - repeated).max() > 0.02


def test_a_training_set_knows_as_much_of_every_image():
    images, labels = easy(4, 0)
    whole = TrainingSet.of_real(images, labels, 2, Origins.of_images("abcd"))
    assert np.array_equal(whole.targets.argmax(axis=1), labels) and whole.targets.sum() == 4
    for name in ("images", "labels", "targets", "synthetic", "source"):
        with pytest.raises(ValueError, match="differ in number"):
            replace(whole, **{name: getattr(whole, name)[:3]})
    with pytest.raises(ValueError, match="differ in number"):
        replace(whole, origins=whole.origins.choose([0, 1]))
    twice = whole + replace(whole, synthetic=np.ones(4, bool), source=np.arange(4))
    assert list(twice.synthetic) == [False] * 4 + [True] * 4 and list(twice.source) == [-1] * 4 + [0, 1, 2, 3]
    assert len(twice.images) == 8 and twice.origins.all() == set("abcd")


def test_class_weights_make_classes_count_alike():
    labels = np.array([0, 0, 0, 1])
    weights = class_weights(labels, 2).numpy()
    assert weights[0] * 3 == pytest.approx(weights[1])
    assert weights[labels].mean() == pytest.approx(1)


def test_mixup_mixes_images_and_targets_alike():
    images = F.one_hot(torch.arange(4), 4).float()
    got, targets = mixed(images, images.clone(), 0.4, torch.Generator().manual_seed(0))
    assert torch.equal(got, targets)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    assert ((targets > 0) & (targets < 1)).any()


def test_without_mirror_images_nothing_else_changes(tiny_classifier):
    images, labels = easy(40, 0)
    symmetric = np.minimum(images, images[:, :, ::-1])
    how = recipe(tiny_classifier, 6)
    upright = replace(how, settings=how.settings.model_copy(update={"mirror": False}))
    for own, same in ((symmetric, True), (images, False)):
        found = [predict(training_set(own, labels), own, recipe=x, arm=Arm(), seed=0) for x in (how, upright)]
        assert np.array_equal(*found) == same
