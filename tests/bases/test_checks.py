"""Which bases are whole, and which are refused before anything is trained."""

import json
import os
import re
import shutil

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from sonosynth.bases import checks, sd1
from sonosynth.bases.latents import tokenize
from sonosynth.errors import UserError

WORDS = "ultrasound image of a benign breast lesion"
WEIGHTS = {
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}  # in the VAEs of published bases


@pytest.fixture
def folder(tiny_base, tmp_path):
    """A copy of the tiny base that a test may change."""
    return shutil.copytree(tiny_base, tmp_path / "base")


def check(folder):
    """What a study checks of its base."""
    base = sd1.resolve(str(folder))
    sd1.check_resolution(base.folder, 32)
    checks.check(base, 32)


def change(folder, file, values):
    """Give some keys of a JSON file new values; None removes a key."""
    stored = json.loads((folder / file).read_text()) | values
    (folder / file).write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))


def reweigh(folder, part, new):
    """Replace the weights of a part by what `new` makes of them."""
    save_file(new(load_file(folder / WEIGHTS[part])), folder / WEIGHTS[part], {"format": "pt"})


def old_names(tensors):
    def renamed(name):
        for new, old in OLD_NAMES.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        return name

    assert len(set(map(renamed, tensors)) - set(tensors)) == 16
    return {renamed(name): tensor for name, tensor in tensors.items()}


def in_parts(folder, part):
    """Split the weights of a part into files; returns the index, which names them."""
    tensors, name = load_file(folder / WEIGHTS[part]), os.path.basename(WEIGHTS[part]).removesuffix(".safetensors")
    (folder / WEIGHTS[part]).unlink()
    index = {}
    for number in (0, 1):
        file = f"{name}-0000{number + 1}-of-00002.safetensors"
        some = dict(list(tensors.items())[number::2])
        save_file(some, folder / part / file, {"format": "pt"})
        index |= dict.fromkeys(some, file)
    (folder / part / f"{name}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return index


def older_tokenizer(folder):
    file = folder / "tokenizer" / "tokenizer.json"
    model = json.loads(file.read_text())["model"]
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, model["merges"])]))
    file.unlink()


