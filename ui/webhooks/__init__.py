"""The Notifications page."""
