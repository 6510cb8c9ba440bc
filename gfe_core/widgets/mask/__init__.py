"""A mask painted by hand, and what the flow makes of the rest."""
