"""Parts that the views share: base classes, bundles, looks and numbers."""
