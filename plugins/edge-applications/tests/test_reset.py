"""`edge reset`: files are put aside, with who may read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_applications.cli import reset
from edge_applications.develop import known_apps


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "config.ini"))
    return tmp_path


def test_logins_are_put_aside_and_others_still_cannot_read_them(settings: Path) -> None:
    for number, kept in enumerate(["config.ini.old", "config.ini.old1"]):
        (settings / "config.ini").write_text(f"[default]\napi_token = {number}\n")
        (settings / "config.ini").chmod(0o600)

        assert CliRunner().invoke(reset, ["cli_config"]).exit_code == 0

        assert not (settings / "config.ini").exists()
        assert f"api_token = {number}" in (settings / kept).read_text()
        assert (settings / kept).stat().st_mode & 0o777 == 0o600


def test_known_applications_are_forgotten_even_if_their_file_is_damaged(settings: Path) -> None:
    known_apps.path().write_text("- no mapping")

    assert CliRunner().invoke(reset, ["known_apps"]).exit_code == 0

    assert known_apps.read() == {}


def test_a_file_that_is_not_there_is_named(settings: Path) -> None:
    assert "is not there: no applications are known" in CliRunner().invoke(reset, ["known_apps"]).output
