"""A study: the stages in order, what each depends on, and the arms of the ablation.

The rooms (cohort, diffusion, synthesis, evaluation, report) don't know of each other; what one needs of
another is handed over here. Here, too, stands the firewall: what a validation image has reached is refused.
"""

import math
from collections.abc import Collection, Sequence
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors.torch import load_file, save_file

from sonosynth import cohort, progress, report, seeding, store, synthesis
from sonosynth.cohort.splitting import TRAIN, VALIDATION
from sonosynth.config import Settings, read_yaml, validated
from sonosynth.errors import UserError

MODELS = ("sd", "sd+ti")
SETS = ("sd", "sd+img2img", "sd+ti", "sd+ti+img2img")
SETS_FOLDER = "synthetic"
SAMPLES = ".parts/samples"  # images of classes that need none for balance: to look at, never to train on
LATENTS = ".parts/latents/training.safetensors"
ARMS = ("real", *(f"real+{name}" for name in SETS))
PACKAGES = ("sonosynth", "torch", "diffusers", "transformers", "peft", "accelerate", "numpy", "scikit-learn", "pillow")


def _places(needed: dict[str, int]) -> dict[str, dict[str, int]]:
    """The folder of the run to the count of images of each class that are made for it."""
    return {SETS_FOLDER: needed, SAMPLES: {label: 4 for label, count in needed.items() if count == 0}}


