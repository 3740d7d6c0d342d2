"""Published programs run unchanged: each construction and call that the API's documentation and examples show."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from edge.api import AlreadyExists, BadEntry, EdgeApplication, NotFound
from edge.apps.app_version import AppFrameworkEnum, AppKindEnum, AppProxyKindEnum, AppVersion
from edge.apps.application import Application, AppResource, AppStatusEnum
from edge.apps.server_info import ServerInfo
from edge_core.session import EdgeSession


def png(width: int, height: int) -> bytes:
    """A grey PNG, made by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


ICON = base64.b64encode(png(64, 64)).decode()
IMAGE = "quay.io/lab/viewer:1.0.0"


# --- the manager --------------------------------------------------------------------------------


def test_the_manager_is_the_documented_class(edge_session: EdgeSession) -> None:
    assert type(edge_session.applications) is EdgeApplication


def test_list_application_ids(edge_session: EdgeSession) -> None:
    edge = edge_session
    edge.applications.add_application(Application("viewer", True))

    assert edge.applications.list_application_ids() == ["viewer"]
    assert edge.applications.list_application_ids(include_builtin=None) == ["viewer"]
    assert edge.applications.list_application_ids(False) == ["viewer"]
    assert edge.applications.list_application_ids(True) == ["viewer", "edge.analysis", "edge.data"]
    assert edge.applications.list_application_ids(include_builtin=True)[1:] == ["edge.analysis", "edge.data"]


def test_get_application(edge_session: EdgeSession) -> None:
    edge_session.applications.add_application(Application(app_id="viewer", visible_auto_add=True))

    assert edge_session.applications.get_application("viewer").app_id == "viewer"
    with pytest.raises(NotFound, match="list the applications"):
        edge_session.applications.get_application("no-such")


def test_add_application(edge_session: EdgeSession) -> None:
    added = edge_session.applications.add_application(application=Application("viewer", True))

    assert isinstance(added, Application)
    assert added.status is AppStatusEnum.InReview
    with pytest.raises(AlreadyExists):
        edge_session.applications.add_application(Application("viewer", True))
    with pytest.raises(BadEntry, match="app_id"):
        edge_session.applications.add_application(Application("not an id", True))


def test_update_application(edge_session: EdgeSession) -> None:
    edge_session.applications.add_application(Application("viewer", True))

    changed = edge_session.applications.update_application(Application("viewer", False))

    assert (changed.visible_auto_add, changed.app_id) == (False, "viewer")


def test_add_app_version_and_add_server_info(edge_session: EdgeSession) -> None:
    edge = edge_session
    edge.applications.add_application(Application("viewer", True))
    edge.applications.add_server_info(ServerInfo(app_id="viewer", domain="quay.io", username="lab", password="pw"))
    edge.applications.add_app_version(
        AppVersion(
            app_id="viewer",
            version="1.0.0",
            title="Plate viewer",
            description="Shows plates.",
            icon=ICON,
            kind=AppKindEnum.Native,
            link=IMAGE,
            recommended_profile="edge.medium",
        )
    )

    assert [row.version for row in edge.applications.list_app_versions("viewer")] == ["1.0.0"]
    assert [server.domain for server in edge.applications.list_server_infos("viewer")] == ["quay.io"]


def test_register_oauth_client(edge_session: EdgeSession) -> None:
    edge = edge_session
    edge.applications.add_application(Application("viewer", True))

    client = edge.applications.register_oauth_client("viewer", "https://viewer.example.com/oauth_callback")

    assert set(client) == {"client_id", "client_secret", "redirect_uri"}
    assert client["client_id"] == f"service-edge-app-{edge.organization}-viewer"
    assert len(client["client_secret"]) > 40
    assert client["redirect_uri"] == "https://viewer.example.com/oauth_callback"


# --- Application --------------------------------------------------------------------------------