WHOLE = {
    "as saved": lambda folder: None,
    "old names of the attention": lambda folder: reweigh(folder, "vae", old_names),
    "position ids": lambda folder: reweigh(
        folder, "text_encoder", lambda t: t | {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    ),
    "older tokenizer": older_tokenizer,
    "half precision": lambda folder: reweigh(folder, "unet", lambda t: {name: x.half() for name, x in t.items()}),
    "several files": lambda folder: [in_parts(folder, part) for part in WEIGHTS],
    "large in half precision": lambda folder: reweigh(  # their sum is infinite
        folder, "unet", lambda t: {name: (x * 0 + 100).half() for name, x in t.items()}
    ),
    "ordinary keys": lambda folder: change(
        folder,
        "text_encoder/config.json",
        {"torch_dtype": "float32", "_attn_implementation_autoset": True, "auto_map": {"AutoModel": "other--m.Model"}},
    ),
}


@pytest.mark.parametrize("published", WHOLE.values(), ids=WHOLE)
def test_whole_bases_are_accepted_however_they_were_published(folder, tiny_base, published):
    published(folder)
    check(folder)
    found, saved = (sd1.load(path, torch.float32, "cpu") for path in (folder, tiny_base))
    for part in ("vae", "text_encoder"):
        names, expected = getattr(found, part).state_dict(), getattr(saved, part).state_dict()
        assert names.keys() == expected.keys()
        assert all(torch.equal(names[name], expected[name]) for name in names)
    assert tokenize(found.tokenizer, [WORDS]).equal(tokenize(saved.tokenizer, [WORDS]))


def test_the_embedded_base_is_whole():
    checks.check(sd1.resolve(sd1.EMBEDDED), 128)


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize(
    "harm",
    [
        lambda tensors: dict(list(tensors.items())[1::2]),
        lambda tensors: {f"module.{name}" if i % 2 == 0 else name: x for i, (name, x) in enumerate(tensors.items())},
        lambda tensors: {name: x[:1] if i % 2 == 0 else x for i, (name, x) in enumerate(tensors.items())},
    ],
    ids=["missing", "renamed", "other shape"],
)
def test_missing_weights_are_not_replaced_by_random_ones(folder, part, harm):
    before = load_file(folder / WEIGHTS[part])
    reweigh(folder, part, harm)
    after = load_file(folder / WEIGHTS[part])
    lost = sorted(name for name, x in before.items() if name not in after or after[name].shape != x.shape)
    said = rf"{part}: {len(lost)} of its {len(before)} tensors are missing .*{re.escape(lost[0].split('.')[-2])}"
    with pytest.raises(UserError, match=said):
        check(folder)
    with pytest.raises(UserError, match=said):
        sd1.load(folder, torch.float32, "cpu")


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_tensor_that_only_the_index_names_is_missing(folder, part):
    index = in_parts(folder, part)
    name, file = next(iter(index.items()))
    tensors = load_file(folder / part / file)
    save_file({key: x for key, x in tensors.items() if key != name}, folder / part / file, {"format": "pt"})
    with pytest.raises(UserError, match=f"{part}: 1 of its {len(index)} tensors are missing"):
        check(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinite_weights_are_refused(folder, value):
    name = "conv_in.weight"
    reweigh(folder, "unet", lambda tensors: tensors | {name: tensors[name].index_fill(0, torch.tensor([3]), value)})
    with pytest.raises(UserError, match=rf"unet: 1 of its tensors contain NaN or infinite values \({name}\)"):
        check(folder)


def other_text_encoder(folder, **values):
    config = CLIPTextConfig.from_pretrained(folder / "text_encoder", **values)
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")


def other_unet(folder, **values):
    config = UNet2DConditionModel.load_config(folder / "unet") | values
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")


def added_token(folder, token_id):
    file = folder / "tokenizer" / "tokenizer.json"
    stored = json.loads(file.read_text())
    stored["model"]["vocab"]["zebra</w>"] = token_id
    file.write_text(json.dumps(stored))


MISFITS = {
    "ids": (lambda f: added_token(f, 99999), "largest id is 99999, but its text encoder has 674 embeddings"),
    "fewer embeddings": (lambda f: other_text_encoder(f, vocab_size=500), "id is 673, but its text encoder has 500"),
    "length": (
        lambda f: change(f, "tokenizer/tokenizer_config.json", {"model_max_length": 78}),
        r"model_max_length is 78\n.* 3 to 77",
    ),
    "no length": (
        lambda f: change(f, "tokenizer/tokenizer_config.json", {"model_max_length": None}),
        r"model_max_length is 10{15}",
    ),
    "length in words": (
        lambda f: change(f, "tokenizer/tokenizer_config.json", {"model_max_length": "long"}), "model_max_length is long"
    ),
    "no words": (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), "json or vocab.json and merges.txt missing"),
    "text width": (
        lambda f: other_text_encoder(f, hidden_size=48), "cross_attention_dim is 32, the text_encoder's hidden_size 48"
    ),
    "inpainting": (lambda f: other_unet(f, in_channels=9), "unet's in_channels is 9, the vae's latent_channels 4"),
    "variance": (lambda f: other_unet(f, out_channels=8), "unet's out_channels is 8, the vae's latent_channels 4"),
    "class labels": (
        lambda f: other_unet(f, num_class_embeds=4), r"can't process images of 32 x 32 pixels \(class_labels"
    ),
    "scale": (lambda f: change(f, "vae/config.json", {"scaling_factor": "big"}), "scaling_factor is big"),
    "no scale": (lambda f: change(f, "vae/config.json", {"scaling_factor": 0}), "scaling_factor is 0"),
    "prediction": (
        lambda f: change(f, "scheduler/scheduler_config.json", {"prediction_type": "sample"}),
        r"has sample for prediction_type\nexpected: epsilon or v_prediction",
    ),
    "noise": (
        lambda f: change(f, "scheduler/scheduler_config.json", {"trained_betas": [2.0] * 999}), "invalid noise schedule"
    ),
    "many steps": (
        lambda f: change(f, "scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}),
        "has 1000000000000 for num_train_timesteps",
    ),
    "another library's scheduler": (
        lambda f: change(f, "model_index.json", {"scheduler": ["diffusers", "NoScheduler"]}), "scheduler can't be"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "said"), MISFITS.values(), ids=MISFITS)
def test_parts_that_do_not_fit_together_are_refused(folder, harm, said):
    harm(folder)
    with pytest.raises(UserError, match=said):
        check(folder)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("unet/config.json", {"block_out_channels": None}),
        ("unet/config.json", {"block_out_channels": "wide"}),
        ("unet/config.json", {"block_out_channels": [16, "wide"]}),
        ("unet/config.json", {"block_out_channels": [16, -16]}),
        ("unet/config.json", {"block_out_channels": [16] * 100}),
        ("unet/config.json", {"layers_per_block": 10**9}),
        ("unet/config.json", {"layers_per_block": "two"}),
        ("unet/config.json", {"norm_num_groups": 0}),
        ("unet/config.json", {"down_block_types": None}),
        ("unet/config.json", {"cross_attention_dim": "wide"}),
        ("vae/config.json", {"block_out_channels": None}),
        ("vae/config.json", {"latent_channels": -4}),
        ("text_encoder/config.json", {"num_hidden_layers": 10**9}),
        ("text_encoder/config.json", {"hidden_size": 10**9}),
        ("text_encoder/config.json", {"hidden_size": "wide"}),
        ("text_encoder/config.json", {"max_position_embeddings": -1}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "many"}),
        ("scheduler/scheduler_config.json", {"beta_start": "low"}),
        ("scheduler/scheduler_config.json", {"beta_schedule": 3}),
        ("tokenizer/tokenizer_config.json", {"pad_token": 5}),
    ],
)
def test_a_config_that_makes_no_sense_is_one_message(folder, file, values):
    change(folder, file, values)
    with pytest.raises(UserError, match="base "):
        check(folder)


