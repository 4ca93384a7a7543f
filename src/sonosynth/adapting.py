"""The jobs by which a study's adapters are learned and, with `adapt.stop: probe`, their steps and guidance chosen."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sonosynth import seeding
from sonosynth.adapters import encoders
from sonosynth.adapters import jobs as adaptation
from sonosynth.adapters.learning import with_token
from sonosynth.adapters.settings import Lora, Unet
from sonosynth.cohort import held_back
from sonosynth.fidelity.jobs import Measuring
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.repeats import Repeat
from sonosynth.section import AUTO
from sonosynth.settings import Settings
from sonosynth.synthesis import probing
from sonosynth.synthesis.settings import NOISE


@dataclass(frozen=True)
class Adapting:
    """What the adapters of a study share.

    prompts: each label's, without a token. model_job: makes a job that runs the diffusion model. cohort, latents: jobs.
    described: of each measure that probes use, the job that describes the cohort. parts: the folder for what is kept
    for later jobs.
    """

    settings: Settings
    machine: Machine
    prompts: dict[str, str]
    model_job: Callable[..., Job]
    cohort: str
    latents: str
    described: Mapping[str, Measuring]
    parts: str

    def of_repeat(self, repeat: Repeat) -> Iterator[Job]:
        """Tokens, LoRAs, U-Nets; before them, in the first repeat with a split, probes that choose steps of LoRAs."""
        s, at = self.settings, repeat.place
        if s.probed_adapters and repeat.number == repeat.block:
            yield from self._probes(repeat)
        wanted = {
            name: (adapter.token, s.lora_of(name) or s.unet_of(name)) for name, adapter in s.declared_adapters.items()
        }
        places = _Places(f"{at}split", at, f"{at}{self.parts}/", at)
        yield from self._learned(repeat, wanted, places, {name: choice(repeat, name) for name in s.probed_adapters})

    def _probes(self, repeat: Repeat) -> Iterator[Job]:
        """The choice of the steps of each adapter, and what it needs: adapters of four fifths of the images."""
        s, m, at = self.settings, self.machine, f"{repeat.place}probing/"
        parts, split = f"{repeat.place}{self.parts}/probing/", f"{at}split"
        holding_back = held_back.HoldingBack(seeding.derive(repeat.split_seed, "probe"))
        given = {"split": split, "block": f"{repeat.place}split"}
        yield Job(
            split, held_back.hold_back, holding_back, {"split": given["block"]}, {"table": f"{parts}split.csv"}
        )  # fmt: skip
        tokens = {name: s.declared_adapters[name].token for name in s.probed_adapters}
        ladders = {name: self._ladder(name) for name in tokens}
        trials = {f"{name}/{n}": (tokens[name], lora) for name, ladder in ladders.items() for n, lora in ladder.items()}
        yield from self._learned(repeat, trials, _Places(split, at, parts, parts), {})
        for name, ladder in ladders.items():
            for number in ladder:
                trial = probing.Probing(
                    name=name, steps=number, guidances=self._guidances(name), synthesis=s.synthesis,
                    prompts={label: with_token(prompt, tokens[name]) for label, prompt in self.prompts.items()},
                    base=m.base, precision=m.precision, resolution=s.resolution, measures=(*self.described.values(),),
                    seed=seeding.derive(repeat.seed, "probe"), draw=repeat.draw, split=repeat.split,
                )  # fmt: skip
                needs = {"cohort": self.cohort, **given, "adapter": f"{at}adapters/{name}/{number}"}
                yield self.model_job(
                    f"{at}distances/{name}/{number}", probing.probe, trial, {**needs, "real": (*self.described,)},
                    {"table": f"{parts}distances/{name}/{number}.csv",
                     "influences": f"{parts}distances/{name}/{number}.npy"},
                )  # fmt: skip
            yield Job(
                choice(repeat, name), probing.choose, None,
                {"probes": tuple(f"{at}distances/{name}/{number}" for number in ladder)},
                {"table": f"{parts}choices/{name}.csv", "about": f"{parts}choices/{name}.json"},
            )  # fmt: skip

    def _learned(
        self, repeat: Repeat, wanted: Mapping[str, tuple[str | None, Lora | Unet | None]], places: "_Places",
        choices: Mapping[str, str],
    ) -> Iterator[Job]:  # fmt: skip
        """Adapters by name: the token's text and the LoRA or U-Net of each, and the jobs that choose their steps."""
        s, m, at = self.settings, self.machine, places.jobs
        learning = adaptation.Learning(m.base, m.precision, self.prompts, repeat.seed, s.adapt)
        images = {"cohort": self.cohort, "split": places.split, "latents": self.latents}
        taught = [name for name, (_, trained) in wanted.items() if isinstance(trained, Lora) and trained.diagnostic]
        if taught:
            yield self.model_job(
                f"{at}encoders", encoders.learn, encoders.EncoderLearning(repeat.seed, s.adapt.on == "all"), images,
                {"encoders": f"{places.parts}encoders.safetensors", "about": f"{places.parts}encoders.json"},
            )  # fmt: skip
        tokens: dict[str, str] = {}  # one for all adapters with the same text
        for name, (text, trained) in wanted.items():
            needs = images | ({"choice": choices[name]} if name in choices else {})
            if name in taught:
                needs["encoders"] = f"{at}encoders"
            if text:
                if text not in tokens:
                    part = hashlib.sha256(text.encode()).hexdigest()[:8]  # may contain what no file name can
                    tokens[text] = f"{at}tokens/{part}"
                    yield self.model_job(
                        tokens[text], adaptation.learn_token, adaptation.TokenLearning(learning, s.token, text), images,
                        {"token": f"{places.parts}tokens/{part}", "about": f"{places.parts}tokens/{part}.json"},
                    )  # fmt: skip
                needs["token"] = tokens[text]
            job, made = f"{at}adapters/{name}", {"adapter": f"{places.adapters}adapters/{name}"}
            if isinstance(trained, Unet):
                whole = adaptation.UnetLearning(learning, trained)
                yield self.model_job(job, adaptation.learn_unet, whole, needs, made)
            else:
                yield self.model_job(job, adaptation.learn, adaptation.AdapterLearning(learning, trained), needs, made)

    def _ladder(self, name: str) -> dict[int, Lora]:
        """The LoRA of an adapter for each number of steps after which it is probed."""
        lora = self.settings.lora_of(name)
        assert lora is not None
        return {steps: lora.model_copy(update={"steps": steps}) for steps in probing.steps_of(lora)}

    def _guidances(self, adapter: str) -> tuple[float, ...]:
        """What the probes of an adapter are sampled at: if nothing is to be chosen, that of its images from noise."""
        s = self.settings
        made = {name: declared for name, declared in s.declared_sets.items() if declared.adapter == adapter}
        every = [s.synthesis_of(name) for name in made] or [s.synthesis]
        if any(synthesis.guidance == AUTO for synthesis in every):
            return probing.GUIDANCES
        from_noise = [s.synthesis_of(name) for name, declared in made.items() if declared.start == NOISE]
        return tuple(sorted({synthesis.scale for synthesis in from_noise or every}))


@dataclass(frozen=True)
class _Places:
    """Where adapters are learned: the job of the split, and the prefixes of the jobs' names, of the files that are kept
    for later jobs, and of the adapters' folders.
    """

    split: str
    jobs: str
    parts: str
    adapters: str


def choice(repeat: Repeat, adapter: str) -> str:
    """The job that chooses the steps and the guidance of an adapter in all repeats with the same split."""
    return f"{repeat.first}probing/choices/{adapter}"