def test_application_properties_and_to_dict(edge_session: EdgeSession) -> None:
    edge_session.applications.add_application(Application(app_id="viewer", visible_auto_add=True, idle_minutes=30))
    app = edge_session.applications.get_application("viewer")

    assert (app.app_id, app.built_in, app.idle_minutes, app.visible_auto_add) == ("viewer", False, 30, True)
    assert app.visible_versions == []
    assert {"app_id", "built_in", "idle_minutes", "visible_auto_add", "visible_versions"} <= set(app.to_dict())
    assert edge_session.applications.get_application("edge.analysis").built_in


@pytest.mark.parametrize(
    "application",
    [
        Application("viewer", True),
        Application("viewer", False),
        Application("viewer", True, []),
        Application(app_id="viewer", visible_auto_add=True, visible_versions=[]),
        Application("viewer", True, max_resources=AppResource(2, 0, 4, 60), max_global_resources=None),
        Application(
            app_id="viewer",
            visible_auto_add=True,
            visible_versions=[],
            max_resources=AppResource(cpu=2.0, gpu=0, memory=4.0, shutdown=60),
            max_global_resources=AppResource(cpu=8.0, gpu=0, memory=16.0, shutdown=60),
        ),
    ],
    ids=["positional", "hidden", "no versions", "keywords", "resources", "all resources"],
)
def test_each_construction_of_an_application_is_added(edge_session: EdgeSession, application: Application) -> None:
    edge_session.applications.add_application(application)

    kept = edge_session.applications.get_application("viewer")
    assert kept.visible_auto_add is application.visible_auto_add
    assert kept.max_resources == application.max_resources
    assert kept.max_global_resources == application.max_global_resources


@pytest.mark.parametrize("memory", [1000000, 20000000, 16 << 30, 0.5])
def test_resources_are_kept_as_older_programs_state_them(edge_session: EdgeSession, memory: float) -> None:
    limit = AppResource(cpu=10, gpu=1, memory=memory, shutdown=14400)

    edge_session.applications.add_application(Application(app_id="viewer", max_resources=limit))

    kept = edge_session.applications.get_application("viewer").max_resources
    assert kept is not None
    assert (kept.cpu, kept.gpu, kept.memory, kept.shutdown) == (10, 1, memory, 14400)


def test_resources_in_the_old_order() -> None:
    resource = AppResource(2.5, 1, 4.0, 60)

    assert (resource.cpu, resource.gpu, resource.memory, resource.shutdown) == (2.5, 1, 4.0, 60)
    assert resource.to_dict() == {"cpu": 2.5, "gpu": 1, "memory": 4.0, "shutdown": 60}


# --- AppVersion ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "framework"),
    [
        (
            AppVersion("viewer", "1.0.0", "Viewer", "Shows plates.", ICON, AppKindEnum.Native, IMAGE, "edge.medium"),
            AppFrameworkEnum.NoFramework,
        ),
        (
            AppVersion(
                app_id="viewer",
                version="1.0.0",
                title="Viewer",
                description="Shows plates.",
                icon=ICON,
                kind=AppKindEnum.Native,
                framework=AppFrameworkEnum.Streamlit,
                link=IMAGE,
                recommended_profile="edge.medium",
                volume_mount_point="/data",
                suggested_volume_size=10,
            ),
            AppFrameworkEnum.Streamlit,
        ),
        (
            AppVersion(
                app_id="viewer",
                version="1.0.0",
                title="Viewer",
                description="Shows plates.",
                icon=ICON,
                kind=AppKindEnum.Native,
                link=IMAGE,
                recommended_profile="edge.medium",
                proxy_kind=AppProxyKindEnum.Panel,
            ),
            AppFrameworkEnum.Panel,
        ),
        (
            AppVersion(
                app_id="viewer",
                version="1.0.0",
                title="Viewer",
                description="",
                icon=ICON,
                kind=AppKindEnum.Native,
                framework=AppProxyKindEnum.Generic,
                link=IMAGE,
                recommended_profile="edge.medium",
            ),
            AppFrameworkEnum.Generic,
        ),
        (
            AppVersion(
                app_id="viewer",
                version="1.0.0",
                title="Viewer",
                description="",
                icon=ICON,
                kind=AppKindEnum.External,
                link="https://viewer.example.com",
                recommended_profile="edge.medium",
                proxy_kind=AppProxyKindEnum.NoProxy,
            ),
            AppFrameworkEnum.NoFramework,
        ),
        (
            AppVersion(
                app_id="viewer",
                version="1.0.0",
                title="Viewer",
                description="",
                icon=base64.b64encode(png(128, 128)),
                kind=AppKindEnum.Kubernetes,
                link="https://viewer.example.com",
                framework=AppFrameworkEnum.NoFramework,
                recommended_profile="edge.medium",
                profiles=["edge.medium", AppResource(2, 0, 4, 60)],
                default_profile="edge.medium",
            ),
            AppFrameworkEnum.NoFramework,
        ),
    ],
    ids=["positional", "keywords", "proxy_kind", "framework of proxies", "external", "profiles"],
)
def test_each_construction_of_a_version_is_added(
    edge_session: EdgeSession, version: AppVersion, framework: AppFrameworkEnum
) -> None:
    edge_session.applications.add_application(Application("viewer", True))

    added = edge_session.applications.add_app_version(version)

    kept = edge_session.applications.get_app_version("viewer", "1.0.0")
    assert added == kept
    assert kept.to_dict() == version.to_dict()
    assert kept.framework is framework
    assert kept.proxy_kind is framework
    assert edge_session.applications.get_application("viewer").visible_versions == ["1.0.0"]


