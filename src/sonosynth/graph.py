"""The jobs of a study up to its predictions and distances, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product

from sonosynth import adapting, extensions, seeding
from sonosynth.adapters import jobs as adaptation
from sonosynth.adapters.learning import with_token
from sonosynth.bases import sd1
from sonosynth.classifying import TRAINED_CRITICS, Classifying
from sonosynth.cohort import jobs as reading
from sonosynth.cohort import mask_jobs
from sonosynth.cohort.reading import Files
from sonosynth.comparisons import candidates, comparisons
from sonosynth.fidelity import jobs as fidelity
from sonosynth.fidelity import memorisation
from sonosynth.fidelity.jobs import FEATURES
from sonosynth.jobs import Job
from sonosynth.machine import Machine
from sonosynth.obeying import CHOOSERS, Obeying
from sonosynth.repeats import Repeat
from sonosynth.section import AUTO
from sonosynth.segmenting import Segmenting
from sonosynth.settings import SEGMENTATION, Settings
from sonosynth.synthesis import jobs as synthesis
from sonosynth.synthesis import shards, ways
from sonosynth.synthesis.conditioning import GIVEN, Condition
from sonosynth.synthesis.given import Given
from sonosynth.synthesis.given_masks import GivenMasks
from sonosynth.synthesis.resolved import Making
from sonosynth.synthesis.settings import NOISE, REAL
from sonosynth.tasks import selecting

COHORT, MASKS, LATENTS, SEALED = "cohort", "masks", "latents", "sealed"  # jobs
PARTS = ".parts"  # of the run: what is kept for later jobs, not for people
PROBED = (FEATURES, "ultrasound", "texture")  # the measures of probes
AT_ONCE = 4  # classifiers that are trained at the same time, at most


class Graph:
    """The jobs of one study, part by part.

    Args:
        given: the images of another generator, by set and repeat: see `folders.find`. masks: those that somebody drew,
            by set: see `folders.find_masks`.
    """

    def __init__(
        self, settings: Settings, files: Files, machine: Machine, given: Mapping[str, Sequence[Given]],
        masks: Mapping[str, GivenMasks],
    ) -> None:  # fmt: skip
        self.settings, self.files, self.machine, self.given, self.masks = settings, files, machine, given, masks
        self.leaks, self.arms = settings.adapt.on == "all", comparisons(settings)
        # A job that runs a diffusion model has all cores, or the GPU, to itself; but of the small one, two beside each
        # other do 1.2 to 1.7 times as much with half the cores each, and one alone loses little.
        paired = settings.base == sd1.EMBEDDED
        self.model_job = partial(
            Job, threads=max(1, machine.cores // 2) if paired else machine.cores, device=machine.device
        )
        # Two single-threaded processes train small networks 1.5 times as fast as one with two threads.
        self.small_job = partial(Job, threads=max(1, machine.cores // AT_ONCE), device=machine.device)
        self.segmenting = Segmenting(settings, machine, self.arms, self.small_job, COHORT, MASKS, PARTS)
        self.obeying = Obeying(settings, machine, self.small_job, COHORT, MASKS, PARTS)
        self.measuring = fidelity.measuring(settings.fidelity.measures, machine.networks)

    def describe(self, name: str, place: str, images: str, needs: dict[str, str]) -> Job:
        """The values of a measure for some images."""
        return self.model_job(
            f"{place}measures/{name}/{images}", fidelity.describe, self.measuring[name], needs,
            {"values": f"{place}{PARTS}/measures/{name}/{images}.safetensors"},
        )  # fmt: skip

    def of_the_cohort(self) -> Iterator[Job]:
        """Its images, decoded, encoded and described: once for all splits and generators."""
        s, m = self.settings, self.machine
        places = {"pixels": f"{PARTS}/pixels/real.npy", "images": f"{PARTS}/images.csv", "about": f"{PARTS}/about.json"}
        settings = reading.Reading(self.files, s.resolution, s.skip_bad, s.marks.remove == "all", s.reading)
        places |= {"twins": "twins.csv", "own": f"{PARTS}/columns.csv"}
        yield Job(COHORT, reading.decode, settings, {}, places, threads=m.cores)
        if SEGMENTATION in s.tasks or s.controlled:
            lesions = mask_jobs.ReadingMasks(self.files, s.resolution, s.masks.empty, s.reading)
            made = {"masks": f"{PARTS}/masks.npy", "table": f"{PARTS}/masks.csv"}
            yield Job(MASKS, mask_jobs.decode, lesions, {"cohort": COHORT}, made, threads=m.cores)
        if s.split.sealed:
            sealing = reading.Sealing(s.split.sealed, s.split, seeding.derive(s.seed, "sealed"))
            yield Job(SEALED, reading.seal, sealing, {"cohort": COHORT}, {"table": f"{PARTS}/sealed.csv"})
        if s.declared_adapters:
            encoding, latents = adaptation.Encoding(m.base, m.precision), {"latents": f"{PARTS}/latents.safetensors"}
            yield self.model_job(LATENTS, adaptation.encode, encoding, {"cohort": COHORT}, latents)
        for name in self.measuring:
            yield self.describe(name, "", REAL, {"cohort": COHORT})

    def of_repeat(self, repeat: Repeat) -> Iterator[Job]:
        """The split, the adapters, the sets, the search for copies, and the classifiers."""
        at = repeat.place
        inner = self.settings.classifier.selection == "inner" or bool(candidates(self.settings))
        splitting = reading.Splitting(self.settings.split, repeat.split_seed, repeat.fold, inner)
        images = {"cohort": COHORT} | ({"sealed": SEALED} if self.settings.split.sealed else {})
        places = {"table": f"{at}cohort.csv", "excluded": f"{at}{PARTS}/excluded.csv"}
        yield Job(f"{at}split", reading.split, splitting, images, places)
        yield from self.adapters(repeat)
        yield from self.sets(repeat)
        yield from self.copies(repeat)
        yield from Classifying(self.settings, self.machine, self.arms, self.small_job, COHORT, PARTS).of_repeat(repeat)
        yield from self.obeying.of_repeat(repeat)
        if SEGMENTATION in self.settings.tasks:
            yield from self.segmenting.of_repeat(repeat)

    def adapters(self, repeat: Repeat) -> Iterator[Job]:
        """Tokens, LoRAs and U-Nets, and the probes that choose the steps of LoRAs."""
        described = {f"measures/{name}/{REAL}": self.measuring[name] for name in PROBED if name in self.measuring}
        prompts = {label: self.settings.prompts.of(label) for label in self.files.labels}
        yield from adapting.Adapting(
            self.settings, self.machine, prompts, self.model_job, COHORT, LATENTS, MASKS, described, PARTS
        ).of_repeat(repeat)

    def sets(self, repeat: Repeat) -> Iterator[Job]:
        """The synthetic images."""
        s, m, at = self.settings, self.machine, repeat.place
        depth = {NOISE: 0, REAL: 0}
        for name, declared in s.declared_sets.items():
            depth[name] = depth[declared.start] + (declared.start != NOISE)
            way = ways.find(declared.way)
            needs: dict[str, str | tuple[str, ...]] = {"split": f"{at}split"}
            adapter = s.declared_adapters[declared.adapter] if declared.adapter else None
            tokens = {x: adapter.token_of(x) if adapter else None for x in self.files.labels}
            prompts = {x: with_token(s.prompts.of(x), token) for x, token in tokens.items()}
            given = self.given[name][repeat.number] if name in self.given else None
            fills_up = declared.count is None and declared.start in (NOISE, REAL) and not given
            noised = way.model and declared.start != NOISE
            in_strata = declared.start in (NOISE, REAL) and not (given or declared.each or way.across)
            if declared.adapter:
                needs["adapter"] = f"{at}adapters/{declared.adapter}"
                if s.synthesis_of(name).guidance == AUTO:
                    needs["choice"] = adapting.choice(repeat, declared.adapter)
            if declared.condition:
                needs["masks"] = MASKS
            if declared.start == REAL:
                needs["cohort"] = COHORT
            elif declared.start != NOISE:
                needs["source"] = f"{at}synthetic/{declared.start}"
            making = Making(
                name=name, kind=declared.way, kind_version=way.version,
                depth=depth[name], count=s.balance if fills_up else declared.count, each=declared.each,
                synthesis=s.synthesis_of(name), mirror=declared.mirror,
                prompts=dict.fromkeys(prompts, "") if given else prompts,
                strength=s.strength_of(name) if noised else None,
                refine_steps=refine_steps(s, name), base=m.base if way.model else None,
                precision=m.precision, resolution=s.resolution, seed=repeat.seed, leaks=self.leaks,
                source=declared.start, negative_control=declared.control, given=given, tokens=tokens,
                by=s.balance.by if in_strata else (), condition=self._condition(name),
            )  # fmt: skip
            parts = f"{at}{PARTS}"
            places = {
                "images": f"{at}synthetic/{name}", "samples": f"{parts}/samples/{name}",
                "pixels": f"{parts}/pixels/{name}.npy", "origins": f"{parts}/origins/{name}.json",
            }  # fmt: skip
            if way.model and (count := making.synthesis.shards) > 1:
                drawn = tuple(f"{at}drawn/{name}/{n}" for n in range(count))
                for n, shard in enumerate(drawn):
                    drawing = shards.Shard(making, making.synthesis.batch, n, count)
                    yield self.model_job(shard, shards.draw, drawing, needs, {"batches": f"{parts}/drawn/{name}/{n}"})
                needs = {**needs, "drawn": drawn}
            if not declared.selected:
                yield self.model_job(f"{at}synthetic/{name}", synthesis.make, making, needs, places)
                continue
            needs["cohort"], judging = COHORT, None
            if declared.select:
                needs |= {"critics": f"{at}{TRAINED_CRITICS}", "features": f"measures/{FEATURES}/{REAL}"}
                network = self.measuring[FEATURES].network
                assert network is not None
                judging = selecting.Judging(network, m.classifier, s.classifier.resolution)
            if declared.obey is not None:
                needs["choosers"] = f"{at}{CHOOSERS}"
            selected = selecting.Selecting(
                making, making.synthesis.batch, repeat.draw, repeat.split, repeat.number, judging, declared.obey
            )
            yield self.model_job(
                f"{at}synthetic/{name}", selecting.make_selected, selected, needs,
                {**places, "table": f"{parts}/selection/{name}.csv"},
            )  # fmt: skip

    def _condition(self, name: str) -> Condition | None:
        """How the images of a set are conditioned on masks, if they are."""
        declared, given = self.settings.declared_sets[name], self.masks.get(name)
        if not declared.condition:
            return None
        source = GIVEN if given else declared.mask_source
        return Condition(source, declared.keep, given, self.settings.adapt.mirror)

    def copies(self, repeat: Repeat) -> Iterator[Job]:
        """The search for copies of training images in every set."""
        at, parts = repeat.place, f"{repeat.place}{PARTS}/copies"
        images = {"cohort": COHORT, "split": f"{at}split"}
        real = f"{at}copies/{REAL}"
        yield Job(
            real, memorisation.search_real, None,
            {**images, "features": f"measures/{FEATURES}/{REAL}"},
            {"table": f"{parts}/{REAL}.csv", "thresholds": f"{parts}/{REAL}.json"},
        )  # fmt: skip
        for name in self.settings.declared_sets:
            made = f"{at}synthetic/{name}"
            yield self.describe(FEATURES, at, name, {"images": made})
            needs = {"images": made, "real_features": f"measures/{FEATURES}/{REAL}", "real": real}
            yield Job(
                f"{at}copies/{name}", memorisation.search, memorisation.Foreign() if name in self.given else None,
                {**images, **needs, "features": f"{at}measures/{FEATURES}/{name}"}, {"table": f"{parts}/{name}.csv"},
            )  # fmt: skip
        tables_of = (real, *(f"{at}copies/{name}" for name in self.settings.declared_sets))
        yield self.join(f"{at}memorisation", tables_of, f"{at}evaluation/memorisation.csv")

    def join(self, name: str, parts: tuple[str, ...], place: str) -> Job:
        """One table of several."""
        return Job(name, fidelity.join, None, {"parts": parts}, {"table": place})

    def of_the_first(self) -> Iterator[Job]:
        """The fidelity of the sets, which is measured in the first repeat alone."""
        measures, sets = self.settings.fidelity.measures, tuple(self.settings.declared_sets)
        measuring = {name: one for name, one in self.measuring.items() if one.measure in measures}
        for name, made in product(measuring, sets):
            if name != FEATURES:  # described for the search for copies
                yield self.describe(name, "", made, {"images": f"synthetic/{made}"})
        for measure in measures:
            if single := extensions.find("measures", measure).SINGLE:
                yield Job(
                    f"images/{measure}", fidelity.single_images, single,
                    {"cohort": COHORT, "split": "split", "sets": tuple(f"synthetic/{name}" for name in sets),
                     "real": f"measures/{measure}/{REAL}",
                     "synthetic": tuple(f"measures/{measure}/{name}" for name in sets)},
                    {"table": f"evaluation/{measure}.csv"},
                )  # fmt: skip
        for name in sets:
            needs: dict[str, str | tuple[str, ...]] = {
                "cohort": COHORT, "split": "split", "images": f"synthetic/{name}",
                "real": tuple(f"measures/{one}/{REAL}" for one in measuring),
                "synthetic": tuple(f"measures/{one}/{name}" for one in measuring),
            }  # fmt: skip
            place = {"table": f"{PARTS}/fidelity/{name}.csv"}
            yield Job(f"fidelity/{name}", fidelity.compare, tuple(measuring.values()), needs, place)
        if sets:
            yield self.join("fidelity", tuple(f"fidelity/{name}" for name in sets), "evaluation/fidelity.csv")


def refine_steps(settings: Settings, name: str) -> int | None:
    """The steps of a set that a model makes from noised images; None if it isn't one, or goes by diffusers' rule."""
    made = settings.declared_sets[name]
    noised = made.start != NOISE and ways.find(made.way).model and settings.strength_of(name)
    return settings.refine_of(name).steps if noised else None
