"""The addresses of secrets: the caller's own, and the organization's."""

from __future__ import annotations

import flask

from edge_secrets.wire import MAX_BYTES, CreateSecret, ListSecrets, OpenSecret, ReplaceSecret, SecretEntry, SecretPage
from edge_server.base.problems import Refusal
from edge_server.secrets.models import Secret
from edge_server.secrets.vault import Vault
from edge_server.web.context import Context
from edge_server.web.permissions import MEMBER, ORG_ADMIN
from edge_server.web.routes import Routes

_MAX_JSON = 6 * MAX_BYTES + (4 << 10)
"""Bytes. A character of a secret's JSON has up to six times as many where it is escaped."""


def routes(context: Context, vault: Vault) -> Routes:
    """Below ``/v1/orgs/<org>/secrets``."""
    routes = context.routes()
    of_either = _OfEither(context, vault)

    @routes.operation("secrets.user.list", "GET", "/user", who=MEMBER)
    @routes.arguments(ListSecrets.schema(), location="query")
    @routes.response(200, SecretPage.schema())
    def list_of_user(query: ListSecrets, org: str) -> flask.Response:
        """List the caller's secrets in the organization, in the order of their names."""
        return of_either.list(query, context.caller().id)

    @routes.operation("secrets.user.create", "POST", "/user", who=MEMBER, max_json=_MAX_JSON)
    @routes.arguments(CreateSecret.schema())
    @routes.response(201, SecretEntry.schema())
    def create_of_user(secret: CreateSecret, org: str) -> flask.Response:
        """Keep a new secret that only the caller can read. The answer does not repeat its content."""
        return of_either.create(secret, context.caller().id)

    @routes.operation("secrets.user.read", "GET", "/user/<name>", secret_answer=True, who=MEMBER)
    @routes.response(200, OpenSecret.schema())
    def read_of_user(org: str, name: str) -> flask.Response:
        """Give the content of one of the caller's secrets. Each reading leaves a line in the audit log."""
        return of_either.read(name, context.caller().id)

    @routes.operation("secrets.user.update", "PUT", "/user/<name>", who=MEMBER, max_json=_MAX_JSON)
    @routes.arguments(ReplaceSecret.schema())
    @routes.response(200, SecretEntry.schema())
    def update_of_user(secret: ReplaceSecret, org: str, name: str) -> flask.Response:
        """Replace the whole content of one of the caller's secrets."""
        return of_either.update(secret, name, context.caller().id)

    @routes.operation("secrets.user.delete", "DELETE", "/user/<name>", who=MEMBER)
    @routes.response(204)
    def delete_of_user(org: str, name: str) -> flask.Response:
        """Delete one of the caller's secrets."""
        return of_either.delete(name, context.caller().id)

    @routes.operation("secrets.organization.list", "GET", "/organization", who=MEMBER)
    @routes.arguments(ListSecrets.schema(), location="query")
    @routes.response(200, SecretPage.schema())
    def list_of_organization(query: ListSecrets, org: str) -> flask.Response:
        """List the organization's secrets, in the order of their names."""
        return of_either.list(query, None)

    @routes.operation("secrets.organization.create", "POST", "/organization", who=ORG_ADMIN, max_json=_MAX_JSON)
    @routes.arguments(CreateSecret.schema())
    @routes.response(201, SecretEntry.schema())
    def create_of_organization(secret: CreateSecret, org: str) -> flask.Response:
        """Keep a new secret that all members can read. The answer does not repeat its content."""
        return of_either.create(secret, None)

    @routes.operation("secrets.organization.read", "GET", "/organization/<name>", secret_answer=True, who=MEMBER)
    @routes.response(200, OpenSecret.schema())
    def read_of_organization(org: str, name: str) -> flask.Response:
        """Give the content of one of the organization's secrets. Each reading leaves a line in the audit log."""
        return of_either.read(name, None)

    @routes.operation("secrets.organization.update", "PUT", "/organization/<name>", who=ORG_ADMIN, max_json=_MAX_JSON)
    @routes.arguments(ReplaceSecret.schema())
    @routes.response(200, SecretEntry.schema())
    def update_of_organization(secret: ReplaceSecret, org: str, name: str) -> flask.Response:
        """Replace the whole content of one of the organization's secrets."""
        return of_either.update(secret, name, None)

    @routes.operation("secrets.organization.delete", "DELETE", "/organization/<name>", who=ORG_ADMIN)
    @routes.response(204)
    def delete_of_organization(org: str, name: str) -> flask.Response:
        """Delete one of the organization's secrets."""
        return of_either.delete(name, None)

    return routes


class _OfEither:
    """What the addresses do, for secrets of a user and, where that is None, of the organization."""

    def __init__(self, context: Context, vault: Vault) -> None:
        self._context = context
        self._vault = vault

    def list(self, query: ListSecrets, user_id: int | None) -> flask.Response:
        rows = self._vault.all_of(self._context.member().organization_id, user_id)
        with self._context.read() as session:
            secrets, following = self._context.page(session, rows, Secret.name, query)
        return self._context.answer(SecretPage(items=[_entry(row) for row in secrets], next=following))

    def create(self, secret: CreateSecret, user_id: int | None) -> flask.Response:
        organization_id = self._context.member().organization_id
        with self._context.read() as session:
            prepared = self._vault.prepare(session, organization_id, user_id, secret.name, secret.content)
        with self._context.write() as session:
            row = self._vault.create(session, organization_id, user_id, secret.name, prepared)
            self._context.audit(secret=row.name)
            return self._context.answer(_entry(row), row, 201)

    def read(self, name: str, user_id: int | None) -> flask.Response:
        with self._context.read() as session:
            row = self._vault.get(session, self._context.member().organization_id, user_id, name)
        content = self._vault.content(row)
        self._context.audit(secret=row.name)
        opened = OpenSecret(name=row.name, created_at=row.created_at, modified_at=row.modified_at, content=content)
        return self._context.secret_answer(opened, row)

    def update(self, secret: ReplaceSecret, name: str, user_id: int | None) -> flask.Response:
        organization_id = self._context.member().organization_id
        with self._context.read() as session:
            self._vault.get(session, organization_id, user_id, name)
            prepared = self._vault.prepare(session, organization_id, user_id, name, secret.content)
        with self._context.write() as session:
            row = self._vault.get(session, organization_id, user_id, name)
            try:
                self._context.require_unchanged(row)
            except Refusal as error:
                refusal = error
            else:
                self._vault.replace(session, row, prepared)
                self._context.audit(secret=row.name)
                return self._context.answer(_entry(row), row)
        # A request that is sent again after its answer was lost finds its own change (RFC 9110, section 13.1.1).
        if not self._vault.holds(row, secret.content):
            raise refusal
        return self._context.answer(_entry(row), row)

    def delete(self, name: str, user_id: int | None) -> flask.Response:
        with self._context.write() as session:
            row = self._vault.get(session, self._context.member().organization_id, user_id, name)
            self._context.audit(secret=row.name)
            session.delete(row)
            return self._context.nothing()


def _entry(row: Secret) -> SecretEntry:
    return SecretEntry(name=row.name, created_at=row.created_at, modified_at=row.modified_at)
