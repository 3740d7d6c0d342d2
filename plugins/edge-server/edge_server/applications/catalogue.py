"""Applications: who sees which, what a definition must be, and where passwords are sealed to."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_applications.app_version import AppKindEnum
from edge_applications.app_version import AppVersion as AppVersionRecord
from edge_applications.application import Application as ApplicationRecord
from edge_applications.application import AppResource, AppStatusEnum
from edge_applications.names import is_app_id, is_domain, is_image, is_version, is_web_address
from edge_server.applications import builtin_apps, icons
from edge_server.applications.models import Application, AppServer, AppVersion
from edge_server.base.problems import Refusal, already_exists, bad_entry, conflict, not_found
from edge_server.keys.sealing import Place
from edge_server.web.permissions import Member

APPROVED = AppStatusEnum.Approved.value
IN_REVIEW = AppStatusEnum.InReview.value

LARGEST_PROFILES = 64 << 10
"""Characters of `profiles` as JSON."""

_BUILT_IN_KINDS = (AppKindEnum.Analysis, AppKindEnum.Data)


# --- applications


def sees_all(who: Member) -> bool:
    """Whether a member sees applications In Review, and versions that are not visible."""
    return who.developer or who.admin


def seen_by(who: Member) -> sa.Select[Any]:
    """What selects the applications that a member sees."""
    rows = select(Application).where(Application.organization_id == who.organization_id)
    return rows if sees_all(who) else rows.where(Application.status == APPROVED)


def get(session: Session, who: Member, app_id: str) -> Application:
    """One of the organization's own applications.

    Raises:
        Refusal: there is none of that id, the member does not see it, or it is built in.
    """
    if app_id in builtin_apps.APPLICATIONS:
        raise conflict(f"{app_id} is built in; it cannot be changed, and has nothing that could")
    # What cannot be an id is none, and not every database can be asked for it.
    row: Application | None = (
        session.scalar(seen_by(who).where(Application.app_id == app_id)) if is_app_id(app_id) else None
    )
    if row is None:
        raise not_found(f"there is no application {app_id!r}; list the applications to see their ids")
    return row


def require_same(application: Application, before: Application) -> None:
    """See that an application is the one that something was prepared for, and not another one of its id since.

    Raises:
        Refusal: it is another one.
    """
    if application.uid != before.uid:
        raise conflict("someone else replaced the application at the same moment; get it again and repeat your change")


def add(session: Session, organization_id: int, application: ApplicationRecord) -> Application:
    """Add an application, In Review.

    Raises:
        Refusal: its id is taken or reserved.
    """
    taken = already_exists(
        f"there is an application {application.app_id!r} already; choose another id, or update that one"
    )
    if application.app_id in builtin_apps.APPLICATIONS:
        raise taken
    if application.app_id.startswith(builtin_apps.RESERVED):
        raise bad_entry(f"app_id: ids that begin with {builtin_apps.RESERVED} are the platform's; choose another")
    row = Application(organization_id=organization_id, app_id=application.app_id, status=IN_REVIEW, visible_versions=[])
    apply(session, row, application)
    session.add(row)
    _flush(session, taken)
    return row


def apply(session: Session, row: Application, application: ApplicationRecord) -> None:
    """Make an application what a record says.

    Raises:
        Refusal: it shall show a version that it has not.
    """
    if application.visible_versions is not None:
        visible = list(dict.fromkeys(application.visible_versions))
        if row.id is not None:
            added = set(visible) - set(row.visible_versions)
            there = set(session.scalars(select(AppVersion.version).where(AppVersion.application_id == row.id)))
            if added - there:
                unknown = sorted(added - there)[0]
                raise bad_entry(f"visible_versions: {row.app_id} has no version {unknown!r}; add it first")
        row.visible_versions = visible
    row.visible_auto_add = application.visible_auto_add
    row.idle_minutes = application.idle_minutes
    row.max_resources = None if application.max_resources is None else application.max_resources.to_dict()
    row.max_global_resources = (
        None if application.max_global_resources is None else application.max_global_resources.to_dict()
    )


def record(row: Application) -> ApplicationRecord:
    """An application as it goes out."""
    # Not built from its fields, so that what a newer server has written goes out as it is.
    return ApplicationRecord.from_answer(
        {
            "app_id": row.app_id,
            "visible_auto_add": row.visible_auto_add,
            "visible_versions": row.visible_versions,
            "idle_minutes": row.idle_minutes,
            "built_in": False,
            "status": row.status,
            "max_resources": _resource(row.max_resources),
            "max_global_resources": _resource(row.max_global_resources),
        }
    )


def _resource(kept: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if kept is None else AppResource.from_answer(kept).to_dict()


# --- versions


def versions_seen_by(who: Member, row: Application) -> sa.Select[Any]:
    """What selects the versions of an application that a member sees."""
    rows = select(AppVersion).where(AppVersion.application_id == row.id)
    return rows if sees_all(who) else rows.where(AppVersion.version.in_(row.visible_versions))


def get_version(session: Session, who: Member, application: Application, version: str) -> AppVersion:
    """One version of an application.

    Raises:
        Refusal: there is none, or the member does not see it.
    """
    rows = versions_seen_by(who, application).where(AppVersion.version == version)
    row: AppVersion | None = session.scalar(rows) if is_version(version) else None
    if row is None:
        raise not_found(f"{application.app_id} has no version {version!r}; list its versions to see them")
    return row


def new_version(version: AppVersionRecord) -> AppVersion:
    """A version of a record, of no application yet.

    Raises:
        Refusal: its definition is not valid.
    """
    row = AppVersion(version=version.version)
    apply_version(row, version)
    return row


def add_version(session: Session, application: Application, row: AppVersion) -> AppVersion:
    """Add a new version to its application, visible if the application says so.

    Raises:
        Refusal: it is there already.
    """
    row.application_id = application.id
    session.add(row)
    taken = f"{application.app_id} has a version {row.version!r} already; add it under another version"
    _flush(session, already_exists(taken))
    if application.visible_auto_add and row.version not in application.visible_versions:
        application.visible_versions = [*application.visible_versions, row.version]
    return row


def change_version(application: Application, row: AppVersion, version: AppVersionRecord) -> None:
    """Make a version that is there what a record says.

    Raises:
        Refusal: its definition is not valid, or members run it and would run something else.
    """
    approved = application.status == APPROVED and row.version in application.visible_versions
    if approved and (row.kind, row.link) != (version.kind.value, version.link):
        raise conflict(
            f"{application.app_id} {row.version} is approved and visible, so that its kind and link stay as they are; "
            "add a version"
        )
    apply_version(row, version)


def apply_version(row: AppVersion, version: AppVersionRecord) -> None:
    """Make a version what a record says.

    Raises:
        Refusal: its definition is not valid.
    """
    _check_kind_and_link(version)
    mount = version.volume_mount_point
    if mount is not None and (not mount.startswith("/") or ".." in mount.split("/")):
        raise bad_entry("volume_mount_point: it is no absolute path; write it as in /data")
    row.profiles = _checked_profiles(version.profiles)
    row.icon = icons.checked(version.icon)
    row.title = version.title
    row.description = version.description
    row.kind = version.kind.value
    row.framework = version.framework.value
    row.link = version.link
    row.recommended_profile = version.recommended_profile
    row.volume_mount_point = mount
    row.suggested_volume_size = version.suggested_volume_size
    row.default_profile = version.default_profile


def version_record(app_id: str, row: AppVersion) -> AppVersionRecord:
    """A version as it goes out."""
    return AppVersionRecord.from_answer(
        {
            "app_id": app_id,
            "version": row.version,
            "title": row.title,
            "description": row.description,
            "icon": row.icon,
            "kind": row.kind,
            "link": row.link,
            "recommended_profile": row.recommended_profile,
            "framework": row.framework,
            "volume_mount_point": row.volume_mount_point,
            "suggested_volume_size": row.suggested_volume_size,
            "profiles": row.profiles,
            "default_profile": row.default_profile,
        }
    )


def _check_kind_and_link(version: AppVersionRecord) -> None:
    if version.kind in _BUILT_IN_KINDS:
        raise bad_entry(
            f"kind: {version.kind.value} is for built-in applications; choose native, kubernetes or external"
        )
    if version.kind is AppKindEnum.Native:
        if not is_image(version.link):
            raise bad_entry(
                "link: it is not a whole image reference; write the registry, the path in lower case, and a tag or "
                "digest, as in quay.io/lab/viewer:1.0.0"
            )
    elif not is_web_address(version.link):
        raise bad_entry(
            f"link: it is not the address of a {version.kind.value} application; write it as in "
            "https://viewer.example.com"
        )


def _checked_profiles(profiles: Any) -> Any:
    if profiles is not None and not isinstance(profiles, (list, dict)):
        raise bad_entry("profiles: it is no list or object; leave it out, or make it one")
    if len(json.dumps(profiles)) > LARGEST_PROFILES:
        raise bad_entry(f"profiles: it has more than {LARGEST_PROFILES} characters as JSON; make it shorter")
    return profiles


# --- registries


def server_place(row: AppServer) -> Place:
    """Where a registry password is sealed to: the same for as long as the row is there."""
    application = row.application
    return Place(
        organization=application.organization.uid, owner=f"applications/{application.uid}/servers", name=row.domain
    )


def get_server(session: Session, application: Application, domain: str) -> AppServer:
    """An application's credentials for a registry.

    Raises:
        Refusal: there are none.
    """
    rows = select(AppServer).where(AppServer.application_id == application.id, AppServer.domain == domain.lower())
    row = session.scalar(rows) if is_domain(domain) else None
    if row is None:
        raise not_found(f"{application.app_id} has no credentials for {domain!r}; list its servers to see the domains")
    return row


def _flush(session: Session, taken: Refusal) -> None:
    try:
        session.flush()
    except sa.exc.IntegrityError:
        raise taken from None
