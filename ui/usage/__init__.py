"""The Usage page."""
