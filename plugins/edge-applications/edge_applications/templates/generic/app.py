"""Shows who visits, and a table of the organization."""

import os
from urllib.parse import unquote

import flask
import pandas as pd
import waitress

from edge.api import EdgeSession, NotFound

TABLE = "example/plates.csv"

app = flask.Flask(__name__)


def read_table() -> pd.DataFrame:
    """Read the table; an empty one if it is not there."""
    with EdgeSession() as edge:
        try:
            return edge.files.open(TABLE)
        except NotFound:
            return pd.DataFrame()


@app.get("/")
def index() -> str:
    """Show the page."""
    name = unquote(flask.request.headers.get("X-Forwarded-Display-Name", "whoever you are"))
    table = read_table()
    return flask.render_template("index.html", name=name, path=TABLE, table=table)


if __name__ == "__main__":
    # Where only the proxy reaches it.
    waitress.serve(app, host="127.0.0.1", port=int(os.environ.get("EDGE_APP_PORT", "9000")))
