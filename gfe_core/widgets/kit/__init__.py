"""What every view shares: the base class, bundles, looks and numbers."""
