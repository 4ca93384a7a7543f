"""Real images in: which files there are, their pixels, the split, and what a reader should know of them."""

from sonosynth.cohort.decoding import resize
from sonosynth.cohort.reading import Cohort, crossing, load_table, read, read_images, to_table, twins_table

__all__ = ["Cohort", "crossing", "load_table", "read", "read_images", "resize", "to_table", "twins_table"]
