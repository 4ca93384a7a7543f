"""The job that trains the diagnostic encoders of all LoRAs of a generator (see `diagnostic`)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from sklearn.metrics import accuracy_score, f1_score

from sonosynth import disk, firewall, progress, seeding
from sonosynth.adapters.diagnostic import FOLDS, cross_fit
from sonosynth.artefacts import Artefact, CohortImages, Split
from sonosynth.bases.latents import Latents
from sonosynth.cohort.split import folds_of

VERSION = 1


@dataclass(frozen=True)
class EncoderLearning:
    """seed: the generator's. leaks: whether the generator may see all images; then its encoders do, too.

    mirror: whether both see mirror images.
    """

    seed: int
    leaks: bool
    mirror: bool = True


def learn(settings: EncoderLearning, *, cohort: CohortImages, split: Split, latents: Artefact, work: Path) -> None:
    """Train an encoder on two thirds of the images that the generator may see, three times.

    Makes encoders (as `Encoders` saves them, of those images in the order of the split) and about (JSON): the accuracy
    and macro f1 of each image's own encoder on its latent, which that encoder has not seen; classes; images.

    Raises:
        UserError: if a class has fewer than three of these images or groups, or a scored one is among them.
    """
    seen = split.visible(leaks=settings.leaks)
    rows = cohort.rows(seen["id"])
    origins = cohort.origins(rows).all()
    forbidden = split.forbidden(leaks=settings.leaks)
    firewall.check(origins, forbidden, "the images that the diagnostic encoders would be trained on")
    seed = seeding.derive(settings.seed, "encoders")
    fold = folds_of(seen, FOLDS, seed, "lora.diagnostic", "lora.diagnostic=0")
    classes = sorted(set(seen["label"]))
    codes = torch.tensor([classes.index(label) for label in seen["label"]])
    own = Latents.load(latents.place("latents")).choose(rows, mirror=settings.mirror)
    encoders = cross_fit(own, codes, torch.from_numpy(fold), seed=seed, work=work).to(torch.device("cpu"))
    encoders.save(work / "encoders")
    with torch.no_grad():
        found = encoders.logits(own.mean[: len(codes)], torch.arange(len(codes))).argmax(dim=1)
    about = {
        "accuracy": float(accuracy_score(codes, found)),
        "f1": float(f1_score(codes, found, average="macro")),
        "classes": classes,
        "images": sorted(origins),
    }
    disk.write_json(work / "about", about)
    progress.say(
        f"diagnostic encoders: macro F1 {about['f1']:.2f}, accuracy {about['accuracy']:.2f} on latents that they have"
        f" not seen, of {len(classes)} classes"
    )
