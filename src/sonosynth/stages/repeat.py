"""One repeat of a study, a split and a generator: what its stages share, and the firewall between its two sides.

What a validation image has reached is refused, unless the settings ask for that leak; then it is labelled.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from sonosynth import cohort, seeding, store, synthesis
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.config import SETS, Settings, read_yaml
from sonosynth.errors import UserError

MODELS = ("sd", "sd+ti")
SETS_FOLDER = "synthetic"
SAMPLES = ".parts/samples"  # images of classes that need none for balance: to look at, never to train on
LATENTS = ".parts/latents/training.safetensors"
PACKAGES = ("sonosynth", "torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "scikit-learn", "pillow")


@dataclass(frozen=True)
class Draw:
    """What makes a repeat another one.

    number: from 0. split_seed: of the split. fold: (k, i), the i-th of k folds is held out, or None. generator_seed: of
    adaptation, synthesis and classifiers.
    """

    number: int
    split_seed: int
    fold: tuple[int, int] | None
    generator_seed: int


def draws(settings: Settings) -> list[Draw]:
    """The repeats of a study. The first one has the study's own seed."""
    r, seed = settings.repeats, settings.seed
    found: list[Draw] = []
    for time in range(r.times):
        split_seed = seeding.derive(seed, "split", *([time] if time else []))
        for fold in [(r.folds, i) for i in range(r.folds)] if r.folds else [None]:
            for generator in range(r.generators):
                other = seeding.derive(seed, "generator", time, *(fold or ()), generator)
                found.append(Draw(len(found), split_seed, fold, other if found else seed))
    return found


