"""The organizations of the server, and how much their files may hold."""

from __future__ import annotations

from typing import Any

import flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_admin.organization import Organization as OrganizationRecord
from edge_admin.organization import OrganizationStatusEnum
from edge_admin.quota import Quota
from edge_admin.wire import AdminQuery, OrganizationPage
from edge_server.accounts import removal
from edge_server.base.problems import conflict, not_found
from edge_server.data.declarative import new_row_id
from edge_server.identity import directory
from edge_server.identity.models import Organization
from edge_server.web import lifecycle
from edge_server.web.context import OwnContext
from edge_server.web.permissions import ORG_ADMIN, SERVER_ADMIN
from edge_server.web.routes import Routes

_COUNTED = ["used_bytes", "upload_bytes", "deleted_bytes", "limit_bytes", "deleted_limit_bytes"]


def own_quota_routes(context: OwnContext) -> Routes:
    """What the admins of an organization see of its space."""
    routes = context.routes("/v1", group="quota")

    @routes.operation("quota.read", "GET", "/orgs/<org>/quota", who=ORG_ADMIN)
    @routes.response(200, Quota.schema())
    def read_own_quota(org: str) -> flask.Response:
        """Tell how much the organization's files may hold, and how much they do."""
        with context.read() as session:
            row = session.get_one(Organization, context.member().organization_id)
            return context.answer(_quota(context, session, row), row)

    return routes


def add(routes: Routes, context: OwnContext) -> None:
    """Add the addresses below ``/v1/admin/organizations``."""
    events = context.engines.lifecycle

    @routes.operation("admin.organizations.list", "GET", "/organizations", who=SERVER_ADMIN)
    @routes.arguments(AdminQuery.schema(), location="query")
    @routes.response(200, OrganizationPage.schema())
    def list_organizations(query: AdminQuery) -> flask.Response:
        """List all organizations by name, those that are being removed among them."""
        with context.read() as session:
            rows, following = context.page(session, select(Organization), Organization.name, query)
            return context.answer(OrganizationPage(items=[_record(row) for row in rows], next=following))

    @routes.operation("admin.organizations.add", "POST", "/organizations", who=SERVER_ADMIN)
    @routes.arguments(OrganizationRecord.schema())
    @routes.response(201, OrganizationRecord.schema())
    def add_organization(record: OrganizationRecord) -> flask.Response:
        """Add an organization, which has no members yet. A `uid` that is sent is not taken."""
        with context.write() as session:
            namesake = directory.namesake(session, record.name)
            if namesake is not None:
                being = "is being removed" if namesake.status == directory.DELETING else "exists already"
                raise context.already_exists(f"the organization {namesake.name} {being}; choose another name")
            row = directory.create_organization(
                session, events.organization_added, record.name, record.title, row_id=new_row_id()
            )
            _apply(row, record)
            session.flush()
            context.audit_in(row, about={"organization": row.name}, server=True)
            return context.answer(_record(row), row, 201)

    @routes.operation("admin.organizations.read", "GET", "/organizations/<organization_name>", who=SERVER_ADMIN)
    @routes.response(200, OrganizationRecord.schema())
    def read_organization(organization_name: str) -> flask.Response:
        """Tell of one organization."""
        with context.read() as session:
            row = _get(session, organization_name)
            return context.answer(_record(row), row)

    @routes.operation("admin.organizations.update", "PATCH", "/organizations/<organization_name>", who=SERVER_ADMIN)
    @routes.merge_patch(OrganizationRecord)
    @routes.response(200, OrganizationRecord.schema())
    def update_organization(patch: dict[str, Any], organization_name: str) -> flask.Response:
        """Change an organization; its name stays."""
        with context.write() as session:
            row = _get(session, organization_name)
            context.require_unchanged(row)
            if row.status == directory.DELETING:
                raise context.conflict(f"the organization {organization_name} is being removed, which cannot be undone")
            _apply(row, context.patched(_record(row), patch, fixed=["uid", "name"]))
            session.flush()
            about = {
                "organization": row.name,
                "status": row.status,
                "active": str(row.active).lower(),
                "disable_launch": str(row.disable_launch).lower(),
                "shutdown_apps": str(row.shutdown_apps).lower(),
            }
            context.audit_in(row, about=about, server=True)
            return context.answer(_record(row), row)

    @routes.operation("admin.organizations.remove", "DELETE", "/organizations/<organization_name>", who=SERVER_ADMIN)
    @routes.response(202, OrganizationRecord.schema())
    def remove_organization(organization_name: str) -> flask.Response:
        """Close an organization now, and remove it with all of its data in the background.

        It shows with the status `deleting` until all of it is gone.
        """
        with context.write() as session:
            row = _get(session, organization_name)
            context.require_unchanged(row)
            if row.status != directory.DELETING:
                lifecycle.tell(events.organization_closing, session, row.id)
            row.status = directory.DELETING
            session.flush()
            context.audit_in(row, about={"organization": row.name}, server=True)
            response = context.answer(_record(row), row, 202)
        context.wake(removal.TASK)
        return response

    @routes.operation("admin.quotas.read", "GET", "/organizations/<organization_name>/quota", who=SERVER_ADMIN)
    @routes.response(200, Quota.schema())
    def read_quota(organization_name: str) -> flask.Response:
        """Tell how much an organization's files may hold, and how much they do."""
        with context.read() as session:
            row = _get(session, organization_name)
            return context.answer(_quota(context, session, row), row)

    @routes.operation("admin.quotas.update", "PATCH", "/organizations/<organization_name>/quota", who=SERVER_ADMIN)
    @routes.merge_patch(Quota)
    @routes.response(200, Quota.schema())
    def update_quota(patch: dict[str, Any], organization_name: str) -> flask.Response:
        """Say how much an organization's files may hold. What is there already stays, also if it is more."""
        with context.write() as session:
            row = _get(session, organization_name)
            context.require_unchanged(row)
            row.quota_bytes = context.patched(_quota(context, session, row), patch, fixed=_COUNTED).storage_bytes
            session.flush()
            limit = "default" if row.quota_bytes is None else str(row.quota_bytes)
            context.audit_in(row, about={"organization": row.name, "storage_bytes": limit}, server=True)
            return context.answer(_quota(context, session, row), row)


def _get(session: Session, name: str) -> Organization:
    row = directory.find_organization(session, name)
    if row is None:
        raise not_found("the organization cannot be found; check its short name")
    return row


def _apply(row: Organization, record: OrganizationRecord) -> None:
    if record.status is OrganizationStatusEnum.Deleting:
        raise conflict("status: an organization is not removed by an update; remove it by DELETE")
    row.title = record.title or row.name
    row.status = record.status.value
    row.disable_launch = record.disable_launch
    row.shutdown_apps = record.shutdown_apps
    row.active = record.active


def _record(row: Organization) -> OrganizationRecord:
    return OrganizationRecord.from_answer(
        {
            "uid": row.uid,
            "name": row.name,
            "title": row.title,
            "status": row.status,
            "disable_launch": row.disable_launch,
            "shutdown_apps": row.shutdown_apps,
            "active": row.active,
        }
    )


def _quota(context: OwnContext, session: Session, row: Organization) -> Quota:
    now = context.engines.space.room(session, row.id)
    return Quota(
        storage_bytes=row.quota_bytes,
        used_bytes=now.used,
        upload_bytes=now.uploads,
        deleted_bytes=now.deleted,
        limit_bytes=now.quota,
        deleted_limit_bytes=now.deleted_limit,
    )
