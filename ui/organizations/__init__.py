"""The Organisations page."""
