"""The device that networks run on."""

import torch


def best() -> torch.device:
    """The first CUDA device, or else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
