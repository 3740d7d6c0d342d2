"""Tests of the application: edge app shell -- python -m pytest"""

import app
import pandas as pd
import pytest


def test_it_shows_who_visits_and_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "read_table", lambda: pd.DataFrame({"plate": ["P-101"], "signal": [0.42]}))

    page = app.app.test_client().get("/", headers={"X-Forwarded-Display-Name": "Zo%C3%AB <Lovelace>"}).text

    assert "Hello, Zoë &lt;Lovelace&gt;" in page
    assert "<td>P-101</td>" in page


def test_without_the_table_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "read_table", pd.DataFrame)

    assert "There is no example/plates.csv" in app.app.test_client().get("/").text
