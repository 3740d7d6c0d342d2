"""Records of requests and answers beside the documented ones; the server imports them."""

from __future__ import annotations

from typing import ClassVar

from edge_applications.app_version import AppVersion
from edge_applications.application import Application
from edge_applications.names import APP_ID, VERSION
from edge_applications.running_app import RunningApp
from edge_applications.server_info import ServerInfo
from edge_core.records import PLAIN_TEXT, Pattern, Record, field

STATE = Pattern("^(starting|running|ended)$", "choose starting, running or ended")

LOG_LINE = Pattern(
    "^[^\\x00-\\x08\\x0a-\\x1f\\x7f]{0,500}$", "send at most 500 characters, without control characters but tabs"
)


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


class LaunchApp(Record):
    """Launches an application."""

    version: str | None = field(default=None, pattern=VERSION, doc="Its version; null for the newest visible one.")
    profile: str | None = field(
        default=None, max_length=100, pattern=PLAIN_TEXT, doc="Id of an app profile; null for the recommended one."
    )


class LaunchedOptions(Record):
    """What the hub keeps of a server that is an application, as it was asked for when it was started."""

    service: str = field(max_length=100, pattern=PLAIN_TEXT, doc="The hub's service that has launched it.")
    organization: str = field(max_length=100, pattern=PLAIN_TEXT, doc="Short name of the organization.")
    app_id: str = field(pattern=APP_ID, doc="The application.")
    version: str = field(pattern=VERSION, doc="Its version.")
    profile: str | None = field(default=None, max_length=100, pattern=PLAIN_TEXT, doc="Id of an app profile.")


class ListRunning(Record):
    """Query for a page of running apps, in the order of their users and servers."""

    limit: int = field(default=100, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")
    all_users: bool = field(default=False, doc="Whether those of all users are listed, for admins of the organization.")


class FindRunning(Record):
    """Query that says whose app is meant."""

    user_name: str | None = field(
        default=None, max_length=255, pattern=PLAIN_TEXT, doc="Whose it is; by default the caller's own."
    )


class ShareApp(Record):
    """Shares an app."""

    users: list[str] | None = field(
        default=None, max_length=100, item_pattern=PLAIN_TEXT, doc="Names of members; null for all of them."
    )
    user_name: str | None = field(
        default=None, max_length=255, pattern=PLAIN_TEXT, doc="Whose it is, which can only be the caller's own."
    )


class UnshareApp(Record):
    """Query that says with whom an app is shared no more."""

    user: str | None = field(
        default=None, max_length=255, pattern=PLAIN_TEXT, doc="Name of a member; by default everybody."
    )
    user_name: str | None = field(
        default=None, max_length=255, pattern=PLAIN_TEXT, doc="Whose it is, which can only be the caller's own."
    )


class FindVisitor(Record):
    """Query that says who visits an app."""

    user: str = field(max_length=255, pattern=PLAIN_TEXT, doc="Name of who visits it.")


class AppVisitor(Record):
    """Somebody who visits an app, as it is told of them."""

    user_name: str = field(doc="Who it is.")
    display_name: str = field(doc="First and last name, or the user name.")
    roles: list[str] = field(doc="Their roles in the organization.")


class NoteAppState(Record):
    """What the proxy in front of an app tells of it."""

    state: str = field(pattern=STATE, doc="starting: it does not answer yet; running: it has answered; or ended.")
    exit_code: int | None = field(
        default=None, minimum=-1000, maximum=2**31 - 1, doc="How it ended; negative for the number of a signal."
    )
    last_lines: list[str] | None = field(
        default=None, max_length=20, item_pattern=LOG_LINE, doc="What it wrote last, without secrets."
    )


class StopRunning(Record):
    """Query that says whose app is stopped."""

    user_name: str | None = field(
        default=None, max_length=255, pattern=PLAIN_TEXT, doc="Whose it is, for admins; by default the caller's own."
    )


class RunningAppPage(Record):
    """One page of running apps."""

    items: list[RunningApp]
    next: str | None = field(default=None, doc="Cursor of the page after it; null on the last one.")
