"""The third stage: the balance plan, and the synthetic sets made after it."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from sonosynth import progress, store, synthesis
from sonosynth.cohort.splitting import TRAIN
from sonosynth.stages.repeat import MODELS, SETS_FOLDER, Repeat, places

RECIPE = ("steps", "guidance", "guidance_interval", "solver")


def synthesize(repeat: Repeat) -> None:
    """synthetic/<set>/."""
    needed = synthesis.plan(list(repeat.rows(TRAIN)["label"]), repeat.settings.balance.target)
    progress.say("synthetic images per set: " + ", ".join(f"{n} {label}" for label, n in needed.items()))
    for model in MODELS:
        _text_to_image(repeat, model, needed)
        _image_to_image(repeat, model, needed)


def _sampler(repeat: Repeat, model: str, inputs: dict[str, Any]) -> Any:
    from sonosynth.diffusion.sampling import Recipe, Sampler

    s = repeat.settings
    token = s.prompts.token if model.endswith("+ti") else ""
    return Sampler(
        repeat.base_folder, repeat.run.root / "adapters" / model, token, repeat.precision, s.resolution,
        Recipe(**{name: inputs[name] for name in RECIPE}),
    )  # fmt: skip


def _inputs(repeat: Repeat, model: str, needed: dict[str, int]) -> dict[str, Any]:
    return {
        "adapter": store.digest(repeat.run.root / "adapters" / model),
        "base": repeat.base_digest,
        "precision": repeat.precision,
        "resolution": repeat.settings.resolution,
        "prompts": repeat.prompts(model),
        "needed": needed,
        "seed": repeat.seed,
        **{name: getattr(repeat.settings.synthesis, name) for name in RECIPE},
    }


def _columns(repeat: Repeat, inputs: dict[str, Any], strength: float | str, source: str) -> dict[str, Any]:
    return {
        **{name: inputs[name] for name in RECIPE},
        "strength": strength,
        "refined_from": source,
        "resolution": inputs["resolution"],
        "precision": inputs["precision"],
        "base": repeat.settings.base,
        "adapter": inputs["adapter"],
    }


def _write_provenance(repeat: Repeat, inputs: dict[str, Any], folder: Path) -> None:
    """What a set came from: the adapter, the plan, and the images that either has seen."""
    store.write_json(
        folder / "provenance.json",
        {
            "adapter": inputs["adapter"],
            "plan": inputs["needed"],
            "images": sorted({*repeat.seen["sha256"], *repeat.rows(TRAIN)["sha256"]}),
        },
    )


def _text_to_image(repeat: Repeat, model: str, needed: dict[str, int]) -> None:
    repeat.check_adapter(model)
    s, inputs = repeat.settings, _inputs(repeat, model, needed)
    latents_folder = f".parts/latents/{model}"

    def make(work: Path) -> None:
        sampler = _sampler(repeat, model, inputs)

        def generate(chosen: Sequence[synthesis.Request]) -> np.ndarray:
            images, latents = sampler.generate([r.prompt for r in chosen], [r.seed for r in chosen])
            for request, latent in zip(chosen, latents, strict=True):
                file = (work / latents_folder / request.file_name).with_suffix(".safetensors")
                store.write_bytes(file, safetensors.torch.save({"latent": latent.cpu().contiguous()}))
            return images

        (work / latents_folder).mkdir(parents=True, exist_ok=True)
        for place, counts in places(needed).items():
            synthesis.make_set(
                synthesis.requests(counts, inputs["prompts"], repeat.seed), generate, work / place / model,
                batch=s.synthesis.batch, columns=_columns(repeat, inputs, "", ""),
            )  # fmt: skip
        _write_provenance(repeat, inputs, work / SETS_FOLDER / model)

    outputs = [*(f"{place}/{model}" for place in places(needed)), latents_folder]
    repeat.run.stage(f"synthesize-{model}", inputs, outputs, make)


def _image_to_image(repeat: Repeat, model: str, needed: dict[str, int]) -> None:
    s, root, name = repeat.settings, repeat.run.root, f"{model}+img2img"
    inputs = {
        **_inputs(repeat, model, needed),
        # At least one step has to fall into the last `strength` share of them.
        "steps": max(s.synthesis.steps, math.ceil(1 / s.refine.strength)),
        "source": store.digest(root / SETS_FOLDER / model),
        "refine": s.refine.model_dump(),
    }

    def make(work: Path) -> None:
        sampler = _sampler(repeat, model, inputs)

        def start(place: str, chosen: Sequence[synthesis.Request]) -> Any:
            if s.refine.source == "pixels":
                return synthesis.load_images(root / place, [r.source for r in chosen])
            files = [root / ".parts/latents" / r.source for r in chosen]
            return sampler.stack(
                [safetensors.torch.load_file(file.with_suffix(".safetensors"))["latent"] for file in files]
            )

        def refine(place: str, chosen: Sequence[synthesis.Request]) -> np.ndarray:
            prompts, seeds = [r.prompt for r in chosen], [r.seed for r in chosen]
            return sampler.refine(start(place, chosen), prompts, seeds, s.refine.strength)

        for place, counts in places(needed).items():
            wanted = synthesis.requests(counts, inputs["prompts"], repeat.seed)
            synthesis.make_set(
                synthesis.refinements(wanted, model, repeat.seed), partial(refine, place), work / place / name,
                batch=s.synthesis.batch, columns=_columns(repeat, inputs, s.refine.strength, s.refine.source),
            )  # fmt: skip
        _write_provenance(repeat, inputs, work / SETS_FOLDER / name)

    repeat.run.stage(f"synthesize-{name}", inputs, [f"{place}/{name}" for place in places(needed)], make)
