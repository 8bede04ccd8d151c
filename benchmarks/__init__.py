"""Each stage and the whole, measured beside its floor in the same run."""
