"""The jobs of adaptation: latents once for all adapters, then each one's token and LoRA, or its U-Net; its control."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sonosynth import device, disk, firewall, hub, progress, seeding
from sonosynth.adapters import learning
from sonosynth.adapters import token as inversion
from sonosynth.adapters.diagnostic import Encoders
from sonosynth.adapters.settings import Adapt, Control, Lora, Unet
from sonosynth.adapters.settings import Token as TokenSettings
from sonosynth.artefacts import Adapter, Artefact, CohortImages, Split
from sonosynth.bases import sd1
from sonosynth.bases.latents import Latents, encode_images
from sonosynth.cohort import captions
from sonosynth.cohort.mask_jobs import CohortMasks
from sonosynth.cost import Effort
from sonosynth.errors import UserError

VERSION = 1


@dataclass(frozen=True)
class Encoding:
    """The base whose VAE encodes the images, and its precision."""

    base: sd1.Base
    precision: str


def encode(settings: Encoding, *, cohort: CohortImages, work: Path) -> None:
    """Encode every image of the cohort and its mirror image, once for all adapters: makes latents."""
    dtype = sd1.DTYPES[settings.precision]
    pipeline = sd1.load(settings.base.folder, dtype, device.best(), without=("unet", "text_encoder"))
    encode_images(pipeline.vae, np.asarray(cohort.pixels)).save(work / "latents")


@dataclass(frozen=True)
class Learning:
    """What all adapters of a generator share.

    prompts: of each label whose images are learned from, without a token. seed: the generator's.
    """

    base: sd1.Base
    precision: str
    prompts: dict[str, str]
    seed: int
    adapt: Adapt


@dataclass(frozen=True)
class TokenLearning:
    """How a token is learned; `text` is how it appears in prompts."""

    learning: Learning
    token: TokenSettings
    text: str

    @property
    def label(self) -> str | None:
        """The class whose token it is, None if that of all classes: a cohort has at least two."""
        labels = [*self.learning.prompts]
        return labels[0] if len(labels) == 1 else None

    @property
    def effort(self) -> Effort:
        """In batches."""
        return Effort((self.token.batch,), self.token.steps * self.token.accumulation)


def learn_token(settings: TokenLearning, *, cohort: CohortImages, split: Split, latents: Artefact, work: Path) -> None:
    """Textual inversion, on the images of one class or of all: makes token (a folder) and about (JSON).

    Raises:
        UserError: if there is no such image.
    """
    shared, out = settings.learning, work / "token"
    examples, origins = _examples(shared, cohort, split, latents, {})
    _empty(out)
    losses, movement = learning.learn_token(
        settings.token, settings.text, shared.base, examples, precision=shared.precision,
        seed=seeding.derive(shared.seed, "token"), work=work, out=out,
    )  # fmt: skip
    about = {"text": settings.text, "losses": losses, "movement": movement, "images": sorted(origins)}
    of_class = {} if settings.label is None else {"label": settings.label}
    disk.write_json(work / "about", about | of_class)
    progress.say(
        f"token {settings.text}: moved by {movement['moved']:.3f} from a norm of {movement['norm_before']:.3f}"
        f" (cosine {movement['cosine']:.3f})"
    )


@dataclass(frozen=True)
class AdapterLearning:
    """How an adapter is learned: with a LoRA or without."""

    learning: Learning
    lora: Lora | None

    @property
    def effort(self) -> Effort:
        """In batches."""
        if self.lora is None:
            return Effort()
        kind = (self.lora.batch, self.lora.rank, self.lora.layers)
        return Effort(kind, self.lora.steps * self.lora.accumulation)


def learn(
    settings: AdapterLearning, *, cohort: CohortImages, split: Split, latents: Artefact,
    token: Artefact | tuple[Artefact, ...] | None = None, choice: Artefact | None = None,
    encoders: Artefact | None = None, work: Path,
) -> None:  # fmt: skip
    """Train an adapter, with the learned tokens if it has any: makes adapter, a folder that diffusers loads.

    Args:
        token: that of all classes, or one of each.
        choice: of the LoRA's number of steps: see `synthesis.probing.choose`. encoders: those of its diagnostic term.
    """
    shared, out = settings.learning, work / "adapter"
    _empty(out)
    losses: list[pd.DataFrame] = []
    origins: frozenset[str] = frozenset()
    texts: dict[str, str] = {}
    learned: dict[str, Any] = {}
    forbidden = split.forbidden(leaks=shared.adapt.on == "all")
    tokens = token if isinstance(token, tuple) else (token,) if token else ()
    for one in tokens:
        about = one.json("about")
        own, label = {"text": about["text"], **about["movement"]}, about.get("label")
        file = (one.place("token") / inversion.FILE).read_bytes()
        disk.write_bytes(inversion.place(out, label) / inversion.FILE, file)
        losses.append(_losses("token", about["losses"], label or ""))
        origins |= frozenset(about["images"])
        firewall.check(origins, forbidden, f"the token of {one.made.job}")
        texts |= dict.fromkeys(shared.prompts if label is None else [label], own["text"])
        learned |= own if label is None else {label: own}
    if settings.lora:
        examples, seen = _examples(shared, cohort, split, latents, texts)
        if encoders:
            judges = frozenset(encoders.json("about")["images"])
            firewall.check(judges, forbidden, f"the diagnostic encoders of {encoders.made.job}")
            seen |= judges
        steps = choice.json("about")["steps"] if choice else settings.lora.steps
        values = learning.learn_lora(
            settings.lora.model_copy(update={"steps": steps}), shared.base, examples, precision=shared.precision,
            seed=seeding.derive(shared.seed, "lora"), work=work, out=out,
            encoders=Encoders.load(encoders.place("encoders")) if encoders else None,
        )  # fmt: skip
        losses.append(_losses("lora", values))
        origins |= seen
    _write_losses(pd.concat(losses), out)
    about = {
        "base_digest": shared.base.digest,
        "token": learned or None,
        "lora": settings.lora is not None,
        "images": sorted(origins),
    }
    disk.write_json(out / "adapter.json", about)


@dataclass(frozen=True)
class UnetLearning:
    """How an adapter is learned that is a whole U-Net."""

    learning: Learning
    unet: Unet

    @property
    def effort(self) -> Effort:
        """In batches."""
        return Effort((self.unet.batch,), self.unet.steps * self.unet.accumulation)


def learn_unet(settings: UnetLearning, *, cohort: CohortImages, split: Split, latents: Artefact, work: Path) -> None:
    """Train a whole U-Net: makes adapter, a folder with the folder `unet`, which diffusers loads."""
    shared, out = settings.learning, work / "adapter"
    examples, origins = _examples(shared, cohort, split, latents, {})
    _empty(out)
    losses = learning.learn_unet(
        settings.unet, shared.base, examples, precision=shared.precision,
        seed=seeding.derive(shared.seed, "unet"), work=work, out=out,
    )  # fmt: skip
    _write_losses(_losses("unet", losses), out)
    about = {"base_digest": shared.base.digest, "token": None, "lora": False, "unet": True, "images": sorted(origins)}
    disk.write_json(out / "adapter.json", about)


@dataclass(frozen=True)
class ControlLearning:
    """How the control branch of an adapter is learned.

    tokens: of each label, the adapter's, None if there is none. start: the ControlNet that it starts from.
    """

    learning: Learning
    control: Control
    tokens: dict[str, str | None]
    start: hub.Model | None

    @property
    def effort(self) -> Effort:
        """In batches."""
        return Effort((self.control.batch,), self.control.steps * self.control.accumulation)


def learn_control(
    settings: ControlLearning, *, cohort: CohortImages, split: Split, latents: Artefact, masks: CohortMasks,
    adapter: Adapter, work: Path,
) -> None:  # fmt: skip
    """Train the control branch of an adapter: makes adapter, the same with the folder `control`, which diffusers loads.

    It is learned from the images whose masks are known, those of empty masks among them.

    Raises:
        UserError: if there is none of a class, or a scored image has a part in it.
    """
    shared, out = settings.learning, work / "adapter"
    forbidden = split.forbidden(leaks=shared.adapt.on == "all")
    firewall.check(adapter.origins, forbidden, str(adapter.folder))
    examples, seen = _examples(shared, cohort, split, latents, settings.tokens, masks)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(adapter.folder, out)
    values = learning.learn_control(
        settings.control, shared.base, examples, weights=settings.start.folder if settings.start else None,
        precision=shared.precision, seed=seeding.derive(shared.seed, "control"), work=work, out=out,
    )  # fmt: skip
    _write_losses(pd.concat([adapter.losses, _losses("control", values)]), out)
    about = {"control": settings.control.kind, "images": sorted(adapter.origins | seen)}
    disk.write_json(out / "adapter.json", adapter.about | about)


def _losses(part: str, values: Sequence[float], label: str = "") -> pd.DataFrame:
    """The rows of losses.csv for what was learned; label: of a token, the class that it is of, if it is of one."""
    return pd.DataFrame({"part": part, "label": label, "step": range(1, len(values) + 1), "loss": values})


def _write_losses(table: pd.DataFrame, out: Path) -> None:
    """Write losses.csv, with the column label only if there is a token of one class."""
    of_classes = (table["label"] != "").any()
    disk.write_text(out / "losses.csv", (table if of_classes else table.drop(columns="label")).to_csv(index=False))


def _empty(folder: Path) -> None:
    """Make a folder, or remove what an interrupted call or anybody else left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _examples(
    shared: Learning, cohort: CohortImages, split: Split, latents: Artefact, tokens: Mapping[str, str | None],
    masks: CohortMasks | None = None,
) -> tuple[learning.Examples, frozenset[str]]:  # fmt: skip
    """The images that the generator may see, with their prompts and each label's token; and their origins.

    Args:
        masks: of a control; only images whose masks are known are learned from then.
    """
    seen = split.visible(leaks=shared.adapt.on == "all")
    seen = seen[seen["label"].isin([*shared.prompts])]
    if seen.empty:
        raise UserError(
            f"there is no training image of {', '.join(shared.prompts)} to learn a token from",
            "one of each class that has a token of its own",
            "add images, or give adapters.NAME.token one text for all classes",
        )
    if masks:
        seen = seen[masks.known(seen["id"])]
        if missing := [label for label in shared.prompts if label not in set(seen["label"])]:
            raise UserError(
                f"no training image of {', '.join(missing)} has a mask, for a control to learn from",
                "masks of some training images of every class", "add masks, or remove `control` from the adapters",
            )  # fmt: skip
    rows = cohort.rows(seen["id"])
    origins = cohort.origins(rows).all()
    forbidden = split.forbidden(leaks=shared.adapt.on == "all")
    firewall.check(origins, forbidden, "the images that the adapter would be trained on")
    said = zip(captions.of_rows(shared.prompts, seen), seen["label"], strict=True)
    prompts = [learning.with_token(prompt, tokens.get(label)) for prompt, label in said]
    chosen = Latents.load(latents.place("latents")).choose(rows, mirror=shared.adapt.mirror)
    balanced = shared.adapt.balance == "classes"
    both_ways = _both_ways(masks, rows, shared) if masks else None
    return learning.Examples(chosen, prompts, balanced, both_ways), origins


def _both_ways(masks: CohortMasks, rows: np.ndarray, shared: Learning) -> torch.Tensor:
    """The masks at `rows`, then their mirror images where the adapter sees those of the images: (2N, H, W) bool."""
    own = np.asarray(masks.squares[rows])
    return torch.from_numpy(np.concatenate([own, own[:, :, ::-1] if shared.adapt.mirror else own]))
