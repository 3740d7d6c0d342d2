"""Tests of the application: edge app shell -- python -m pytest"""

import app
import pandas as pd


def test_it_shows_who_visits_and_the_table() -> None:
    table = pd.DataFrame({"plate": ["P-101"], "signal": [0.42]})

    hello, _, shown = app.page("Zoë", table)

    assert hello.object == "Hello, Zoë"
    assert shown.value.equals(table)


def test_without_the_table_it_says_so() -> None:
    *_, shown = app.page("Zoë", pd.DataFrame())

    assert "There is no example/plates.csv" in shown.object
