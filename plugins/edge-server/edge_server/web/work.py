"""How much work a request may ask of the server's database."""

from __future__ import annotations

import flask

from edge_server.data import budgets

MOST_STEPS = 300_000_000
"""Steps of the database for one request, about ten seconds. A statement that is cut short there changes nothing."""


def install(app: flask.Flask) -> None:
    """Give each request of `app` its budget; before all else that looks at a request."""
    app.before_request(_begin)
    app.teardown_request(_end)


def _begin() -> None:
    budgets.set_budget(budgets.steps(MOST_STEPS))


def _end(_error: BaseException | None) -> None:
    budgets.set_budget(None)
