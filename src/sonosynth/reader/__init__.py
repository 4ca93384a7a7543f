"""Human readers: a blinded kit of real and synthetic images, their answers, and what these say."""
