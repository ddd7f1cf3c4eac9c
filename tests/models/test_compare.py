"""Two catalogues are compared row by row, and field by field."""

from core.models.compare import Change, changes

ROW = {"context": 1000, "reasoning": "none"}


def test_changes() -> None:
    old = {"openai": {"a": ROW, "b": ROW, "c": ROW}}
    new = {"openai": {"b": ROW, "c": {"context": 2000, "sampling": "yes"}}, "xai": {"d": ROW}}

    assert list(changes(old, new)) == [
        Change("openai", "a", None, ROW, None),
        Change("openai", "c", "context", 1000, 2000),
        Change("openai", "c", "reasoning", "none", None),
        Change("openai", "c", "sampling", None, "yes"),
        Change("xai", "d", None, None, ROW),
    ]
    assert list(changes(old, old)) == []
