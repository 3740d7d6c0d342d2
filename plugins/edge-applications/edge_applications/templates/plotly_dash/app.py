"""Shows who visits, and a table of the organization."""

import os
from urllib.parse import unquote

import flask
import pandas as pd
import waitress
from dash import Dash, html

from edge.api import EdgeSession, NotFound

TABLE = "example/plates.csv"


def read_table() -> pd.DataFrame:
    """Read the table; an empty one if it is not there."""
    with EdgeSession() as edge:
        try:
            return edge.files.open(TABLE)
        except NotFound:
            return pd.DataFrame()


def page(name: str, table: pd.DataFrame) -> html.Div:
    """Lay the page out."""
    if table.empty:
        shown = html.P(f"There is no {TABLE} in your organization yet; the README says how to put one there.")
    else:
        rows = [html.Tr([html.Td(cell) for cell in row]) for row in table.itertuples(index=False)]
        shown = html.Table([html.Tr([html.Th(column) for column in table.columns]), *rows])
    return html.Div([html.H1(f"Hello, {name}"), html.P(TABLE), shown])


def layout() -> html.Div:
    """The page of who visits; Dash calls it for each visit."""
    # Dash calls it at the start too, for nobody.
    headers = flask.request.headers if flask.has_request_context() else {}
    return page(unquote(headers.get("X-Forwarded-Display-Name", "whoever you are")), read_table())


app = Dash(title="Plates", update_title="")

if __name__ == "__main__":
    app.layout = layout
    # Where only the proxy reaches it.
    waitress.serve(app.server, host="127.0.0.1", port=int(os.environ.get("EDGE_APP_PORT", "9000")))
