"""Secrets: the caller's own, and the organization's."""

from __future__ import annotations

import flask

from edge_secrets.wire import CreateSecret, ListSecrets, OpenSecret, ReplaceSecret, SecretEntry, SecretPage
from edge_server.base import pages
from edge_server.base.problems import Refusal
from edge_server.data.database import SERVER
from edge_server.secrets import keeping
from edge_server.secrets.models import Secret
from edge_server.web import updates
from edge_server.web.answers import answer
from edge_server.web.engines import services
from edge_server.web.permissions import MEMBER, ORG_ADMIN, caller, member
from edge_server.web.routes import Routes

routes = Routes("secrets", __name__, url_prefix="/v1/orgs/<org>/secrets")


@routes.operation("secrets.user.list", "GET", "/user", who=MEMBER)
@routes.arguments(ListSecrets.schema(), location="query")
@routes.response(200, SecretPage.schema())
def list_of_user(query: ListSecrets, org: str) -> flask.Response:
    """List the caller's secrets in the organization, in the order of their names."""
    return _list(query, caller().id)


@routes.operation("secrets.user.create", "POST", "/user", who=MEMBER)
@routes.arguments(CreateSecret.schema())
@routes.response(201, SecretEntry.schema())
def create_of_user(wanted: CreateSecret, org: str) -> flask.Response:
    """Keep a new secret that only the caller can read. The answer does not repeat its content."""
    return _create(wanted, caller().id)


@routes.operation("secrets.user.read", "GET", "/user/<name>", secret_answer=True, who=MEMBER)
@routes.response(200, OpenSecret.schema())
def read_of_user(org: str, name: str) -> flask.Response:
    """Give the content of one of the caller's secrets. Each reading leaves a line in the audit log."""
    return _read(name, caller().id)


@routes.operation("secrets.user.update", "PUT", "/user/<name>", who=MEMBER)
@routes.arguments(ReplaceSecret.schema())
@routes.response(200, SecretEntry.schema())
def update_of_user(wanted: ReplaceSecret, org: str, name: str) -> flask.Response:
    """Replace the whole content of one of the caller's secrets."""
    return _update(wanted, name, caller().id)


@routes.operation("secrets.user.delete", "DELETE", "/user/<name>", who=MEMBER)
@routes.response(204)
def delete_of_user(org: str, name: str) -> flask.Response:
    """Delete one of the caller's secrets."""
    return _delete(name, caller().id)


@routes.operation("secrets.organization.list", "GET", "/organization", who=MEMBER)
@routes.arguments(ListSecrets.schema(), location="query")
@routes.response(200, SecretPage.schema())
def list_of_organization(query: ListSecrets, org: str) -> flask.Response:
    """List the organization's secrets, in the order of their names."""
    return _list(query, None)


@routes.operation("secrets.organization.create", "POST", "/organization", who=ORG_ADMIN)
@routes.arguments(CreateSecret.schema())
@routes.response(201, SecretEntry.schema())
def create_of_organization(wanted: CreateSecret, org: str) -> flask.Response:
    """Keep a new secret that all members can read. The answer does not repeat its content."""
    return _create(wanted, None)


@routes.operation("secrets.organization.read", "GET", "/organization/<name>", secret_answer=True, who=MEMBER)
@routes.response(200, OpenSecret.schema())
def read_of_organization(org: str, name: str) -> flask.Response:
    """Give the content of one of the organization's secrets. Each reading leaves a line in the audit log."""
    return _read(name, None)


@routes.operation("secrets.organization.update", "PUT", "/organization/<name>", who=ORG_ADMIN)
@routes.arguments(ReplaceSecret.schema())
@routes.response(200, SecretEntry.schema())
def update_of_organization(wanted: ReplaceSecret, org: str, name: str) -> flask.Response:
    """Replace the whole content of one of the organization's secrets."""
    return _update(wanted, name, None)


@routes.operation("secrets.organization.delete", "DELETE", "/organization/<name>", who=ORG_ADMIN)
@routes.response(204)
def delete_of_organization(org: str, name: str) -> flask.Response:
    """Delete one of the organization's secrets."""
    return _delete(name, None)


def _list(query: ListSecrets, user_id: int | None) -> flask.Response:
    after = "" if query.cursor is None else pages.key_of(query.cursor, str)
    with services().database.read() as session:
        rows = keeping.find_all(session, member().organization_id, user_id, after=after, limit=query.limit + 1)
    entries = [_entry(row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return answer(SecretPage(items=entries, next=pages.cursor_of(entries[-1].name) if more else None))


def _create(wanted: CreateSecret, user_id: int | None) -> flask.Response:
    with services().database.write(SERVER) as session:
        row = keeping.create(session, services().sealer, member().organization_id, user_id, wanted.name, wanted.content)
        _audit("create", row)
        return answer(_entry(row), row, 201)


def _read(name: str, user_id: int | None) -> flask.Response:
    with services().database.read() as session:
        row = keeping.get(session, member().organization_id, user_id, name)
        content = keeping.content(services().sealer, row)
    _audit("read", row)
    opened = OpenSecret(name=row.name, created_at=row.created_at, modified_at=row.modified_at, content=content)
    response = answer(opened, row)
    response.headers["Cache-Control"] = "no-store"
    return response


def _update(wanted: ReplaceSecret, name: str, user_id: int | None) -> flask.Response:
    sealer = services().sealer
    with services().database.write(SERVER) as session:
        row = keeping.get(session, member().organization_id, user_id, name)
        try:
            updates.require_unchanged(row)
        except Refusal:
            # A request that is sent again after its answer was lost finds its own change
            # (RFC 9110, section 13.1.1).
            if not keeping.holds(sealer, row, wanted.content):
                raise
        else:
            keeping.replace(session, sealer, row, wanted.content)
            _audit("update", row)
        return answer(_entry(row), row)


def _delete(name: str, user_id: int | None) -> flask.Response:
    with services().database.write(SERVER) as session:
        row = keeping.get(session, member().organization_id, user_id, name)
        _audit("delete", row)
        session.delete(row)
    return flask.Response(status=204)


def _entry(row: Secret) -> SecretEntry:
    return SecretEntry(name=row.name, created_at=row.created_at, modified_at=row.modified_at)


def _audit(verb: str, row: Secret) -> None:
    kind = "organization" if row.user_id is None else "user"
    services().audit.note(caller().user_name, f"secrets.{kind}.{verb}", secret=row.name)
