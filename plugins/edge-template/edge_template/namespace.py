"""The namespace `session.template`."""

from __future__ import annotations

from urllib.parse import quote

from edge_core.errors import BadEntry
from edge_core.paging import Pages
from edge_core.plugin import Namespace
from edge_template.wire import CreateTemplateEntry, TemplateEntry


class Template(Namespace):
    """Log books of instruments; each instrument has its own."""

    namespace = "template"
    plugin_api = 1

    def create(self, instrument: str, text: str) -> TemplateEntry:
        """Write a new entry, and return the server's record.

        Args:
            instrument: name of the instrument: letters, digits, ``.``, ``_`` and ``-``, at most 100.
            text: what happened, in at most 10,000 characters.

        Raises:
            BadEntry: the instrument or the text is not valid.
        """
        entry = CreateTemplateEntry(instrument=instrument, text=text)
        return TemplateEntry.from_answer(self.http.post("/entries", json=entry.to_dict()))

    def read(self, uid: str) -> TemplateEntry:
        """An entry by its uid.

        Args:
            uid: uid of the entry.

        Raises:
            NotFound: the entry does not exist.
        """
        return self.http.get_record(TemplateEntry, _path(uid))

    def list(self, instrument: str | None = None) -> Pages[TemplateEntry]:
        """The entries, the oldest first; read page by page as they are iterated over.

        Args:
            instrument: only the log book of this instrument.
        """
        return self.http.items("/entries", params={"instrument": instrument}, make=TemplateEntry.from_answer)

    def update(self, entry: TemplateEntry) -> TemplateEntry:
        """Save the changed text of `entry`, and return the entry as it is then.

        Args:
            entry: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            Conflict: someone else changed it since it was read.
            Forbidden: the user is not a developer of the organization.
            NotFound: the entry does not exist any more.
        """
        return self.http.update_record(entry, _path(entry.uid))

    def delete(self, uid: str) -> None:
        """Remove an entry.

        Args:
            uid: uid of the entry.

        Raises:
            Forbidden: the user is not a developer of the organization.
            NotFound: the entry does not exist.
        """
        self.http.delete(_path(uid))


def _path(uid: str) -> str:
    # An empty uid would be the address of the list.
    if not uid or uid in (".", ".."):
        raise BadEntry(f"{uid!r} is not the uid of an entry; use one of the list")
    return f"/entries/{quote(uid, safe='')}"
