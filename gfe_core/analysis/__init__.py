"""What is measured of a decoder and its codes: stiffness, and the quality of samples."""
