"""Two catalogues are compared row by row, and field by field."""

from core.models.compare import FactChange, changes

ROW = {"context": 1000, "reasoning": "none"}


def test_changes() -> None:
    old = {"openai": {"a": ROW, "b": ROW, "c": ROW}}
    new = {"openai": {"b": ROW, "c": {"context": 2000, "sampling": "yes"}}, "xai": {"d": ROW}}

    assert list(changes(old, new)) == [
        FactChange("openai", "a", None, ROW, None),
        FactChange("openai", "c", "context", 1000, 2000),
        FactChange("openai", "c", "reasoning", "none", None),
        FactChange("openai", "c", "sampling", None, "yes"),
        FactChange("xai", "d", None, None, ROW),
    ]
    assert list(changes(old, old)) == []
