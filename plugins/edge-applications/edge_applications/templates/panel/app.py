"""Shows who visits, and a table of the organization."""

from urllib.parse import unquote

import pandas as pd
import panel as pn

from edge.api import EdgeSession, NotFound

TABLE = "example/plates.csv"


def read_table() -> pd.DataFrame:
    """Read the table; an empty one if it is not there."""
    with EdgeSession() as edge:
        try:
            return edge.files.open(TABLE)
        except NotFound:
            return pd.DataFrame()


def page(name: str, table: pd.DataFrame) -> pn.Column:
    """Lay the page out."""
    if table.empty:
        shown = pn.pane.Str(f"There is no {TABLE} in your organization yet; the README says how to put one there.")
    else:
        shown = pn.widgets.DataFrame(table, disabled=True, show_index=False)
    # As text: a name is not to be obeyed as HTML or Markdown.
    return pn.Column(pn.pane.Str(f"Hello, {name}", styles={"font-size": "2em"}), pn.pane.Str(TABLE), shown)


def visitor() -> str:
    """The name of who visits."""
    headers = {name.lower(): value for name, value in (pn.state.headers or {}).items()}
    return unquote(headers.get("x-forwarded-display-name", "whoever you are"))


if pn.state.curdoc is not None and __name__.startswith("bokeh_app"):
    page(visitor(), read_table()).servable(title="Plates")
