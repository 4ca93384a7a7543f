"""Files for A1111, Forge and ComfyUI: their names, and that diffusers loads them to the same images."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from sonosynth.adapters import lora, token
from sonosynth.artefacts import Adapter
from sonosynth.bases import sd1
from sonosynth.exports import hub, webui
from sonosynth.jobs import Made
from sonosynth.sharing import Kind, SharedAdapter

PROMPT = "ultrasound image of a benign breast lesion"


@pytest.fixture(scope="module")
def strong(shared, tmp_path_factory):
    """An adapter of the embedded base, with a LoRA of all layers and a token that both change images a lot."""
    base = sd1.find(sd1.EMBEDDED)
    folder = tmp_path_factory.mktemp("adapters") / "my adapter"
    folder.mkdir()
    pipe = sd1.load(base, torch.float32, "cpu")
    added = token.add(pipe, "<t>", "ultrasound")
    torch.manual_seed(0)
    added.vector.data += 10 * torch.randn_like(added.vector)
    token.save(added, folder)
    for parameter in lora.attach(pipe, 4, "all", 0):
        parameter.data += 0.2 * torch.randn_like(parameter)
    lora.save(pipe, folder)
    made = Adapter(Made("adapters/my adapter", {"adapter": folder}, {}, "", 0.0, 0))
    labels = dict.fromkeys(["benign", "other"], PROMPT)
    one = SharedAdapter(made, Kind.LORA, labels, dict.fromkeys(labels, "<t>"), {"token": {}, "lora": {"rank": 4}})
    origin = dataclasses.replace(shared.origin, base=sd1.EMBEDDED, resolution=64)
    return dataclasses.replace(shared, adapters=[one], origin=origin)


@pytest.fixture(scope="module")
def written(strong, tmp_path_factory):
    out = tmp_path_factory.mktemp("webui")
    webui.write(strong, out)
    return out


def image(pipe, prompt):
    made = pipe(
        prompt, num_inference_steps=3, height=64, width=64, guidance_scale=7, output_type="np",
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return made.images[0] * 255


def plain():
    return StableDiffusionPipeline.from_pretrained(sd1.find(sd1.EMBEDDED), safety_checker=None)


def test_diffusers_makes_the_same_image_with_the_exported_files_as_with_the_adapter(strong, written):
    before, after, without = plain(), plain(), plain()
    folder = strong.adapters[0].made.folder
    before.load_textual_inversion(folder / token.FILE)
    before.load_lora_weights(folder, weight_name=lora.FILE)
    after.load_textual_inversion(written / "embeddings" / "sonosynth-my-adapter.safetensors", token="<t>")
    after.load_lora_weights(written / "loras", weight_name="sonosynth-my-adapter.safetensors")
    expected, found = (image(pipe, f"{PROMPT} <t>") for pipe in (before, after))
    assert np.abs(found - expected).max() < 1
    assert np.abs(image(after, PROMPT) - expected).mean() > 3  # the embedding is used
    assert np.abs(image(without, PROMPT) - image(after, PROMPT)).mean() > 3  # and so is the LoRA


def test_keys_are_those_that_the_loaders_look_for(strong, written):
    found = load_file(written / "loras" / "sonosynth-my-adapter.safetensors")
    original = load_file(strong.adapters[0].made.folder / lora.FILE)
    modules = {key.removeprefix("unet.").rsplit(".lora_", 1)[0] for key in original}
    names = dict(plain().unet.named_modules())
    assert modules <= set(names) and any("conv1" in name for name in modules) and any("to_out.0" in x for x in modules)
    stems = {f"lora_unet_{name.replace('.', '_')}": name for name in modules}  # as sd-scripts and ComfyUI build them
    assert {key.split(".", 1)[0] for key in found} == set(stems)
    for stem, name in stems.items():
        down, up, alpha = (found[f"{stem}.{part}"] for part in ("lora_down.weight", "lora_up.weight", "alpha"))
        assert torch.equal(down, original[f"unet.{name}.lora_A.weight"])
        assert torch.equal(up, original[f"unet.{name}.lora_B.weight"])
        assert alpha.item() == down.shape[0] == 4
        weight = names[name].weight
        assert (up.shape[0], *down.shape[1:]) == tuple(weight.shape)
    (embedding,) = load_file(written / "embeddings" / "sonosynth-my-adapter.safetensors").items()
    assert embedding[0] == "emb_params" and embedding[1].shape[0] == 1


def test_the_readme_says_what_to_type(written):
    text = (written / "README.md").read_text(encoding="utf-8")
    assert f"A1111, Forge: `{PROMPT} sonosynth-my-adapter <lora:sonosynth-my-adapter:1>`" in text
    assert f"ComfyUI: `{PROMPT} embedding:sonosynth-my-adapter`" in text
    assert "embedded base is not published as a checkpoint" in text


def test_the_run_is_exported_with_its_own_tokens(shared, tmp_path):
    webui.write(shared, tmp_path)
    assert {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.*")} == {
        "README.md", "loras/sonosynth-sd.safetensors", "loras/sonosynth-sd-ti.safetensors",
        "embeddings/sonosynth-sd-ti.safetensors",
    }  # fmt: skip


def test_tokens_of_single_classes_get_files_of_their_own(strong, tmp_path):
    (one,) = strong.adapters
    folder = tmp_path / "own"
    for label in one.prompts:
        place = token.place(folder, label)
        place.mkdir(parents=True)
        (place / token.FILE).write_bytes((one.made.folder / token.FILE).read_bytes())
    made = Adapter(dataclasses.replace(one.made.made, places={"adapter": folder}))
    tokens = {label: f"<{label}>" for label in one.prompts}
    own = dataclasses.replace(one, made=made, tokens=tokens, learned={"token": {}})
    webui.write(dataclasses.replace(strong, adapters=[own]), tmp_path / "out")
    files = sorted(file.name for file in (tmp_path / "out" / "embeddings").iterdir())
    assert files == ["sonosynth-own-benign.safetensors", "sonosynth-own-other.safetensors"]
    assert not (tmp_path / "out" / "loras").exists()
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"`{PROMPT} embedding:sonosynth-own-other`" in text and "<lora:" not in text


def test_the_model_card_of_the_embedded_base_works_with_plain_diffusers(strong, tmp_path, monkeypatch):
    hub.write(dataclasses.replace(strong, sets=[]), tmp_path)
    folder = tmp_path / "models" / "my adapter"
    lines = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder)
    names = {}
    exec(lines.rpartition("image = ")[0], names)
    before = plain()
    before.load_textual_inversion(strong.adapters[0].made.folder / token.FILE)
    before.load_lora_weights(strong.adapters[0].made.folder, weight_name=lora.FILE)
    prompt = f"{PROMPT} <t>"
    assert prompt in lines
    assert np.abs(image(names["pipe"], prompt) - image(before, prompt)).max() < 1


def test_names_of_files_are_words_and_differ():
    found = webui.file_names(["sd+ti", "sd ti", "ü", "sd"])
    assert list(found.values()) == ["sonosynth-sd-ti", "sonosynth-sd-ti-no2", "sonosynth", "sonosynth-sd"]
