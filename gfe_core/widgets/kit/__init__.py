"""What every view shares: the base class, style, and the pen for stills."""
