"""Makes the weights that ship with the package, from simulated images alone: `sonosynth pretrain`."""

from pathlib import Path

import numpy as np

from sonosynth import progress, seeding
from sonosynth.phantom.prompts import caption
from sonosynth.phantom.simulate import KINDS, random_probe, simulate

SIZE = 128


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


def pretrain(out: Path, work: Path, count: int = 6000, seed: int = 0) -> None:
    """Pretrain the embedded base into the folder `out` (see `diffusion.pretrain` for the recipe).

    `work` holds the simulated images and the checkpoints: the same call continues an interrupted one.
    """
    from sonosynth.diffusion.pretrain import Recipe, pretrain
    from sonosynth.diffusion.training import make_accelerator

    work.mkdir(parents=True, exist_ok=True)
    images, captions = simulate_images(count, seed, work / "phantoms.npz")
    pretrain(images, captions, Recipe(), make_accelerator("bf16"), seed, work, out)
