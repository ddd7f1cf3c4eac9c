"""What the Privacy page draws."""
