"""The jobs by which a study's adapters are learned and, with `adapt.stop: probe`, their steps and guidance chosen."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from sonosynth import seeding
from sonosynth.adapters import encoders
from sonosynth.adapters import jobs as adaptation
from sonosynth.adapters.learning import with_token
from sonosynth.adapters.settings import Adapter, Lora, Unet
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

    prompts: each label's, without a token. model_job: makes a job that runs the diffusion model. cohort, latents,
    masks: jobs. described: of each measure that probes use, the job that describes the cohort. parts: the folder for
    what is kept for later jobs.
    """

    settings: Settings
    machine: Machine
    prompts: dict[str, str]
    model_job: Callable[..., Job]
    cohort: str
    latents: str
    masks: str
    described: Mapping[str, Measuring]
    parts: str

    def of_repeat(self, repeat: Repeat) -> Iterator[Job]:
        """Tokens, LoRAs, U-Nets; before them, in the first repeat with a split, probes that choose steps of LoRAs."""
        s, at = self.settings, repeat.place
        if s.probed_adapters and repeat.number == repeat.block:
            yield from self._probes(repeat)
        wanted = {name: (adapter, s.lora_of(name) or s.unet_of(name)) for name, adapter in s.declared_adapters.items()}
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
        # What a control adds has no part in the choice.
        probed = {n: s.declared_adapters[n].model_copy(update={"control": None}) for n in s.probed_adapters}
        ladders = {name: self._ladder(name) for name in probed}
        trials = {f"{name}/{n}": (probed[name], lora) for name, ladder in ladders.items() for n, lora in ladder.items()}
        yield from self._learned(repeat, trials, _Places(split, at, parts, parts), {})
        for name, ladder in ladders.items():
            for number in ladder:
                trial = probing.Probing(
                    name=name, steps=number, guidances=self._guidances(name), synthesis=s.synthesis,
                    prompts={x: with_token(prompt, probed[name].token_of(x)) for x, prompt in self.prompts.items()},
                    tokens={x: probed[name].token_of(x) for x in self.prompts},
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
        self, repeat: Repeat, wanted: Mapping[str, tuple[Adapter, Lora | Unet | None]], places: "_Places",
        choices: Mapping[str, str],
    ) -> Iterator[Job]:  # fmt: skip
        """Adapters by name: each as it is declared and its LoRA or U-Net, and the jobs that choose their steps."""
        s, m, at = self.settings, self.machine, places.jobs
        learning = adaptation.Learning(m.base, m.precision, self.prompts, repeat.seed, s.adapt)
        images = {"cohort": self.cohort, "split": places.split, "latents": self.latents}
        taught = [name for name, (_, trained) in wanted.items() if isinstance(trained, Lora) and trained.diagnostic]
        if taught:
            yield self.model_job(
                f"{at}encoders", encoders.learn,
                encoders.EncoderLearning(repeat.seed, s.adapt.on == "all", s.adapt.mirror), images,
                {"encoders": f"{places.parts}encoders.safetensors", "about": f"{places.parts}encoders.json"},
            )  # fmt: skip
        tokens: dict[tuple[str, str | None], str] = {}  # by text and class: one for all adapters with the same
        for name, (adapter, trained) in wanted.items():
            needs: dict[str, str | tuple[str, ...]] = {**images}
            needs |= {"choice": choices[name]} if name in choices else {}
            if name in taught:
                needs["encoders"] = f"{at}encoders"
            own = self._tokens(adapter)
            for text, label in own:
                if (text, label) not in tokens:
                    part = hashlib.sha256(" ".join(filter(None, (text, label))).encode()).hexdigest()[:8]
                    tokens[text, label] = f"{at}tokens/{part}"  # the text may contain what no file name can
                    of_class = learning if label is None else replace(learning, prompts={label: self.prompts[label]})
                    yield self.model_job(
                        tokens[text, label], adaptation.learn_token,
                        adaptation.TokenLearning(of_class, s.token, text), images,
                        {"token": f"{places.parts}tokens/{part}", "about": f"{places.parts}tokens/{part}.json"},
                    )  # fmt: skip
            if own:
                of_classes = tuple(tokens[one] for one in own)
                needs["token"] = of_classes if isinstance(adapter.token, dict) else of_classes[0]
            job, made = f"{at}adapters/{name}", {"adapter": f"{places.adapters}adapters/{name}"}
            if control := s.control_of(name) if adapter.control else None:
                tokens_of = {label: adapter.token_of(label) for label in self.prompts}
                steering = adaptation.ControlLearning(learning, control, tokens_of, m.controls.get(name))
                plain = f"{at}uncontrolled/{name}"
                needed = {**images, "masks": self.masks, "adapter": plain}
                yield self.model_job(job, adaptation.learn_control, steering, needed, made)
                job, made = plain, {"adapter": f"{places.parts}uncontrolled/{name}"}
            if isinstance(trained, Unet):
                whole = adaptation.UnetLearning(learning, trained)
                yield self.model_job(job, adaptation.learn_unet, whole, needs, made)
            else:
                yield self.model_job(job, adaptation.learn, adaptation.AdapterLearning(learning, trained), needs, made)

    def _tokens(self, adapter: Adapter) -> list[tuple[str, str | None]]:
        """The text of each of an adapter's tokens, and the class that it is of, None if it is of all."""
        if isinstance(adapter.token, dict):
            return [(adapter.token[label], label) for label in self.prompts]
        return [(adapter.token, None)] if adapter.token else []

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
