"""`edge app`, against a live server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from edge.apps.app_version import AppFrameworkEnum, AppKindEnum
from edge_applications import app_config
from edge_core.errors import AlreadyExists, BadEntry
from edge_core.session import EdgeSession

from .commands import Run

DOCUMENT = (Path(__file__).parents[3] / "docs" / "applications.md").read_text()

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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder, which is the working folder."""
    (tmp_path / "app_config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_application_is_published_approved_listed_and_removed(
    run: Run, folder: Path, developer: EdgeSession, admin: EdgeSession
) -> None:
    published = run("publish", "--no-push")
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
    published = json.loads(run("publish", "--no-push", "--json").output)
    assert (published["version"], published["status"], published["skipped"]) == ("1.0.0", "in_review", False)
    assert [row["app_id"] for row in json.loads(run("list", "--json").output)] == ["other", "viewer"]
    (only,) = json.loads(run("versions", "viewer", "--json").output)
    assert (only["version"], only["visible"]) == ("1.0.0", True)
    assert json.loads(run("approve", "viewer", "--json", by=admin).output)["status"] == "approved"
    removed = json.loads(run("remove", "other", "--yes", "--json", by=admin).output)
    assert removed == {"app_id": "other", "version": None, "removed": True}


def test_options_and_further_entries_say_more(run: Run, folder: Path, developer: EdgeSession) -> None:
    Image.new("RGB", (64, 64)).save(folder / "tile.png")
    (folder / "app_config.yaml").write_text(CONFIG + "title: Plates\ndescription: Shows plates.\nicon: tile.png\n")

    done = run(
        "publish", "--no-push", "viewer", "--kind", "native", "--image", "ghcr.io/lab/v:7", "--profile", "edge.medium"
    )

    assert done.exit_code == 0, done.output
    kept = developer.applications.get_app_version("viewer", "1.0.0")
    assert (kept.kind, kept.link, kept.recommended_profile) == (
        AppKindEnum.Native,
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
        ("app_id: null\nimage_name: viewer\napp_version: '1'\n", "app_id: app_config.yaml does not have it"),
        ("app_id: viewer\napp_version: '1'\nrepository: quay.io\n", "organisation: .* quay.io alone does not tell"),
        ("app_id: viewer\napp_version: '1'\nrepository: q.io\norganisation: 7\n", "organisation: it is not a text"),
        (
            "app_id: viewer\napp_version: '1'\nkind: kubernetes\nrepository: q.io/a/viewer\n",
            "link: .*the kubernetes app",
        ),
        ("app_id: viewer\napp_version: '1'\nkind: external\n", "link: .*address of the external app"),
        ("app_id: viewer\napp_version: '1'\nrepository: q.io/a/viewer\nicon: no.png\n", "icon: .* cannot be read"),
        ("app_id: !!python/object/apply:os.getcwd []\n", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_the_name_of_the_entry(
    run: Run, folder: Path, developer: EdgeSession, text: str, sentence: str
) -> None:
    (folder / "app_config.yaml").write_text(text)

    done = run("publish", "--no-push")

    assert done.exit_code == 1
    assert re.search(sentence, str(done.exception)), done.exception
    assert developer.applications.list_application_ids() == []


#: Published configurations, one of each framework; what they have for building is shortened.
PUBLISHED = """\
app_id: edge-{framework}-example
framework: {framework}
app_version: 1.3.0
python_version: 3.11
repository: quay.io
organisation: enthought
env_deps:
  edm:
  - click
  - enthought_edge
  pip:
  - questionary
app_deps:
  edm:
  - enthought_edge>=2.16.0
  - flask>2
  pip: []
cmd_deps:
- docker
exclude:
- bootstrap.py
"""


@pytest.mark.parametrize("framework", ["generic", "panel", "plotly-dash", "react", "streamlit"])
def test_a_published_configuration_is_registered_once(
    run: Run, folder: Path, developer: EdgeSession, framework: str
) -> None:
    (folder / "app_config.yaml").write_text(PUBLISHED.replace("{framework}", framework))
    image = f"quay.io/enthought/edge-{framework}-example:1.3.0"

    first, second = run("publish", "--no-push", "--skip-existing"), run("publish", "--no-push", "--skip-existing")

    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert f"Registered edge-{framework}-example 1.3.0 with {image}" in first.output
    assert f"Skipped edge-{framework}-example 1.3.0, which is registered already with {image}.\n" in second.output
    assert "differs" not in second.output
    (kept,) = developer.applications.list_app_versions(f"edge-{framework}-example")
    assert (kept.version, kept.link) == ("1.3.0", image)
    assert (kept.kind, kept.framework) == (AppKindEnum.Native, AppFrameworkEnum(framework))
    assert json.loads(run("publish", "--no-push", "--skip-existing", "--json").output)["skipped"] is True
    assert isinstance(run("publish", "--no-push").exception, AlreadyExists)


def test_a_skipped_version_that_differs_says_in_what(run: Run, folder: Path, developer: EdgeSession) -> None:
    assert run("publish", "--no-push").exit_code == 0
    Image.new("RGB", (64, 64)).save(folder / "tile.png")

    done = run(
        "publish", "--no-push", "--skip-existing", "--image", "quay.io/lab/viewer:2", "--icon", str(folder / "tile.png")
    )

    assert done.exit_code == 0
    assert "It differs from what is here in icon, link; publish that as another version." in done.output
    assert developer.applications.get_app_version("viewer", "1.0.0").link == "quay.io/lab/viewer:1.0.0"


def image_of(folder: Path, *entries: str) -> str:
    lines = ["app_id: viewer", "app_version: 1.0.0", *entries]
    (folder / "app_config.yaml").write_text("\n".join(lines))
    return app_config.read(folder).image()


EXAMPLES = re.findall(r"^\| ((?:`\w+: \S+`(?:, )?)+) \| `(\S+)` \|$", DOCUMENT, flags=re.M)


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) == 11


@pytest.mark.parametrize(("entries", "image"), EXAMPLES)
def test_the_image_is_what_the_document_says(tmp_path: Path, entries: str, image: str) -> None:
    assert image_of(tmp_path, *re.findall("`(.*?)`", entries)) == image


@pytest.mark.parametrize(
    ("entries", "image"),
    [
        ("repository: quay.io\norganization: enthought", "quay.io/enthought/viewer:1.0.0"),
        ("repository: quay.io\norganisation: my.lab", "quay.io/my.lab/viewer:1.0.0"),
        ("repo_server: quay.io\nrepository: my.lab", "quay.io/my.lab/viewer:1.0.0"),
        ("repository: localhost:5000\norganisation: lab/team", "localhost:5000/lab/team/viewer:1.0.0"),
        ("repository: quay.io/lab/team\nimage_name: plates", "quay.io/lab/team/plates:1.0.0"),
        ("repository: quay.io\nimage_name: lab/plates", "quay.io/lab/plates:1.0.0"),
        (f"repository: quay.io/lab/plates@sha256:{'0' * 64}", f"quay.io/lab/plates@sha256:{'0' * 64}"),
    ],
)
def test_the_image_is_what_the_entries_say(tmp_path: Path, entries: str, image: str) -> None:
    assert image_of(tmp_path, entries) == image


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ("repo_server: quay.io", "organisation: .* does not have it, and quay.io alone"),
        ("repo_server: quay.io\nimage_name: plates", "organisation: .* does not have it, and quay.io alone"),
        ("repo_server: quay.io/lab", "repo_server: 'quay.io/lab' is not the host .* organisation in repository"),
        ("repository: lab\nimage_name: plates", "repository: 'lab' is not the host .* in organisation"),
        ("image_name: quay.io/lab/p3", "repository: .* write the whole image reference as link: quay.io/lab/p3:1.0.0"),
        ("image_name: p3", "repository: .* add the registry's host, as in repository: quay.io"),
        ("repository: quay.io/lab/p3", "quay.io/lab/p3 alone does not tell the image"),
        ("repository: quay.io/viewer", "quay.io/viewer alone does not tell the image"),
        ("repository: quay.io/lab/p3\nimage_name: p3", "quay.io/lab/p3 alone does not tell the image"),
        ("repo_server: quay.io\nrepository: lab/viewer", "lab/viewer alone does not tell the image"),
        (
            "repository: quay.io/lab/p3\nimage_name: lab/p3",
            r"repository: .* in repository \(lab/p3\) and in image_name \(lab\); leave it in one of them",
        ),
        (
            "repo_server: quay.io\nrepository: p3\norganisation: lab",
            r"repository: .* in repository \(p3\) and in organisation \(lab\)",
        ),
        ("repository: quay.io/lab\norganisation: lab", r"in repository \(lab\) and in organisation \(lab\)"),
        ("repository: quay.io\norganisation: lab\nimage_name: lab/p3", r"in organisation \(lab\) and in image_name"),
        ("repo_server: quay.io\nrepository: quay.io/lab", "repository: quay.io/lab begins with the host"),
        ("repository: quay.io\norganisation: quay.io/lab", "organisation: quay.io/lab begins with the host"),
        ("repo_server: quay.io\nimage_name: quay.io/lab/p3", "image_name: quay.io/lab begins with the host"),
        ("repository: quay.io/lab/p3:7\nimage_name: p3", "is a whole image reference, and .* has image_name too"),
    ],
)
def test_entries_that_could_mean_several_images_are_refused(tmp_path: Path, entries: str, sentence: str) -> None:
    with pytest.raises(BadEntry, match=sentence):
        image_of(tmp_path, entries)