def test_version_properties_in_the_old_order() -> None:
    version = AppVersion("viewer", "1.0.0", "Viewer", "Shows plates.", ICON, AppKindEnum.Native, IMAGE, "edge.medium")

    assert version.app_id == "viewer"
    assert version.version == "1.0.0"
    assert version.title == "Viewer"
    assert version.description == "Shows plates."
    assert version.icon == ICON
    assert version.kind is AppKindEnum.Native
    assert version.link == IMAGE
    assert version.recommended_profile == "edge.medium"
    assert version.framework is AppFrameworkEnum.NoFramework
    assert version.volume_mount_point is None
    assert version.suggested_volume_size is None
    assert version.to_dict()["kind"] == "native"


# --- the enumerations ---------------------------------------------------------------------------


def test_the_kinds_and_their_values() -> None:
    assert {kind.name: kind.value for kind in AppKindEnum} == {
        "Native": "native",
        "Kubernetes": "kubernetes",
        "Analysis": "analysis",
        "Data": "data",
        "External": "external",
    }


def test_the_frameworks_and_their_values_under_both_names() -> None:
    both = {
        "Generic": "generic",
        "Panel": "panel",
        "PlotlyDash": "plotly-dash",
        "React": "react",
        "Streamlit": "streamlit",
    }

    assert {framework.name: framework.value for framework in AppFrameworkEnum} == {"NoFramework": None, **both}
    assert {framework.name: framework.value for framework in AppProxyKindEnum} == {"NoProxy": None, **both}
    assert AppProxyKindEnum.Generic == AppFrameworkEnum.Generic
    assert AppProxyKindEnum.NoProxy == AppFrameworkEnum.NoFramework
    assert AppProxyKindEnum.React != AppFrameworkEnum.Generic
    assert {AppFrameworkEnum.Panel: 1}[AppProxyKindEnum.Panel] == 1  # type: ignore[index]


# --- ServerInfo ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "server",
    [
        ServerInfo(app_id="viewer", domain="quay.io", username="lab+robot", password="secret"),
        ServerInfo("viewer", "quay.io", "lab+robot", "secret"),
    ],
    ids=["keywords", "positional"],
)
def test_each_construction_of_a_server_info_is_added(edge_session: EdgeSession, server: ServerInfo) -> None:
    assert (server.app_id, server.domain, server.username, server.password) == (
        "viewer",
        "quay.io",
        "lab+robot",
        "secret",
    )
    assert server.to_dict()["password"] == "secret"
    edge_session.applications.add_application(Application("viewer", True))

    edge_session.applications.add_server_info(server)

    kept = edge_session.applications.get_server_info("viewer", "quay.io")
    assert (kept.username, kept.password) == ("lab+robot", None)
