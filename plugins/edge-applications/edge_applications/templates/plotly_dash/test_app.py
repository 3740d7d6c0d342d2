"""Tests of the application: edge app shell -- python -m pytest"""

import app
import pandas as pd
import pytest


def test_it_shows_who_visits_and_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "read_table", lambda: pd.DataFrame({"plate": ["P-101"], "signal": [0.42]}))

    with app.app.server.test_request_context(headers={"X-Forwarded-Display-Name": "Zo%C3%AB"}):
        hello, _, shown = app.layout().children

    assert hello.children == "Hello, Zoë"
    _, row = shown.children
    assert [cell.children for cell in row.children] == ["P-101", 0.42]


def test_without_the_table_it_says_so() -> None:
    *_, shown = app.page("Zoë", pd.DataFrame()).children

    assert "There is no example/plates.csv" in shown.children