class Repeat:
    """One repeat: the run's own folder for the first, `repeats/<number>` in it for the others.

    Args:
        path: the cohort. root: the run folder of the study. settings: of the study.
        decoded: real images (H, W) uint8 at the study's resolution by SHA-256, which all repeats share.
    """

    def __init__(self, path: Path, root: Path, settings: Settings, draw: Draw, decoded: dict[str, np.ndarray]) -> None:
        self.path, self.root, self.settings, self.draw, self._decoded = path, root, settings, draw, decoded
        self.run = store.Run(root / "repeats" / str(draw.number) if draw.number else root, root)
        self.seed = draw.generator_seed

    # What the settings stand for on this machine

    @cached_property
    def base_folder(self) -> Path:
        """The folder of the base."""
        from sonosynth.diffusion import base

        return base.find(self.settings.base)

    @cached_property
    def base_digest(self) -> str:
        """Digest of the base's files."""
        return store.digest(self.base_folder)

    @cached_property
    def precision(self) -> str:
        """The precision of adaptation and synthesis, after `auto`."""
        from sonosynth.diffusion import base

        return base.choose_precision(self.settings.precision)

    @cached_property
    def features(self) -> str:
        """The feature network of the fidelity, after `auto`."""
        from sonosynth.evaluation import features

        return features.choose(self.settings.fidelity.features)

    def write_settings(self) -> None:
        """study.yaml: the settings, what they stand for here, and the versions."""
        values = {
            "cohort": str(self.path),
            **self.settings.model_dump(mode="json", by_alias=True),
            "resolved": {
                "base": {"folder": str(self.base_folder), "digest": self.base_digest},
                "precision": self.precision,
                "features": self.features,
                "versions": {name: version(name) for name in PACKAGES},
            },
        }
        store.write_text(self.run.root / "study.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True))

    # The cohort

    @property
    def cohort_root(self) -> Path:
        """What the files of cohort.csv are relative to: the cohort's folder, or that of its CSV."""
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of cohort.csv that are not excluded."""
        file = self.run.root / "cohort.csv"
        self.needs(file, "run")
        table = cohort.load_table(file)
        return table[table["excluded"] == ""].reset_index(drop=True)

    @property
    def twins(self) -> pd.DataFrame:
        """The rows of twins.csv."""
        return pd.read_csv(self.run.root / "twins.csv", dtype={"id": str, "twin": str}, keep_default_na=False)

    @property
    def crossing(self) -> list[tuple[str, str]]:
        """The pairs of near-duplicates, by id, that have an image on either side of the split."""
        return cohort.crossing(cohort.load_table(self.run.root / "cohort.csv"), self.twins)

    @property
    def classes(self) -> list[str]:
        """The labels, sorted."""
        return sorted(set(self.table["label"]))

    def rows(self, side: str) -> pd.DataFrame:
        """The rows of one side of the split."""
        return self.table[self.table["split"] == side]

    def images(self, rows: pd.DataFrame) -> np.ndarray:
        """Real images (N, H, H) uint8 of rows of `table`, at the study's resolution; each is decoded once."""
        new = rows[~rows["sha256"].isin(self._decoded.keys())]
        self._decoded.update(
            zip(new["sha256"], cohort.read_images(self.cohort_root, new, self.settings.resolution), strict=True)
        )
        return np.stack([self._decoded[name] for name in rows["sha256"]])

    @property
    def seen(self) -> pd.DataFrame:
        """The rows that the generator is trained on: those of the training side, unless the settings leak all."""
        return self.table if self.leaks else self.rows(TRAIN)

    @property
    def leaks(self) -> bool:
        """Whether the settings let the generator see the validation images."""
        return self.settings.adapt.on == "all"

    def prompts(self, model: str) -> dict[str, str]:
        """Prompt of every label, with the token for +ti models."""
        from sonosynth.diffusion.adapt import with_token

        prompts = {label: self.settings.prompts.of(label) for label in self.classes}
        if model.endswith("+ti"):
            prompts = {label: with_token(prompt, self.settings.prompts.token) for label, prompt in prompts.items()}
        return prompts

    # The firewall

    def needs(self, path: Path, command: str) -> None:
        """Refuse to go on without `path`, which `command` makes."""
        if not path.exists():
            place = "COHORT --out RUN" if command == "run" else str(self.root)
            raise UserError(f"{path}: is not there yet", fix=f"run `sonosynth {command} {place}` first")

    def firewall(self, hashes: Collection[str], what: str) -> None:
        """Refuse `what` if a validation image is among the images (by SHA-256) that it came from."""
        leaked = self.rows(VALIDATION)
        leaked = leaked[leaked["sha256"].isin(set(hashes))]
        if len(leaked) and not self.leaks:
            raise UserError(
                f"{what}: was made from {len(leaked)} validation image(s), the first {leaked['file'].iloc[0]}",
                "training images only; scores on these images would mean nothing",
                f"remove {self.run.root / 'adapters'} and run the study again",
            )

    def check_adapter(self, model: str) -> None:
        """Refuse a model that a validation image has reached, or of another base, by its adapter.json."""
        folder = self.run.root / "adapters" / model
        self.needs(folder / "adapter.json", "adapt")
        self.run.check_inside(folder)
        self.firewall(_origins(folder / "adapter.json"), str(folder))
        if read_yaml(folder / "adapter.json").get("base_digest") != self.base_digest:
            raise UserError(
                f"{folder}: was made for another base than {self.settings.base} as it is now",
                fix=f"run `sonosynth adapt {self.root}`",
            )

    def set_rows(self, name: str) -> pd.DataFrame:
        """The rows of a synthetic set, after the firewall: it must come from the adapter that is there."""
        folder = self.run.root / SETS_FOLDER / name
        self.run.check_inside(folder)
        self.needs(folder / "provenance.json", "synthesize")
        model = name.removesuffix("+img2img")
        self.check_adapter(model)
        self.firewall(_origins(folder / "provenance.json"), f"{SETS_FOLDER}/{name}")
        rows = synthesis.load_rows(folder)
        adapter = store.digest(self.run.root / "adapters" / model)
        if len(rows) and set(rows["adapter"]) != {adapter}:
            raise UserError(
                f"{SETS_FOLDER}/{name}: was not made with adapters/{model} as it is now",
                fix=f"run `sonosynth synthesize {self.root}`",
            )
        return rows

    def set(self, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        """The rows of a synthetic set and its images (N, H, W) uint8, none of which may be a validation image."""
        rows, folder = self.set_rows(name), self.run.root / SETS_FOLDER / name
        hashes = tuple(store.sha256(file) for file in sorted(folder.rglob("*.png")))
        self.firewall(hashes, f"{SETS_FOLDER}/{name}")
        images = _read_set(folder, tuple(rows["file_name"]), hashes)
        held_out = {image.tobytes() for image in self.images(self.rows(VALIDATION))}
        copies = [file for file, image in zip(rows["file_name"], images, strict=True) if image.tobytes() in held_out]
        if copies:
            raise UserError(
                f"{folder / copies[0]}: is a validation image",
                "synthetic images; scores on these validation images would mean nothing",
                f"remove {folder} and run `sonosynth synthesize {self.root}`",
            )
        return rows, images

    def set_digests(self) -> dict[str, str]:
        """Digest of every synthetic set."""
        return {name: store.digest(self.run.root / SETS_FOLDER / name) for name in SETS}


@lru_cache(maxsize=len(SETS))
def _read_set(folder: Path, names: tuple[str, ...], _hashes: tuple[str, ...]) -> np.ndarray:
    """The images `names` of a set, decoded once while its files stay the same."""
    return synthesis.load_images(folder, names)


def _origins(file: Path) -> list[str]:
    """The hashes of the images that something came from."""
    images = read_yaml(file).get("images")
    if not isinstance(images, list) or not images:
        raise UserError(
            f"{file}: does not tell the images that it came from", fix=f"remove {file.parent} and run again"
        )
    return images


def places(needed: dict[str, int]) -> dict[str, dict[str, int]]:
    """The folder of the run to the count of images of each class that are made for it."""
    return {SETS_FOLDER: needed, SAMPLES: {label: 4 for label, count in needed.items() if count == 0}}
