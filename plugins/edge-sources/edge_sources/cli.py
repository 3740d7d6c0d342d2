"""The command `edge sources`. Credentials are read from a file or standard input, never from an argument or printed."""

from __future__ import annotations

from typing import IO

import click

from edge_cli import output
from edge_cli.input import json_object
from edge_core.errors import BadEntry
from edge_core.plugin import OpenSession

plugin_api = 1


@click.group()
def sources() -> None:
    """Manage connections to databases, object stores and services."""


@sources.command("list")
@output.json_option
@click.pass_obj
def list_sources(open_session: OpenSession, as_json: bool) -> None:
    """List the connectors: name, kind and title."""
    with open_session() as edge:
        connectors = list(edge.sources.scan())
    if as_json:
        output.json(connectors)
        return
    for connector in connectors:
        output.line(connector.name, connector.kind, connector.title, separator="\t")
    if not connectors:
        output.note("There are no connectors; a developer adds one with: edge sources add --file FILE")


@sources.command()
@click.argument("name")
@output.json_option
@click.pass_obj
def show(open_session: OpenSession, name: str, as_json: bool) -> None:
    """Show a connector, by name or uid. Of its credentials it shows the names of those that are set."""
    with open_session() as edge:
        content = edge.sources.get(name).to_dict()
    content["secret"] = sorted(field for field, value in content["secret"].items() if value is not None)
    if as_json:
        output.json(content)
        return
    output.fields({name: ", ".join(value) if isinstance(value, list) else value for name, value in content.items()})


@sources.command()
@click.argument("name")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds the test may take; 10 by default."
)
@output.json_option
@click.pass_obj
def test(open_session: OpenSession, name: str, timeout: float | None, as_json: bool) -> None:
    """Connect from this machine and print whether that works; the exit status is 0 only if it does."""
    with open_session() as edge:
        connection = edge.sources.get(name)
        status = connection.test(timeout)
    if as_json:
        output.json({"name": name, "status": status.value, "reason": connection.reason}, indent=None)
    else:
        output.line(status.value)
        if connection.reason is not None:
            output.note(connection.reason)
    if status.value != "VALID_CONNECTION":
        raise SystemExit(1)


@sources.command()
@click.option(
    "--file", type=click.File("rb"), default="-", help='File with the connection; "-", the default, is standard input.'
)
@click.option("--update", is_flag=True, help="Change the connector of that name instead of adding one.")
@output.json_option
@click.pass_obj
def add(open_session: OpenSession, file: IO[bytes], update: bool, as_json: bool) -> None:
    """Add a connector from a JSON object, in the form of `to_dict()` or of `edge sources show --json`.

    With --update, credentials that the object does not give stay as they are; null removes one.
    They are under "secret" or beside the other fields, as in
    {"kind": "sql", "name": "lims", "title": "LIMS", "host": "db.example.com", "password": "..."}
    """
    content = json_object(file, '{"kind": "sql", ...}')
    with open_session() as edge:
        from edge_sources.connection import class_of

        # The uid may belong to another organization, or to a connector that was removed.
        content.pop("uid", None)
        connection_class = class_of(str(content.get("kind")))
        secret = content.get("secret", {})
        if isinstance(secret, list):  # names alone, as `show` prints them
            missing = [str(field) for field in secret if str(field) not in content]
            if missing and not update:
                raise BadEntry(
                    f"secret: the values of {', '.join(missing)} are not there, as `show` prints none; "
                    f'write them as in "secret": {{"{missing[0]}": "..."}}'
                )
            secret = {}
        if update and isinstance(secret, dict):
            stored = edge.sources.get(str(content.get("name")))
            kept = {field: value for field, value in stored.to_dict()["secret"].items() if field not in content}
            connection = connection_class.from_dict({**content, "secret": {**kept, **secret}})
            connection.uid, connection._etag = stored.uid, stored._etag  # a change meanwhile is a conflict
        else:
            connection = connection_class.from_dict({**content, "secret": secret})
        if update:
            edge.sources.update(connection)
        else:
            edge.sources.add(connection)
    output.done(
        f"{'Updated' if update else 'Added'} {connection.name}.",
        {"name": connection.name, "uid": connection.uid, "added": not update},
        as_json=as_json,
    )


@sources.command()
@click.argument("name")
@output.json_option
@click.pass_obj
def remove(open_session: OpenSession, name: str, as_json: bool) -> None:
    """Remove a connector, by name or uid; the database or store it connects to is not touched."""
    with open_session() as edge:
        edge.sources.remove(name)
    output.done(f"Removed {name}.", {"name": name, "removed": True}, as_json=as_json)
