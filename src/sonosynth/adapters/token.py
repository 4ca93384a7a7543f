"""Textual inversion: learn the embedding of a new token (Gal et al., ICLR 2023), for all classes or for one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from transformers import CLIPTokenizer

from sonosynth import disk
from sonosynth.bases import sd1
from sonosynth.bases.latents import tokenize
from sonosynth.errors import UserError

FILE, CLASSES = "learned_embeds.safetensors", "tokens"
NEW = "a new word that occurs in no prompt and in no other token, for example <ultrasound>"


@dataclass(frozen=True)
class NewToken:
    """A token that was added to a pipeline: its text, its id, and its vector (width,), float32."""

    text: str
    id: int
    vector: torch.nn.Parameter


def add(pipeline: StableDiffusionPipeline, text: str, init: str) -> NewToken:
    """Add `text` to the tokenizer; its vector starts as the mean of the embeddings of `init`'s words.

    Raises:
        UserError: if the tokenizer already knows `text`, or no word of `init`.
    """
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    words = _words(tokenizer, init)
    token_id = _add_to_tokenizer(tokenizer, text, "the token")
    encoder.resize_token_embeddings(max(len(tokenizer), token_id + 1), mean_resizing=False)
    table = encoder.get_input_embeddings().weight.requires_grad_(False)
    vector = table[words].float().mean(dim=0)
    table[token_id] = vector.to(table.dtype)
    return NewToken(text, token_id, torch.nn.Parameter(vector))


def check(base: Path, prompts: Mapping[str, Mapping[str, str | None]], init: str) -> None:
    """Check the tokens that are going to be learned, and all prompts, with the tokenizer of the base in that folder.

    Args:
        prompts: the prompts of each adapter, with their token, and that token, None if there is none; the base's own
            come under a name that no adapter has. init: the words that initialise the tokens.

    Raises:
        UserError: if a token is not new, part of another one, not one id of its own in a prompt, or found in a prompt
            of another class; if `init` has no known words; or if a prompt is too long.
    """
    texts = {name: [*dict.fromkeys(text for text in these.values() if text)] for name, these in prompts.items()}
    every = {other for own in texts.values() for other in own}
    for name, these in prompts.items():
        tokenizer, setting = sd1.load_tokenizer(base), f"adapters.{name}.token"
        for text in texts[name]:
            _words(tokenizer, init)
            _add_to_tokenizer(tokenizer, text, setting)
            for other in sorted(every - {text}):
                if text in other:
                    raise UserError(f"{setting}: {text} is part of the token {other}", NEW)
        for prompt, own in these.items():
            for text in texts[name]:
                if (found := _count(tokenizer, text, prompt)) != (text == own):
                    wanted = "not once" if text == own else "which is another class's"
                    raise UserError(f"{setting}: {text} is found {found} times in the prompt {prompt!r}, {wanted}", NEW)
        tokenize(tokenizer, [*these])


def _words(tokenizer: CLIPTokenizer, init: str) -> list[int]:
    """The ids of `init`'s words."""
    words: list[int] = tokenizer(init, add_special_tokens=False)["input_ids"]
    if not set(words) - {tokenizer.unk_token_id}:
        raise UserError(f"token.init: {init!r} has no words that the base's tokenizer knows")
    return words


def _add_to_tokenizer(tokenizer: CLIPTokenizer, text: str, setting: str) -> int:
    """Add `text` as a token; returns its id."""
    known = tokenizer.get_vocab()
    if text in known or tokenizer.add_tokens(text) != 1:
        raise UserError(f"{setting}: {text} is already in the base's vocabulary", NEW)
    token_id: int = tokenizer.convert_tokens_to_ids(text)
    if token_id in known.values():
        raise UserError(
            f"{setting}: {text} would get the id {token_id}, which the base's tokenizer already uses",
            "a base whose token ids have no gaps",
        )
    return token_id


def _count(tokenizer: CLIPTokenizer, text: str, prompt: str) -> int:
    """How often the text encoder reads the token in a prompt."""
    ids: list[int] = tokenizer(prompt)["input_ids"]
    token_id = tokenizer.convert_tokens_to_ids(text)
    return 0 if token_id == tokenizer.unk_token_id else ids.count(token_id)


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
    disk.write_bytes(folder / FILE, safetensors.torch.save({token.text: vector}, {"format": "pt"}))


def place(folder: Path, label: str | None) -> Path:
    """The folder, in an adapter's, that holds the token of a class, or that of all classes."""
    return folder if label is None else folder / CLASSES / label


def load(pipeline: StableDiffusionPipeline, folder: Path) -> list[str]:
    """Add the tokens in an adapter's folder to the pipeline with diffusers' own loader, and check that they arrived.

    Returns their texts: one, or one for each class; none if there is no token in that folder.

    Raises:
        UserError: if a file holds several tokens, or one for another text encoder.
    """
    files = [folder / FILE, *sorted((folder / CLASSES).glob(f"*/{FILE}"))]
    return [_load(pipeline, file) for file in files if file.is_file()]


def _load(pipeline: StableDiffusionPipeline, path: Path) -> str:
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


def check_present(pipeline: StableDiffusionPipeline, texts: Sequence[str], prompts: Sequence[str]) -> None:
    """Raise RuntimeError unless every prompt contains one of the tokens as one id of its own, as `check` made sure."""
    for prompt in set(prompts):
        if sum(_count(pipeline.tokenizer, text, prompt) for text in texts) != 1:
            learned = " or ".join(texts)
            raise RuntimeError(f"the learned token {learned} does not reach the text encoder in the prompt {prompt!r}")
