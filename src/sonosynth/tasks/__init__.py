"""What synthetic images are for: one folder per task, and beside them what tasks have in common."""

RUN = ("arm", "draw", "split", "generator", "seed")
"""The columns of predictions that tell trainings apart."""
LOST = "lost"
"""The key, in what a training says about itself, of the classes that its sets have lost: see `TrainingSet`."""
