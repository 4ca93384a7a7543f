"""How real synthetic images look: distances in the spaces of measures, and copies of training images."""
