"""What hangs on the session as `sources`."""

from __future__ import annotations

import builtins
from typing import Any

from edge_core.errors import BadEntry
from edge_core.plugin import Namespace
from edge_sources import wire
from edge_sources.connection import Connection, class_of
from edge_sources.wire import ConnectorDefinition, ConnectorEntry, OpenConnector


class EdgeData(Namespace):
    """The organization's data connectors: connections that are kept there under a name.

    All members of the organization list and use them; its developers add, change and remove them.
    The server keeps their credentials encrypted and connects nowhere: a connection goes from this
    machine to its database or object store.
    """

    namespace = "sources"
    plugin_api = 1

    def list(self) -> list[str]:
        """The names of the connectors, in order."""
        return [entry.name for entry in self.scan()]

    # The method above takes the name of the built-in type for the rest of this class.

    def list_names(self) -> builtins.list[str]:
        """The same as `list`, by its old name."""
        return self.list()

    def scan(self) -> Any:
        """The connectors' uid, name, title, kind and times, page after page."""
        return self.http.items("", make=ConnectorEntry.from_answer)

    def get(self, connection_id: str) -> Connection:
        """The connection of that name or uid.

        Raises:
            NotFound: there is none.
            BadEntry: nothing that is installed knows its kind, its definition is not valid, or this
                can be no connector's name.
            PluginError: the distribution that has its kind is broken.
        """
        path = _path(connection_id)
        with self.http.fetch("GET", path, headers={"Accept": "application/json"}) as answer:
            found = OpenConnector.from_answer(answer.json())
            etag = answer.headers.get("ETag")
        content = {**found.definition, "name": found.name, "title": found.title, "uid": found.uid}
        made = class_of(found.kind).from_dict({**content, "secret": found.secret})
        return self._bind(made, found.uid, etag)

    def add(self, connection: Connection) -> None:
        """Keep a connection, for all members; it has a `uid` afterwards.

        Raises:
            AlreadyExists: there is a connector of that name.
            BadEntry: its name or content is not valid.
            Forbidden: the user is no developer of the organization.
        """
        wanted = _definition(connection)
        sent = self.http.fetch(
            "POST",
            "",
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            body=_encoded(wanted.to_dict()),
        )
        with sent as answer:
            added = ConnectorEntry.from_answer(answer.json())
            self._bind(connection, added.uid, answer.headers.get("ETag"))

    def update(self, connection: Connection) -> None:
        """Keep a connection as it is now: its title, its content, and its name if it came from the server.

        Raises:
            NotFound: there is no such connector.
            AlreadyExists: another connector has the new name.
            BadEntry: its name or content is not valid, or the connector is of another kind.
            Conflict: it came from the server, and someone else has changed it since.
            Forbidden: the user is no developer of the organization.
        """
        wanted = _definition(connection)
        headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
        if connection._etag is not None:
            headers["If-Match"] = connection._etag
        path = _path(connection.uid or connection.name)
        with self.http.fetch("PATCH", path, headers=headers, body=_encoded(wanted.to_dict())) as answer:
            updated = ConnectorEntry.from_answer(answer.json())
            self._bind(connection, updated.uid, answer.headers.get("ETag"))

    def remove(self, connection_id: str) -> None:
        """Remove the connector of that name or uid; what it connects to is not touched.

        Raises:
            NotFound: there is none.
            Forbidden: the user is no developer of the organization.
        """
        self.http.delete(_path(connection_id))

    def _bind(self, connection: Connection, uid: str, etag: str | None) -> Connection:
        connection.uid, connection._etag, connection._http = uid, etag, self.http
        return connection


def _path(connection_id: str) -> str:
    if not (isinstance(connection_id, str) and wire.is_uid(connection_id)):
        wire.check_name(connection_id)
    return f"/{connection_id}"


def _definition(connection: Connection) -> ConnectorDefinition:
    if not isinstance(connection, Connection):
        raise BadEntry(f"{type(connection).__name__} is no connection; give an S3Connection, SQLConnection, ...")
    content = connection.to_dict()
    return ConnectorDefinition(
        name=wire.check_name(connection.name),
        title=connection.title,
        kind=connection.kind,
        definition={field: content[field] for field in connection.fields},
        secret=dict(content["secret"]),
    )


def _encoded(wanted: dict[str, Any]) -> bytes:
    import json

    try:
        body = json.dumps(wanted, allow_nan=False).encode()
    except (TypeError, ValueError):
        raise BadEntry(
            "the connection holds something that JSON cannot express; use texts, numbers and lists"
        ) from None
    if len(body) > wire.MAX_BYTES:
        raise BadEntry(f"the connection's definition has more than {wire.MAX_BYTES} bytes; shorten it")
    return body
