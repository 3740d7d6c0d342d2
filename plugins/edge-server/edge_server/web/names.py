"""The names under which search finds what a subsystem has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from edge_server.data.database import Transaction
from edge_server.web.engines import NameIndex
from edge_server.web.fence import lifted


class Names:
    """Names of one kind in the index that search looks into.

    The index changes in the same transaction as the name, so that the index is never behind.

    Args:
        index: the index.
        kind: what search calls these things.
    """

    def __init__(self, index: NameIndex, kind: str) -> None:
        self._index = index
        self.kind = kind

    def add(self, transaction: Transaction, organization_id: int, uid: str, name: str) -> None:
        """Let search find something new.

        Args:
            transaction: the transaction that makes it.
            organization_id: whose it is.
            uid: its universally unique id.
            name: at most 255 characters.
        """
        self.add_all(transaction, organization_id, {uid: name})

    def add_all(self, transaction: Transaction, organization_id: int, names: Mapping[str, str]) -> None:
        """Let search find several new things, by their uids; see `add`."""
        with lifted(transaction):
            self._index.add_all(transaction, organization_id, self.kind, names)

    def rename(self, transaction: Transaction, uid: str, name: str) -> None:
        """Let search find something under another name."""
        with lifted(transaction):
            self._index.rename(transaction, self.kind, uid, name)

    def remove(self, transaction: Transaction, uids: Collection[str]) -> None:
        """Let search not find things any more; uids that it does not know are passed over."""
        with lifted(transaction):
            self._index.remove(transaction, self.kind, uids)
