"""The models that are adapted: what it takes to encode images, embed prompts and denoise."""
