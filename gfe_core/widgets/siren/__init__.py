"""An image as a function of position."""