def test_the_documents_file_is_published(run: Run, folder: Path, developer: EdgeSession) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, flags=re.M | re.S)
    (folder / "app_config.yaml").write_text(example)
    assert run("publish", "--no-push").exit_code == 0
    (version,) = developer.applications.list_app_versions("viewer")
    assert (version.version, version.link) == ("1.0.0", "quay.io/lab/viewer:1.0.0")


def test_the_document_lists_the_frameworks() -> None:
    listed = re.findall("`framework` is one of (.*?)[.;]", DOCUMENT, flags=re.S)[0]
    assert re.findall("`(.*?)`", listed) == [framework.value for framework in AppFrameworkEnum if framework.value]


def test_a_link_wins_over_the_image(run: Run, folder: Path, developer: EdgeSession) -> None:
    (folder / "app_config.yaml").write_text(CONFIG + "link: ghcr.io/lab/other:2\n")

    assert run("publish", "--no-push").exit_code == 0
    assert developer.applications.get_app_version("viewer", "1.0.0").link == "ghcr.io/lab/other:2"


def test_a_file_without_an_id_is_of_the_application_that_is_named(
    run: Run, folder: Path, developer: EdgeSession
) -> None:
    (folder / "app_config.yaml").write_text(
        PUBLISHED.replace("app_id: edge-{framework}-example", "app_id: null").replace("{framework}", "panel")
    )

    assert run("publish", "--no-push", "viewer").exit_code == 0
    assert developer.applications.get_app_version("viewer", "1.3.0").link == "quay.io/enthought/viewer:1.3.0"


