"""What each latent does to the picture."""
