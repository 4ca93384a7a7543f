"""The recipe of the embedded base: a small latent-diffusion model in Stable Diffusion format.

A VAE that reduces 4 x (speckle does not survive 8 x at 128 pixels), a CLIP-style text encoder with a
tokenizer of its own, and a conditional U-Net that predicts the noise, as in Rombach et al., CVPR 2022. It is
trained from scratch on simulated images only. Run it with `sonosynth pretrain --out DIR`.
"""

import json
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from sonosynth.diffusion.latents import encode_prompts, to_tensor, tokenize
from sonosynth.diffusion.training import Schedule, train

TOKENS = 77

# Words of medical ultrasound, so that prompts about other organs are cut into few pieces. They get their
# meaning from adaptation: only the words of the simulated images' prompts are pretrained.
VOCABULARY = """ultrasound image of a an the breast lesion tissue benign malignant normal cyst solid nodule mass tumor
tumour thyroid liver kidney ovary ovarian fetal fetus head abdomen femur brain heart cardiac echocardiogram lung
b-mode bmode sonogram sonography scan picture photo showing with without and in on at high low frequency gain deep
shallow depth smooth spiculated posterior enhancement shadowing shadow bright dark fine coarse speckle texture left
right view transverse longitudinal carcinoma fibroadenoma lymph node muscle tendon nerve vessel artery vein carotid
prostate bladder gallbladder pancreas spleen uterus healthy abnormal cancer disease fatty fibrosis stone grade birads
class type patient medical grey gray scale black white noisy clear sharp blurred small large round oval irregular"""


# How long each part trains: within 2 hours on 2 cores.
VAE = Schedule(steps=450, batch=16, learning_rate=1e-3, warmup=50, decay=True)
UNET = Schedule(steps=2000, batch=16, learning_rate=5e-4, warmup=100, decay=True)


def pretrain(
    images: np.ndarray, prompts: list[str], accelerator: Accelerator, seed: int, work: Path, out: Path
) -> None:
    """Train the embedded base and save it, U-Net and VAE in half precision, as a Stable Diffusion folder `out`.

    Args:
        images: (N, H, W) uint8 grey. prompts: N captions.
        work: folder of checkpoints; an interrupted run continues from them.
    """
    torch.manual_seed(seed)  # the initial weights; every later draw is a named stream
    vae, unet, text_encoder = _models()
    tokenizer = _tokenizer(prompts, work / "tokenizer")
    device = accelerator.device

    vae.to(device)
    _train_vae(vae, images, VAE, accelerator, seed, work / "vae.safetensors")
    latents = _latents(vae, images, accelerator, work / "latents.safetensors")
    scale = float(1 / latents.std())
    vae.register_to_config(scaling_factor=scale)

    unet.to(device)
    text_encoder.to(device)
    scheduler = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    alphas = scheduler.alphas_cumprod.to(device)
    tokens = tokenize(tokenizer, prompts)
    empty = tokenize(tokenizer, [""])

    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        clean = latents[indices].to(device) * scale
        noise = torch.randn(clean.shape, generator=generator).to(device)
        times = torch.randint(0, len(alphas), (len(indices),), generator=generator).to(device)
        dropped = torch.rand(len(indices), generator=generator) < 0.1  # classifier-free guidance
        captions = torch.where(dropped[:, None], empty, tokens[indices]).to(device)
        signal = alphas[times][:, None, None, None]
        predicted = unet(
            signal.sqrt() * clean + (1 - signal).sqrt() * noise, times, encode_prompts(text_encoder, captions)
        ).sample
        errors = (predicted.float() - noise).square().mean(dim=(1, 2, 3))
        ratio = alphas[times] / (1 - alphas[times])
        return (errors * (5 / ratio).clamp(max=1)).mean()  # min-SNR-5 weights, Hang et al., ICCV 2023

    parameters = [*unet.parameters(), *text_encoder.parameters()]
    train(
        "U-Net", parameters, loss_of, len(images), UNET,
        accelerator=accelerator, seed=seed, checkpoint=work / "unet.safetensors",
    )  # fmt: skip
    for module in (vae, unet):
        module.to("cpu", torch.float16)
    text_encoder.to("cpu")  # stays float32: transformers would load half precision as such, diffusers would not
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(out, safe_serialization=True)


def _models() -> tuple[AutoencoderKL, UNet2DConditionModel, CLIPTextModel]:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=1024,
            hidden_size=128,
            intermediate_size=512,
            projection_dim=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    return vae, unet, text_encoder


def _tokenizer(prompts: list[str], folder: Path) -> CLIPTokenizer:
    """A CLIP byte-pair tokenizer fitted to the prompts and the vocabulary."""
    fitted = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    fitted.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    fitted.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(False, use_regex=False),
        ]
    )
    fitted.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1020,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    letters = " ".join("abcdefghijklmnopqrstuvwxyz0123456789.,-()/")  # each once as a word's end
    fitted.train_from_iterator([VOCABULARY, *sorted(set(prompts)), letters], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    state = json.loads(fitted.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(state["vocab"], ensure_ascii=False))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in state["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS, pad_token="<|endoftext|>")


def _train_vae(
    vae: AutoencoderKL, images: np.ndarray, schedule: Schedule, accelerator: Accelerator, seed: int, checkpoint: Path
) -> None:
    def loss_of(indices: Tensor, generator: torch.Generator) -> Tensor:
        target = to_tensor(images[indices.numpy()]).to(accelerator.device)
        posterior = vae.encode(target).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator).to(target.device)
        output = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        # L1 alone blurs: the differences of neighbours carry the speckle.
        loss = F.l1_loss(output, target)
        for axis in (2, 3):
            loss = loss + F.l1_loss(output.diff(dim=axis), target.diff(dim=axis))
        return loss + 1e-5 * posterior.kl().mean() / posterior.mean[0].numel()

    train(
        "VAE", list(vae.parameters()), loss_of, len(images), schedule,
        accelerator=accelerator, seed=seed, checkpoint=checkpoint,
    )  # fmt: skip


def _latents(vae: AutoencoderKL, images: np.ndarray, accelerator: Accelerator, cache: Path) -> Tensor:
    if not cache.exists():
        with torch.no_grad(), accelerator.autocast():
            parts = [
                vae.encode(to_tensor(images[i : i + 32]).to(accelerator.device)).latent_dist.mean.float().cpu()
                for i in range(0, len(images), 32)
            ]
        save_file({"latents": torch.cat(parts)}, cache)
    return load_file(cache)["latents"]
