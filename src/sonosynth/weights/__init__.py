"""The weights that ship: the embedded base, and the embedded feature network."""
