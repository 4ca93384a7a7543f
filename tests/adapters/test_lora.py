"""The low-rank update of the U-Net: what it changes, and that plain diffusers reads it."""

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from sonosynth.adapters import lora
from sonosynth.bases import sd1


def test_the_layers_that_are_asked_for_are_adapted(tiny_base):
    def adapted_names(layers):
        pipeline = sd1.load(tiny_base, torch.float32, "cpu")
        lora.attach(pipeline, 4, layers, 0)
        return [name for name, p in pipeline.unet.named_parameters() if p.requires_grad]

    attention, everything = adapted_names("attention"), adapted_names("all")
    assert attention and all("attn" in name for name in attention)
    assert {name for name in everything if "attn" in name} == set(attention)
    assert any("resnets.0.conv1" in name for name in everything)


@pytest.mark.parametrize("layers", ["attention", "all"])
def test_what_was_trained_is_what_is_loaded_here_and_in_plain_diffusers(tiny_base, tmp_path, layers):
    trained = sd1.load(tiny_base, torch.float32, "cpu")
    for parameter in lora.attach(trained, 4, layers, 0):
        torch.nn.init.normal_(parameter, std=0.1)
    lora.save(trained, tmp_path)
    ours = sd1.load(tiny_base, torch.float32, "cpu")
    untouched = ours.unet(*(inputs := _unet_inputs())).sample
    lora.load(ours, tmp_path)
    plain = StableDiffusionPipeline.from_pretrained(tiny_base, safety_checker=None)
    plain.load_lora_weights(tmp_path)
    wanted = trained.unet(*inputs).sample
    assert (wanted - untouched).abs().max() > 0.02
    for pipeline in (ours, plain):
        assert torch.allclose(pipeline.unet(*inputs).sample, wanted, atol=1e-4)


def _unet_inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 4, 8, 8, generator=generator), torch.tensor(500), torch.randn(1, 77, 32, generator=generator)


def test_a_folder_without_a_lora_leaves_the_base_as_it_is(tiny_base, tmp_path):
    pipeline = sd1.load(tiny_base, torch.float32, "cpu")
    before = pipeline.unet(*(inputs := _unet_inputs())).sample
    lora.load(pipeline, tmp_path)
    assert torch.equal(pipeline.unet(*inputs).sample, before)


def test_layers_that_the_loader_leaves_out_are_noticed(tiny_base, tmp_path):
    trained = sd1.load(tiny_base, torch.float32, "cpu")
    lora.attach(trained, 4, "all", 0)
    lora.save(trained, tmp_path)
    old = {"lora_A": "lora.down", "lora_B": "lora.up"}
    tensors = load_file(tmp_path / lora.FILE)
    for name in [name for name in tensors if "attn1.to_q" in name]:
        part = "lora_A" if "lora_A" in name else "lora_B"
        tensors[name.replace(part, old[part])] = tensors.pop(name)
    save_file(tensors, tmp_path / lora.FILE)
    with pytest.raises(RuntimeError, match="not every layer"):
        lora.load(sd1.load(tiny_base, torch.float32, "cpu"), tmp_path)
