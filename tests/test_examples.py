"""Every example runs: those in docstrings as doctests, those in documents in order, against a real server."""

from __future__ import annotations

import base64
import doctest
import importlib
import io
import re
import sqlite3
import sys
import types
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy
import pytest
import traitlets.config
from PIL import Image

from edge_admin.user import User
from edge_core.plugin import Namespace
from edge_core.session import EdgeSession
from edge_server.testing.pytest_plugin import Join
from edge_sources.sql import SQLConnection
from tools.set_version import ROOT

PACKAGES = [ROOT / "edge", ROOT / "edge_core", ROOT / "tools", *ROOT.glob("plugins/*/edge_*")]


def modules_with_examples() -> list[str]:
    """Names of our modules that have a prompt in them."""
    paths = [(package.parent, path) for package in PACKAGES for path in package.rglob("*.py")]
    written = [(root, path) for root, path in paths if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.M)]
    return sorted(".".join(path.relative_to(root).with_suffix("").parts) for root, path in written)


def documents_with_examples() -> dict[str, list[str]]:
    """The Python of each document, block by block."""
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/*.md")]
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in documents}
    pages = {name: re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) for name, text in texts.items()}
    return {name: blocks for name, blocks in pages.items() if blocks}


MODULES = modules_with_examples()
DOCUMENTS = documents_with_examples()

#: Documents whose examples are checked by other tests, as they need an engine or are parts of a plugin to come.
RUN_ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "docs/plugins.md": "tests/test_plugin_guide.py",
    "plugins/edge-server/README.md": "plugins/edge-server/tests/test_pytest_plugin.py",
    "plugins/edge-sources/README.md": "plugins/edge-sources/tests/test_readme.py",
}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str, request: pytest.FixtureRequest) -> None:
    module = importlib.import_module(name)
    names: dict[str, object] = {}
    if "server_url" in (module.__doc__ or ""):
        names = {"server_url": request.getfixturevalue("edge_server").url, "urllib": urllib}
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    report = io.StringIO()
    for docstring in doctest.DocTestFinder(exclude_empty=True).find(module, name, extraglobs=names):
        runner.run(docstring, out=report.write)
    assert runner.failures == 0, report.getvalue()
    assert runner.tries == len(re.findall(r"^ *>>> ", Path(str(module.__file__)).read_text(encoding="utf-8"), re.M))


def test_modules_with_examples_are_looked_for_everywhere() -> None:
    assert {"edge_core.records", "edge_secrets.secret", "tools.words"} <= set(MODULES)


@pytest.fixture
def edge(edge_join: Join, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EdgeSession]:
    """A session of somebody who may do everything, with its settings in the environment, in an empty folder."""
    session = edge_join("admin", "developer", server_admin=True)
    monkeypatch.setenv("EDGE_API_TOKEN", session.config.api_token)
    monkeypatch.setenv("EDGE_API_SERVICE_URL", session.config.service_url)
    monkeypatch.setenv("EDGE_API_ORG", session.config.organization)
    monkeypatch.chdir(tmp_path)
    organizations, users = set(session.admin.list_organization_names()), set(session.admin.list_user_names())
    yield session
    # Examples name what they create, and the server is shared.
    for name in set(session.admin.list_organization_names()) - organizations:
        session.admin.remove_organization(name)
    for name in set(session.admin.list_user_names()) - users:
        session.admin.remove_user(name)


def with_icon(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    return {"icon": base64.b64encode(picture.getvalue()).decode()}


def with_files(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    Path("plate-7.csv").write_text("sample,volume\nA,1.5\n")
    return {}


def with_database(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    sqlite3.connect("lims.sqlite3").execute("CREATE TABLE runs (plate INTEGER, value REAL)").connection.close()
    edge.sources.add(SQLConnection("lims", "LIMS", db_kind="sqlite", db_name="lims.sqlite3"))
    return {}


def with_runs(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    database = sqlite3.connect("lims.sqlite3")
    database.execute("CREATE TABLE runs (plate INTEGER, price NUMERIC, ends DATETIME, label TEXT, notes JSON)")
    database.execute("INSERT INTO runs VALUES (7, 0.5, '2024-02-29', 'a', '[1]')")
    database.commit()
    database.close()
    return {"db": SQLConnection("lims", "LIMS", db_kind="sqlite", db_name="lims.sqlite3")}


def with_secret(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    edge.secrets.create_organization_secret("warehouse", {"password": "correct horse"})
    return {}


def with_store(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    edge.files.upload("plate-7.csv", b"sample,volume\nA,1.5\n")
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as file:
        file["volume"] = [1.5]
    edge.files.upload("plate-7.h5", hdf5.getvalue())
    return {"my_store": edge.files._store, "mask": numpy.eye(3, dtype=bool)}


def with_lab(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    for name in ("edge_lab", "edge_lab.namespace"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    vars(sys.modules["edge_lab.namespace"])["Lab"] = Namespace
    return {}


def with_ada(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    edge.admin.add_user(User("ada", home_org=edge.organization))
    edge.admin.add_user_to_organization("ada")
    return {}


def with_hub(edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    return {"c": traitlets.config.Config(), "SECRET": "0123456789abcdef"}


#: What documents rely on being there; returns the names that their examples use.
PREPARE: dict[str, Callable[[EdgeSession, pytest.MonkeyPatch], dict[str, object]]] = {
    "docs/administration.md": with_ada,
    "docs/applications.md": with_icon,
    "docs/connectors.md": with_database,
    "docs/jupyterhub.md": with_hub,
    "docs/sql-types.md": with_runs,
    "plugins/edge-cli/README.md": with_lab,
    "plugins/edge-files/README.md": with_files,
    "plugins/edge-hub/README.md": with_hub,
    "plugins/edge-secrets/README.md": with_secret,
    "plugins/edge-vfs/README.md": with_store,
}


#: They draw, and matplotlib takes a second to load.
SLOW = {"docs/billing.md", "plugins/edge-billing/README.md"}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in sorted(DOCUMENTS.keys() - RUN_ELSEWHERE.keys())
    ],
)
def test_the_examples_in_documents_run(document: str, edge: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    prepare = PREPARE.get(document, lambda edge, monkeypatch: {})
    vars(page).update(prepare(edge, monkeypatch), edge=edge)
    for number, block in enumerate(DOCUMENTS[document], 1):
        exec(compile(block, f"{document}, block {number}", "exec"), vars(page))


def test_the_tests_that_run_other_documents_exist() -> None:
    assert RUN_ELSEWHERE.keys() <= DOCUMENTS.keys()
    assert all((ROOT / path).is_file() for path in RUN_ELSEWHERE.values())
    assert PREPARE.keys() <= DOCUMENTS.keys()
