"""An image as a function of place."""
