"""The API tokens page."""
