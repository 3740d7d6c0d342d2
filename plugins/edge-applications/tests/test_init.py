"""`edge app init`: what is there afterwards, with and without a session, and when it is called again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_applications import app_config
from edge_applications.cli import app
from edge_applications.develop import known_apps
from edge_core.errors import ConfigurationError
from edge_core.session import EdgeSession

Init = Callable[..., Result]


@pytest.fixture
def init(developer: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """Calls `edge app init` without an environment, as a developer, or without a session."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "settings" / "config.ini"))

    def call(*arguments: str, session: bool = True, text: str | None = None) -> Result:
        def open_session() -> EdgeSession:
            if not session:
                raise ConfigurationError("missing settings")
            settings = developer.config
            return EdgeSession(
                api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
            )

        return CliRunner().invoke(app, ["init", "--no-env", *arguments], obj=open_session, input=text)

    return call


def test_a_new_application_is_added_and_known(init: Init, tmp_path: Path, developer: EdgeSession) -> None:
    result = init("viewer", "--framework", "panel", "--python", "3.12")

    assert result.exit_code == 0, result.output
    config = app_config.read(tmp_path / "viewer")
    assert (config.app_id, config.python_version, config.organisation) == ("viewer", "3.12", developer.organization)
    assert known_apps.read() == {"viewer": tmp_path / "viewer"}
    assert developer.applications.list_application_ids() == ["viewer"]
    files = [path for path in (tmp_path / "viewer").rglob("*") if path.is_file()]
    # `{{ name }}` with spaces is one of Jinja, `${{ name }}` one of GitHub.
    assert [path for path in files if "{{" in path.read_text().replace("{{ ", "")] == []
    assert 'CMD ["python", "-m", "panel", "serve", "app.py"' in (tmp_path / "viewer" / "Containerfile").read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_called_again_it_keeps_the_files_and_adds_what_is_missing(
    init: Init, tmp_path: Path, developer: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = init("viewer", "--framework", "generic", "--org-id", developer.organization, session=False)
    assert ", and in no organization, as there is no session" in result.output
    assert developer.applications.list_application_ids() == []
    (tmp_path / "viewer" / "app.py").write_text("mine")

    monkeypatch.chdir(tmp_path / "viewer")
    assert init().exit_code == 0

    assert (tmp_path / "viewer" / "app.py").read_text() == "mine"
    assert developer.applications.list_application_ids() == ["viewer"]
    assert "app_id: . is of viewer" in str(init("other", "--target", ".").exception)


def test_what_is_left_out_is_prompted_for(init: Init, tmp_path: Path) -> None:
    result = init("--framework", "generic", session=False, text="viewer\nlab\n")

    assert result.exit_code == 0, result.output
    assert app_config.read(tmp_path / "viewer").organisation == "lab"


def test_a_framework_is_not_guessed(init: Init, tmp_path: Path) -> None:
    assert "--framework is missing; use one of generic, panel" in init("viewer").output
    assert not (tmp_path / "viewer").exists()


def test_a_python_that_edge_does_not_run_with_is_refused(init: Init, tmp_path: Path) -> None:
    for version, words in (("3.8", "3.8 is older than Edge runs with"), ("3", "'3' has not two numbers")):
        assert words in str(init("viewer", "--framework", "generic", "--python", version).exception)
    assert not (tmp_path / "viewer").exists()


def test_another_organization_than_that_of_the_session_gets_no_application(init: Init, developer: EdgeSession) -> None:
    result = init("viewer", "--framework", "generic", "--org-id", "other")

    assert f"not in other, as the session is in {developer.organization}" in result.output
    assert developer.applications.list_application_ids() == []
