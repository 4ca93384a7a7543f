"""Real images in: which files there are, their pixels, the split, and what a reader should know of them."""
