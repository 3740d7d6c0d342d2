"""Connectors of an organization."""

from __future__ import annotations

from typing import Any

import flask

from edge_server.base import pages
from edge_server.base.problems import Refusal
from edge_server.sources import connectors
from edge_server.sources.models import Connector
from edge_server.web import updates
from edge_server.web.engines import services
from edge_server.web.permissions import caller, member
from edge_server.web.routes import Routes, answer
from edge_sources.wire import ConnectorDefinition, ConnectorEntry, ConnectorPage, ListConnectors, OpenConnector

routes = Routes("sources", __name__, url_prefix="/v1/orgs/<org>/sources")


@routes.operation("sources.list", "GET", "")
@routes.arguments(ListConnectors.schema(), location="query")
@routes.response(200, ConnectorPage.schema())
def list_connectors(query: ListConnectors, org: str) -> flask.Response:
    """List the organization's connectors, in the order of their names."""
    after = "" if query.cursor is None else pages.key_of(query.cursor, str)
    with services().database.read() as session:
        rows = connectors.find_all(session, member().organization_id, after=after, limit=query.limit + 1)
    entries = [_entry(row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return answer(ConnectorPage(items=entries, next=pages.cursor_of(entries[-1].name) if more else None))


@routes.operation("sources.add", "POST", "")
@routes.arguments(ConnectorDefinition.schema())
@routes.response(201, ConnectorEntry.schema())
def add(wanted: ConnectorDefinition, org: str) -> flask.Response:
    """Keep a new connector. The answer does not repeat its definition."""
    with services().database.write() as session:
        row = connectors.create(session, services().sealer, member().organization_id, wanted)
        _audit("add", row)
        return updates.answer(_entry(row), row, 201)


@routes.operation("sources.get", "GET", "/<connector>", secret_answer=True)
@routes.response(200, OpenConnector.schema())
def get(org: str, connector: str) -> flask.Response:
    """Give a connector by name or uid, with its credentials. Each reading leaves a line in the audit log."""
    with services().database.read() as session:
        row = connectors.get(session, member().organization_id, connector)
        found = connectors.definition(services().sealer, row)
    _audit("get", row)
    opened = {**_entry(row).to_dict(), "definition": found.definition, "secret": found.secret}
    response = updates.answer(OpenConnector.from_answer(opened), row)
    response.headers["Cache-Control"] = "no-store"
    return response


@routes.operation("sources.update", "PATCH", "/<connector>")
@routes.merge_patch(ConnectorDefinition)
@routes.response(200, ConnectorEntry.schema())
def update(patch: dict[str, Any], org: str, connector: str) -> flask.Response:
    """Change a connector, by name or uid; its kind stays. The answer does not repeat its definition."""
    sealer = services().sealer
    with services().database.write() as session:
        row = connectors.get(session, member().organization_id, connector)
        wanted = updates.patched(connectors.definition(sealer, row), patch, fixed=["kind"])
        try:
            updates.require_unchanged(row)
        except Refusal:
            # A request that is sent again after its answer was lost finds its own change
            # (RFC 9110, section 13.1.1).
            if not connectors.holds(sealer, row, wanted):
                raise
        else:
            connectors.replace(session, sealer, row, wanted)
            _audit("update", row)
        return updates.answer(_entry(row), row)


@routes.operation("sources.remove", "DELETE", "/<connector>")
@routes.response(204)
def remove(org: str, connector: str) -> flask.Response:
    """Remove a connector, by name or uid."""
    with services().database.write() as session:
        row = connectors.get(session, member().organization_id, connector)
        _audit("remove", row)
        connectors.remove(session, row)
    return flask.Response(status=204)


def _entry(row: Connector) -> ConnectorEntry:
    return ConnectorEntry(
        uid=row.uid,
        name=row.name,
        title=row.title,
        kind=row.kind,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _audit(verb: str, row: Connector) -> None:
    services().audit.note(caller().user_name, f"sources.{verb}", connector=row.name)
