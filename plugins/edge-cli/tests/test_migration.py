"""`edge plugins migration` where there is no server; with one it is tested there."""

from __future__ import annotations

import importlib.util

import pytest
from click.testing import CliRunner

from edge_cli.plugins import plugins


def test_without_edge_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    answer = CliRunner().invoke(plugins, ["migration", "lims", "-m", "Samples"])
    assert answer.exit_code == 1
    assert answer.stderr == ("Error: migrations are written by edge-server, which is not installed; install it first\n")
