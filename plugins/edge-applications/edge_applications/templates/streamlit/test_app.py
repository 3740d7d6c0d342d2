"""Tests of the application: edge app shell -- python -m pytest"""

from streamlit.testing.v1 import AppTest


def with_table() -> None:
    import app
    import pandas as pd

    app.page("Zoë", pd.DataFrame({"plate": ["P-101"], "signal": [0.42]}))


def without_table() -> None:
    import app
    import pandas as pd

    app.page("Zoë", pd.DataFrame())


def test_it_shows_who_visits_and_the_table() -> None:
    page = AppTest.from_function(with_table).run(timeout=60)

    assert page.text[0].value == "Zoë"
    assert list(page.dataframe[0].value["plate"]) == ["P-101"]


def test_without_the_table_it_says_so() -> None:
    page = AppTest.from_function(without_table).run(timeout=60)

    assert "There is no example/plates.csv" in page.text[1].value
