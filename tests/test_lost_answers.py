"""The answer to a request is lost, and the client sends it again: what was done is answered as done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from edge_core.errors import AlreadyExists, NotFound
from edge_core.session import EdgeSession
from edge_server.run import kept_page
from edge_server.testing.local_server import EdgeServer
from edge_testing.chaos import Answer, ChaosProxy, Exchange
from edge_testing.exchange import pass_on


class FirstLost:
    """A fault: each request is done when it first comes, and its answer is lost; after that it goes its way."""

    def __init__(self) -> None:
        self.requests: set[str] = set()

    def __call__(self, exchange: Exchange) -> None:
        request = exchange.headers["x-request-id"]
        if request in self.requests:
            pass_on(exchange)
        else:
            self.requests.add(request)
            Answer(503, handled=True)(exchange)


@dataclass
class Place:
    """A server admin who is admin of an organization, behind a proxy."""

    edge: EdgeSession
    server: EdgeServer
    proxy: ChaosProxy

    def lose(self, only: str) -> FirstLost:
        """Lose the first answer to each request of some kind."""
        fault = FirstLost()
        self.proxy.inject(fault, only=only)
        return fault

    def another_user(self) -> str:
        return self.server.create_user(organization=self.edge.organization)


@pytest.fixture
def place(edge_server: EdgeServer) -> Iterator[Place]:
    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization, roles=["admin", "developer"], server_admin=True)
    with (
        ChaosProxy(edge_server.url) as proxy,
        EdgeSession(edge_server.create_token(user), proxy.url, organization) as edge,
    ):
        yield Place(edge, edge_server, proxy)


# --- every deletion


def delete_files(place: Place) -> None:
    files = place.edge.files
    files.upload("plates/plate-7.csv", b"a,b\n")
    files.delete("plates/plate-7.csv")
    files.delete("plates")
    files.upload("runs/deep/a", b"1")
    files.delete("runs", recursive=True)
    assert files.list() == files.list_folders() == []


def abort_upload(place: Place) -> None:
    http = place.edge.http.for_plugin("edge_files", "/v1/orgs/{organization}/files")
    upload = http.post("/uploads", json={"path": "large", "size": 10})
    place.edge.files.abort_upload(upload["id"])
    assert place.edge.files.uploads() == []


def remove_token(place: Place) -> None:
    place.edge.tokens.remove(place.edge.tokens.create("another").id)


def delete_user_secret(place: Place) -> None:
    place.edge.secrets.create_user_secret("lims", {"password": "secret"})
    place.edge.secrets.delete_user_secret("lims")


def delete_organization_secret(place: Place) -> None:
    place.edge.secrets.create_organization_secret("lims", {"password": "secret"})
    place.edge.secrets.delete_organization_secret("lims")


def add_source(place: Place) -> Any:
    from edge.api import SQLConnection

    source = SQLConnection("lims", "The LIMS", None, None, "sqlite", "/lims.sqlite3", "ada", "secret")
    place.edge.sources.add(source)
    return source


def remove_source(place: Place) -> None:
    add_source(place)
    place.edge.sources.remove("lims")


def applications(place: Place) -> Any:
    from edge.apps.application import Application

    place.edge.applications.add_application(Application("viewer", True))
    return place.edge.applications


def remove_application(place: Place) -> None:
    applications(place).remove_application("viewer")


def remove_version(place: Place) -> None:
    from edge.apps.app_version import AppKindEnum, AppVersion

    apps = applications(place)
    apps.add_app_version(AppVersion("viewer", "1", kind=AppKindEnum.Kubernetes, link="https://viewer.example.com"))
    apps.remove_app_version("viewer", "1")


def remove_registry(place: Place) -> None:
    from edge.apps.server_info import ServerInfo

    apps = applications(place)
    apps.add_server_info(ServerInfo(app_id="viewer", domain="quay.io", username="lab", password="secret"))
    apps.remove_server_info("viewer", "quay.io")


def remove_oauth_client(place: Place) -> None:
    apps = applications(place)
    apps.register_oauth_client("viewer", "https://example.com/back")
    apps.remove_oauth_client("viewer")


def create_profile(place: Place) -> Any:
    from edge.api import AppProfile

    compute = place.edge.compute
    (machine, *_) = compute.list_instance_types()
    profile = AppProfile(profile_id="lab.small", name="Small", instance_name=machine["instance_name"], cpu=1, memory=1)
    return compute.create_app_profile("lab.small", profile)


def remove_profile(place: Place) -> None:
    create_profile(place)
    place.edge.compute.remove_app_profile("lab.small")


def create_placeholder(place: Place) -> Any:
    from edge.api import AppPlaceholder

    placeholder = AppPlaceholder(name="morning", profile_id="edge.medium", quantity=1)
    return place.edge.compute.create_placeholder(placeholder)


def remove_placeholder(place: Place) -> None:
    create_placeholder(place)
    place.edge.compute.remove_placeholder("morning")


def remove_member(place: Place) -> None:
    place.edge.admin.remove_user_from_organization(place.another_user())


def revoke_member_addresses(place: Place) -> None:
    place.edge.admin.revoke_member_addresses(place.another_user())


def remove_invitation(place: Place) -> None:
    place.edge.admin.invite_to_organization(place.server.create_user())
    (invitation,) = place.edge.admin.list_invitations()
    place.edge.admin.remove_invitation(invitation.id)


def decline_invitation(place: Place) -> None:
    organization = place.server.create_organization()
    admin = place.server.create_user(organization=organization, roles=["admin"])
    with EdgeSession(place.server.create_token(admin), place.server.url, organization) as theirs:
        theirs.admin.invite_to_organization(place.edge.whoami().user_name)
    (invitation,) = place.edge.admin.list_own_invitations()
    place.edge.admin.decline_invitation(invitation.id)


def remove_user(place: Place) -> None:
    place.edge.admin.remove_user(place.another_user())


def revoke_user_addresses(place: Place) -> None:
    place.edge.admin.revoke_user_addresses(place.another_user())


def remove_organization(place: Place) -> None:
    place.edge.admin.remove_organization(place.server.create_organization())


# --- every update


def update_application(place: Place) -> None:
    apps = applications(place)
    app = apps.get_application("viewer")
    app.idle_minutes = 30
    assert apps.update_application(app).idle_minutes == 30


def update_version(place: Place) -> None:
    from edge.apps.app_version import AppKindEnum, AppVersion

    apps = applications(place)
    link = "https://viewer.example.com"
    version = apps.add_app_version(AppVersion("viewer", "1", kind=AppKindEnum.Kubernetes, link=link))
    version.title = "The viewer"
    assert apps.update_app_version(version).title == "The viewer"


def update_registry(place: Place) -> None:
    from edge.apps.server_info import ServerInfo

    apps = applications(place)
    info = apps.add_server_info(ServerInfo(app_id="viewer", domain="quay.io", username="lab", password="secret"))
    info.username = "other"
    assert apps.update_server_info(info).username == "other"


def update_oauth_client(place: Place) -> None:
    apps = applications(place)
    apps.register_oauth_client("viewer", "https://example.com/back")
    assert apps.update_oauth_client("viewer", "https://example.com/other")["redirect_uri"].endswith("/other")


def update_source(place: Place) -> None:
    source = add_source(place)
    source.title = "Other"
    place.edge.sources.update(source)
    assert place.edge.sources.get("lims").title == "Other"


def update_profile(place: Place) -> None:
    profile = create_profile(place)
    profile.disable = True
    assert place.edge.compute.update_app_profile("lab.small", profile).disable


def update_placeholder(place: Place) -> None:
    placeholder = create_placeholder(place)
    placeholder.quantity = 2
    assert place.edge.compute.update_placeholder("morning", placeholder).quantity == 2


def update_member(place: Place) -> None:
    member = place.edge.admin.get_member(place.another_user())
    member.roles = ["developer"]
    assert place.edge.admin.update_member(member).roles == ["developer"]


def update_user(place: Place) -> None:
    user = place.edge.admin.get_user(place.another_user())
    user.first_name = "Ada"
    assert place.edge.admin.update_user(user).first_name == "Ada"


def update_organization(place: Place) -> None:
    organization = place.edge.admin.get_organization(place.edge.organization)
    organization.title = "The lab"
    assert place.edge.admin.update_organization(organization).title == "The lab"


def set_quota(place: Place) -> None:
    assert place.edge.admin.set_quota(place.edge.organization, 5_000_000).limit_bytes == 5_000_000


DELETIONS = {
    "admin.organizations.remove": remove_organization,
    "admin.users.remove": remove_user,
    "admin.users.revoke_addresses": revoke_user_addresses,
    "applications.oauth.remove": remove_oauth_client,
    "applications.remove": remove_application,
    "applications.servers.remove": remove_registry,
    "applications.versions.remove": remove_version,
    "compute.placeholders.remove": remove_placeholder,
    "compute.profiles.remove": remove_profile,
    "files.delete": delete_files,
    "files.uploads.abort": abort_upload,
    "invitations.own.decline": decline_invitation,
    "invitations.remove": remove_invitation,
    "members.remove": remove_member,
    "members.revoke_addresses": revoke_member_addresses,
    "secrets.organization.delete": delete_organization_secret,
    "secrets.user.delete": delete_user_secret,
    "sources.remove": remove_source,
    "tokens.remove": remove_token,
}

UPDATES = {
    "admin.organizations.update": update_organization,
    "admin.quotas.update": set_quota,
    "admin.users.update": update_user,
    "applications.oauth.update": update_oauth_client,
    "applications.servers.update": update_registry,
    "applications.update": update_application,
    "applications.versions.update": update_version,
    "compute.placeholders.update": update_placeholder,
    "compute.profiles.update": update_profile,
    "members.update": update_member,
    "sources.update": update_source,
}

AT_A_HUB = {"applications.running.stop", "applications.running.unshare"}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_whose_answer_was_lost_is_answered_as_done(place: Place, delete: Callable[[Place], None]) -> None:
    fault = place.lose("^DELETE ")
    delete(place)
    assert fault.requests


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_an_update_whose_answer_was_lost_is_answered_as_done(place: Place, update: Callable[[Place], None]) -> None:
    fault = place.lose("^PATCH ")
    update(place)
    assert fault.requests


@pytest.mark.parametrize(
    ("method", "tried"), [("DELETE", DELETIONS.keys() | AT_A_HUB), ("PATCH", UPDATES.keys())], ids=["DELETE", "PATCH"]
)
def test_each_operation_is_tried(method: str, tried: set[str]) -> None:
    app = kept_page.application()
    endpoints = [rule.endpoint for rule in app.url_map.iter_rules() if method in (rule.methods or ())]
    operations = {app.view_functions[endpoint].operation_id for endpoint in endpoints}  # type: ignore[attr-defined]
    assert operations == tried


def test_what_was_never_there_cannot_be_deleted(place: Place) -> None:
    place.lose("^DELETE ")
    with pytest.raises(NotFound, match=r"plate-7\.csv"):
        place.edge.files.delete("plate-7.csv")


# --- what is put in a new place


def test_new_content_whose_answer_was_lost_is_stored_once(place: Place) -> None:
    files = place.edge.files
    fault = place.lose("^PUT .*/content")
    files.upload("a.csv", b"mine", overwrite=False)
    assert len(fault.requests) == 1
    assert [version.size for version in files.versions("a.csv")] == [4]
    with pytest.raises(AlreadyExists, match=r"a\.csv"):
        files.upload("a.csv", b"mine", overwrite=False)


def test_what_another_puts_there_meanwhile_is_not_deleted(place: Place) -> None:
    files = place.edge.files
    files.upload("a.csv", b"mine")

    def put_another(exchange: Exchange) -> None:
        Answer(503, handled=True)(exchange)
        with EdgeSession(place.edge.config.api_token, place.server.url, place.edge.organization) as other:
            other.files.upload("a.csv", b"theirs")

    place.proxy.inject(put_another, times=1, only="^DELETE ")
    files.delete("a.csv")
    assert files.read_bytes("a.csv") == b"theirs"
