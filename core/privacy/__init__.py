"""Personal data in texts: what has a form that can be checked is found, and replaced by placeholders. Lean, and imported on first use."""
