"""edge-applications keeps the plugin contract."""

from __future__ import annotations

from edge_applications.app_version import AppVersion
from edge_applications.application import Application
from edge_applications.namespace import EdgeApplication
from edge_applications.server_info import ServerInfo
from edge_testing.contract import Call, Listing, PluginContract


def _application(n: int) -> dict[str, object]:
    return {"app_id": f"app-{n}", "visible_auto_add": True, "visible_versions": [], "status": "approved"}


def _version(n: int) -> dict[str, object]:
    return {"app_id": "app-1", "version": f"1.{n}", "kind": "native", "link": f"quay.io/lab/app:1.{n}"}


def _server(n: int) -> dict[str, object]:
    return {"app_id": "app-1", "domain": f"r{n}.example.com", "username": "lab", "password": None}


class TestContract(PluginContract):
    distribution = "edge-applications"
    kind = EdgeApplication
    first_party = True
    checks_wheel = False  # the wheels of all of ours are looked into together
    calls = [
        Listing("list_applications", lambda apps: apps.list_applications(), _application, lazy=False),
        Listing("list_application_ids", lambda apps: apps.list_application_ids(True), _application, lazy=False),
        Call("get_application", lambda apps: apps.get_application("app-1"), _application(1)),
        Call("add_application", lambda apps: apps.add_application(Application("app-1", True)), _application(1)),
        Call("update_application", lambda apps: apps.update_application(Application("app-1", True)), _application(1)),
        Call("approve_application", lambda apps: apps.approve_application("app-1"), _application(1)),
        Call("remove_application", lambda apps: apps.remove_application("app-1")),
        Listing("list_app_versions", lambda apps: apps.list_app_versions("app-1"), _version, lazy=False),
        Call("get_app_version", lambda apps: apps.get_app_version("app-1", "1.1"), _version(1)),
        Call("add_app_version", lambda apps: apps.add_app_version(AppVersion("app-1", "1.1")), _version(1)),
        Listing("list_server_infos", lambda apps: apps.list_server_infos("app-1"), _server, lazy=False),
        Call("add_server_info", lambda apps: apps.add_server_info(ServerInfo("app-1", "r1.example.com")), _server(1)),
        Call("remove_server_info", lambda apps: apps.remove_server_info("app-1", "r1.example.com")),
    ]
