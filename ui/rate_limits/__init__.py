"""The Rate limits page."""
