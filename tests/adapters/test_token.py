"""The learned token: what training reaches, and which files are taken for one."""

import pytest
import torch
from safetensors.torch import save_file

from sonosynth.adapters import token
from sonosynth.adapters.learning import with_token
from sonosynth.bases import sd1
from sonosynth.bases.latents import tokenize
from sonosynth.errors import UserError

TOKEN = "<ultrasound>"
PROMPT = "ultrasound image of a benign breast lesion"


def test_training_reaches_the_token_and_nothing_else(tiny_base):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    new = token.add(pipeline, TOKEN, "ultrasound image")
    ids = tokenize(pipeline.tokenizer, [with_token(PROMPT, TOKEN), PROMPT])
    with token.override_embedding(pipeline, new):
        new.vector.data += 1
        outputs = pipeline.text_encoder(ids)[0]
        outputs.sum().backward()
    assert new.vector.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in pipeline.text_encoder.parameters())
    unchanged = pipeline.text_encoder(ids)[0]
    assert not torch.allclose(outputs[0], unchanged[0])
    assert torch.equal(outputs[1], unchanged[1])


def test_what_is_saved_is_what_is_loaded(tiny_base, tmp_path):
    new = token.add(sd1.load(tiny_base, torch.float32, "cpu"), TOKEN, "ultrasound")
    new.vector.data += 1
    token.save(new, tmp_path)
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    assert token.load(pipeline, tmp_path) == TOKEN
    table = pipeline.text_encoder.get_input_embeddings().weight
    assert torch.equal(table[pipeline.tokenizer.convert_tokens_to_ids(TOKEN)], new.vector)


def test_a_folder_without_a_token_has_none_and_prompts_stay_as_they_are(tiny_base, tmp_path):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    known = len(pipeline.tokenizer)
    assert token.load(pipeline, tmp_path) is None
    assert len(pipeline.tokenizer) == known
    assert with_token(PROMPT, None) == PROMPT


@pytest.mark.parametrize(
    ("stored", "found"),
    [({"<a>": torch.zeros(1, 48)}, r"<a> \(1, 48\)"), ({"<a>": torch.zeros(1, 32), "<b>": torch.zeros(1, 32)}, "<b>")],
    ids=["another text encoder's", "two tokens"],
)
def test_a_file_that_is_no_token_of_this_base_is_refused(tiny_base, tmp_path, stored, found):
    save_file(stored, tmp_path / token.FILE)
    with pytest.raises(UserError, match=found):
        token.load(sd1.load(tiny_base, torch.float32, "cpu"), tmp_path)


def test_a_token_that_the_base_knows_and_words_that_it_does_not_are_refused(tiny_base):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    token.add(pipeline, TOKEN, "ultrasound")
    with pytest.raises(UserError, match=f"{TOKEN} is in the base's vocabulary"):
        token.add(pipeline, TOKEN, "ultrasound")
    with pytest.raises(UserError, match="has no words"):
        token.add(pipeline, "<other>", " ")
