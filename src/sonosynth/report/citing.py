"""Whom to cite: what a study used, and where that was published."""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from sonosynth.fidelity.networks import INCEPTION
from sonosynth.modality import ULTRASOUND
from sonosynth.report.declared import Declared
from sonosynth.report.facts import Facts


def cited(study: Mapping[str, Any], facts: Facts, declared: Declared) -> dict[str, str]:
    """The keys of what is to be cited, with what for.

    Args:
        study: the values of study.yaml.
    """
    made, arms, adapters = declared.sets.values(), declared.arms.values(), declared.adapters.values()
    sampled = [x for x in made if x.way not in ("copy", "folder")]
    solvers = {dict(study["synthesis"], **(x.synthesis or {}))["solver"] for x in sampled}
    guided = {dict(study["synthesis"], **(x.synthesis or {}))["guidance"] for x in sampled} - {1}
    uses = {
        "sonosynth": (True, "the software"),
        "hybrid2025": (bool(sampled) and facts.modality == ULTRASOUND, "the study design that this one starts from"),
        "rombach2022": (bool(sampled), "latent diffusion (Stable Diffusion)"),
        "hu2022": (any(x.lora is not None for x in adapters), "low-rank adaptation (LoRA)"),
        "zhang2023": (any(x.control for x in adapters), "the control branch (ControlNet)"),
        "avrahami2023": (any(x.keep for x in made), "blended latents"),
        "gal2023": (any(x.token for x in adapters), "textual inversion (the learned token)"),
        "meng2022": (any(x.start != "noise" and x.strength != 0 for x in sampled), "image-to-image refinement"),
        "lu2022": ("dpm++" in solvers, "the sampler DPM-Solver++"),
        "ho2022": (bool(guided), "classifier-free guidance"),
        "zhang2018": (any(x.mixup for x in arms), "MixUp"),
        "mueller2021": (any(x.augmentation == "trivial" for x in arms), "TrivialAugment"),
        "he2016": ("resnet" in facts.classifier, "the classifier (ResNet)"),
        "cardoso2022": ("segmentation" in study["tasks"] or any(x.condition for x in made), "the segmenter (MONAI)"),
        "maierhein2024": ("segmentation" in study["tasks"], "how segmentation is scored"),
        "heusel2017": (bool(made), "the Fréchet distance" + " (FID)" * (INCEPTION in facts.networks)),
        "holm1979": (True, "the correction for the number of arms"),
        "delong1988": (True, "the variance of the AUC"),
    }
    return {key: what for key, (used, what) in uses.items() if used}


def bibtex(keys: Mapping[str, str]) -> str:
    """The entries with these keys."""
    text = resources.files("sonosynth.report").joinpath("templates", "cite.bib").read_text(encoding="utf-8")
    entries = {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in re.split(r"\n(?=@)", text.strip())}
    return "\n".join(entries[key] for key in keys)
