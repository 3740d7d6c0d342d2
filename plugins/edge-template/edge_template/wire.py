"""Records of requests and answers of log books, which client and server import."""

from __future__ import annotations

import datetime as dt

from edge_core.records import Pattern, Record, field

INSTRUMENT = Pattern(
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    "use 1 to 100 letters, digits, dots, underscores and hyphens, the first one a letter or digit",
)

MAX_TEXT = 10_000
"""The longest text of an entry, in characters."""


class TemplateEntry(Record):
    """An entry in the log book of an instrument."""

    uid: str = field(doc="Universally unique id.")
    instrument: str = field(pattern=INSTRUMENT)
    text: str = field(max_length=MAX_TEXT)
    author: str = field(doc="Name of the user who wrote it.")
    created_at: dt.datetime = field(doc="UTC.")
    modified_at: dt.datetime = field(doc="UTC.")


class TemplatePage(Record):
    """One page of entries."""

    items: list[TemplateEntry]
    next: str | None = field(default=None, doc="Cursor of the next page; null on the last one.")


class ListTemplate(Record):
    """Query for a page of entries, the oldest first."""

    instrument: str | None = field(default=None, pattern=INSTRUMENT, doc="Only the log book of this instrument.")
    limit: int = field(default=1000, minimum=1, maximum=1000, doc="Most items of one page.")
    cursor: str | None = field(default=None, doc="The `next` of the page before this.")


class CreateTemplateEntry(Record):
    """A new entry."""

    instrument: str = field(pattern=INSTRUMENT)
    text: str = field(max_length=MAX_TEXT)
