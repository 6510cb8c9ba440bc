"""Complete methods built on `encode`.

They are gradient origin networks, evidence bounds, bottlenecks that shrink by gates, posteriors and
densities.
"""
