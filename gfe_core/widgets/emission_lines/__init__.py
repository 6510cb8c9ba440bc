"""The flow of a spectrum with gaps."""
