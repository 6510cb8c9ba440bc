"""Methods built on `encode`.

Gradient origin networks, evidence bounds, shrinking bottlenecks, posteriors.
"""
