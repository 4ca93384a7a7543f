"""The second stage: token and LoRA of every model, from the images that the generator may see."""

from pathlib import Path
from typing import Any

import pandas as pd

from sonosynth import progress, seeding, store
from sonosynth.config import read_yaml
from sonosynth.stages.repeat import LATENTS, MODELS, Repeat


def adapt(repeat: Repeat) -> None:
    """adapters/<model>/."""
    _encode(repeat)
    for model in MODELS:
        _adapt(repeat, model)


def _encode(repeat: Repeat) -> None:
    from sonosynth.diffusion import adapt

    hashes = list(repeat.seen["sha256"])
    repeat.firewall(hashes, "cohort.csv")
    inputs = {
        "base": repeat.base_digest,
        "precision": repeat.precision,
        "resolution": repeat.settings.resolution,
        "images": hashes,
    }

    def make(work: Path) -> None:
        (work / LATENTS).parent.mkdir(parents=True, exist_ok=True)
        adapt.encode(repeat.base_folder, repeat.images(repeat.seen), repeat.precision, work / LATENTS)

    repeat.run.stage("latents", inputs, [LATENTS], make)


def _adapt(repeat: Repeat, model: str) -> None:
    from sonosynth.diffusion import adapt
    from sonosynth.diffusion.latents import Latents
    from sonosynth.diffusion.training import Schedule

    s, run, seed = repeat.settings, repeat.run, repeat.seed
    prompts = [s.prompts.of(label) for label in repeat.seen["label"]]
    hashes = list(repeat.seen["sha256"])
    has_token = model.endswith("+ti")
    common = {
        "base": repeat.base_digest,
        "precision": repeat.precision,
        "latents": store.digest(run.root / LATENTS),
        "seed": seed,
        "images": list(zip(hashes, prompts, strict=True)),
    }
    folder = f"adapters/{model}"
    token_inputs = {**common, "token": s.token.model_dump(), "text": s.prompts.token}
    lora_inputs = {**common, "lora": s.lora.model_dump(), "token": token_inputs if has_token else None}

    def examples() -> adapt.Examples:
        return adapt.Examples(Latents.load(run.root / LATENTS), prompts)

    def learn(work: Path) -> None:
        out = work / folder
        out.mkdir(parents=True, exist_ok=True)
        about: dict[str, Any] = {"model": model, "base": s.base, "base_digest": repeat.base_digest}
        losses: list[tuple[str, int, float]] = []
        token_file = None
        if has_token:
            token_file = out / "learned_embeds.safetensors"
            cached = run.root / ".parts" / "token"
            learned = read_yaml(cached / "training.json")
            losses += [("token", i, x) for i, x in enumerate(learned["losses"], 1)]
            store.write_bytes(token_file, (cached / token_file.name).read_bytes())
            about["token"] = {"text": s.prompts.token, **learned["movement"]}
        schedule = Schedule(s.lora.steps, s.lora.batch, s.lora.learning_rate, s.lora.accumulation)
        values = adapt.learn_lora(
            repeat.base_folder, examples(), token_file, s.prompts.token, s.lora.rank, s.lora.layers, schedule,
            repeat.precision, seeding.derive(seed, "lora"), work, out,
        )  # fmt: skip
        losses += [("lora", i, x) for i, x in enumerate(values, 1)]
        store.write_text(out / "losses.csv", pd.DataFrame(losses, columns=["part", "step", "loss"]).to_csv(index=False))
        about["images"] = sorted(hashes)
        store.write_json(out / "adapter.json", about)

    def learn_token(work: Path) -> None:
        out = work / ".parts" / "token"
        out.mkdir(parents=True, exist_ok=True)
        schedule = Schedule(s.token.steps, s.token.batch, s.token.learning_rate, s.token.accumulation, weight_decay=0)
        losses, movement = adapt.learn_token(
            repeat.base_folder, examples(), s.prompts.token, s.token.init, schedule, repeat.precision,
            seeding.derive(seed, "token"), work, out / "learned_embeds.safetensors",
        )  # fmt: skip
        store.write_json(out / "training.json", {"losses": losses, "movement": movement})
        progress.say(
            f"token {s.prompts.token}: moved {movement['moved']:.3f} from a norm of {movement['norm_before']:.3f}"
            f" (cosine {movement['cosine']:.3f})"
        )

    if has_token:
        run.stage("token", token_inputs, [".parts/token"], learn_token)
    run.stage(f"adapt-{model}", lora_inputs, [folder], learn)
