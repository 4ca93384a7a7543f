import json
import shutil

import pytest

from sonosynth.bases import sd1
from sonosynth.errors import UserError


def test_a_folder_without_safetensors_is_refused(tiny_base, tmp_path):
    folder = shutil.copytree(tiny_base, tmp_path / "base")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "unet" / "diffusion_pytorch_model.bin")
    shutil.rmtree(folder / "scheduler")
    with pytest.raises(UserError, match=r"scheduler, unet/\*.safetensors \(pickled weights are refused"):
        sd1.find(str(folder))


def test_other_folders_models_and_hub_ids_are_refused(tiny_base, tmp_path):
    with pytest.raises(UserError, match=r"holds no model_index.json"):
        sd1.find(str(tmp_path))
    with pytest.raises(UserError, match="there is no such folder"):
        sd1.find("./nowhere")
    with pytest.raises(UserError, match="can't be fetched from the hub"):
        sd1.find("nobody/has-this-model")
    folder = shutil.copytree(tiny_base, tmp_path / "xl")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(UserError, match="is a StableDiffusionXLPipeline"):
        sd1.load(folder, sd1.DTYPES["fp32"], "cpu")


def test_a_base_is_known_by_its_files_wherever_it_lies(tiny_base, tmp_path):
    found = sd1.resolve(str(tiny_base))
    assert (found.name, found.folder) == (str(tiny_base), tiny_base)
    copy = shutil.copytree(tiny_base, tmp_path / "copy")
    assert sd1.resolve(str(copy)).digest == found.digest
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert sd1.resolve(str(copy)).digest != found.digest
    with pytest.raises(UserError, match=r"holds no model_index.json"):
        sd1.resolve(str(tmp_path))


def test_resolution_must_suit_the_base(tiny_base):
    sd1.check_resolution(tiny_base, 32)
    with pytest.raises(UserError, match="a multiple of 8"):
        sd1.check_resolution(tiny_base, 36)


def test_embedded_base_is_complete_and_small():
    folder = sd1.find(sd1.EMBEDDED)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size <= 40e6
    sd1.check_resolution(folder, 128)
    pipeline = sd1.load(folder, sd1.DTYPES["fp32"], "cpu")
    assert pipeline.vae_scale_factor == 4
    words = pipeline.tokenizer("ultrasound image of a malignant breast lesion")["input_ids"]
    assert len(words) == 9  # whole words, start and end
