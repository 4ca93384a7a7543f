"""What synthetic images are for: one folder per task, and beside them what tasks have in common."""

RUN = ("arm", "draw", "split", "generator", "seed")
"""The columns of predictions that tell trainings apart."""
