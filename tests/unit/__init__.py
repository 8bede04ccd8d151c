"""Pure functions and small parts, one at a time."""
