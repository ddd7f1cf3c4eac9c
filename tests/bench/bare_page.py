"""What the pages are measured against: the same actions on a Streamlit page that does nothing else."""

import streamlit as st


def _edit() -> None:
    st.text_input("Name", "Local")
    if st.button("Cancel"):
        st.rerun()


if __name__ == "__main__":
    st.title("Bare")
    active = st.toggle("Active")
    st.badge("Active" if active else "Inactive")
    search = st.text_input("Search")
    st.text(f"Searched for {search}.")
    temperature = st.slider("Temperature", 0.0, 2.0, 0.4, 0.05)
    st.text(f"{temperature:.2f} would be sent.")
    if temperature != st.session_state.get("saved", 0.4) and st.button("Save"):
        st.session_state["saved"] = temperature
        st.rerun()
    if st.button("Edit"):
        st.dialog("Edit")(_edit)()
else:
    app = st.App(__file__)
