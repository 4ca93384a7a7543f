"""What a base is worth to a study: reconstruction, the gain of adaptation, class agreement, the token's effect.

    python benchmarks/base.py RUN [--each 40] [--base DIR]

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

from sonosynth import cohort, pretraining, seeding
from sonosynth.diffusion import base as base_model
from sonosynth.diffusion.adapt import with_token
from sonosynth.diffusion.latents import to_grey, to_tensor
from sonosynth.diffusion.sampling import Recipe, Sampler
from sonosynth.evaluation import classifier, features, frechet_distance, speckle
from sonosynth.parallel import in_parallel
from sonosynth.phantom import simulate
from sonosynth.phantom.simulate import DEMO_PROBE
from sonosynth.study import Study

JUDGE_STEPS = 500


def reconstruct(folder: Path, images: np.ndarray, precision: str) -> np.ndarray:
    """Images (N, H, W) uint8 through the VAE of the base in `folder` and back."""
    vae = base_model.load(folder, base_model.DTYPES[precision], "cuda" if torch.cuda.is_available() else "cpu").vae
    with torch.no_grad():
        parts = [to_tensor(images[i : i + 16]).to(vae.device, vae.dtype) for i in range(0, len(images), 16)]
        return np.concatenate([to_grey(vae.decode(vae.encode(part).latent_dist.mean).sample) for part in parts])


def reconstruction(name: str, images: np.ndarray, decoded: np.ndarray) -> dict[str, str]:
    """L1 (of a range of 2) and the median over patches of each speckle statistic, as a share of the input's."""
    row = {"images": name, "L1": f"{np.abs(images.astype(float) - decoded).mean() / 127.5:.3f}"}
    before, after = speckle.patches(images), speckle.patches(decoded)
    chosen = speckle.textured(before) & (after.std(axis=(1, 2)) > 0)
    reference, found = speckle.statistics(before[chosen]).medians(), speckle.statistics(after[chosen]).medians()
    return row | {key: f"{found[key] / reference[key]:.2f}" for key in reference}


def phantom(place: tuple[str, int]) -> np.ndarray:
    """The i-th image of a kind that the judge is trained on: (128, 128) uint8."""
    kind, i = place
    return simulate(kind, seeding.numpy_generator(0, "judge", kind, i), DEMO_PROBE).image


def simulated(labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """600 phantoms a class, of the demo's probe: images (N, 128, 128) uint8 and labels (N,)."""
    images = np.stack(list(in_parallel(phantom, product(labels, range(600)))))
    return images, np.repeat(np.arange(len(labels)), 600)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--each", type=int, default=40, help="images of each class")
    parser.add_argument("--base", type=Path, help="another base, to compare its reconstruction")
    parser.add_argument("--simulated", action="store_true", help="train the judge on 600 other phantoms a class")
    options = parser.parse_args()
    study = Study.reopen(options.run).first
    s = study.settings
    table, labels = study.table, study.classes
    real = study.images(table)

    held_out = pretraining.simulate_images(120, 1, options.run / ".parts" / "held_out.npz")[0]
    rows = []
    for folder in filter(None, (study.base_folder, options.base)):
        for name, images in (("held-out phantoms", held_out), (study.path.name, real)):
            decoded = reconstruct(folder, images, study.precision)
            rows.append({"base": folder.name} | reconstruction(name, images, decoded))
    print("Reconstruction: L1 of a range of 2; speckle statistics as a share of the input's")
    print(pd.DataFrame(rows).to_string(index=False))

    rng = seeding.numpy_generator(0, "benchmark", "base")
    reference, floor = [], []
    for label in labels:
        order = rng.permutation(np.flatnonzero(table["label"] == label))
        half = min(options.each, len(order) // 2)
        reference += list(order[:half])
        floor += list(order[half : 2 * half])
    wanted = [table["label"][i] for i in floor]
    seeds = [seeding.derive(0, "benchmark", i) for i in range(len(wanted))]

    def made(adapter: Path | None, token: str) -> np.ndarray:
        recipe = Recipe(s.synthesis.steps, s.synthesis.guidance, s.synthesis.guidance_interval, s.synthesis.solver)
        sampler = Sampler(study.base_folder, adapter, token, study.precision, s.resolution, recipe)
        prompts = [with_token(s.prompts.of(label), token) if token else s.prompts.of(label) for label in wanted]
        batches = [slice(i, i + s.synthesis.batch) for i in range(0, len(wanted), s.synthesis.batch)]
        return np.concatenate([sampler.generate(prompts[b], seeds[b])[0] for b in batches])

    adapters = options.run / "adapters"
    sets = {
        "real, others": real[floor],
        "base, not adapted": made(None, ""),
        "sd": made(adapters / "sd", ""),
        "sd+ti": made(adapters / "sd+ti", s.prompts.token),
        "sd+ti, token left out": made(adapters / "sd+ti", ""),
    }

    train, validation = (table["split"] == side for side in ("train", "validation"))
    codes = table["label"].map(labels.index).to_numpy()
    judged = np.concatenate([real[validation], *list(sets.values())[1:]])
    small = cohort.resize(judged, s.classifier.resolution)
    known, truths = simulated(labels) if options.simulated else (real[train], codes[train])
    recipe = classifier.Recipe(s.classifier.model, len(labels), JUDGE_STEPS, 32, 1e-3, study.precision)
    chances = classifier.predict(cohort.resize(known, s.classifier.resolution), truths, small, recipe=recipe, seed=0)
    told = np.split(chances.argmax(axis=1), np.cumsum([validation.sum()] + [len(wanted)] * (len(sets) - 2)))
    extract = features.extractor(study.features)
    target = extract(real[reference])
    asked = np.array([labels.index(label) for label in wanted])
    rows = []
    for (name, images), predicted in zip(sets.items(), told, strict=True):
        truth = codes[validation] if name == "real, others" else asked
        rows.append(
            {
                "images": name,
                f"Fréchet ({study.features})": f"{frechet_distance(target, extract(images)):.1f}",
                "in the class asked for": f"{(predicted == truth).mean():.2f}",
            }
            | {label: f"{(predicted == truth)[truth == k].mean():.2f}" for k, label in enumerate(labels)}
        )
    print(f"\nTo {len(reference)} real images. In the first row: the classifier's accuracy on real validation images")
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
