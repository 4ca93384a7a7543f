"""Synthetic images: what a set is, how its images are sampled, and how it is written."""
