"""Configurations in each published form: what they say, and what they are in today's form."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from edge_applications import app_config
from edge_applications.cli import app
from edge_applications.develop import environment
from edge_applications.develop.environment import Environment
from edge_core.session import EdgeSession

BEGINNING = """\
app_id: viewer
framework: panel
app_version: "1.0.0"
"""

#: Forms by the years they are of: the entries, and the image that they name.
FORMS = {
    "2022": (
        """\
python_version: 3.8
repository: quay.io
organisation: enthought
env_deps: {edm: [click, edge_cli], pip: []}
app_deps: {edm: [enthought_edge, panel ^= 1.2.3], pip: [lasio]}
cmd_deps: [docker]
exclude: [.git]
""",
        "quay.io/enthought/viewer:1.0.0",
    ),
    "2024, one entry": (
        """\
python_version: "3.11"
repository: quay.io/enthought
image_name: plates
env_name: viewer-env
app_deps: {edm: [enthought_edge], pip: []}
""",
        "quay.io/enthought/plates:1.0.0",
    ),
    "2024, two entries": (
        """\
python_version: "3.11"
repo_server: quay.io
repository: enthought
app_deps: {edm: [enthought_edge, pytables], pip: []}
""",
        "quay.io/enthought/viewer:1.0.0",
    ),
    "2024, no id": (
        """\
app_id: null
repository: quay.io/enthought
app_deps: {edm: [], pip: []}
""",
        "quay.io/enthought/viewer:1.0.0",
    ),
    "2025": (
        """\
python_version: 3.11
repository: quay.io
organisation: enthought
env_deps: {edm: [], pip: [pytest]}
app_deps: {edm: [enthought_edge], pip: [flask]}
exclude: [.git]
""",
        "quay.io/enthought/viewer:1.0.0",
    ),
}

OLD_ENTRIES = {"repo_server", "env_name", "cmd_deps"}


@pytest.mark.parametrize("form", FORMS)
def test_a_configuration_of_each_form_is_upgraded_and_names_the_same_image(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entries, image = FORMS[form]
    text = (BEGINNING.removeprefix("app_id: viewer\n") if "app_id: null" in entries else BEGINNING) + entries
    file = tmp_path / "app_config.yaml"
    file.write_text(text)
    assert app_config.read(tmp_path, "viewer").image() == image

    upgraded = CliRunner().invoke(app, ["upgrade", "viewer"])

    assert upgraded.exit_code == 0, upgraded.output
    config = app_config.read(tmp_path)
    assert (config.app_id, config.image(), config.app_deps.edm) == ("viewer", image, ())
    assert not OLD_ENTRIES & yaml.safe_load(file.read_text()).keys()
    assert (tmp_path / "app_config.yaml.old").read_text() == text
    again = CliRunner().invoke(app, ["upgrade"])
    assert "of today's form already" in again.output
    assert {path.name for path in tmp_path.iterdir()} == {"app_config.yaml", "app_config.yaml.old"}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_application_of_each_form_runs_and_is_published_with_its_image(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, developer: EdgeSession
) -> None:
    monkeypatch.chdir(tmp_path)
    # Panel is not in the environment of the tests, and what is published then was not started by its framework alone.
    entries, image = FORMS[form]
    (tmp_path / "app_config.yaml").write_text(
        (BEGINNING.removeprefix("app_id: viewer\n") if "app_id: null" in entries else BEGINNING)
        + entries
        + f'command: [{sys.executable}, -m, http.server, --bind, 127.0.0.1, "{{port}}"]\n'
    )
    monkeypatch.setattr(environment, "existing", lambda _folder, _config: Environment(Path(sys.prefix)))
    settings = developer.config

    def open_session() -> EdgeSession:
        return EdgeSession(
            api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
        )

    for upgraded in (False, True):
        if upgraded:
            assert CliRunner().invoke(app, ["upgrade", "viewer"]).exit_code == 0
        checked = CliRunner().invoke(app, ["check", "viewer"], obj=open_session)
        assert "viewer 1.0.0 answers its first page with status 200" in checked.output, checked.output
    assert CliRunner().invoke(app, ["publish", "viewer", "--no-push"], obj=open_session).exit_code == 0
    assert developer.applications.get_app_version("viewer", "1.0.0").link == image


def test_each_change_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    deps = "app_deps: {edm: [enthought_edge, lab_internal], pip: []}\ntitle: Plates\n"
    (tmp_path / "app_config.yaml").write_text(f"{BEGINNING}python_version: 3.8\nenv_name: old\n{deps}")

    output = CliRunner().invoke(app, ["upgrade"]).output

    assert "python_version: 3.8 is older than Edge runs with" in output
    assert "lab_internal is left out" in output
    assert "env_name: nothing reads it any more" in output
    assert yaml.safe_load((tmp_path / "app_config.yaml").read_text())["title"] == "Plates"


def test_entries_that_name_no_image_are_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app_config.yaml").write_text(f"{BEGINNING}repo_server: quay.io\norganization: lab\nimage_name: a/b\n")

    output = CliRunner().invoke(app, ["upgrade"]).output

    assert "the entries for the image are left as they are" in output
    entries = yaml.safe_load((tmp_path / "app_config.yaml").read_text())
    assert (entries["repo_server"], entries["organization"], entries["image_name"]) == ("quay.io", "lab", "a/b")
