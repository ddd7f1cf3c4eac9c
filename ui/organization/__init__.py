"""The Organisation page: what one organisation has."""
