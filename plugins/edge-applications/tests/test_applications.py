"""Applications, versions, registries and OAuth clients, against a live server."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from edge.api import AlreadyExists, BadEntry, Conflict, EdgeError, Forbidden, NotFound
from edge.apps.app_version import AppFrameworkEnum, AppKindEnum, AppVersion
from edge.apps.application import Application, AppResource, AppStatusEnum
from edge.apps.running_app import RunningApp, RunningAppStatusEnum
from edge.apps.server_info import ServerInfo
from edge_applications.names import is_image, is_web_address
from edge_core.session import EdgeSession
from edge_server.applications import models
from edge_server.data.database import SERVER
from edge_server.testing.local_server import EdgeServer

Join = Callable[..., EdgeSession]

IMAGE = "quay.io/lab/viewer:1.0.0"


def picture(width: int, height: int, kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def version(number: str = "1.0.0", **other: Any) -> AppVersion:
    return AppVersion(**{"app_id": "viewer", "version": number, "title": "Viewer", "link": IMAGE, **other})


@pytest.fixture
def viewer(developer: EdgeSession) -> EdgeSession:
    """The developer who has added the application viewer."""
    developer.applications.add_application(Application("viewer", True))
    return developer


# --- who sees what ------------------------------------------------------------------------------


def test_an_application_is_in_review_until_an_admin_approves_it(
    viewer: EdgeSession, member: EdgeSession, admin: EdgeSession
) -> None:
    viewer.applications.add_app_version(version())
    assert viewer.applications.list_application_ids() == admin.applications.list_application_ids() == ["viewer"]
    assert member.applications.list_application_ids() == []
    for call in (
        lambda: member.applications.get_application("viewer"),
        lambda: member.applications.list_app_versions("viewer"),
        lambda: member.applications.get_app_version("viewer", "1.0.0"),
    ):
        with pytest.raises(NotFound, match="no application"):
            call()

    assert admin.applications.approve_application("viewer").status is AppStatusEnum.Approved

    assert member.applications.list_application_ids() == ["viewer"]
    assert member.applications.get_application("viewer").status is AppStatusEnum.Approved
    # Later versions need no new approval; approving again changes nothing.
    viewer.applications.add_app_version(version("1.1.0"))
    assert [row.version for row in member.applications.list_app_versions("viewer")] == ["1.0.0", "1.1.0"]
    assert admin.applications.approve_application("viewer").status is AppStatusEnum.Approved


def test_members_see_visible_versions_only(viewer: EdgeSession, member: EdgeSession, admin: EdgeSession) -> None:
    admin.applications.approve_application("viewer")
    for number in ("1.0.0", "1.1.0", "2.0.0"):
        viewer.applications.add_app_version(version(number))
    app = viewer.applications.get_application("viewer")
    assert app.visible_versions == ["1.0.0", "1.1.0", "2.0.0"]

    app.visible_versions = ["1.1.0"]
    app.visible_auto_add = False
    viewer.applications.update_application(app)
    viewer.applications.add_app_version(version("3.0.0"))

    assert [row.version for row in member.applications.list_app_versions("viewer")] == ["1.1.0"]
    with pytest.raises(NotFound, match="no version"):
        member.applications.get_app_version("viewer", "3.0.0")
    assert viewer.applications.get_app_version("viewer", "3.0.0").version == "3.0.0"
    assert len(viewer.applications.list_app_versions("viewer")) == 4


def test_a_list_of_visible_versions_changed_in_place_is_sent(viewer: EdgeSession) -> None:
    for number in ("1.0.0", "1.1.0"):
        viewer.applications.add_app_version(version(number))
    app = viewer.applications.get_application("viewer")
    assert app.visible_versions is not None

    app.visible_versions.remove("1.0.0")

    assert viewer.applications.update_application(app).visible_versions == ["1.1.0"]


def test_a_removed_version_is_not_visible_any_more(viewer: EdgeSession) -> None:
    viewer.applications.add_app_version(version())
    viewer.applications.remove_app_version("viewer", "1.0.0")

    assert viewer.applications.get_application("viewer").visible_versions == []
    with pytest.raises(NotFound):
        viewer.applications.remove_app_version("viewer", "1.0.0")
    viewer.applications.add_app_version(version())
    assert viewer.applications.get_application("viewer").visible_versions == ["1.0.0"]


def test_an_update_without_a_read_leaves_visible_versions_and_status(viewer: EdgeSession, admin: EdgeSession) -> None:
    viewer.applications.add_app_version(version())
    admin.applications.approve_application("viewer")

    changed = viewer.applications.update_application(Application("viewer", False, idle_minutes=20))

    assert changed.visible_versions == ["1.0.0"]
    assert changed.status is AppStatusEnum.Approved
    assert (changed.visible_auto_add, changed.idle_minutes) == (False, 20)
    hidden = viewer.applications.update_application(Application("viewer", False, []))
    assert hidden.visible_versions == []


def test_a_developer_cannot_approve_or_remove_and_a_member_can_change_nothing(
    viewer: EdgeSession, member: EdgeSession
) -> None:
    for call in (
        lambda: viewer.applications.approve_application("viewer"),
        lambda: viewer.applications.remove_application("viewer"),
        lambda: member.applications.add_application(Application("other", True)),
        lambda: member.applications.update_application(Application("viewer", True)),
        lambda: member.applications.add_app_version(version()),
        lambda: member.applications.add_server_info(ServerInfo("viewer", "quay.io", "lab", "pw")),
        lambda: member.applications.list_server_infos("viewer"),
        lambda: member.applications.register_oauth_client("viewer", "https://viewer.example.com"),
    ):
        with pytest.raises(Forbidden):
            call()
    app = viewer.applications.get_application("viewer")
    app.status = AppStatusEnum.Approved
    with pytest.raises(BadEntry, match="^status: "):
        viewer.applications.update_application(app)


def test_another_organizations_applications_are_not_there(
    viewer: EdgeSession, edge_join: Join, edge_server: EdgeServer
) -> None:
    stranger = edge_join("admin", organization=edge_server.create_organization())

    assert stranger.applications.list_application_ids() == []
    with pytest.raises(NotFound):
        stranger.applications.get_application("viewer")
    stranger.applications.add_application(Application("viewer", False))
    assert viewer.applications.get_application("viewer").visible_auto_add


def test_the_built_in_applications_are_there_and_stay_as_they_are(member: EdgeSession, admin: EdgeSession) -> None:
    for app_id, kind in (("edge.analysis", AppKindEnum.Analysis), ("edge.data", AppKindEnum.Data)):
        application = member.applications.get_application(app_id)
        assert (application.built_in, application.status) == (True, AppStatusEnum.Approved)
        (only,) = member.applications.list_app_versions(app_id)
        assert only.kind is kind
        assert member.applications.get_app_version(app_id, only.version) == only
        with pytest.raises(NotFound):
            member.applications.get_app_version(app_id, "99")
        application.idle_minutes = 3
        for call in (
            lambda application=application: admin.applications.update_application(application),
            lambda app_id=app_id: admin.applications.remove_application(app_id),
            lambda app_id=app_id: admin.applications.approve_application(app_id),
            lambda app_id=app_id: admin.applications.add_app_version(version(app_id=app_id)),
            lambda app_id=app_id: admin.applications.add_server_info(ServerInfo(app_id, "quay.io", "a", "b")),
        ):
            with pytest.raises(Conflict, match="built in"):
                call()
        with pytest.raises(AlreadyExists):
            admin.applications.add_application(Application(app_id, True))
    with pytest.raises(BadEntry, match="app_id: ids that begin with edge"):
        admin.applications.add_application(Application("edge.mine", True))


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("app_id", ["", "a b", "../x", "a/b", "-a", "ä", "x" * 101, "a\n", ".", None, 7])
def test_an_invalid_id_is_refused_and_never_sent(developer: EdgeSession, app_id: Any) -> None:
    with pytest.raises(BadEntry, match="^app_id: "):
        developer.applications.add_application(Application(app_id, True))
    with pytest.raises(NotFound, match="no application"):
        developer.applications.get_application(app_id)
    with pytest.raises(NotFound, match="no application"):
        developer.applications.remove_application(app_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("idle_minutes", 0),
        ("idle_minutes", -5),
        ("idle_minutes", 1.5),
        ("visible_auto_add", "yes"),
        ("visible_versions", ["not a version"]),
        ("visible_versions", "1.0.0"),
        ("visible_versions", True),
        ("visible_versions", ["1.0.0"] * 1001),
        ("max_resources", AppResource(cpu=-1)),
        ("max_global_resources", {"cpus": 1}),
        ("status", "published"),
    ],
)
def test_an_application_that_cannot_be_is_refused_by_the_name_of_the_field(
    developer: EdgeSession, field: str, value: Any
) -> None:
    fields: dict[str, Any] = {"app_id": "viewer", "visible_auto_add": True, field: value}

    with pytest.raises(BadEntry, match=rf"^{field}(\.\w+)?: "):
        developer.applications.add_application(Application(**fields))
    assert developer.applications.list_application_ids() == []


def test_a_version_that_is_not_there_cannot_become_visible(viewer: EdgeSession) -> None:
    with pytest.raises(BadEntry, match="^visible_versions: viewer has no version '9.9'"):
        viewer.applications.update_application(Application("viewer", True, ["9.9"]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", ""),
        ("version", "1 0"),
        ("version", "../1"),
        ("version", "x" * 101),
        ("title", "x" * 201),
        ("title", "a\nb"),
        ("description", "x" * 4001),
        ("kind", "hologram"),
        ("kind", AppKindEnum.Analysis),
        ("kind", AppKindEnum.Data),
        ("framework", "cobol"),
        ("link", ""),
        ("link", "quay.io/lab/viewer"),
        ("link", "quay.io/lab/vie wer:1"),
        ("link", "https://quay.io/lab/viewer"),
        ("recommended_profile", 7),
        ("volume_mount_point", "data"),
        ("volume_mount_point", "/data/../etc"),
        ("suggested_volume_size", -1),
        ("suggested_volume_size", 0),
        ("suggested_volume_size", 2.5),
        ("profiles", "edge.medium"),
        ("profiles", ["x" * 70000]),
        ("icon", "not base64!"),
        ("icon", "ä"),
        ("icon", base64.b64encode(b"nothing like a picture").decode()),
        ("icon", "data:image/png;base64," + picture(8, 8)),
        ("icon", picture(64, 32)),
        ("icon", picture(64, 63, "JPEG")),
        ("icon", picture(64, 64, "GIF")),
        ("icon", picture(1025, 1025)),
        ("icon", picture(64, 64)[:80]),
        ("icon", base64.b64encode(b"x" * (256 * 1024 + 1)).decode()),
    ],
)
def test_a_version_that_cannot_be_is_refused_by_the_name_of_the_field(
    viewer: EdgeSession, field: str, value: Any
) -> None:
    with pytest.raises(BadEntry, match=f"^{field}: "):
        viewer.applications.add_app_version(version(**{field: value}))
    assert viewer.applications.list_app_versions("viewer") == []
    if field == "version":
        return
    viewer.applications.add_app_version(version())
    kept = viewer.applications.get_app_version("viewer", "1.0.0")
    setattr(kept, field, value)
    with pytest.raises(BadEntry, match=f"^{field}: "):
        viewer.applications.update_app_version(kept)


@pytest.mark.parametrize(
    "link",
    [
        "quay.io/lab/viewer:1",
        "viewer.example.com",
        "ftp://x.org",
        "https://",
        "https://u:p@x.org",
        "//x.org",
        "https://x.org\x00",
        "https://x.org:port",
    ],
)
def test_what_is_not_an_address_of_the_web(link: str) -> None:
    assert not is_web_address(link)


@pytest.mark.parametrize("kind", [AppKindEnum.External, AppKindEnum.Kubernetes])
def test_what_runs_elsewhere_needs_an_address(viewer: EdgeSession, kind: AppKindEnum) -> None:
    with pytest.raises(BadEntry, match=f"^link: it is not the address of a {kind.value} application"):
        viewer.applications.add_app_version(version(kind=kind, link="quay.io/lab/viewer:1"))
    added = viewer.applications.add_app_version(version(kind=kind, link="https://viewer.example.com:8443/a?b=1"))
    assert added.link == "https://viewer.example.com:8443/a?b=1"


@pytest.mark.parametrize(
    "link",
    [
        "docker.io/library/viewer:1",
        "localhost:5000/viewer:dev",
        "localhost/viewer:dev",
        "[::1]:5000/viewer:dev",
        "registry:5000/viewer:dev",
        "Quay.IO/lab/viewer:RC-1",
        "quay.io/lab/team/plate__viewer.v2-x:1.0_b",
        "quay.io/lab/viewer@sha256:" + "0" * 64,
        "quay.io/lab/viewer@sha512:" + "0" * 128,
        "quay.io/lab/viewer:1.0@sha256:" + "a" * 64,
        "quay.io/lab/viewer:" + "x" * 128,
    ],
)
def test_a_whole_image_reference_has_a_registry_a_path_and_a_tag_or_digest(link: str) -> None:
    assert is_image(link)


@pytest.mark.parametrize(
    "link",
    [
        "quay.io:1.2.0",
        "viewer:1",
        "lab/viewer:1",
        "quay.io/lab/viewer",
        "quay.io/lab/viewer:",
        "quay.io/Lab/viewer:1",
        "quay.io/lab/viewer:1+build",
        "quay.io/lab/viewer:-1",
        "quay.io/lab/viewer:" + "x" * 129,
        "quay.io/lab/viewer@sha256:" + "0" * 63,
        "quay.io/lab/viewer@sha256:" + "A" * 64,
        "quay.io/lab/viewer@md5:" + "0" * 32,
        "quay.io//viewer:1",
        "quay.io/lab/viewer/:1",
        "quay.io/lab/view..er:1",
        "quay.io/lab/_viewer:1",
        "quay.io/lab/viewer:1\n",
        "-quay.io/lab/viewer:1",
        "quay.io:port/lab/viewer:1",
        "docker://quay.io/lab/viewer:1",
        "quay.io/" + "x" * 250 + "/viewer:1",
    ],
)
def test_what_lacks_a_part_or_breaks_the_grammar_is_not_a_whole_image_reference(link: str) -> None:
    assert not is_image(link)


def test_a_native_application_needs_a_whole_image_reference(viewer: EdgeSession) -> None:
    with pytest.raises(BadEntry, match="^link: it is not a whole image reference; write the registry"):
        viewer.applications.add_app_version(version(link="quay.io:1.2.0"))
    digest = "quay.io/lab/viewer:1.0@sha256:" + "a" * 64
    assert viewer.applications.add_app_version(version(link=digest)).link == digest


@pytest.mark.parametrize("icon", [picture(1, 1), picture(128, 128), picture(64, 64, "JPEG"), picture(1024, 1024), ""])
def test_square_icons_are_kept(viewer: EdgeSession, icon: str) -> None:
    viewer.applications.add_app_version(version(icon=icon))

    assert viewer.applications.get_app_version("viewer", "1.0.0").icon == icon


def test_an_icon_in_lines_is_kept_without_them(viewer: EdgeSession) -> None:
    icon = picture(64, 64)
    broken = base64.encodebytes(base64.b64decode(icon)).decode()

    assert viewer.applications.add_app_version(version(icon=broken)).icon == icon


def test_what_is_no_record_is_refused(viewer: EdgeSession) -> None:
    for call in (
        viewer.applications.add_application,
        viewer.applications.update_application,
        viewer.applications.add_app_version,
        viewer.applications.update_app_version,
        viewer.applications.add_server_info,
        viewer.applications.update_server_info,
    ):
        with pytest.raises(BadEntry, match="is not a record of"):
            call({"app_id": "viewer"})  # type: ignore[operator]


def test_framework_and_its_older_name_are_not_both_taken() -> None:
    with pytest.raises(TypeError, match="not both"):
        version(framework=AppFrameworkEnum.Panel, proxy_kind=AppFrameworkEnum.Panel)


def test_the_older_name_of_the_framework_can_be_set(viewer: EdgeSession) -> None:
    viewer.applications.add_app_version(version())
    kept = viewer.applications.get_app_version("viewer", "1.0.0")

    kept.proxy_kind = AppFrameworkEnum.React

    assert kept.changes() == {"framework": "react"}
    assert viewer.applications.update_app_version(kept).framework is AppFrameworkEnum.React
    kept = viewer.applications.get_app_version("viewer", "1.0.0")
    kept.framework = AppFrameworkEnum.NoFramework
    assert viewer.applications.update_app_version(kept).framework is AppFrameworkEnum.NoFramework


def test_what_members_run_stays_what_was_approved(admin: EdgeSession, viewer: EdgeSession) -> None:
    viewer.applications.add_app_version(version())
    kept = viewer.applications.get_app_version("viewer", "1.0.0")
    kept.link = "quay.io/lab/viewer:1.0.0-fixed"
    kept = viewer.applications.update_app_version(kept)

    application = admin.applications.approve_application("viewer")
    application.visible_versions = ["1.0.0"]
    application = admin.applications.update_application(application)
    for field, value in {"link": "quay.io/elsewhere/viewer:1.0.0", "kind": AppKindEnum.Kubernetes}.items():
        changed = viewer.applications.get_app_version("viewer", "1.0.0")
        setattr(changed, field, value)
        with pytest.raises(Conflict, match="approved and visible, so that its kind and link stay.*add a version"):
            viewer.applications.update_app_version(changed)
    kept.title = "A better title"
    assert viewer.applications.update_app_version(kept).link == "quay.io/lab/viewer:1.0.0-fixed"

    application.visible_versions = []
    admin.applications.update_application(application)
    kept = viewer.applications.get_app_version("viewer", "1.0.0")
    kept.link = "quay.io/lab/viewer:1.0.0"
    assert viewer.applications.update_app_version(kept).link == "quay.io/lab/viewer:1.0.0"


def test_taken_and_missing_versions(viewer: EdgeSession) -> None:
    viewer.applications.add_app_version(version("1.0.0+build.7"))

    with pytest.raises(AlreadyExists, match="1.0.0\\+build.7"):
        viewer.applications.add_app_version(version("1.0.0+build.7"))
    assert viewer.applications.get_app_version("viewer", "1.0.0+build.7").version == "1.0.0+build.7"
    for call in (
        lambda: viewer.applications.get_app_version("viewer", "9"),
        lambda: viewer.applications.get_app_version("viewer", "../x"),
        lambda: viewer.applications.update_app_version(version("9")),
        lambda: viewer.applications.add_app_version(version(app_id="no-such")),
        lambda: viewer.applications.list_app_versions("no-such"),
    ):
        with pytest.raises(NotFound):
            call()


def test_the_later_of_two_writers_gets_a_conflict(viewer: EdgeSession) -> None:
    viewer.applications.add_app_version(version())
    mine, theirs = (viewer.applications.get_application("viewer") for _ in range(2))
    mine.idle_minutes, theirs.idle_minutes = 10, 20
    viewer.applications.update_application(mine)
    with pytest.raises(Conflict):
        viewer.applications.update_application(theirs)
    assert viewer.applications.get_application("viewer").idle_minutes == 10

    first, second = (viewer.applications.get_app_version("viewer", "1.0.0") for _ in range(2))
    first.title, second.title = "One", "Other"
    viewer.applications.update_app_version(first)
    with pytest.raises(Conflict):
        viewer.applications.update_app_version(second)


def test_of_many_that_add_a_version_at_once_the_first_succeeds_and_none_is_lost(viewer: EdgeSession) -> None:
    def add(n: int) -> str:
        try:
            return viewer.applications.add_app_version(version(f"1.{n % 4}")).version
        except AlreadyExists:
            return "taken"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(add, range(8)))
    assert outcomes == ["1.0", "1.1", "1.2", "1.3", *["taken"] * 4]
    assert sorted(viewer.applications.get_application("viewer").visible_versions or []) == ["1.0", "1.1", "1.2", "1.3"]


def test_a_newer_servers_values_are_kept(edge_server: EdgeServer, viewer: EdgeSession) -> None:
    viewer.applications.add_app_version(version())
    with edge_server.database.write(SERVER) as session:
        app = session.scalars(sa.select(models.Application).order_by(models.Application.id.desc())).first()
        assert app is not None
        app.status = "archived"
        row = session.scalars(sa.select(models.AppVersion).where(models.AppVersion.application_id == app.id)).one()
        row.kind, row.framework = "hologram", "solara"

    kept = viewer.applications.get_app_version("viewer", "1.0.0")

    assert (kept.kind, kept.framework) == ("hologram", "solara")
    assert kept.changes() == {}
    assert kept.to_dict()["kind"] == "hologram"
    assert viewer.applications.get_application("viewer").status == "archived"


def test_removing_an_application_removes_all_that_is_its_own(
    edge_server: EdgeServer, viewer: EdgeSession, admin: EdgeSession
) -> None:
    viewer.applications.add_app_version(version())
    viewer.applications.add_server_info(ServerInfo("viewer", "quay.io", "lab", "pw"))
    viewer.applications.register_oauth_client("viewer", "https://viewer.example.com")

    admin.applications.remove_application("viewer")

    assert viewer.applications.list_application_ids() == []
    viewer.applications.add_application(Application("viewer", True))
    assert viewer.applications.list_app_versions("viewer") == []
    assert viewer.applications.list_server_infos("viewer") == []
    assert viewer.applications.list_oauth_clients() == []


@pytest.mark.slow
def test_a_long_list_comes_whole_with_the_built_in_ones_once(developer: EdgeSession) -> None:
    ids = [f"app-{n:03}" for n in range(103)]
    for app_id in ids:
        developer.applications.add_application(Application(app_id, True))

    assert developer.applications.list_application_ids(True) == [*ids, "edge.analysis", "edge.data"]


# --- registries ---------------------------------------------------------------------------------


def test_a_password_is_never_read_back_and_stands_nowhere_in_the_clear(
    edge_server: EdgeServer, viewer: EdgeSession, caplog: pytest.LogCaptureFixture
) -> None:
    password = "correct-horse-battery-staple"
    server = ServerInfo(app_id="viewer", domain="quay.io", username="lab+robot", password=password)
    with caplog.at_level(logging.DEBUG):
        added = viewer.applications.add_server_info(server)
        kept = viewer.applications.get_server_info("viewer", "quay.io")
        (listed,) = viewer.applications.list_server_infos("viewer")
        kept.password = password + "-2"
        updated = viewer.applications.update_server_info(kept)

    assert [server.password for server in (added, listed, updated)] == [None] * 3
    assert password not in f"{server!r}{kept!r}" + caplog.text + edge_server.log
    for path in edge_server.data.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes(), path


def test_an_update_without_a_password_leaves_it(edge_server: EdgeServer, viewer: EdgeSession) -> None:
    viewer.applications.add_server_info(ServerInfo("viewer", "quay.io", "lab", "first"))

    def sealed() -> bytes:
        with edge_server.database.read() as session:
            newest = sa.select(models.AppServer.sealed).order_by(models.AppServer.id.desc()).limit(1)
            return session.scalars(newest).one()

    before = sealed()
    assert viewer.applications.update_server_info(ServerInfo("viewer", "quay.io", "other")).username == "other"
    assert sealed() == before
    viewer.applications.update_server_info(ServerInfo("viewer", "quay.io", "other", "second"))
    assert sealed() != before


def test_each_domain_has_a_record(viewer: EdgeSession) -> None:
    viewer.applications.add_server_info(ServerInfo("viewer", "quay.io", "lab", "pw"))
    viewer.applications.add_server_info(ServerInfo("viewer", "localhost:5000", "lab", "pw"))

    for domain in ("quay.io", "QUAY.io"):
        with pytest.raises(AlreadyExists, match="quay.io"):
            viewer.applications.add_server_info(ServerInfo("viewer", domain, "other", "pw"))
    assert viewer.applications.get_server_info("viewer", "Quay.IO").domain == "quay.io"
    assert [server.domain for server in viewer.applications.list_server_infos("viewer")] == [
        "quay.io",
        "localhost:5000",
    ]
    viewer.applications.remove_server_info("viewer", "quay.io")
    for call in (
        lambda: viewer.applications.get_server_info("viewer", "quay.io"),
        lambda: viewer.applications.remove_server_info("viewer", "quay.io"),
        lambda: viewer.applications.update_server_info(ServerInfo("viewer", "quay.io", "a", "b")),
        lambda: viewer.applications.get_server_info("viewer", "../x"),
        lambda: viewer.applications.add_server_info(ServerInfo("no-such", "quay.io", "a", "b")),
    ):
        with pytest.raises(NotFound):
            call()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("domain", ""),
        ("domain", "quay.io/lab"),
        ("domain", "https://quay.io"),
        ("domain", "quay io"),
        ("username", ""),
        ("username", "a\nb"),
        ("password", ""),
        ("password", None),
        ("password", "x" * 10001),
    ],
)
def test_credentials_that_cannot_be_are_refused_by_the_name_of_the_field(
    viewer: EdgeSession, field: str, value: Any
) -> None:
    fields = {"app_id": "viewer", "domain": "quay.io", "username": "lab", "password": "geheim", field: value}

    with pytest.raises(BadEntry, match=f"^{field}: ") as refused:
        viewer.applications.add_server_info(ServerInfo(**fields))
    assert "geheim" not in str(refused.value)
    assert viewer.applications.list_server_infos("viewer") == []


# --- OAuth clients ------------------------------------------------------------------------------


def test_an_oauth_client_shows_its_secret_once(edge_server: EdgeServer, viewer: EdgeSession) -> None:
    client = viewer.applications.register_oauth_client("viewer", "https://viewer.example.com/oauth")
    public = {"client_id": client["client_id"], "redirect_uri": client["redirect_uri"]}

    assert viewer.applications.get_oauth_client("viewer") == public
    assert viewer.applications.list_oauth_clients() == [public]
    moved = viewer.applications.update_oauth_client("viewer", "https://elsewhere.example.com/oauth")
    assert moved == {**public, "redirect_uri": "https://elsewhere.example.com/oauth"}
    with pytest.raises(AlreadyExists, match="registered already"):
        viewer.applications.register_oauth_client("viewer", "https://viewer.example.com/oauth")
    for path in edge_server.data.rglob("*"):
        if path.is_file():
            assert client["client_secret"].encode() not in path.read_bytes(), path

    viewer.applications.remove_oauth_client("viewer")

    for call in (viewer.applications.get_oauth_client, viewer.applications.remove_oauth_client):
        with pytest.raises(NotFound, match="not registered"):
            call("viewer")
    again = viewer.applications.register_oauth_client("viewer", "https://viewer.example.com/oauth")
    assert again["client_secret"] != client["client_secret"]


@pytest.mark.parametrize(
    "address",
    [
        *("", "viewer", "/oauth", "//x.org/oauth", "ftp://x.org", "javascript:alert(1)", "data:text/html,x"),
        *("https://x.org/#top", "https://x.org/#", "https://x org", "https://ada@x.org/", "https://x.org\\@y.org/"),
        *(
            "https://*.x.org/oauth",
            "https://x.org/*",
            "https://x.org/{a}",
            "https://x.org/%2",
            "https://m\xfcller.example/",
        ),
        f"https://x.org/{'x' * 1000}",
    ],
)
def test_a_redirect_that_cannot_be_is_refused(viewer: EdgeSession, address: str) -> None:
    with pytest.raises(BadEntry, match="^redirect_uri: "):
        viewer.applications.register_oauth_client("viewer", address)
    viewer.applications.register_oauth_client("viewer", "http://127.0.0.1:9000/oauth")
    with pytest.raises(BadEntry, match="^redirect_uri: "):
        viewer.applications.update_oauth_client("viewer", address)


def test_a_registration_whose_answer_was_lost_has_its_effect_once(viewer: EdgeSession) -> None:
    """A repeated request registers one client, and gives a new secret that is valid."""
    from edge_testing.chaos import ChaosProxy, Cut

    with ChaosProxy(viewer.config.service_url) as proxy:
        proxy.inject(Cut(10, "body"), times=1)
        again = EdgeSession(api_token=viewer.config.api_token, service_url=proxy.url, organization=viewer.organization)
        with again:
            client = again.applications.register_oauth_client("viewer", "https://viewer.example.com/oauth")
        assert proxy.struck == 1

    assert client["client_secret"]
    assert len(viewer.applications.list_oauth_clients()) == 1


def test_every_refusal_is_an_edge_error(viewer: EdgeSession) -> None:
    with pytest.raises(EdgeError):
        viewer.applications.register_oauth_client("no-such", "https://viewer.example.com")


def test_an_app_that_was_stopped_does_not_count_as_running() -> None:
    class Apps:
        def stop_running(self, server_name: str, user_name: str | None = None) -> None:
            assert (server_name, user_name) == ("viewer-0f1e2d3c", "ann")

        def find_running(self, server_name: str, user_name: str | None = None) -> RunningApp:
            raise LookupError(server_name, user_name)

    app = RunningApp(
        server_name="viewer-0f1e2d3c",
        user_name="ann",
        app_id="viewer",
        version="1.0.0",
        status=RunningAppStatusEnum.Running,
        url="https://hub.example.com/user/ann/viewer-0f1e2d3c/",
    )
    app.__dict__["_apps"] = Apps()
    app.stop()
    assert app.status is RunningAppStatusEnum.Stopping
    with pytest.raises(LookupError):
        app.wait()