@pytest.mark.parametrize("kind", ["kubernetes", "external"])
def test_what_runs_elsewhere_is_published_with_its_address(
    run: Run, folder: Path, developer: EdgeSession, kind: str
) -> None:
    done = run("publish", "--no-push", "--kind", kind, "--link", "https://viewer.example.com")

    assert done.exit_code == 0, done.exception
    kept = developer.applications.get_app_version("viewer", "1.0.0")
    assert (kept.kind, kept.link) == (AppKindEnum(kind), "https://viewer.example.com")
    assert "link: it is not the address" in str(
        run("publish", "--no-push", "--kind", kind, "--link", "q.io/a/b:1").exception
    )


def test_outside_a_folder_the_id_is_required(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("versions")

    assert done.exit_code == 2
    assert "APP_ID is missing" in done.output


def test_in_a_folder_the_id_can_be_left_out(run: Run, folder: Path, admin: EdgeSession) -> None:
    empty = run("list")
    assert (empty.stdout, empty.stderr) == ("", "You see no applications; add one with: edge app add APP_ID\n")
    assert run("list", "--json").stdout == "[]\n"
    assert run("add", by=admin).exit_code == 0
    assert run("versions").stderr == "viewer has no versions; register one with: edge app publish\n"
    assert run("publish", "--no-push").exit_code == 0
    assert run("approve", by=admin).exit_code == 0
    assert run("remove", "--version", "1.0.0", "--yes").stderr == "Removed viewer 1.0.0.\n"

    refused = run("remove", "--yes", by=admin)
    assert refused.exit_code == 2
    assert "APP_ID is missing; name the application" in refused.output
    assert run("remove", by=admin).exit_code == 2  # nobody says yes
    assert admin.applications.list_application_ids() == ["viewer"]


def test_the_id_of_a_folder_needs_no_other_entry(run: Run, folder: Path, developer: EdgeSession) -> None:
    (folder / "app_config.yaml").write_text(
        "app_id: viewer\napp_version: 1.10\n"
    )  # a number, which cannot be published

    assert run("add").exit_code == 0
    assert developer.applications.list_application_ids() == ["viewer"]


def test_nothing_is_removed_without_a_yes(run: Run, folder: Path, developer: EdgeSession) -> None:
    run("add", "viewer")

    assert run("remove", "viewer").exit_code == 2
    assert developer.applications.list_application_ids() == ["viewer"]


def test_a_second_publication_of_a_version_is_refused(run: Run, folder: Path) -> None:
    assert run("publish", "--no-push").exit_code == 0

    assert "add it under another version" in str(run("publish", "--no-push").exception)
