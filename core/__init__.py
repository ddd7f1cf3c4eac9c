"""LLM Settings: everything that is not a screen or a route.

Services start at :mod:`core.resolve`; nothing is re-exported here.
"""
