"""`edge app`, against a live server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edge.apps.app_version import AppFrameworkEnum, AppKindEnum
from edge_applications.cli import app
from edge_core.session import EdgeSession

Run = Callable[..., Result]

CONFIG = """\
app_id: viewer
framework: panel
app_version: "1.0.0"
python_version: "3.11"
repository: quay.io/lab/viewer
env_deps: {edm: [numpy], pip: []}
app_deps: {edm: [], pip: [panel]}
exclude: [.git]
"""


@pytest.fixture
def run(developer: EdgeSession) -> Run:
    """Calls `edge app` as the developer, or as who is named."""

    def call(*arguments: str, by: EdgeSession = developer) -> Result:
        settings = by.config

        def open_session() -> EdgeSession:
            return EdgeSession(
                api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
            )

        return CliRunner().invoke(app, arguments, obj=open_session)

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder, which is the working folder."""
    (tmp_path / "app_config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_application_is_published_approved_listed_and_removed(
    run: Run, folder: Path, developer: EdgeSession, admin: EdgeSession
) -> None:
    published = run("publish")
    assert published.exit_code == 0, published.output
    assert "Registered viewer 1.0.0 with quay.io/lab/viewer:1.0.0; nothing was built or pushed." in published.output
    assert "In Review" in published.output
    kept = developer.applications.get_app_version("viewer", "1.0.0")
    assert (kept.kind, kept.framework, kept.title) == (AppKindEnum.Native, AppFrameworkEnum.Panel, "viewer")

    assert run("list").output.split() == ["viewer", "In", "Review", "1.0.0"]
    assert run("approve", by=admin).output == "Approved viewer.\n"
    assert "Approved" in run("list", "--builtin").output
    assert "edge.analysis  Built in" in run("list", "--builtin").output
    assert run("versions").output.split() == ["*", "1.0.0", "quay.io/lab/viewer:1.0.0"]
    assert run("remove", "viewer", "--version", "1.0.0", "--yes").exit_code == 0
    assert developer.applications.list_app_versions("viewer") == []
    assert run("remove", "viewer", "--yes", by=admin).exit_code == 0
    assert developer.applications.list_application_ids() == []


def test_everything_can_be_had_as_json(run: Run, folder: Path, admin: EdgeSession) -> None:
    added = json.loads(run("add", "other", "--hide-new", "--idle-minutes", "30", "--json").output)
    assert (added["app_id"], added["visible_auto_add"], added["idle_minutes"]) == ("other", False, 30)
    published = json.loads(run("publish", "--json").output)
    assert (published["version"], published["status"]) == ("1.0.0", "in_review")
    assert [row["app_id"] for row in json.loads(run("list", "--json").output)] == ["other", "viewer"]
    (only,) = json.loads(run("versions", "viewer", "--json").output)
    assert (only["version"], only["visible"]) == ("1.0.0", True)
    assert json.loads(run("approve", "viewer", "--json", by=admin).output)["status"] == "approved"
    removed = json.loads(run("remove", "other", "--yes", "--json", by=admin).output)
    assert removed == {"app_id": "other", "version": None, "removed": True}


def test_options_and_further_entries_say_more(run: Run, folder: Path, developer: EdgeSession) -> None:
    Image.new("RGB", (64, 64)).save(folder / "tile.png")
    (folder / "app_config.yaml").write_text(CONFIG + "title: Plates\ndescription: Shows plates.\nicon: tile.png\n")

    done = run("publish", "viewer", "--kind", "kubernetes", "--image", "ghcr.io/lab/v:7", "--profile", "edge.medium")

    assert done.exit_code == 0, done.output
    kept = developer.applications.get_app_version("viewer", "1.0.0")
    assert (kept.kind, kept.link, kept.recommended_profile) == (
        AppKindEnum.Kubernetes,
        "ghcr.io/lab/v:7",
        "edge.medium",
    )
    assert (kept.title, kept.description, bool(kept.icon)) == ("Plates", "Shows plates.", True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("app_id: [", "not YAML"),
        ("", "holds no entries"),
        ("- a\n", "holds no entries"),
        ("app_version: '1'\n", "app_id: app_config.yaml does not have it"),
        ("app_id: viewer\n", "app_version: app_config.yaml does not have it"),
        ("app_id: viewer\napp_version: 1.10\n", "app_version: it is not a text"),
        ("app_id: viewer\napp_version: '1'\n", "repository: app_config.yaml does not have it"),
        ("app_id: viewer\napp_version: '1'\nframework: cobol\n", "framework: 'cobol' is unknown"),
        ("app_id: viewer\napp_version: '1'\nkind: toy\n", "kind: 'toy' is unknown"),
        ("app_id: viewer\napp_version: '1'\nrepository: a/b\norganisation: other\n", "organisation: .* is for other"),
        ("app_id: viewer\napp_version: '1'\nrepository: a/b\nicon: no.png\n", "icon: .* cannot be read"),
        ("app_id: !!python/object/apply:os.getcwd []\n", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_the_name_of_the_entry(
    run: Run, folder: Path, developer: EdgeSession, text: str, sentence: str
) -> None:
    (folder / "app_config.yaml").write_text(text)

    done = run("publish")

    assert done.exit_code == 1
    assert re.search(sentence, str(done.exception)), done.exception
    assert developer.applications.list_application_ids() == []


def test_outside_a_folder_the_id_is_required(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("versions")

    assert done.exit_code == 2
    assert "APP_ID is missing" in done.output


def test_nothing_is_removed_without_a_yes(run: Run, folder: Path, developer: EdgeSession) -> None:
    run("add", "viewer")

    assert run("remove", "viewer").exit_code == 1
    assert developer.applications.list_application_ids() == ["viewer"]


def test_a_second_publication_of_a_version_is_refused(run: Run, folder: Path) -> None:
    assert run("publish").exit_code == 0

    assert "add it under another version" in str(run("publish").exception)
