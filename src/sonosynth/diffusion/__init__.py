"""The model that makes images: base, latents, token, LoRA, training, sampling, and how the base was pretrained."""
