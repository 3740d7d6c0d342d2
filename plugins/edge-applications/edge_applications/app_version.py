"""`AppVersion` and what its fields can be."""

from __future__ import annotations

import enum
import typing
from typing import Any

from edge_applications.names import APP_ID, VERSION
from edge_core.records import PLAIN_TEXT, Record, field


class AppKindEnum(enum.Enum):
    """What runs an application."""

    Native = "native"
    """An image that the platform runs."""
    Kubernetes = "kubernetes"
    """Runs on a Kubernetes cluster beside the platform; `link` is its address."""
    Analysis = "analysis"
    """Built in: notebooks."""
    Data = "data"
    """Built in: files and data connectors."""
    External = "external"
    """Hosted elsewhere; `link` is its address."""


class _SameByValue(enum.Enum):
    """Base of two enumerations whose members are equal by value, as published code compares them."""

    def __eq__(self, other: object) -> bool:
        return self.value == other.value if isinstance(other, _SameByValue) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)


class AppFrameworkEnum(_SameByValue):
    """The framework an application is written with.

    >>> AppFrameworkEnum.Panel == AppProxyKindEnum.Panel
    True
    """

    NoFramework = None
    Generic = "generic"
    Panel = "panel"
    PlotlyDash = "plotly-dash"
    React = "react"
    Streamlit = "streamlit"


class AppProxyKindEnum(_SameByValue):
    """The older name of `AppFrameworkEnum`, for programs that use it."""

    NoProxy = None
    Generic = "generic"
    Panel = "panel"
    PlotlyDash = "plotly-dash"
    React = "react"
    Streamlit = "streamlit"


_ABSENT: Any = object()


class AppVersion(Record):
    """One version of an application.

    Args:
        app_id: id of the application, which must exist.
        version: what the version is called, such as ``1.0.0``.
        title: shown on its tile.
        description: shown on its tile.
        icon: a square PNG or JPEG in base64, as text or bytes; 64 or 128 pixels do well.
        kind: what runs it.
        link: the whole reference of a native application's image, with its registry and a tag or digest; the
            address of a Kubernetes or external one.
        recommended_profile: id of an app profile, such as ``edge.medium``.
        framework: the framework it is written with; members of the older `AppProxyKindEnum` are taken too.
        volume_mount_point: where a persistent volume is mounted, an absolute path.
        suggested_volume_size: first size of that volume, in GB.
        profiles: the version's own profiles, as older programs give them; stored and not used.
        default_profile: the first choice of these; stored and not used.
        proxy_kind: the older name of `framework`.

    >>> AppVersion(app_id="viewer", version="1.0.0", proxy_kind=AppProxyKindEnum.Panel).framework
    <AppFrameworkEnum.Panel: 'panel'>
    """

    app_id: str = field(pattern=APP_ID, doc="The application.")
    version: str = field(pattern=VERSION, doc="What the version is called; it stays.")
    title: str = field(default="", max_length=200, pattern=PLAIN_TEXT, doc="Shown on its tile.")
    description: str = field(default="", max_length=4000, doc="Shown on its tile.")
    icon: str = field(default="", doc="A square PNG or JPEG in base64; empty for none.")
    kind: AppKindEnum = field(default=AppKindEnum.Native, doc="What runs it.")
    link: str = field(default="", max_length=2000, pattern=PLAIN_TEXT, doc="Its image with a tag, or its address.")
    recommended_profile: str | None = field(
        default=None, max_length=100, pattern=PLAIN_TEXT, doc="Id of an app profile to run it with."
    )
    framework: AppFrameworkEnum = field(
        default=AppFrameworkEnum.NoFramework, doc="The framework it is written with; null for none."
    )
    volume_mount_point: str | None = field(
        default=None, max_length=1000, pattern=PLAIN_TEXT, doc="Where a persistent volume is mounted."
    )
    suggested_volume_size: int | None = field(
        default=None, minimum=1, maximum=1000000, doc="First size of that volume, in GB."
    )
    profiles: Any = field(
        default=None, doc="The version's own profiles, as older programs give them; stored and not used."
    )
    default_profile: str | None = field(
        default=None, max_length=100, pattern=PLAIN_TEXT, doc="The first choice of these; stored and not used."
    )

    def __init__(
        self,
        app_id: str,
        version: str,
        title: str = "",
        description: str = "",
        icon: str | bytes | None = "",
        kind: AppKindEnum = AppKindEnum.Native,
        link: str = "",
        recommended_profile: str | None = None,
        framework: AppFrameworkEnum | AppProxyKindEnum | None = _ABSENT,
        volume_mount_point: str | None = None,
        suggested_volume_size: int | None = None,
        profiles: Any = None,
        default_profile: str | None = None,
        *,
        proxy_kind: AppFrameworkEnum | AppProxyKindEnum | None = _ABSENT,
    ) -> None:
        if proxy_kind is not _ABSENT:
            if framework is not _ABSENT:
                raise TypeError("AppVersion() takes framework= or its older name proxy_kind=, not both")
            framework = proxy_kind
        super().__init__(
            app_id=app_id,
            version=version,
            title=title,
            description=description,
            icon=_as_text(icon),
            kind=kind,
            link=link,
            recommended_profile=recommended_profile,
            framework=_as_framework(None if framework is _ABSENT else framework),
            volume_mount_point=volume_mount_point,
            suggested_volume_size=suggested_volume_size,
            profiles=profiles,
            default_profile=default_profile,
        )

    @property
    def proxy_kind(self) -> AppFrameworkEnum:
        """The older name of `framework`."""
        return self.framework

    if typing.TYPE_CHECKING:

        @proxy_kind.setter
        def proxy_kind(self, value: AppFrameworkEnum | AppProxyKindEnum | None) -> None: ...

    else:

        def __setattr__(self, name, value):
            if name in ("framework", "proxy_kind"):
                name, value = "framework", _as_framework(value)
            elif name == "icon":
                value = _as_text(value)
            super().__setattr__(name, value)


def _as_framework(value: Any) -> Any:
    """The member of `AppFrameworkEnum`; an unknown value is left to the server to refuse."""
    if isinstance(value, AppFrameworkEnum):
        return value
    name = value.value if isinstance(value, enum.Enum) else value
    try:
        return AppFrameworkEnum(name)
    except ValueError:
        return name


def _as_text(icon: Any) -> Any:
    if icon is None:
        return ""
    # What base64.b64encode gives.
    return icon.decode("ascii", "replace") if isinstance(icon, bytes) else icon
