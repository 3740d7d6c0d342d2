"""What hangs on the session as `template`."""

from __future__ import annotations

from urllib.parse import quote

from edge_core.errors import BadEntry
from edge_core.paging import Pages
from edge_core.plugin import Namespace
from edge_template.wire import CreateTemplateEntry, TemplateEntry


class Template(Namespace):
    """Log books of instruments, one for each name of an instrument."""

    namespace = "template"
    plugin_api = 1

    def create(self, instrument: str, text: str) -> TemplateEntry:
        """Write a new entry.

        Args:
            instrument: name of the instrument: letters, digits, ``.``, ``_`` and ``-``, at most 100.
            text: what happened, in at most 10,000 characters.

        Raises:
            BadEntry: one of them cannot be.
        """
        wanted = CreateTemplateEntry(instrument=instrument, text=text)
        return TemplateEntry.from_answer(self.http.post("/entries", json=wanted.to_dict()))

    def read(self, uid: str) -> TemplateEntry:
        """One entry.

        Raises:
            NotFound: there is none with this id.
        """
        return self.http.get_record(TemplateEntry, _path(uid))

    def list(self, instrument: str | None = None) -> Pages[TemplateEntry]:
        """The entries, the oldest first; asked for page by page as they are read.

        Args:
            instrument: only the log book of this instrument.
        """
        return self.http.items("/entries", params={"instrument": instrument}, make=TemplateEntry.from_answer)

    def update(self, entry: TemplateEntry) -> TemplateEntry:
        """Save what was changed in the text of `entry`, and return it as it is then.

        Raises:
            Conflict: someone else changed it since it was read.
            Forbidden: the user is no developer of the organization.
            NotFound: it is gone.
        """
        return self.http.update_record(entry, _path(entry.uid))

    def delete(self, uid: str) -> None:
        """Remove an entry.

        Raises:
            Forbidden: the user is no developer of the organization.
            NotFound: there is none with this id.
        """
        self.http.delete(_path(uid))


def _path(uid: str) -> str:
    # Checked here, since an empty one would be the address of the list.
    if not uid or uid in (".", ".."):
        raise BadEntry(f"{uid!r} is no id of an entry; take the uid of one")
    return f"/entries/{quote(uid, safe='')}"