class Study:
    """One study in its run folder. The methods are the stages; each keeps what is finished.

    Args:
        path: the cohort. root: the run folder. settings: of the study.

    Raises:
        UserError: if the run folder holds something else.
    """

    def __init__(self, path: Path, root: Path, settings: Settings) -> None:
        if root.exists() and (not root.is_dir() or (any(root.iterdir()) and not (root / "study.yaml").exists())):
            raise UserError(f"--out {root}: exists and is no run", "a new or empty folder, or the folder of a run")
        self.path, self.run, self.settings = path.resolve(), store.Run(root), settings

    @classmethod
    def reopen(cls, root: Path) -> "Study":
        """The study of an existing run folder."""
        file = root / "study.yaml"
        if not file.is_file():
            raise UserError(
                f"{root}: is no run (it has no study.yaml)", fix="start one: sonosynth run COHORT --out RUN"
            )
        values = read_yaml(file)
        path = Path(values.pop("cohort"))
        values.pop("resolved")
        return cls(path, root, validated(values, str(file)))

    # The stages

    def everything(self) -> None:
        """The whole study."""
        stages = (
            (self.prepare, "reading the cohort, and splitting it into training and validation images"),
            (self.adapt, "adapting the base to the training images: a learned token, and a LoRA with and without it"),
            (self.synthesize, "making synthetic images that balance the classes: from text, then refined"),
            (self.evaluate, "training classifiers with and without them, and measuring how real they look"),
            (self.report, "drawing the report"),
        )
        for number, (stage, what) in enumerate(stages, 1):
            progress.say(f"[{number}/{len(stages)}] {what}")
            stage()

    def prepare(self) -> None:
        """Check what can be checked before hours of work; read and split the cohort: cohort.csv."""
        from sonosynth.diffusion import base
        from sonosynth.evaluation import classifier

        s = self.settings
        found = cohort.read(self.path)
        base.check_resolution(self.base_folder, s.resolution)
        classifier.check_model(s.classifier.model)
        contents = zip((x.id for x in found.sources), found.labels, found.sha256, strict=True)
        masks = [[(m.name, store.sha256(m)) for m in x.masks] for x in found.sources]
        inputs = {
            "images": [list(row) for row in contents],
            "groups": [x.group for x in found.sources],
            "masks": masks,
            "split": s.split.model_dump(),
            "seed": s.seed,
        }
        table = cohort.to_table(
            found, seeding.numpy_generator(s.seed, "split"), holdout=s.split.holdout,
            with_twins=s.split.groups == "twins", with_conflicts=s.split.conflicts == "keep",
        )  # fmt: skip
        twins = cohort.twins_table(found)
        unknown = set(s.prompts.model_extra or {}) - set(found.labels) - {"normal", "benign", "malignant"}
        if unknown:
            raise UserError(
                f"prompts: {', '.join(sorted(unknown))} is no label of the cohort",
                f"prompts for {', '.join(sorted(set(found.labels)))}",
            )
        self.run.root.mkdir(parents=True, exist_ok=True)
        self._write_settings()

        def write(work: Path) -> None:
            store.write_text(work / "cohort.csv", table.to_csv(index=False))
            store.write_text(work / "twins.csv", twins.to_csv(index=False))

        self.run.stage("cohort", inputs, ["cohort.csv", "twins.csv"], write)
        self.__dict__.pop("table", None)
        if found.ignored:
            progress.say(
                f"ignored: {len(found.ignored)} file(s) or folder(s); `sonosynth inspect {self.path}` lists them"
            )
        left_out, crossing = int((table["excluded"] != "").sum()), cohort.crossing(table, twins)
        if len(twins):
            progress.say(
                f"near-duplicates: {len(twins)} pairs, {crossing} of them across the split; {left_out} images left out"
                " because their twins have another label"
            )
        train, validation = self._rows(TRAIN), self._rows(VALIDATION)
        for name, rows in (("training", train), ("validation", validation)):
            counts = ", ".join(f"{n} {label}" for label, n in sorted(rows["label"].value_counts().items()))
            progress.say(f"{name}: {len(rows)} images ({counts})")

    def adapt(self) -> None:
        """Token and LoRA: adapters/<model>/."""
        self._encode()
        for model in MODELS:
            self._adapt(model)

    def synthesize(self) -> None:
        """The balance plan and the synthetic sets: synthetic/<set>/."""
        train = self._rows(TRAIN)
        needed = synthesis.plan(list(train["label"]), self.settings.balance.target)
        progress.say("synthetic images per set: " + ", ".join(f"{n} {label}" for label, n in needed.items()))
        for model in MODELS:
            self._text_to_image(model, needed)
            self._image_to_image(model, needed)

    def evaluate(self) -> None:
        """Predictions of every arm and seed, their scores, and the fidelity of the sets: evaluation/."""
        self._predictions()
        self._fidelity()
        self._table()

    def report(self) -> None:
        """The grid, the page, and the table in the terminal; the table is rebuilt from the predictions."""
        self._table()
        table, fidelity = (self.run.root / "evaluation" / name for name in ("table.csv", "fidelity.csv"))
        for file in (table, fidelity):
            self._needs(file, "evaluate")
        sets = {name: [self.run.root / place / name for place in (SETS_FOLDER, SAMPLES)] for name in SETS}

        def make(work: Path) -> None:
            train = self._rows(TRAIN)
            pictures = {"real": (list(train["label"]), self._images(TRAIN, self.settings.resolution))}
            samples: set[str] = set()
            for name, folders in sets.items():
                (rows, images), (more_rows, more) = (synthesis.load_set(folder) for folder in folders)
                samples |= set(more_rows["label"])
                images = np.concatenate([part for part in (images, more) if len(part)])
                pictures[name] = ([*rows["label"], *more_rows["label"]], images)
            report.grid(pictures, sorted(set(train["label"])), samples, work / "figures" / "grid.png")
            page = report.page(
                table=pd.read_csv(table),
                fidelity=pd.read_csv(fidelity),
                settings=(self.run.root / "study.yaml").read_text(encoding="utf-8"),
                grid=work / "figures" / "grid.png",
                facts=self._facts(),
            )
            store.write_text(work / "report.html", page)

        inputs = {
            "tables": [store.digest(table), store.digest(fidelity)],
            "sets": [store.digest(*folders) for folders in sets.values()],
            "settings": store.digest(self.run.root / "study.yaml"),
        }
        self.run.stage("report", inputs, ["figures/grid.png", "report.html"], make)
        report.show(pd.read_csv(table), pd.read_csv(fidelity), self._facts())
        progress.say(f"report: {self.run.root / 'report.html'}")

    # What they share

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

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of cohort.csv that are not excluded."""
        file = self.run.root / "cohort.csv"
        self._needs(file, "run")
        table = cohort.load_table(file)
        return table[table["excluded"] == ""].reset_index(drop=True)

    def _rows(self, side: str) -> pd.DataFrame:
        return self.table[self.table["split"] == side]

    def _images(self, side: str, resolution: int) -> np.ndarray:
        """Real images of a side. They take the same way as synthetic ones: to the study's resolution first."""
        images = self._decoded.get(side)
        if images is None:
            images = cohort.read_images(self.path, self._rows(side), self.settings.resolution)
            self._decoded[side] = images
        return cohort.resize(images, resolution)

    @cached_property
    def _decoded(self) -> dict[str, np.ndarray]:
        return {}

    def _prompts(self, model: str) -> dict[str, str]:
        """Prompt of every label, with the token for +ti models."""
        from sonosynth.diffusion.adapt import with_token

        prompts = {label: self.settings.prompts.of(label) for label in sorted(set(self.table["label"]))}
        if model.endswith("+ti"):
            prompts = {label: with_token(prompt, self.settings.prompts.token) for label, prompt in prompts.items()}
        return prompts

    def _needs(self, path: Path, command: str) -> None:
        if not path.exists():
            place = "COHORT --out RUN" if command == "run" else str(self.run.root)
            raise UserError(f"{path}: is not there yet", fix=f"run `sonosynth {command} {place}` first")

    def _write_settings(self) -> None:
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

    def _firewall(self, hashes: Collection[str], what: str) -> None:
        """Refuse `what` if a validation image is among the images (by SHA-256) that it came from."""
        leaked = self._rows(VALIDATION)
        leaked = leaked[leaked["sha256"].isin(set(hashes))]
        if len(leaked):
            raise UserError(
                f"{what}: was made from {len(leaked)} validation image(s), the first {leaked['file'].iloc[0]}",
                "training images only; scores on these images would mean nothing",
                f"remove {self.run.root / 'adapters'} and run the study again",
            )

    def _check_adapter(self, model: str) -> None:
        """Refuse a model that a validation image has reached, by its adapter.json."""
        folder = self.run.root / "adapters" / model
        self._needs(folder / "adapter.json", "adapt")
        self._firewall(read_yaml(folder / "adapter.json")["images"], str(folder))

    def _encode(self) -> None:
        from sonosynth.diffusion import adapt

        hashes = list(self._rows(TRAIN)["sha256"])
        self._firewall(hashes, "cohort.csv")
        inputs = {
            "base": self.base_digest,
            "precision": self.precision,
            "resolution": self.settings.resolution,
            "images": hashes,
        }

        def make(work: Path) -> None:
            (work / LATENTS).parent.mkdir(parents=True, exist_ok=True)
            adapt.encode(
                self.base_folder, self._images(TRAIN, self.settings.resolution), self.precision, work / LATENTS
            )

        self.run.stage("latents", inputs, [LATENTS], make)

    def _adapt(self, model: str) -> None:
        from sonosynth.diffusion import adapt
        from sonosynth.diffusion.latents import Latents
        from sonosynth.diffusion.training import Schedule

        s, train = self.settings, self._rows(TRAIN)
        prompts = [s.prompts.of(label) for label in train["label"]]
        hashes = list(train["sha256"])
        has_token = model.endswith("+ti")
        common = {
            "base": self.base_digest,
            "precision": self.precision,
            "latents": store.digest(self.run.root / LATENTS),
            "seed": s.seed,
            "images": list(zip(hashes, prompts, strict=True)),
        }
        folder = f"adapters/{model}"
        token_inputs = {**common, "token": s.token.model_dump(), "text": s.prompts.token}
        lora_inputs = {**common, "lora": s.lora.model_dump(), "token": token_inputs if has_token else None}

        def examples() -> adapt.Examples:
            return adapt.Examples(Latents.load(self.run.root / LATENTS), prompts)

        def learn(work: Path) -> None:
            out = work / folder
            out.mkdir(parents=True, exist_ok=True)
            about: dict[str, Any] = {"model": model, "base": s.base, "base_digest": self.base_digest}
            losses: list[tuple[str, int, float]] = []
            token_file = None
            if has_token:
                token_file = out / "learned_embeds.safetensors"
                cached = self.run.root / ".parts" / "token"
                losses += [("token", i, x) for i, x in enumerate(np.load(cached / "losses.npy").tolist(), 1)]
                token_file.write_bytes((cached / token_file.name).read_bytes())
                about["token"] = {"text": s.prompts.token, **read_yaml(cached / "movement.json")}
            schedule = Schedule(s.lora.steps, s.lora.batch, s.lora.learning_rate, s.lora.accumulation)
            values = adapt.learn_lora(
                self.base_folder, examples(), token_file, s.prompts.token, s.lora.rank, s.lora.layers, schedule,
                self.precision, seeding.derive(s.seed, "lora"), work, out,
            )  # fmt: skip
            losses += [("lora", i, x) for i, x in enumerate(values, 1)]
            store.write_text(
                out / "losses.csv", pd.DataFrame(losses, columns=["part", "step", "loss"]).to_csv(index=False)
            )
            about["images"] = sorted(hashes)
            store.write_json(out / "adapter.json", about)

        def learn_token(work: Path) -> None:
            out = work / ".parts" / "token"
            out.mkdir(parents=True, exist_ok=True)
            schedule = Schedule(
                s.token.steps, s.token.batch, s.token.learning_rate, s.token.accumulation, weight_decay=0
            )
            losses, movement = adapt.learn_token(
                self.base_folder, examples(), s.prompts.token, s.token.init, schedule, self.precision,
                seeding.derive(s.seed, "token"), work, out / "learned_embeds.safetensors",
            )  # fmt: skip
            np.save(out / "losses.npy", np.array(losses))
            store.write_json(out / "movement.json", movement)
            progress.say(
                f"token {s.prompts.token}: moved {movement['moved']:.3f} from a norm of {movement['norm_before']:.3f}"
                f" (cosine {movement['cosine']:.3f})"
            )

        if has_token:
            self.run.stage("token", token_inputs, [".parts/token"], learn_token)
        self.run.stage(f"adapt-{model}", lora_inputs, [folder], learn)

    def _sampler(self, model: str) -> Any:
        from sonosynth.diffusion.sampling import Sampler

        s = self.settings
        token = s.prompts.token if model.endswith("+ti") else ""
        return Sampler(self.base_folder, self.run.root / "adapters" / model, token, self.precision, s.resolution)

    def _set_inputs(self, model: str, needed: dict[str, int]) -> dict[str, Any]:
        return {
            "adapter": store.digest(self.run.root / "adapters" / model),
            "base": self.base_digest,
            "precision": self.precision,
            "resolution": self.settings.resolution,
            "prompts": self._prompts(model),
            "needed": needed,
            "seed": self.settings.seed,
            "steps": self.settings.synthesis.steps,
            "guidance": self.settings.synthesis.guidance,
        }

    def _columns(self, inputs: dict[str, Any], strength: float | str, source: str) -> dict[str, Any]:
        return {
            "steps": inputs["steps"],
            "guidance": inputs["guidance"],
            "strength": strength,
            "refined_from": source,
            "resolution": inputs["resolution"],
            "precision": inputs["precision"],
            "base": self.settings.base,
            "adapter": inputs["adapter"],
        }

    def _text_to_image(self, model: str, needed: dict[str, int]) -> None:
        self._check_adapter(model)
        s, inputs = self.settings, self._set_inputs(model, needed)
        latents_folder = f".parts/latents/{model}"

        def make(work: Path) -> None:
            sampler = self._sampler(model)

            def generate(chosen: Sequence[synthesis.Request]) -> np.ndarray:
                images, latents = sampler.generate(
                    [r.prompt for r in chosen], [r.seed for r in chosen], s.synthesis.steps, s.synthesis.guidance
                )
                for request, latent in zip(chosen, latents, strict=True):
                    file = (work / latents_folder / request.file_name).with_suffix(".safetensors")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    save_file({"latent": latent.cpu().contiguous()}, file)
                return images

            (work / latents_folder).mkdir(parents=True, exist_ok=True)
            for place, counts in _places(needed).items():
                synthesis.make_set(
                    synthesis.requests(counts, inputs["prompts"], s.seed), generate, work / place / model,
                    batch=s.synthesis.batch, columns=self._columns(inputs, "", ""),
                )  # fmt: skip

        outputs = [*(f"{place}/{model}" for place in _places(needed)), latents_folder]
        self.run.stage(f"synthesize-{model}", inputs, outputs, make)

    def _image_to_image(self, model: str, needed: dict[str, int]) -> None:
        s, name = self.settings, f"{model}+img2img"
        inputs = {
            **self._set_inputs(model, needed),
            # At least one step has to fall into the last `strength` share of them.
            "steps": max(s.synthesis.steps, math.ceil(1 / s.refine.strength)),
            "source": store.digest(self.run.root / SETS_FOLDER / model),
            "refine": s.refine.model_dump(),
        }

        def make(work: Path) -> None:
            sampler = self._sampler(model)

            def start(place: str, chosen: Sequence[synthesis.Request]) -> Any:
                if s.refine.source == "pixels":
                    return synthesis.load_images(self.run.root / place, [r.source for r in chosen])
                files = [self.run.root / ".parts/latents" / r.source for r in chosen]
                return sampler.stack([load_file(file.with_suffix(".safetensors"))["latent"] for file in files])

            def refine(place: str, chosen: Sequence[synthesis.Request]) -> np.ndarray:
                return sampler.refine(
                    start(place, chosen), [r.prompt for r in chosen], [r.seed for r in chosen], inputs["steps"],
                    s.synthesis.guidance, s.refine.strength,
                )  # fmt: skip

            for place, counts in _places(needed).items():
                wanted = synthesis.requests(counts, inputs["prompts"], s.seed)
                synthesis.make_set(
                    synthesis.refinements(wanted, model, s.seed), partial(refine, place), work / place / name,
                    batch=s.synthesis.batch, columns=self._columns(inputs, s.refine.strength, s.refine.source),
                )  # fmt: skip

        self.run.stage(f"synthesize-{name}", inputs, [f"{place}/{name}" for place in _places(needed)], make)

    def _set(self, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        """A synthetic set, after the firewall: it must come from the adapter that is there."""
        self._needs(self.run.root / SETS_FOLDER / name / "metadata.csv", "synthesize")
        model = name.removesuffix("+img2img")
        self._check_adapter(model)
        folder = self.run.root / SETS_FOLDER / name
        self._firewall([store.sha256(file) for file in folder.rglob("*.png")], f"synthetic/{name}")
        rows, images = synthesis.load_set(folder)
        adapter = store.digest(self.run.root / "adapters" / model)
        if len(rows) and set(rows["adapter"]) != {adapter}:
            raise UserError(
                f"synthetic/{name}: was not made with adapters/{model} as it is now",
                fix=f"run `sonosynth synthesize {self.run.root}`",
            )
        return rows, images

    def _predictions(self) -> None:
        from sonosynth.evaluation import classifier

        s = self.settings.classifier
        train, validation = self._rows(TRAIN), self._rows(VALIDATION)
        classes = sorted(set(self.table["label"]))
        sets = {name: self._set(name) for name in SETS}
        largest = max(len(train) + len(rows) for rows, _ in sets.values())
        # fp16 has no range for plain training; bf16 has
        precision = "bf16" if self.precision == "bf16" else "fp32"
        steps = s.epochs * math.ceil(largest / s.batch)
        parts: list[str] = []
        common = {
            "train": sorted(zip(train["sha256"], train["label"], strict=True)),
            "validation": sorted(zip(validation["sha256"], validation["label"], strict=True)),
            "classifier": s.model_dump(exclude={"seeds"}),
            "model": classifier.identity(s.model),
            "resolution": self.settings.resolution,
            "precision": precision,
            "steps": steps,
        }
        digests = {name: store.digest(self.run.root / SETS_FOLDER / name) for name in SETS} | {"": ""}
        jobs = [(arm, seed) for arm in ARMS for seed in s.seeds]
        with progress.task(f"classifier, {len(jobs)} trainings", len(jobs) * steps) as bar:
            for arm, seed in jobs:
                part = f".parts/predictions/{arm}/{seed}.csv"
                name = arm.removeprefix("real").removeprefix("+")
                inputs = {**common, "set": digests[name], "seed": [self.settings.seed, seed]}

                def make(work: Path, arm: str = arm, seed: int = seed, name: str = name, part: str = part) -> None:
                    images, labels = self._images(TRAIN, s.resolution), list(train["label"])
                    if name:
                        rows, made = sets[name]
                        images = np.concatenate([images, cohort.resize(made, s.resolution)])
                        labels += list(rows["label"])
                    chances = classifier.predict(
                        images, np.array([classes.index(label) for label in labels]),
                        self._images(VALIDATION, s.resolution), model=s.model, classes=len(classes), steps=steps,
                        batch=s.batch, learning_rate=s.learning_rate,
                        seed=seeding.derive(self.settings.seed, "classifier", seed), precision=precision,
                        advance=bar.advance,
                    )  # fmt: skip
                    rows = pd.DataFrame(
                        {"arm": arm, "seed": seed, "id": validation["id"], "label": validation["label"]}
                    )
                    for k, label in enumerate(classes):
                        rows[f"p_{label}"] = chances[:, k]
                    store.write_text(work / part, rows.to_csv(index=False))

                if not self.run.stage(f"classify-{arm}-{seed}", inputs, [part], make, quiet=True):
                    bar.advance(steps)
                parts.append(part)
        files = [self.run.root / part for part in parts]

        def gather(work: Path) -> None:
            # As text, so that no digit of a probability changes on the way.
            tables = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
            store.write_text(work / "evaluation" / "predictions.csv", pd.concat(tables).to_csv(index=False))

        inputs = {"parts": [store.digest(file) for file in files], "order": parts}
        self.run.stage("predictions", inputs, ["evaluation/predictions.csv"], gather)

    def _table(self) -> None:
        from sonosynth.evaluation import scores

        file = self.run.root / "evaluation" / "predictions.csv"
        self._needs(file, "evaluate")
        n_real = len(self._rows(TRAIN))
        n_train = {"real": n_real} | {f"real+{name}": n_real + len(self._set(name)[0]) for name in SETS}

        def make(work: Path) -> None:
            table = scores.table(pd.read_csv(file, dtype={"id": str, "label": str}, keep_default_na=False), n_train)
            store.write_text(work / "evaluation" / "table.csv", table.to_csv(index=False))

        inputs = {"predictions": store.digest(file), "n_train": n_train}
        self.run.stage("table", inputs, ["evaluation/table.csv"], make, quiet=True)

    def _fidelity(self) -> None:
        from sonosynth.evaluation import features, frechet_distance

        train, sets = self._rows(TRAIN), {name: self._set(name)[1] for name in SETS}

        def make(work: Path) -> None:
            extract = features.extractor(self.features)
            real = extract(self._images(TRAIN, self.settings.resolution))
            # The floor: how far real validation images are from real training images.
            compared = {"real validation": self._images(VALIDATION, self.settings.resolution)} | sets
            rows = []
            for name, images in compared.items():
                enough = len(images) >= 2
                rows.append(
                    {
                        "set": name,
                        "features": self.features,
                        "metric": "frechet",
                        "value": frechet_distance(real, extract(images)) if enough else np.nan,
                        "low": np.nan,
                        "high": np.nan,
                        "n_real": len(real),
                        "n_synthetic": len(images),
                    }
                )
            store.write_text(work / "evaluation" / "fidelity.csv", pd.DataFrame(rows).to_csv(index=False))

        inputs = {
            "train": sorted(train["sha256"]),
            "validation": sorted(self._rows(VALIDATION)["sha256"]),
            "sets": [store.digest(self.run.root / SETS_FOLDER / name) for name in SETS],
            "resolution": self.settings.resolution,
            "features": features.identity(self.features),
        }
        self.run.stage("fidelity", inputs, ["evaluation/fidelity.csv"], make)

    def _facts(self) -> dict[str, str]:
        """What the scores were measured on, in words; printed beside them everywhere."""
        s, train, validation = self.settings, self._rows(TRAIN), self._rows(VALIDATION)
        simulated = (self.path / "SIMULATED.txt").exists()
        base = "the embedded small model, pretrained on simulated images" if s.base == "embedded" else s.base
        return {
            "cohort": f"{self.path.name}: {'simulated' if simulated else 'as given'},"
            f" {len(train)} training and {len(validation)} validation images",
            "base": f"{base}, {s.resolution} x {s.resolution} pixels, {self.precision}",
            "classifier": f"{s.classifier.model}, {s.classifier.resolution} x {s.classifier.resolution} pixels,"
            f" {len(s.classifier.seeds)} seed(s), last step scored",
            "fidelity": "Fréchet distance on Inception features (FID)"
            if self.features == "inception"
            else "Fréchet distance on the embedded network's features; not an FID, not comparable with published ones",
        }
