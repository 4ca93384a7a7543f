"""Makes the weights that ship with the package, from simulated images alone: `sonosynth pretrain`."""

from pathlib import Path

import numpy as np

from sonosynth import progress, seeding
from sonosynth.diffusion import pretrain as base
from sonosynth.diffusion.training import Schedule, make_accelerator, train
from sonosynth.evaluation.features import features_loss, settle
from sonosynth.phantom.prompts import caption
from sonosynth.phantom.simulate import KINDS, random_probe, simulate

SIZE = 128
FEATURES = Schedule(steps=400, batch=32, learning_rate=2e-3, warmup=50, decay=True)


def simulate_images(count: int, seed: int, cache: Path) -> tuple[np.ndarray, list[str]]:
    """`count` phantoms of random probes, kinds in turn: images (N, 128, 128) uint8 and their captions."""
    if not cache.exists():
        images, captions = np.empty((count, SIZE, SIZE), np.uint8), []
        with progress.task("simulating phantoms", count) as bar:
            for i in range(count):
                rng = seeding.numpy_generator(seed, "pretraining", i)
                phantom = simulate(KINDS[i % len(KINDS)], rng, random_probe(rng), SIZE)
                images[i] = phantom.image
                captions.append(caption(phantom, rng))
                bar.advance()
        np.savez(cache, images=images, captions=np.array(captions))
    with np.load(cache) as stored:
        return stored["images"], [str(text) for text in stored["captions"]]


def measures(count: int, seed: int) -> np.ndarray:
    """(N, 5) float: frequency, depth, gain, dynamic range and smoothing of the phantoms' probes."""
    probes = [random_probe(seeding.numpy_generator(seed, "pretraining", i)) for i in range(count)]
    return np.array([[p.frequency, p.depth, p.gain, p.dynamic_range, p.smoothing] for p in probes])


def pretrain(out: Path, work: Path, count: int = 6000, seed: int = 0) -> None:
    """Pretrain the embedded base into `out/base` and the feature network into `out/features`.

    The recipes stand in `diffusion.pretrain` and `evaluation.features`. `work` holds the simulated images and
    the checkpoints: the same call continues an interrupted one.
    """
    work.mkdir(parents=True, exist_ok=True)
    images, captions = simulate_images(count, seed, work / "phantoms.npz")
    accelerator = make_accelerator("bf16")

    kinds = np.arange(count) % len(KINDS)
    network, loss_of = features_loss(images, kinds, measures(count, seed), accelerator, seed)
    train(
        "features", list(network.parameters()), loss_of, count, FEATURES,
        accelerator=accelerator, seed=seed, checkpoint=work / "features.safetensors",
    )  # fmt: skip
    settle(network, images, accelerator)
    network.cpu().save_pretrained(out / "features")

    base.pretrain(images, captions, accelerator, seed, work, out / "base")
