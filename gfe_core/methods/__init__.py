"""Methods built on `encode`: gradient origin networks, evidence bounds, shrinking bottlenecks, posteriors."""
