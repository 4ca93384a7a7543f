"""For the Hugging Face hub: `dataset`, sets that `datasets` loads as "imagefolder", and `models`, adapters.

Each folder has a card, and can be uploaded as a repository: `dataset`, and every folder of `models`.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sonosynth import disk
from sonosynth.adapters import control, lora, token, unet
from sonosynth.adapters.learning import with_token
from sonosynth.artefacts import MASK_FILE, SyntheticSet
from sonosynth.bases import sd1
from sonosynth.exports import _cards
from sonosynth.sharing import Kind, Shared, SharedAdapter, SharedSet
from sonosynth.synthesis.provenance import read
from sonosynth.synthesis.settings import Synthesis

TAKES = (Kind.IMAGES, Kind.LORA, Kind.UNET)
COLUMNS = (
    "file_name", MASK_FILE, "label", "prompt", "seed", "strength", "timestep", *Synthesis.model_fields, "resolution",
    "precision", "base", "adapter",
)  # fmt: skip
"""Of metadata.csv: those of a run that say nothing of single real images."""
WEIGHTS = (
    lora.FILE, token.FILE, f"{token.CLASSES}/*/{token.FILE}", f"{unet.FOLDER}/*", f"{control.FOLDER}/*"
)  # fmt: skip
"""The files of an adapter that are exported; what else is there names the images that it was learned from."""


def write(shared: Shared, out: Path) -> None:
    """Write `dataset/<set>/` and `models/<adapter>/`, each with its card."""
    if shared.sets:
        for one in shared.sets:
            _write_set(one, out / "dataset" / one.made.name)
        _cards.write(
            out / "dataset" / "README.md", "dataset", shared, _dataset_header(shared), sets=shared.sets,
            counts={one.made.name: _rows(one)["label"].value_counts(sort=False).to_dict() for one in shared.sets},
        )  # fmt: skip
    for adapter in shared.adapters:
        _write_adapter(adapter, shared, out / "models" / adapter.name)


def _write_set(one: SharedSet, folder: Path) -> None:
    rows = _rows(one)
    for name in (*rows["file_name"], *rows.get(MASK_FILE, ())):
        _copy(one.made.place("images") / name, folder / name)
    disk.write_text(folder / "metadata.csv", rows.to_csv(index=False))


def _rows(one: SharedSet) -> pd.DataFrame:
    """metadata.csv of what is exported; a prompt has the names of the cohort's columns, and not a patient's values."""
    rows = one.made.rows.iloc[one.kept]
    prompts = {label: _prompt(one.made, own.iloc[0]) for label, own in rows.groupby("label")["file_name"]}
    known = [name for name in COLUMNS if name in rows]
    return rows[known].assign(prompt=rows["label"].map(prompts))


def _prompt(made: SyntheticSet, file_name: str) -> str:
    said = read(made.place("images") / file_name)
    return said.prompt if said else ""


def _write_adapter(one: SharedAdapter, shared: Shared, folder: Path) -> None:
    for file in sorted({file for pattern in WEIGHTS for file in one.made.folder.glob(pattern)}):
        _copy(file, folder / file.relative_to(one.made.folder))
    tokens = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob(token.FILE))]
    prompts = {label: with_token(prompt, one.tokens[label]) for label, prompt in one.prompts.items()}
    origin = shared.origin
    kinds = ["lora"] * ("lora" in one.learned) + ["textual_inversion"] * bool(tokens)
    header = {
        **_header(shared, *kinds), "library_name": "diffusers", "pipeline_tag": "text-to-image",
        **({"base_model": origin.base} if origin.base not in ("", sd1.EMBEDDED) else {}),
    }  # fmt: skip
    _cards.write(
        folder / "README.md", "model", shared, header, adapter=one, prompts=prompts, tokens=tokens,
        whole=one.kind is Kind.UNET, embedded=origin.base == sd1.EMBEDDED,
    )  # fmt: skip


def _header(shared: Shared, *tags: str) -> dict[str, Any]:
    return {"license": "other", "tags": ["synthetic", "medical", shared.origin.modality, "sonosynth", *tags]}


def _dataset_header(shared: Shared) -> dict[str, Any]:
    return {
        **_header(shared), "pretty_name": "Synthetic images made by sonosynth",
        "task_categories": ["image-classification"], "size_categories": [_size([len(x.kept) for x in shared.sets])],
        "configs": [{"config_name": one.made.name, "data_dir": one.made.name} for one in shared.sets],
    }  # fmt: skip


def _size(counts: Sequence[int]) -> str:
    """The hub's name for a number of images."""
    total = sum(counts)
    limits = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for limit, name in limits.items() if total < limit), "n>1M")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
