"""The addresses of an organization's connectors."""

from __future__ import annotations

from typing import Any

import flask
from sqlalchemy import select

from edge_server.base.problems import Refusal
from edge_server.sources.connectors import Connectors
from edge_server.sources.models import Connector
from edge_server.web.answers import etag
from edge_server.web.context import Context
from edge_server.web.permissions import DEVELOPER, MEMBER
from edge_server.web.routes import Routes
from edge_sources.wire import (
    MAX_BYTES,
    ConnectorDefinition,
    ConnectorEntry,
    ConnectorPage,
    ListConnectors,
    OpenConnector,
)

_MAX_JSON = MAX_BYTES + (64 << 10)
"""Bytes. A whole API description, beside the rest of the connector."""


def routes(context: Context, connectors: Connectors) -> Routes:
    """Below ``/v1/orgs/<org>/sources``."""
    routes = context.routes()

    @routes.operation("sources.list", "GET", "", who=MEMBER)
    @routes.arguments(ListConnectors.schema(), location="query")
    @routes.response(200, ConnectorPage.schema())
    def list_connectors(query: ListConnectors, org: str) -> flask.Response:
        """List the organization's connectors, in the order of their names."""
        own = select(Connector).where(Connector.organization_id == context.member().organization_id)
        with context.read() as session:
            rows, following = context.page(session, own, Connector.name, query)
        return context.answer(ConnectorPage(items=[_entry(row) for row in rows], next=following))

    @routes.operation("sources.add", "POST", "", who=DEVELOPER, max_json=_MAX_JSON)
    @routes.arguments(ConnectorDefinition.schema())
    @routes.response(201, ConnectorEntry.schema())
    def add(definition: ConnectorDefinition, org: str) -> flask.Response:
        """Keep a new connector. The answer does not repeat its definition."""
        organization_id = context.member().organization_id
        with context.read() as session:
            begun = connectors.begin(session, organization_id)
        prepared = connectors.prepare(begun, definition)
        with context.write() as session:
            row = connectors.create(session, organization_id, begun.uid, definition, prepared)
            context.audit(connector=row.name)
            return context.answer(_entry(row), row, 201)

    @routes.operation("sources.get", "GET", "/<connector>", who=MEMBER, secret_answer=True)
    @routes.response(200, OpenConnector.schema())
    def get(org: str, connector: str) -> flask.Response:
        """Give a connector by name or uid, with its credentials. Each reading leaves a line in the audit log."""
        with context.read() as session:
            row = connectors.get(session, context.member().organization_id, connector)
        definition = connectors.definition(row)
        context.audit(connector=row.name)
        opened = {**_entry(row).to_dict(), "definition": definition.definition, "secret": definition.secret}
        return context.secret_answer(OpenConnector.from_answer(opened), row)

    @routes.operation("sources.update", "PATCH", "/<connector>", who=DEVELOPER, max_json=_MAX_JSON)
    @routes.merge_patch(ConnectorDefinition)
    @routes.response(200, ConnectorEntry.schema())
    def update(patch: dict[str, Any], org: str, connector: str) -> flask.Response:
        """Change a connector, by name or uid; its kind stays. The answer does not repeat its definition."""
        organization_id = context.member().organization_id
        while True:
            with context.read() as session:
                before = connectors.get(session, organization_id, connector)
            current = connectors.definition(before)
            definition = context.patched(current, patch, fixed=["kind"])
            try:
                context.require_unchanged(before)
            except Refusal:
                # A request that is sent again after its answer was lost finds its own change
                # (RFC 9110, section 13.1.1).
                if current.to_dict() != definition.to_dict():
                    raise
                return context.answer(_entry(before), before)
            prepared = connectors.prepare(before, definition)
            with context.write() as session:
                row = connectors.get(session, organization_id, connector)
                # If somebody changed it in between, the patch is for what it is now: each time round, one gets through.
                if etag(row) == etag(before):
                    connectors.replace(session, row, definition, prepared)
                    context.audit(connector=row.name)
                    return context.answer(_entry(row), row)

    @routes.operation("sources.remove", "DELETE", "/<connector>", who=DEVELOPER)
    @routes.response(204)
    def remove(org: str, connector: str) -> flask.Response:
        """Remove a connector, by name or uid."""
        with context.write() as session:
            row = connectors.get(session, context.member().organization_id, connector)
            context.audit(connector=row.name)
            connectors.remove(session, row)
            return context.nothing()

    return routes


def _entry(row: Connector) -> ConnectorEntry:
    return ConnectorEntry(
        uid=row.uid,
        name=row.name,
        title=row.title,
        kind=row.kind,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )
