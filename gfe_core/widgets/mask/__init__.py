"""A mask that the reader paints, and the flow of the pixels that remain."""
