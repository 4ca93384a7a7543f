"""Reading real images: their files, pixels and split, and what a user should know about them."""
