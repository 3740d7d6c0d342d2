"""Tests of the application: edge app shell -- python -m pytest"""

import app
import pandas as pd
import pytest


def test_the_page_is_built_and_sent() -> None:
    assert '<div id="root">' in app.app.test_client().get("/").text


def test_it_sends_who_visits_and_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "read_table", lambda: pd.DataFrame({"plate": ["P-101"], "signal": [0.42]}))

    shown = app.app.test_client().get("/api/page", headers={"X-Forwarded-Display-Name": "Zo%C3%AB"}).json

    assert shown == {
        "name": "Zoë",
        "path": "example/plates.csv",
        "columns": ["plate", "signal"],
        "rows": [["P-101", 0.42]],
    }