UNREADABLE = {
    "a folder": lambda file: file.mkdir(),
    "a named pipe": os.mkfifo,  # to open it would take for ever
    "empty": lambda file: file.touch(),
    "cut": lambda file: file.write_text('{"a": '),
    "a list": lambda file: file.write_text("[]"),
    "3,000 deep": lambda file: file.write_text('{"a": ' * 3000 + "1" + "}" * 3000),
    "a huge number": lambda file: file.write_text('{"a": 1' + "0" * 6000 + "}"),
}
OPENED = (
    "model_index.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json",
    "tokenizer/tokenizer_config.json", "tokenizer/tokenizer.json", WEIGHTS["unet"], WEIGHTS["text_encoder"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        *(("unet/config.json", harm) for harm in UNREADABLE),
        *((file, harm) for file in OPENED for harm in ("a folder", "a named pipe", "3,000 deep")),
    ],
)
def test_a_file_that_can_not_be_read_is_one_message(folder, file, harm):
    (folder / file).unlink()
    UNREADABLE[harm](folder / file)
    with pytest.raises(UserError, match="base "):
        check(folder)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("unet/config.json", "quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
        ("vae/config.json", "device_map", "auto"),
        ("text_encoder/config.json", "attn_implementation", "kernels-community/flash-attn2"),
        ("text_encoder/config.json", "_attn_implementation", "sdpa"),
        ("text_encoder/config.json", "use_kernels", True),
        ("tokenizer/tokenizer_config.json", "trust_remote_code", True),
        ("scheduler/scheduler_config.json", "use_safetensors", False),
    ],
)
def test_a_config_that_says_how_to_load_is_refused(folder, file, key, value):
    change(folder, file, {key: value})
    said = rf"{file} has {key}: .*\n.*\nfix: remove {key} from that file"
    with pytest.raises(UserError, match=said):
        check(folder)
    with pytest.raises(UserError, match=said):
        sd1.load(folder, torch.float32, "cpu")


def test_a_loading_key_is_found_at_any_depth_and_null_is_allowed(folder):
    file = folder / "text_encoder" / "config.json"
    file.write_text(file.read_text().replace("{", '{"quantization_config": null, ', 1))
    check(folder)
    change(folder, "text_encoder/config.json", {"a": [{"b": {"experts_implementation": "someone/experts"}}]})
    with pytest.raises(UserError, match="has experts_implementation: someone/experts"):
        check(folder)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/elsewhere.safetensors", "weights.bin", "..", 3, None])
def test_an_index_names_files_beside_it(folder, name):
    index = in_parts(folder, "unet")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    named = None if name is None else index | {next(iter(index)): name}
    file.write_text(json.dumps({"metadata": {}, "weight_map": named}))
    with pytest.raises(UserError, match=rf"index.json names {name}"):
        check(folder)


def test_an_adapter_beside_the_weights_is_refused(folder):
    (folder / "text_encoder" / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/model"}')
    with pytest.raises(UserError, match="would make the library load an adapter"):
        check(folder)
