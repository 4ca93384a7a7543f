"""What a base is worth to a study: reconstruction, the gain of adaptation, class agreement, the token's effect.

    python benchmarks/base.py RUN [--each 40] [--base DIR] [--simulated]

RUN is a finished run (`sonosynth demo`, `sonosynth run`). As many images of each class as `--each` says are drawn
from its real images as the reference, as many others as the real-against-real floor, and as many are made by the base
as it is and by the run's adapters, all with the same prompts and seeds. `--base` reconstructs with another base too.
The judge of the classes is a classifier trained on the run's real training images alone; with `--simulated`, for runs
on phantoms, on 600 other phantoms of each class, so that it is good enough to judge.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from finished import FinishedRun
from measuring import in_processes, training_set
from sonosynth import seeding
from sonosynth.adapters.learning import with_token
from sonosynth.adapters.settings import Adapter
from sonosynth.artefacts import TRAIN, VALIDATION
from sonosynth.bases import sd1
from sonosynth.bases.latents import to_grey, to_tensor
from sonosynth.cohort.decoding import resize
from sonosynth.fidelity import speckle
from sonosynth.fidelity.distances import frechet_distance
from sonosynth.fidelity.networks import extractor
from sonosynth.phantom import KINDS, random_probe, simulate
from sonosynth.phantom.simulate import DEMO_PROBE
from sonosynth.synthesis.sampling import Sampler
from sonosynth.tasks.arms import Arm
from sonosynth.tasks.classification.classifier import Recipe, predict
from sonosynth.tasks.classification.settings import Classifier

FINE = 1 / 8
"""Cycles a pixel above which the first edition of the embedded base keeps little of the spectrum."""
PATTERN = (12 / 128, 48 / 128)
"""Cycles a pixel, down and across, of the diagonal pattern that it weaves."""
JUDGE_STEPS, JUDGE_BATCH, JUDGE_RATE = 500, 32, 1e-3
HELD_OUT, SIMULATED = 120, 600


def reconstruct(folder: Path, images: np.ndarray, precision: str) -> np.ndarray:
    """Images (N, H, W) uint8 through the VAE of the base in `folder` and back."""
    vae = sd1.load(folder, sd1.DTYPES[precision], "cuda" if torch.cuda.is_available() else "cpu").vae
    with torch.no_grad():
        parts = [to_tensor(images[i : i + 16]).to(vae.device, vae.dtype) for i in range(0, len(images), 16)]
        return np.concatenate([to_grey(vae.decode(vae.encode(part).latent_dist.mean).sample) for part in parts])


def reconstruction(name: str, images: np.ndarray, decoded: np.ndarray) -> dict[str, str]:
    """L1 (of a range of 2); the median over patches of each speckle statistic, and the power of fine detail (geometric
    mean over frequencies) and of the diagonal pattern, as shares of the input's."""
    row = {"images": name, "L1": f"{np.abs(images.astype(float) - decoded).mean() / 127.5:.3f}"}
    before, after = speckle.patches(images), speckle.patches(decoded)
    chosen = speckle.textured(before) & (after.std(axis=(1, 2)) > 0)
    reference, found = speckle.statistics(before[chosen]).medians(), speckle.statistics(after[chosen]).medians()
    row |= {key: f"{found[key] / reference[key]:.2f}" for key in reference}
    before, after = power(images), power(decoded)
    fine = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) for side in images.shape[1:]], indexing="ij")) > FINE
    share = np.exp(np.log(after[fine] / before[fine]).mean())
    y, x = (round(side * place) for side, place in zip(images.shape[1:], PATTERN, strict=True))
    return row | {"fine": f"{share:.2f}", "pattern": f"{after[y, x] / before[y, x]:.2f}"}


def power(images: np.ndarray) -> np.ndarray:
    """The mean power (H, W) of images (N, H, W) by frequency, each the mean of 3 x 3; Hann window."""
    window = np.outer(*(np.hanning(side) for side in images.shape[1:]))
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    mean = (np.abs(np.fft.fft2(centred * window)) ** 2).mean(axis=0)
    smooth: np.ndarray = ndimage.uniform_filter(mean, 3, mode="wrap")
    return smooth


def held_out(i: int) -> np.ndarray:
    """The i-th phantom of a random probe that no base was pretrained on: (128, 128) uint8."""
    rng = seeding.numpy_generator(1, "pretraining", i)  # as in tools/corpus.py, with another seed
    return simulate(KINDS[i % len(KINDS)], rng, random_probe(rng)).image


def phantom(place: tuple[str, int]) -> np.ndarray:
    """The i-th image of a kind that the judge is trained on: (128, 128) uint8."""
    kind, i = place
    return simulate(kind, seeding.numpy_generator(0, "judge", kind, i), DEMO_PROBE).image


