"""Records of requests and answers beside the documented ones; the server imports them."""

from __future__ import annotations

from typing import ClassVar

from edge_applications.app_version import AppVersion
from edge_applications.application import Application
from edge_applications.server_info import ServerInfo
from edge_core.records import PLAIN_TEXT, Record, field


class ListApplications(Record):
    """Query for a page of the applications, in the order of their ids."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")
    include_builtin: bool = field(default=False, doc="Whether the built-in ones are listed too, on the last page.")


class ListOfApplication(Record):
    """Query for a page of versions or registries of an application, the oldest first."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")


class ApplicationPage(Record):
    """One page of applications."""

    items: list[Application]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class AppVersionPage(Record):
    """One page of an application's versions."""

    items: list[AppVersion]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class ServerInfoPage(Record):
    """One page of an application's registries."""

    items: list[ServerInfo]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")


class RegisterOAuthClient(Record):
    """Registers an application as an OAuth client."""

    redirect_uri: str = field(max_length=2000, pattern=PLAIN_TEXT, doc="Where a login sends the user back to.")


class OAuthClient(Record):
    """An application as an OAuth client.

    >>> OAuthClient("service-edge-app-lab-viewer", "https://viewer.example.com/oauth").to_dict()["client_secret"]
    """

    _hidden: ClassVar[frozenset[str]] = frozenset({"client_secret"})

    client_id: str = field(doc="service-edge-app-ORGANIZATION-APP_ID.")
    redirect_uri: str = field(max_length=2000, pattern=PLAIN_TEXT, doc="Where a login sends the user back to.")
    client_secret: str | None = field(default=None, doc="Only in the answer to its registration.")


class OAuthClientPage(Record):
    """One page of the organization's OAuth clients."""

    items: list[OAuthClient]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")
