"""Whole techniques built on `encode`.

Gradient origin networks, evidence bounds, bottlenecks that shrink by gates, posteriors
and densities.
"""
