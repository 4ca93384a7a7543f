"""Adaptation: a token, a LoRA, and the training loop that both share."""
