"""The REST API: routes over :mod:`core`. What a route may do and how it answers an error is decided here, once."""
