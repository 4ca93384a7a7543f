import json
import shutil

import pytest

from sonosynth.diffusion import base
from sonosynth.errors import UserError


def test_a_folder_without_safetensors_is_refused(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "unet" / "diffusion_pytorch_model.bin")
    shutil.rmtree(folder / "scheduler")
    with pytest.raises(UserError, match=r"scheduler, unet/\*.safetensors \(pickled weights are refused"):
        base.find(str(folder))


def test_other_folders_models_and_hub_ids_are_refused(tiny_base, tmp_path):
    with pytest.raises(UserError, match=r"holds no model_index.json"):
        base.find(str(tmp_path))
    with pytest.raises(UserError, match="can't be fetched from the hub"):
        base.find("nobody/has-this-model")
    folder = shutil.copytree(tiny_base, tmp_path / "xl")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(UserError, match="is a StableDiffusionXLPipeline"):
        base.load(folder, base.DTYPES["fp32"], "cpu")


def test_resolution_must_suit_the_base(tiny_base):
    base.check_resolution(tiny_base, 32)
    with pytest.raises(UserError, match="a multiple of 8"):
        base.check_resolution(tiny_base, 36)


def test_embedded_base_is_complete_and_small():
    folder = base.find("embedded")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= 40e6
    base.check_resolution(folder, 128)
    pipeline = base.load(folder, base.DTYPES["fp32"], "cpu")
    assert pipeline.vae_scale_factor == 4
    words = pipeline.tokenizer("ultrasound image of a malignant breast lesion")["input_ids"]
    assert len(words) == 9  # whole words, start and end
