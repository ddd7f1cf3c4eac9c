"""What models accept."""
