"""The Hierarchy page."""
