"""Makes the weights that ship with the package, from simulated images alone.

    python tools/pretrain.py --out OUT --work WORK [--count 8000] [--seed 0]

OUT/base and OUT/features are what is in src/sonosynth/weights. WORK holds the simulated images and the checkpoints:
the same command continues an interrupted one.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

import features
import pretrain_base
import second_edition
from corpus import SIZE, corpus
from sonosynth import disk, progress
from sonosynth.adapters.training import make_accelerator, train
from sonosynth.phantom.simulate import KINDS

BASE_CARD = """# The embedded base, second edition

A small latent-diffusion model in Stable Diffusion 1.x format: 128 x 128 pixels, a 4 x downsampling VAE with 4 channels,
a CLIP-style text encoder with a tokenizer of its own, a conditional U-Net that predicts the velocity; and `control`, a
control branch for lesion masks in diffusers' ControlNet format. It is here so that a study runs without a GPU or
network, and so that the tests have something real to run on. **It was trained on simulated images only**; what it makes
is not what Stable Diffusion makes, and no figure measured with it is the paper's. U-Net, VAE and control branch are
stored in half precision.

Recipe: `python tools/pretrain.py --out OUT --work WORK`; `OUT/base` is this folder. The same is in the metadata of
every safetensors file here. Batches, learning rates and losses are explained in `tools/pretrain_base.py` and
`tools/second_edition.py`.

```json
{recipe}
```
"""

FEATURES_CARD = """# The embedded feature network

A narrow ResNet-18 with 128 features for grey 128 x 128 images, trained on simulated images only, to predict the
kind of lesion and these settings of the probe: {measures}. Fréchet distances on its features are named `embedded`
everywhere. They are not FIDs.

Recipe: `python tools/pretrain.py --out OUT --work WORK`; `OUT/features` is this folder. The same is in the metadata
of its safetensors file. The losses are explained in `tools/features.py`.

```json
{recipe}
```
"""


@dataclass(frozen=True)
class Corpus:
    """N phantoms of random probes.

    images: (N, 128, 128) uint8. masks: (N, 128, 128) bool, of lesions. captions: N. measures: (N, 7) float, the
    settings that `features.MEASURES` names.
    """

    images: np.ndarray
    masks: np.ndarray
    captions: list[str]
    measures: np.ndarray


def pretrain(out: Path, work: Path, count: int = 8000, seed: int = 0, first: Path | None = None) -> None:
    """Pretrain the embedded base into `out/base` and, without a `first` edition, the features into `out/features`.

    The recipes are in `pretrain_base`, `second_edition` and `features`. `work` holds the simulated images and the
    checkpoints: the same call continues an interrupted one.

    Args:
        first: the folder of a first edition of the base to continue from; None: it is made.
    """
    work.mkdir(parents=True, exist_ok=True)
    phantoms = simulate_images(count, seed, work / "phantoms.npz")
    accelerator = make_accelerator("bf16")
    about = {"command": "python tools/pretrain.py", "seed": seed, "phantoms": count}
    versions = {name: version(name) for name in ("sonosynth", "torch", "diffusers", "transformers")}
    steps = {
        "vae": asdict(pretrain_base.VAE),
        "decoder": asdict(pretrain_base.DECODER),
        "unet": {name: asdict(cycle) for name, cycle in pretrain_base.UNET.items()},
    }
    if first is None:
        first = work / "first"
        _features(phantoms, accelerator, seed, work, out / "features")
        recipe = about | {"features": asdict(features.SCHEDULE), "versions": versions}
        named = ", ".join(features.MEASURES).replace("_", " ")
        sign(out / "features", recipe, FEATURES_CARD.replace("{measures}", named))
        pretrain_base.pretrain(phantoms.images, phantoms.captions, accelerator, seed, work, first)
    second_edition.pretrain(
        first, phantoms.images, phantoms.masks, phantoms.captions, accelerator, seed, work / "second", out / "base"
    )
    steps |= {f"second edition, {name}": asdict(found) for name, found in second_edition.SCHEDULES.items()}
    sign(out / "base", about | steps | {"versions": versions}, BASE_CARD)


def _features(phantoms: Corpus, accelerator: Accelerator, seed: int, work: Path, out: Path) -> None:
    count = len(phantoms.images)
    kinds = np.arange(count) % len(KINDS)
    network, loss_of = features.network_and_loss(phantoms.images, kinds, phantoms.measures, accelerator, seed)
    train(
        "features", list(network.parameters()), loss_of, [torch.arange(count)], features.SCHEDULE,
        accelerator=accelerator, seed=seed, checkpoint=work / "features.safetensors",
    )  # fmt: skip
    features.settle(network, phantoms.images, accelerator)
    network.cpu().save_pretrained(out)


def simulate_images(count: int, seed: int, cache: Path) -> Corpus:
    """`count` phantoms of random probes, kept in the file `cache`."""
    if not cache.exists():
        images, masks, captions = np.empty((count, SIZE, SIZE), np.uint8), np.empty((count, SIZE, SIZE), bool), []
        measures = np.empty((count, len(features.MEASURES)))
        with progress.task("simulating phantoms", count) as bar:
            for i, (phantom, text) in enumerate(corpus(count, seed)):
                images[i], masks[i] = phantom.image, phantom.mask
                captions.append(text)
                measures[i] = [getattr(phantom.probe, name) for name in features.MEASURES]
                bar.advance()
        partial = cache.with_suffix(".partial.npz")
        np.savez(partial, images=images, masks=masks, captions=np.array(captions), measures=measures)
        partial.replace(cache)
    with np.load(cache) as stored:
        captions = [str(text) for text in stored["captions"]]
        return Corpus(stored["images"], stored["masks"], captions, stored["measures"])


def sign(folder: Path, recipe: dict[str, Any], card: str) -> None:
    """Write `recipe` into the metadata of every safetensors file in `folder`, and into its card, README.md."""
    for file in sorted(folder.rglob("*.safetensors")):
        signed = file.with_suffix(".partial")  # the weights are read from the old file while this one is written
        save_file(load_file(file), signed, {"format": "pt", "recipe": json.dumps(recipe)})
        signed.replace(file)
    disk.write_text(folder / "README.md", card.replace("{recipe}", json.dumps(recipe, indent=1)))


def main() -> None:
    """Pretrain what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the weights go")
    parser.add_argument("--work", type=Path, required=True, help="where images and checkpoints are kept")
    parser.add_argument("--count", type=int, default=8000, help="phantoms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=Path, help="folder of the base's first edition, to continue from")
    o = parser.parse_args()
    pretrain(o.out, o.work, o.count, o.seed, o.first)


if __name__ == "__main__":
    main()
