"""A list read by where each page begins: on, back and anew, with the place in the address."""

from streamlit.testing.v1 import AppTest


def _page() -> None:
    import streamlit as st  # noqa: PLC0415 - AppTest runs the function's text alone

    from ui import keyset  # noqa: PLC0415 - as above

    words = st.text_input("Words", key="words")
    at = keyset.part("letters", words, 3)
    rows = [each for each in "abcdefgh" if each > (at.after or "")][: at.asked]
    st.text("".join(rows[: at.size]))
    keyset.draw("letters", at, rows, rows[: at.size][-1] if rows else "")


def shown(at: AppTest) -> str:
    assert not at.exception
    return at.text[0].value


def test_on_back_and_anew() -> None:
    """Next begins after the last row; Before leads where one came from, of an unknown way to the beginning; other words begin anew."""
    at = AppTest.from_function(_page).run()
    assert shown(at) == "abc"
    assert at.button(key="letters_first").disabled
    for expected in ("def", "gh"):
        assert shown(at.button(key="letters_next").click().run()) == expected
    assert at.button(key="letters_next").disabled
    assert at.query_params["after"] == "f"
    assert shown(at.button(key="letters_before").click().run()) == "def"
    assert shown(at.button(key="letters_before").click().run()) == "abc"
    at.button(key="letters_next").click().run()
    assert shown(at.text_input(key="words").set_value("x").run()) == "abc"
    assert "after" not in at.query_params

    at = AppTest.from_function(_page)
    at.query_params["after"] = "f"
    assert shown(at.run()) == "gh"
    assert shown(at.button(key="letters_before").click().run()) == "abc"


def test_address_that_is_no_place() -> None:
    """What no row can be called is said, and the list begins at its beginning."""
    for value in ("a\x00b", "x" * 300):
        at = AppTest.from_function(_page)
        at.query_params["after"] = value
        assert shown(at.run()) == "abc"
        assert "no place in this list" in at.warning[0].value
