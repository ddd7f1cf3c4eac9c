"""The Defaults page."""
