"""The README's lines run, against real engines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas
import pytest

from edge_core.session import EdgeSession
from edge_server.testing.pytest_plugin import Join
from edge_sources.openapi import OpenAPIConnection
from edge_sources.s3 import S3Connection

from .conftest import connection_of
from .engines import Database
from .pets import PETS

BLOCKS = re.findall(r"^```python\n(.*?)^```", (Path(__file__).parents[1] / "README.md").read_text(), flags=re.M | re.S)


@pytest.fixture
def dev(edge_join: Join, monkeypatch: pytest.MonkeyPatch) -> EdgeSession:
    """A developer, whose settings are in the environment."""
    session = edge_join("developer")
    monkeypatch.setenv("EDGE_API_TOKEN", session.config.api_token)
    monkeypatch.setenv("EDGE_API_SERVICE_URL", session.config.service_url)
    monkeypatch.setenv("EDGE_API_ORG", session.config.organization)
    return session


def run(block: str) -> Any:
    assert len(block.splitlines()) == 5
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    names["edge"].close()
    return names["df"]


def test_five_lines_to_a_database(dev: EdgeSession, postgres: Database) -> None:
    lims = connection_of(postgres)
    frame = pandas.DataFrame({"plate": [7, 8], "value": [0.5, 1.5]})
    frame.to_sql("runs", lims.engine, index=False)
    dev.sources.add(lims)
    try:
        assert run(BLOCKS[0]).to_dict("list") == {"plate": [7], "value": [0.5]}
    finally:
        with lims.engine.begin() as connection:
            lims.tables["runs"].table.drop(connection)


def test_five_lines_to_an_object_store(dev: EdgeSession, bucket: S3Connection) -> None:
    bucket.root.upload("runs/plate-7.csv", b"sample,volume\nA,1.5\n")
    dev.sources.add(bucket)
    assert run(BLOCKS[1]).to_dict("list") == {"sample": ["A"], "volume": [1.5]}


def test_five_lines_to_a_service(dev: EdgeSession, url: str) -> None:
    dev.sources.add(OpenAPIConnection("pets", "Pets", PETS, f"{url}/v1", token="k"))
    assert run(BLOCKS[2])["name"].tolist() == ["Rex"]
