"""The effect of each latent on the picture."""
