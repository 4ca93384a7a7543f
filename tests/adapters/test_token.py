"""The learned token: what training reaches, and which files are taken for one."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from sonosynth.adapters import token
from sonosynth.adapters.learning import with_token
from sonosynth.bases import sd1
from sonosynth.bases.latents import tokenize
from sonosynth.errors import UserError
from sonosynth.run import Study

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
    assert token.load(pipeline, tmp_path) == [TOKEN]
    table = pipeline.text_encoder.get_input_embeddings().weight
    assert torch.equal(table[pipeline.tokenizer.convert_tokens_to_ids(TOKEN)], new.vector)


def test_tokens_of_classes_are_loaded_from_folders_of_their_own(tiny_base, tmp_path):
    saved = {}
    for label, text, shift in (("1", "<one>", 1), ("not NA", "<two>", 2)):
        new = token.add(sd1.load(tiny_base, torch.float32, "cpu"), text, "ultrasound")
        new.vector.data += shift
        token.save(new, token.place(tmp_path, label))
        saved[text] = new.vector
    assert sorted(p.name for p in (tmp_path / "tokens").iterdir()) == ["1", "not NA"]
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    assert token.load(pipeline, tmp_path) == ["<one>", "<two>"]
    table = pipeline.text_encoder.get_input_embeddings().weight
    for text, vector in saved.items():
        assert torch.equal(table[pipeline.tokenizer.convert_tokens_to_ids(text)], vector)
    token.check_present(pipeline, ["<one>", "<two>"], [f"{PROMPT} <one>", f"{PROMPT} <two>"])
    for prompt in (PROMPT, f"{PROMPT} <one> <two>"):
        with pytest.raises(RuntimeError, match="<one> or <two> does not reach the text encoder"):
            token.check_present(pipeline, ["<one>", "<two>"], [prompt])


def test_a_folder_without_a_token_has_none_and_prompts_stay_as_they_are(tiny_base, tmp_path):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    known = len(pipeline.tokenizer)
    assert token.load(pipeline, tmp_path) == []
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
    with pytest.raises(UserError, match=f"{TOKEN} is already in the base's vocabulary"):
        token.add(pipeline, TOKEN, "ultrasound")
    for words in (" ", "~ ~"):
        with pytest.raises(UserError, match="has no words"):
            token.add(pipeline, "<other>", words)


def test_a_token_does_not_take_the_place_of_a_word(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    file = folder / "tokenizer" / "tokenizer.json"
    stored = json.loads(file.read_text())
    stored["model"]["vocab"]["zebra</w>"] = len(stored["model"]["vocab"]) + 1  # one id is left out
    file.write_text(json.dumps(stored))
    with pytest.raises(
        UserError, match=r"adapters\.ti\.token: <ultrasound> would get the id 675, which .* already uses"
    ):
        token.check(folder, {"ti": {with_token(PROMPT, TOKEN): TOKEN}}, "ultrasound")


def each(**texts):
    """An adapter with tokens for benign, malignant and normal, but for what is given."""
    given = {"benign": "<b>", "malignant": "<m>", "normal": "<n>"} | texts
    return f"adapters.mine.token={json.dumps({label: text for label, text in given.items() if text})}"


def images(count):
    """A prompt of as many words."""
    return f"prompts.labels.normal='{'image ' * count}'"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["adapters.mine={token: a}"], r"adapters\.mine\.token: a is already in the base's vocabulary"),
        (["adapters.mine={token: x}"], r"adapters\.mine\.token: x is already in the base's vocabulary"),
        (["adapters.mine={token: <|endoftext|>}"], r"adapters\.mine\.token: .* is already in the base's vocabulary"),
        (
            ["adapters.mine={token: ultrasound}", "adapters.sd+ti=null"],
            r"adapters\.mine\.token: ultrasound is found 2 times in the prompt 'ultra",
        ),
        (["adapters.mine={token: lesion}"], r"adapters\.mine\.token: lesion is found 2 times .* breast lesion lesion'"),
        (
            ["adapters.mine={token: <us>}", "prompts.labels.normal='<us> of no lesion'"],
            r"adapters\.mine\.token: <us> is found 2 times in the prompt '<us> of no lesion <us>'",
        ),
        (
            ["adapters.one={token: <us>}", "adapters.two={token: <us>2}"],
            r"adapters\.one\.token: <us> is part of the token <us>2",
        ),
        (
            [each(normal=None)],
            r"adapters\.mine\.token: has tokens for benign, malignant\nexpected: .* benign, malignant, normal",
        ),
        ([each(cyst="<c>")], r"adapters\.mine\.token: has tokens for benign, malignant, normal, cyst\nexpected: "),
        (
            [each(benign="lesion")],
            r"adapters\.mine\.token: lesion is found 2 times in the prompt '.* lesion lesion', not once",
        ),
        (
            [each(benign="<b>", normal="xyz"), "prompts.labels.malignant='xyz of no lesion'"],
            r"adapters\.mine\.token: xyz is found 1 times in the prompt 'xyz of no lesion <m>', which is another",
        ),
        ([each(benign="<m>2")], r"adapters\.mine\.token: <m> is part of the token <m>2"),
        ([each(benign="a")], r"adapters\.mine\.token: a is already in the base's vocabulary"),
        ([each(), "token.init='~ ~'"], "token.init: '~ ~' has no words"),
        ([each(), images(75)], "has 78 tokens\nexpected: at most 77"),
        (["adapters.mine={token: <us>}", "token.init='~ ~'"], "token.init: '~ ~' has no words"),
        (["adapters.mine={token: <us>}", images(75)], "has 78 tokens\nexpected: at most 77"),
        ([images(80)], "has 82 tokens"),
        ([f"prompts.template='{'image ' * 80}of {{label}}'"], "has 84 tokens"),
    ],
)
def test_tokens_and_prompts_that_would_fail_are_refused_by_the_plan(settings, phantoms, changes, said):
    with pytest.raises(UserError, match=said):
        Study(phantoms, settings(*changes)).statuses()


@pytest.mark.parametrize(
    "changes",
    [
        ["adapters.mine={token: <ULTRA>}"],
        ["adapters.mine={token: <ÜS>}"],
        ["adapters.one={token: <us>}", "adapters.two={token: <us>, lora: {}}"],
        ["adapters.mine={token: <us>}", images(74)],
        [each()],
        [each(), "adapters.other={token: <b>}"],
        [images(75), "adapters.sd+ti=null"],
    ],
)
def test_other_tokens_and_prompts_are_planned(settings, phantoms, changes):
    assert Study(phantoms, settings(*changes)).statuses()
