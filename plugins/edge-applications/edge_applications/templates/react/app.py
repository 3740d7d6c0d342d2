"""Serves the page, and what it shows: who visits, and a table of the organization."""

import os
from pathlib import Path
from urllib.parse import unquote

import flask
import pandas as pd
import waitress

from edge.api import EdgeSession, NotFound

TABLE = "example/plates.csv"

app = flask.Flask(__name__, static_folder=Path(__file__).parent / "frontend" / "dist", static_url_path="")


def read_table() -> pd.DataFrame:
    """Read the table; an empty one if it is not there."""
    with EdgeSession() as edge:
        try:
            return edge.files.open(TABLE)
        except NotFound:
            return pd.DataFrame()


@app.get("/")
def index() -> flask.Response:
    """Send the page."""
    return app.send_static_file("index.html")


@app.get("/api/page")
def page() -> flask.Response:
    """Send what the page shows."""
    table = read_table()
    return flask.jsonify(
        name=unquote(flask.request.headers.get("X-Forwarded-Display-Name", "whoever you are")),
        path=TABLE,
        columns=list(table.columns),
        rows=table.to_numpy().tolist(),
    )


if __name__ == "__main__":
    # Where only the proxy reaches it.
    waitress.serve(app, host="127.0.0.1", port=int(os.environ.get("EDGE_APP_PORT", "9000")))
