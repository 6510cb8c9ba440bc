"""Views of a training run: progress, decoders side by side, galleries."""
