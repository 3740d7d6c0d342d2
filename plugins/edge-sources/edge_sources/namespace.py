"""The attribute `sources` of the session."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, TypeVar, overload

from edge_core.errors import BadEntry
from edge_core.plugin import Namespace
from edge_sources import wire
from edge_sources.connection import Connection, class_of
from edge_sources.wire import ConnectorDefinition, ConnectorEntry, OpenConnector

if TYPE_CHECKING:
    from edge_core.paging import Pages

ConnectionT = TypeVar("ConnectionT", bound=Connection)


class EdgeData(Namespace):
    """The organization's data connectors: connections that are stored under a name.

    All members of the organization list and use them; its developers add, change and remove them.
    The server keeps their credentials encrypted and never connects by itself: a connection goes from
    this machine to its database or object store.
    """

    namespace = "sources"
    plugin_api = 1

    def list(self) -> list[str]:
        """Return the names of the connectors, sorted."""
        return [entry.name for entry in self.scan()]

    # The method above takes the name of the built-in type for the rest of this class.

    def list_names(self) -> builtins.list[str]:
        """Return the names of the connectors; the old name of `list`."""
        return self.list()

    def scan(self) -> Pages[ConnectorEntry]:
        """Return the connectors' uid, name, title, kind and times (UTC), page after page."""
        return self.http.items("", make=ConnectorEntry.from_answer)

    @overload
    def get(self, connection_id: str) -> Connection: ...
    @overload
    def get(self, connection_id: str, *, kind: type[ConnectionT]) -> ConnectionT: ...

    def get(self, connection_id: str, *, kind: type[Connection] = Connection) -> Connection:
        """Return the connection with a name or uid.

        Args:
            connection_id: name or uid of the connector.
            kind: the class that the connection must have, such as `SQLConnection`; any by default.
                Editors and type checkers then know its attributes.

        Raises:
            NotFound: the connector does not exist.
            BadEntry: it is of another kind, no installed distribution has its kind, its definition is
                not valid, or `connection_id` cannot be a connector's name.
            PluginError: the distribution that has its kind is broken.
        """
        path = _path(connection_id)
        with self.http.fetch("GET", path, headers={"Accept": "application/json"}) as answer:
            connector = OpenConnector.from_answer(answer.json())
            etag = answer.headers.get("ETag")
        content = {**connector.definition, "name": connector.name, "title": connector.title, "uid": connector.uid}
        connection = class_of(connector.kind).from_dict({**content, "secret": connector.secret})
        if not isinstance(connection, kind):
            raise BadEntry(
                f"the connector {connector.name!r} is of the class {type(connection).__name__}, not {kind.__name__}; "
                "give its own class, or another name"
            )
        return self._bind(connection, connector.uid, etag)

    def add(self, connection: Connection) -> None:
        """Store a connection for all members of the organization, and set its `uid`.

        Args:
            connection: the connection to store.

        Raises:
            AlreadyExists: another connector has the name.
            BadEntry: its name or content is not valid.
            Forbidden: the user is not a developer of the organization.
        """
        definition = _definition(connection)
        sent = self.http.fetch(
            "POST",
            "",
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            body=_encoded(definition),
        )
        with sent as answer:
            added = ConnectorEntry.from_answer(answer.json())
            self._bind(connection, added.uid, answer.headers.get("ETag"))

    def update(self, connection: Connection) -> None:
        """Store the changes of a connection: its title and content, and its name if it came from `get` or `add`.

        Args:
            connection: the changed connection.

        Raises:
            NotFound: the connector does not exist.
            AlreadyExists: another connector has the new name.
            BadEntry: its name or content is not valid, or the connector is of another kind.
            Conflict: it came from `get` or `add`, and someone else has changed the connector since.
            Forbidden: the user is not a developer of the organization.
        """
        definition = _definition(connection)
        headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
        if connection._etag is not None:
            headers["If-Match"] = connection._etag
        path = _path(connection.uid or connection.name)
        with self.http.fetch("PATCH", path, headers=headers, body=_encoded(definition)) as answer:
            updated = ConnectorEntry.from_answer(answer.json())
            self._bind(connection, updated.uid, answer.headers.get("ETag"))

    def remove(self, connection_id: str) -> None:
        """Remove the connector with a name or uid; the database or store it connects to is not touched.

        Args:
            connection_id: name or uid of the connector.

        Raises:
            NotFound: the connector does not exist.
            BadEntry: `connection_id` cannot be a connector's name.
            Forbidden: the user is not a developer of the organization.
        """
        self.http.delete(_path(connection_id))

    def _bind(self, connection: Connection, uid: str, etag: str | None) -> Connection:
        connection.uid, connection._etag, connection._http = uid, etag, self.http
        connection._session = self.session
        return connection


def _path(connection_id: str) -> str:
    if not (isinstance(connection_id, str) and wire.is_uid(connection_id)):
        wire.check_name(connection_id)
    return f"/{connection_id}"


def _definition(connection: Connection) -> ConnectorDefinition:
    if not isinstance(connection, Connection):
        raise BadEntry(f"{type(connection).__name__} is not a connection; give an S3Connection, SQLConnection, ...")
    content = connection.to_dict()
    return ConnectorDefinition(
        name=wire.check_name(connection.name),
        title=connection.title,
        kind=connection.kind,
        definition={field: content[field] for field in connection.fields},
        secret=dict(content["secret"]),
    )


def _encoded(definition: ConnectorDefinition) -> bytes:
    import json

    try:
        body = json.dumps(definition.to_dict(), allow_nan=False).encode()
    except (TypeError, ValueError):
        raise BadEntry("the connection holds a value that JSON cannot express; use texts, numbers and lists") from None
    if len(body) > wire.MAX_BYTES:
        raise BadEntry(f"the connection's definition has more than {wire.MAX_BYTES} bytes; shorten it")
    return body
