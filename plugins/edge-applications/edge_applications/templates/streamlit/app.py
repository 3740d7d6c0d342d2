"""Shows who visits, and a table of the organization."""

from urllib.parse import unquote

import pandas as pd
import streamlit as st

from edge.api import EdgeSession, NotFound

TABLE = "example/plates.csv"


def read_table() -> pd.DataFrame:
    """Read the table; an empty one if it is not there."""
    with EdgeSession() as edge:
        try:
            return edge.files.open(TABLE)
        except NotFound:
            return pd.DataFrame()


def page(name: str, table: pd.DataFrame) -> None:
    """Lay the page out."""
    # As text: a name is not to be obeyed as Markdown.
    st.header("Hello", divider=True)
    st.text(name)
    if table.empty:
        st.text(f"There is no {TABLE} in your organization yet; the README says how to put one there.")
    else:
        st.text(TABLE)
        st.dataframe(table, hide_index=True)


def visitor() -> str:
    """The name of who visits."""
    return unquote(st.context.headers.get("X-Forwarded-Display-Name") or "whoever you are")


if __name__ == "__main__":
    st.set_page_config("Plates")
    page(visitor(), read_table())
