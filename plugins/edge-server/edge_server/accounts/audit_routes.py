"""The audit lines of an organization and of the server, and how long they stay."""

from __future__ import annotations

import datetime as dt
import difflib
import json
from typing import Any

import flask
import sqlalchemy as sa
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from edge_admin.audit_line import AuditLine as AuditLineRecord
from edge_admin.wire import AuditPage, AuditQuery
from edge_server.base import pages, problems
from edge_server.identity import directory, operator_audit
from edge_server.identity.audit_lines import AuditLine
from edge_server.web import permissions
from edge_server.web.context import OwnContext
from edge_server.web.permissions import ORG_ADMIN, SERVER_ADMIN
from edge_server.web.routes import Routes

INTERVAL = 3600.0
"""Seconds between two times that old lines are forgotten."""

FORGOTTEN = 1000
"""Lines that one transaction forgets."""


def add(routes: Routes, context: OwnContext) -> None:
    """Add ``/v1/orgs/<org>/audit`` and ``/v1/admin/audit``."""

    @routes.operation("audit.list", "GET", "/orgs/<org>/audit", who=ORG_ADMIN)
    @routes.arguments(AuditQuery.schema(), location="query")
    @routes.response(200, AuditPage.schema())
    def list_of_organization(query: AuditQuery, org: str) -> flask.Response:
        """List who changed what in the organization, the newest change first."""
        return answer(query, AuditLine.organization_id == context.member().organization_id)

    @routes.operation("admin.audit.list", "GET", "/admin/audit", who=SERVER_ADMIN)
    @routes.arguments(AuditQuery.schema(), location="query")
    @routes.response(200, AuditPage.schema())
    def list_of_server(query: AuditQuery) -> flask.Response:
        """List who changed users, tokens, organizations and quotas, the newest change first."""
        return answer(query, AuditLine.organization_id.is_(None))

    def answer(query: AuditQuery, place: sa.ColumnElement[bool]) -> flask.Response:
        with context.read() as session:
            _require_known(session, query.action, place)
            lines = select(AuditLine).where(place, *_conditions(session, query))
            rows, following = pages.page(session, lines, AuditLine.id, query, descending=True)
        return context.answer(AuditPage(items=[_record(row) for row in rows], next=following))


def forget(context: OwnContext, kept: dt.timedelta) -> None:
    """Forget the lines that are older than `kept`, a little at a time."""
    old = select(AuditLine.id).where(AuditLine.at < context.now() - kept).limit(FORGOTTEN)
    while not context.stopping:
        with context.read() as session:  # usually there is nothing, which needs no lock
            ids = session.scalars(old).all()
        if not ids:
            return
        with context.write(context.SERVER) as session:
            session.execute(
                sa.delete(AuditLine).where(AuditLine.id.in_(ids)), execution_options={"synchronize_session": False}
            )


def _require_known(session: Session, action: str | None, place: sa.ColumnElement[bool]) -> None:
    """See that there is such an operation or group, be it of a plugin that is gone and left lines."""
    if action is None:
        return
    operations = {*permissions.rules_of(flask.current_app), *operator_audit.ACTIONS, *operator_audit.HUB_ACTIONS}
    known = {
        ".".join(words[:n]) for words in (name.split(".") for name in operations) for n in range(1, len(words) + 1)
    }
    if action in known or session.scalar(select(AuditLine.id).where(place, _of_action(action)).limit(1)) is not None:
        return
    near = difflib.get_close_matches(action, sorted(known), n=1)
    hint = f"perhaps {near[0]!r} is meant; " if near else ""
    groups = ", ".join(sorted({name.split(".")[0] for name in known}))
    raise problems.bad_entry(f"action: there is no operation or group {action!r}; {hint}the groups are {groups}")


def _of_action(action: str) -> sa.ColumnElement[bool]:
    return or_(AuditLine.action == action, AuditLine.action.startswith(f"{action}.", autoescape=True))


def _of_user(session: Session, name: str) -> sa.ColumnElement[bool]:
    """The lines of who has the name now, under whatever name; else those that were written under it."""
    user = directory.find_user(session, name)
    return AuditLine.user_name == name if user is None else AuditLine.user_id == user.id


def _conditions(session: Session, query: AuditQuery) -> list[sa.ColumnElement[bool]]:
    conditions: list[Any] = []
    if query.since is not None:
        conditions.append(AuditLine.at >= query.since)
    if query.until is not None:
        conditions.append(AuditLine.at < query.until)
    if query.user_name is not None:
        conditions.append(_of_user(session, query.user_name))
    if query.action is not None:
        conditions.append(_of_action(query.action))
    return conditions


def _record(row: AuditLine) -> AuditLineRecord:
    return AuditLineRecord(
        at=row.at,
        user_name=row.user_name,
        action=row.action,
        about=json.loads(row.about),
        organization_name=row.organization_name,
        token_id=row.token_uid,
        request_id=row.request_id,
    )
