"""`LaunchPlan`: what a hub runs for a user and a version of an application. It asks for this before each start."""

from __future__ import annotations

from typing import ClassVar

from edge_applications.names import APP_ID, VERSION
from edge_core.records import PLAIN_TEXT, Record, field


class PlanLaunch(Record):
    """What a hub asks for: its own words for who starts which server, and what the user wants in it.

    Nothing of the user's is relied on: the server looks up whether that user may launch that version.
    """

    server_name: str = field(max_length=255, pattern=PLAIN_TEXT, doc="Name of the server that the hub is to start.")
    user_name: str = field(max_length=255, pattern=PLAIN_TEXT, doc="The user, as the hub calls them.")
    organization: str = field(max_length=100, pattern=PLAIN_TEXT, doc="Short name of the organization.")
    app_id: str = field(pattern=APP_ID, doc="The application.")
    version: str | None = field(default=None, pattern=VERSION, doc="Its version; null for the newest visible one.")
    profile: str | None = field(
        default=None, max_length=100, pattern=PLAIN_TEXT, doc="Id of an app profile; null for the recommended one."
    )


class PlanRegistry(Record):
    """Credentials that an image is fetched with."""

    _hidden: ClassVar[frozenset[str]] = frozenset({"password"})

    domain: str = field(doc="Host of the registry, such as quay.io.")
    username: str = field(doc="User name at the registry.")
    password: str = field(doc="Password or token.")


class LaunchPlan(Record):
    """What is to be run: the version, checked for that user, and its limits.

    >>> LaunchPlan(server_name="viewer-1f0c2d3e", user_name="ann", organization="lab", app_id="viewer", version="1.0.0",
    ...     title="Viewer", kind="native", framework=None, link="quay.io/lab/viewer:1.0.0").cpu is None
    True
    """

    server_name: str = field(doc="Name of the user's server at the hub.")
    user_name: str = field(doc="Who launches it.")
    organization: str = field(doc="Short name of the organization, in which the application works.")
    app_id: str = field(doc="The application.")
    version: str = field(doc="The version.")
    title: str = field(doc="Shown on its tile.")
    kind: str = field(doc="What runs it: native.")
    framework: str | None = field(doc="The framework it is written with; null for none.")
    link: str = field(doc="The whole reference of its image.")
    profile_id: str | None = field(default=None, doc="The app profile that the limits are of; null for none.")
    cpu: float | None = field(default=None, doc="Processors; null for no limit.")
    memory: float | None = field(default=None, doc="GB; null for no limit.")
    gpu: int | None = field(default=None, doc="Graphics processors; null where nothing says how many.")
    idle_minutes: int | None = field(default=None, doc="Minutes before it is stopped while idle; null for never.")
    volume_mount_point: str | None = field(default=None, doc="Where a persistent volume is mounted; null for none.")
    suggested_volume_size: int | None = field(default=None, doc="First size of that volume, in GB.")
    registry: PlanRegistry | None = field(default=None, doc="Credentials for the image's registry; null for none.")
