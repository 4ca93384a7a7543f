"""Textual inversion: learn the embedding of one new token (Gal et al., ICLR 2023)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from sonosynth import store
from sonosynth.errors import UserError

FILE = "learned_embeds.safetensors"


@dataclass(frozen=True)
class NewToken:
    """A token that was added to a pipeline: its text, its id, and its vector (width,), float32."""

    text: str
    id: int
    vector: torch.nn.Parameter


def add(pipeline: StableDiffusionPipeline, text: str, init: str) -> NewToken:
    """Add `text` to the tokenizer; its vector starts as the mean of the embeddings of `init`'s words.

    Raises:
        UserError: if the tokenizer already knows `text`.
    """
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    words = tokenizer(init, add_special_tokens=False)["input_ids"]
    if not words:
        raise UserError(f"token.init: {init!r} has no words that the base's tokenizer knows")
    if tokenizer.add_tokens(text) != 1:
        raise UserError(
            f"adapters.NAME.token: {text} is in the base's vocabulary", "a new token, for example <ultrasound>"
        )
    token_id = tokenizer.convert_tokens_to_ids(text)
    encoder.resize_token_embeddings(max(len(tokenizer), token_id + 1), mean_resizing=False)
    table = encoder.get_input_embeddings().weight.requires_grad_(False)
    vector = table[words].float().mean(dim=0)
    table[token_id] = vector.to(table.dtype)
    return NewToken(text, token_id, torch.nn.Parameter(vector))


@contextmanager
def override_embedding(pipeline: StableDiffusionPipeline, token: NewToken) -> Iterator[None]:
    """Let the text encoder read `token.vector` wherever the token occurs, so that gradients reach only it.

    The embedding table is never touched: no other row can change.
    """

    def replace(_: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        here = (inputs[0] == token.id).unsqueeze(-1)
        return torch.where(here, token.vector.to(output.dtype), output)

    hook = pipeline.text_encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def save(token: NewToken, folder: Path) -> None:
    """Write `FILE` into `folder`, which diffusers' `load_textual_inversion` reads."""
    vector = token.vector.detach().cpu().clone()[None]
    store.write_bytes(folder / FILE, safetensors.torch.save({token.text: vector}, {"format": "pt"}))


def load(pipeline: StableDiffusionPipeline, folder: Path) -> str | None:
    """Add the token in `folder` to the pipeline with diffusers' own loader, and check that it arrived.

    Returns its text, None if there is no token in that folder.

    Raises:
        UserError: if the file holds several tokens, or one for another text encoder.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    stored = safetensors.torch.load_file(path)
    width = pipeline.text_encoder.get_input_embeddings().weight.shape[1]
    if [value.shape for value in stored.values()] != [(1, width)]:
        found = ", ".join(f"{name} {tuple(value.shape)}" for name, value in stored.items())
        raise UserError(f"{path}: holds {found}", f"one token (1, {width}) for this base")
    text, vector = next(iter(stored.items()))
    pipeline.load_textual_inversion(str(path))
    row = pipeline.text_encoder.get_input_embeddings().weight[pipeline.tokenizer.convert_tokens_to_ids(text)]
    if not torch.allclose(row.float().cpu(), vector[0].to(row.dtype).float()):
        raise RuntimeError(f"{path}: the token {text} was loaded but its embedding differs from the file's")
    return str(text)


def check_present(pipeline: StableDiffusionPipeline, text: str, prompts: list[str]) -> None:
    """Raise RuntimeError unless every prompt contains the token as one id of its own."""
    token_id = pipeline.tokenizer.convert_tokens_to_ids(text)
    for prompt in set(prompts):
        ids = pipeline.tokenizer(prompt)["input_ids"]
        if ids.count(token_id) != 1 or token_id == pipeline.tokenizer.unk_token_id:
            raise RuntimeError(f"the learned token {text} does not reach the text encoder in the prompt {prompt!r}")
