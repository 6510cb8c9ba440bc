"""Measurements of a decoder and its codes, as numbers.

The package measures stiffness, with the stability limits of explicit solvers, and the quality of
samples. Plots are in `widgets`.
"""
