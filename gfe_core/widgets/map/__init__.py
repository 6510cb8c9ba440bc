"""Maps of many codes as points."""
