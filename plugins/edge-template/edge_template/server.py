"""The server half: the addresses of log books, and who may use them.

The server calls `server` at its start with all that is needed here, so that nothing of the server
is imported.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_template.models import Base, Entry
from edge_template.wire import CreateTemplateEntry, ListTemplate, TemplateEntry, TemplatePage

if TYPE_CHECKING:
    from edge_server.web.context import Context
    from edge_server.web.parts import Parts

plugin_api = 1


def server(context: Context) -> Parts:
    """Addresses, rules and tables of the log books."""
    routes = context.routes()
    # `session.search` finds entries by these.
    names = context.names("template entry")

    @routes.operation("template.entries.list", "GET", "/entries", who="member")
    @routes.arguments(ListTemplate.schema(), location="query")
    @routes.response(200, TemplatePage.schema())
    def list_entries(query: ListTemplate, org: str) -> Any:
        """List the entries, the oldest first."""
        entries = select(Entry).where(Entry.organization_id == context.member().organization_id)
        if query.instrument is not None:
            entries = entries.where(Entry.instrument == query.instrument)
        with context.read() as session:
            rows, following = context.page(session, entries, Entry.id, query)
        return context.answer(TemplatePage(items=[_record(row) for row in rows], next=following))

    @routes.operation("template.entries.create", "POST", "/entries", who="member")
    @routes.arguments(CreateTemplateEntry.schema())
    @routes.response(201, TemplateEntry.schema())
    def create(entry: CreateTemplateEntry, org: str) -> Any:
        """Write a new entry."""
        now = context.now()
        with context.write() as session:
            row = Entry(
                organization_id=context.member().organization_id,
                instrument=entry.instrument,
                text=entry.text,
                author=context.caller().user_name,
                created_at=now,
                modified_at=now,
            )
            session.add(row)
            session.flush()
            names.add(session, row.organization_id, row.uid, _name(row))
            return context.answer(_record(row), row, status=201)

    @routes.operation("template.entries.read", "GET", "/entries/<uid>", who="member")
    @routes.response(200, TemplateEntry.schema())
    def read(org: str, uid: str) -> Any:
        """Give one entry."""
        with context.read() as session:
            row = find(session, uid)
            return context.answer(_record(row), row)

    @routes.operation("template.entries.update", "PATCH", "/entries/<uid>", who="developer")
    @routes.merge_patch(TemplateEntry)
    @routes.response(200, TemplateEntry.schema())
    def update(patch: Mapping[str, Any], org: str, uid: str) -> Any:
        """Correct the text of an entry."""
        fixed = ("uid", "instrument", "author", "created_at", "modified_at")
        with context.write() as session:
            row = find(session, uid)
            context.require_unchanged(row)
            row.text = context.patched(_record(row), patch, fixed=fixed).text
            row.modified_at = context.now()
            session.flush()
            names.rename(session, row.uid, _name(row))
            # A log book that can be corrected says in the server's audit log by whom.
            context.audit(instrument=row.instrument, entry=row.uid)
            return context.answer(_record(row), row)

    @routes.operation("template.entries.delete", "DELETE", "/entries/<uid>", who="developer")
    @routes.response(204)
    def delete(org: str, uid: str) -> Any:
        """Remove an entry."""
        with context.write() as session:
            row = find(session, uid)
            context.require_unchanged(row)
            session.delete(row)
            names.remove(session, [row.uid])
            context.audit(instrument=row.instrument, entry=row.uid)
            return context.nothing()

    def find(session: Session, uid: str) -> Entry:
        organization = Entry.organization_id == context.member().organization_id
        row = session.scalar(select(Entry).where(organization, Entry.uid == uid))
        if row is None:
            raise context.not_found("the entry cannot be found in the log books; list them for those there are")
        return row

    return context.subsystem(
        routes,
        metadata=Base.metadata,
        migrations=Path(__file__).parent / "migrations",
    )


def _name(row: Entry) -> str:
    """What search finds an entry by, in at most 255 characters."""
    return f"{row.instrument}: {row.text}"[:255]


def _record(row: Entry) -> TemplateEntry:
    return TemplateEntry(
        uid=row.uid,
        instrument=row.instrument,
        text=row.text,
        author=row.author,
        created_at=_utc(row.created_at),
        modified_at=_utc(row.modified_at),
    )


def _utc(moment: dt.datetime) -> dt.datetime:
    # SQLite keeps no time zone.
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
