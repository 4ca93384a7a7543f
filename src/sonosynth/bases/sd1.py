"""The model that is adapted: anything in Stable Diffusion 1.x diffusers format."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import diffusers
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from sonosynth import device, disk, hub
from sonosynth.errors import UserError, first_line, loading
from sonosynth.section import NO_EFFECT

EMBEDDED = "embedded"

PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
NETWORKS = {"vae": AutoencoderKL, "unet": UNet2DConditionModel, "text_encoder": CLIPTextModel}
CLASSES = {part: (kind.__name__,) for part, kind in NETWORKS.items()} | {
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast")
}
"""The classes of Stable Diffusion 1.x. A model_index.json may name any module, which would then be imported."""

VOCABULARIES = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # without one, the tokenizer knows three words
EXPECTED = "the files of a Stable Diffusion 1.x model, as they were published"
MAX_BLOCKS = 8


@dataclass(frozen=True)
class Base:
    """A base found on this machine: the name that the settings give it, its folder, and the digest of its files."""

    name: Annotated[str, NO_EFFECT]
    folder: Annotated[Path, NO_EFFECT]
    digest: str


def resolve(name: str) -> Base:
    """The base of that name, hashed; raises as `find` does, and if it is not a Stable Diffusion 1.x model."""
    folder = find(name)
    _check_files(folder)
    return Base(name, folder, disk.digest(folder, ["model_index.json", *(f"{part}/**/*" for part in PARTS)]))


def is_folder(base: str) -> bool:
    """Whether a base is named by its folder."""
    return base != EMBEDDED and (Path(base).expanduser().exists() or base.startswith((".", "/", "~")))


def find(base: str) -> Path:
    """The folder of a base: "embedded", a folder, or a hub id (fetched or cached; safetensors only).

    Raises:
        UserError: if there is no such base or parts of it are missing.
    """
    if base == EMBEDDED:
        folder = Path(str(resources.files("sonosynth.weights").joinpath("base")))
    elif is_folder(base):
        folder = Path(base).expanduser()
    else:
        folder = _fetch(base)
    if not folder.exists():
        raise UserError(f"base {base}: there is no such folder", "embedded, a folder that exists, or a hub id")
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"base {base}: {folder} holds no model_index.json",
            "a folder in diffusers' Stable Diffusion format, or a hub id",
            "convert a single-file checkpoint with diffusers' StableDiffusionPipeline.from_single_file and save it",
        )
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    for part in NETWORKS:
        if part not in missing and not any((folder / part).glob("*.safetensors")):
            missing.append(f"{part}/*.safetensors (pickled weights are refused: loading them can run code)")
    if "tokenizer" not in missing and not any(
        all((folder / "tokenizer" / name).exists() for name in names) for names in VOCABULARIES
    ):
        missing.append("tokenizer/" + " or ".join(" and ".join(names) for names in VOCABULARIES))
    if missing:
        raise UserError(f"base {base}: {', '.join(missing)} missing in {folder}", f"the parts {', '.join(PARTS)}")
    return folder


def _fetch(hub_id: str) -> Path:
    try:
        return Path(
            StableDiffusionPipeline.download(hub_id, use_safetensors=True, safety_checker=None, feature_extractor=None)
        )
    except Exception as error:
        # The hub's client raises many kinds of errors; all of them mean that this base is not available.
        raise UserError(
            f"base {hub_id}: can't be fetched from the hub ({first_line(error)})",
            "embedded, a local folder, or the id of a hub repository with safetensors files",
            "check the name and the network, or give a folder: --base DIR",
        ) from None


def load(
    folder: Path, dtype: torch.dtype, place: torch.device | str, *, without: Collection[str] = (),
    unet: UNet2DConditionModel | None = None,
) -> StableDiffusionPipeline:  # fmt: skip
    """Load the pipeline in `folder`, without the safety checker, in evaluation mode and with frozen weights.

    The networks that `without` names are None: what is not needed takes no memory.

    Args:
        unet: in the place of the base's, with a dtype of its own.

    Raises:
        UserError: if it is not a Stable Diffusion 1.x model, or lacks weights.
    """
    _check_files(folder)
    given = {"unet": unet} if unet else {}
    left = [part for part in NETWORKS if part not in given]
    parts = given | {part: None if part in without else load_network(folder, part, dtype) for part in left}
    with loading(f"base {folder}", EXPECTED):
        pipeline = StableDiffusionPipeline.from_pretrained(
            folder,
            **parts,
            use_safetensors=True,
            local_files_only=True,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )
    for module in filter(None, (pipeline.unet, pipeline.vae, pipeline.text_encoder)):
        module.requires_grad_(False).eval()
        # Convolutions on a GPU need it to be fast; on a CPU it saves the VAE a fifth, the U-Net too little to matter.
        if module is pipeline.vae or torch.device(place).type == "cuda":
            module.to(memory_format=torch.channels_last)
    pipeline.to(place)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_network(folder: Path, part: str, dtype: torch.dtype) -> Any:
    """One of the `NETWORKS` of the base in `folder`; raises UserError if it can't be loaded or lacks weights."""
    return hub.load(NETWORKS[part], folder / part, f"base {folder}: {part}", dtype=dtype)[0]


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of the base in `folder`; raises UserError if it can't be loaded."""
    with loading(f"base {folder}: tokenizer", EXPECTED):
        return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)


