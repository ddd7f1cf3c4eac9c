"""The Webhooks page."""
