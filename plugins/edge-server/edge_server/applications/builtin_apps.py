"""The applications that come with the platform: every organization has them, and nobody changes them."""

from __future__ import annotations

from edge_applications.app_version import AppKindEnum, AppVersion
from edge_applications.application import Application, AppStatusEnum

RESERVED = "edge."
"""What their ids begin with, and no organization's own."""

_VERSION = "1.0.0"

_TILES = (
    ("edge.analysis", AppKindEnum.Analysis, "Analysis", "Notebooks with a session ready in them."),
    ("edge.data", AppKindEnum.Data, "Data", "The organization's files and data connectors."),
)


def _application(app_id: str) -> Application:
    return Application(
        app_id=app_id,
        visible_auto_add=True,
        visible_versions=[_VERSION],
        built_in=True,
        status=AppStatusEnum.Approved,
    )


APPLICATIONS = {app_id: _application(app_id) for app_id, *_ in _TILES}
"""By id, in their order."""

VERSIONS = {
    app_id: AppVersion(app_id=app_id, version=_VERSION, title=title, description=description, kind=kind)
    for app_id, kind, title, description in _TILES
}
"""The one version that each has."""
