"""The Effective Preview page."""