def simulated(labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """600 phantoms a class, of the demo's probe: images (N, 128, 128) uint8 and labels (N,)."""
    images = np.stack(in_processes(phantom, product(labels, range(SIMULATED))))
    return images, np.repeat(np.arange(len(labels)), SIMULATED)


def drawn(run: FinishedRun, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of as many images of each class, and of as many others."""
    rng = seeding.numpy_generator(0, "benchmark", "base")
    reference, others = [], []
    for label in run.labels:
        order = rng.permutation(np.flatnonzero(run.rows["label"] == label))
        half = min(each, len(order) // 2)
        reference.append(order[:half])
        others.append(order[half : 2 * half])
    return np.concatenate(reference), np.concatenate(others)


def made(run: FinishedRun, adapter: Path | None, declared: Adapter | None, labels: list[str]) -> np.ndarray:
    """An image (N, H, W) uint8 of each of N labels, its prompt with a token as declared, or without the learned one."""
    s, machine = run.settings, run.machine
    sampler = Sampler(machine.base, adapter, machine.precision, s.resolution, s.synthesis)
    if not declared:
        sampler.tokens = []  # where it is left out, no prompt has to hold it
    prompts = [with_token(s.prompts.of(label), declared.token_of(label) if declared else None) for label in labels]
    seeds = [seeding.derive(0, "benchmark", i) for i in range(len(labels))]
    batches = [slice(i, i + s.synthesis.batch) for i in range(0, len(labels), s.synthesis.batch)]
    return np.concatenate([sampler.generate(prompts[b], seeds[b]) for b in batches])


def judged(known: np.ndarray, truths: np.ndarray, images: np.ndarray, run: FinishedRun) -> np.ndarray:
    """The classes (M,) that the judge, trained on images (N, H, H) and their classes (N,), sees in others (M, H, H)."""
    side, model = run.settings.classifier.resolution, run.settings.classifier.model
    settings = Classifier(model=model, batch=JUDGE_BATCH, learning_rate=JUDGE_RATE)
    recipe = Recipe(settings, run.machine.classifier, len(run.labels), JUDGE_STEPS, run.machine.precision)
    training = training_set(resize(known, side), truths)
    return predict(training, resize(images, side), recipe=recipe, arm=Arm(), seed=0).argmax(axis=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--each", type=int, default=40, help="images of each class")
    parser.add_argument("--base", type=Path, help="another base, to compare its reconstruction")
    parser.add_argument("--simulated", action="store_true", help="train the judge on 600 other phantoms a class")
    options = parser.parse_args()
    run = FinishedRun.read(options.run)
    labels, real = run.labels, run.pixels

    unseen = np.stack(in_processes(held_out, range(HELD_OUT)))
    bases = [(run.machine.base.name, run.machine.base.folder)]
    if options.base:
        bases.append((options.base.name, options.base))
    rows = []
    for base, folder in bases:
        for name, images in (("held-out phantoms", unseen), (run.name, real)):
            decoded = reconstruct(folder, images, run.machine.precision)
            rows.append({"base": base} | reconstruction(name, images, decoded))
    print("Reconstruction: L1 of a range of 2; speckle statistics as a share of the input's")
    print(pd.DataFrame(rows).to_string(index=False))

    reference, others = drawn(run, options.each)
    wanted = list(run.rows["label"].iloc[others])
    sets = {"real, others": real[others], "base, not adapted": made(run, None, None, wanted)}
    for name, adapter in run.settings.declared_adapters.items():
        sets[name] = made(run, run.adapters[name], adapter, wanted)
        if adapter.token:
            sets[f"{name}, token left out"] = made(run, run.adapters[name], None, wanted)

    train, validation = run.of_side(TRAIN), run.of_side(VALIDATION)
    codes = run.rows["label"].map(labels.index).to_numpy(int)
    known, truths = simulated(labels) if options.simulated else (real[train], codes[train])
    synthetic = list(sets.values())[1:]
    classes = judged(known, truths, np.concatenate([real[validation], *synthetic]), run)
    of_each_set = np.split(classes, np.cumsum([validation.sum(), *(len(images) for images in synthetic[:-1])]))
    extract = extractor(run.machine.networks[0])
    target = extract(real[reference])
    asked = codes[others]
    rows = []
    for (name, images), predicted in zip(sets.items(), of_each_set, strict=True):
        truth = codes[validation] if name == "real, others" else asked
        rows.append(
            {
                "images": name,
                f"Fréchet ({run.machine.networks[0].name})": f"{frechet_distance(target, extract(images)):.1f}",
                "in the class asked for": f"{(predicted == truth).mean():.2f}",
            }
            | {label: f"{(predicted == truth)[truth == k].mean():.2f}" for k, label in enumerate(labels)}
        )
    print(f"\nTo {len(reference)} real images. In the first row: the classifier's accuracy on real validation images")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
