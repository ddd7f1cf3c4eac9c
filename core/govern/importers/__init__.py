"""Configurations of other products, read into the document that ``apply`` takes: a module each, and what they share.

Each has one function, text -> :class:`~.losses.Imported`. None of them stores, calls or asks the environment for anything.
"""
