"""What synthetic images are for: one folder per task."""
