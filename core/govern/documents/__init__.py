"""One document: everything that people set, as text that is kept in a repository, compared and applied.

- :mod:`~.parsing` reads YAML and JSON as plain data, bounded; :mod:`~.emitting` writes it.
- :mod:`~.schema` has the form: models around those of :mod:`core.store.schemas`, and :func:`~.schema.read`.
- :mod:`~.sections` is the table of kinds of rows: how each is read from the store, found in a document, and written.
- :mod:`~.writing` writes a document of what is stored; :mod:`~.planning` compares one; :mod:`~.applying` applies it.
"""
