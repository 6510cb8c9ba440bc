"""A decoder with one latent draws a curve; the flow carries a point along it."""