def load_scheduler(folder: Path) -> Any:
    """The scheduler of the base in `folder`; raises UserError if it can't be loaded."""
    with loading(f"base {folder}: scheduler", EXPECTED):
        name = hub.read_json(folder / "model_index.json", f"base {folder}")["scheduler"][1]
        return getattr(diffusers, name).from_pretrained(folder / "scheduler", local_files_only=True)


def _check_files(folder: Path) -> None:
    """Raise UserError unless `folder` holds the parts of Stable Diffusion 1.x, as files that are safe to open."""
    index = hub.read_json(folder / "model_index.json", f"base {folder}")
    kind = index.get("_class_name")
    if kind != "StableDiffusionPipeline":
        raise UserError(f"base {folder}: is a {kind}", "a StableDiffusionPipeline (Stable Diffusion 1.x)")
    for part in PARTS:
        named = index.get(part)
        library, kind = named if isinstance(named, list) and len(named) == 2 else (None, None)
        known = kind in CLASSES[part] if part in CLASSES else library == "diffusers" and str(kind).endswith("Scheduler")
        if library not in ("diffusers", "transformers") or not known:
            wanted = " or ".join(CLASSES.get(part, ("a scheduler of diffusers",)))
            raise UserError(f"base {folder}: model_index.json has {named} for {part}", wanted)
        hub.check_files(folder / part, f"base {folder}")


def check_resolution(folder: Path, resolution: int) -> None:
    """Raise UserError unless `resolution` can be halved as often as the VAE and the U-Net of the base halve it."""
    halvings = 0
    for part in ("vae", "unet"):
        file = folder / part / "config.json"
        widths = hub.read_json(file, f"base {folder}").get("block_out_channels")
        if not isinstance(widths, list) or not 1 <= len(widths) <= MAX_BLOCKS:
            raise UserError(
                f"base {folder}: {file} has {first_line(widths)} for block_out_channels", "a list of widths"
            )
        halvings += len(widths) - 1
    multiple = 2**halvings
    if resolution % multiple:
        raise UserError(
            f"resolution: {resolution}",
            f"a multiple of {multiple} for this base",
            f"resolution={max(multiple, round(resolution / multiple) * multiple)}",
        )


def choose_precision(setting: str) -> str:
    """ "fp32", "bf16" or "fp16": "auto" is the fastest that the hardware supports without losing range.

    Raises:
        UserError: if fp16 is asked for without a GPU.
    """
    if setting == "fp16" and device.best().type == "cpu":
        raise UserError("precision: fp16 needs a GPU", "auto, fp32 or bf16")
    if setting != "auto":
        return setting
    if device.best().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if native() else "fp32"


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
