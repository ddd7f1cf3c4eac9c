"""Scopes on pages: how one is chosen, what it is called, and where its settings are edited."""
