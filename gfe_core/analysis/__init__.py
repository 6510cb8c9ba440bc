"""What is measured of a decoder and its codes, as numbers.

Stiffness with the stability limits of explicit solvers, and the quality of samples. What is drawn
lives in `widgets`.
"""
