"""`edge sources`: credentials come from a file or standard input, never from an argument, and are never printed."""

from __future__ import annotations

import json
from typing import IO, Any

import click

plugin_api = 1

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def sources() -> None:
    """Keep connections to databases, object stores and services."""


@sources.command("list")
@_json
@click.pass_obj
def list_sources(open_session: Any, as_json: bool) -> None:
    """List the connectors: name, kind and title."""
    with open_session() as edge:
        found = list(edge.sources.scan())
    if as_json:
        click.echo(json.dumps([one.to_dict() for one in found], indent=2))
        return
    for one in found:
        click.echo(f"{one.name}\t{one.kind}\t{one.title}")


@sources.command()
@click.argument("name")
@_json
@click.pass_obj
def show(open_session: Any, name: str, as_json: bool) -> None:
    """Show a connector, by name or uid, without what is secret in it."""
    with open_session() as edge:
        content = edge.sources.get(name).to_dict()
    content["secret"] = sorted(content["secret"])
    if as_json:
        click.echo(json.dumps(content, indent=2))
        return
    for field, value in content.items():
        click.echo(f"{field}: {', '.join(value) if isinstance(value, list) else '' if value is None else value}")


@sources.command()
@click.argument("name")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds it may take; 10 by default.")
@_json
@click.pass_obj
def test(open_session: Any, name: str, timeout: float | None, as_json: bool) -> None:
    """Connect from this machine and say whether that works; the exit status is 0 only if it does."""
    with open_session() as edge:
        status = edge.sources.get(name).test(timeout)
    click.echo(json.dumps({"name": name, "status": status.value}) if as_json else status.value)
    if status.value != "VALID_CONNECTION":
        raise SystemExit(1)


@sources.command()
@click.option(
    "--file", type=click.File("rb"), default="-", help='File with the connection; "-", the default, is standard input.'
)
@click.option("--update", is_flag=True, help="Change the connector of that name instead of adding one.")
@_json
@click.pass_obj
def add(open_session: Any, file: IO[bytes], update: bool, as_json: bool) -> None:
    """Add a connector from a JSON object, such as `to_dict()` gives.

    Credentials stand under "secret" or beside the rest, as in
    {"kind": "sql", "name": "lims", "title": "LIMS", "host": "db.example.com", "password": "..."}
    """
    content = _parsed(file)
    with open_session() as edge:
        from edge_sources.connection import class_of

        # Of another organization, or of one that was removed, perhaps.
        content.pop("uid", None)
        connection = class_of(str(content.get("kind"))).from_dict(content)
        if update:
            edge.sources.update(connection)
        else:
            edge.sources.add(connection)
    if as_json:
        click.echo(json.dumps({"name": connection.name, "uid": connection.uid, "added": not update}))
    else:
        click.echo(f"{'Updated' if update else 'Added'} {connection.name}.", err=True)


@sources.command()
@click.argument("name")
@_json
@click.pass_obj
def remove(open_session: Any, name: str, as_json: bool) -> None:
    """Remove a connector, by name or uid; what it connects to is not touched."""
    with open_session() as edge:
        edge.sources.remove(name)
    if as_json:
        click.echo(json.dumps({"name": name, "removed": True}))
    else:
        click.echo(f"Removed {name}.", err=True)


def _parsed(file: IO[bytes]) -> dict[str, Any]:
    try:
        content = json.load(file)
    except json.JSONDecodeError as error:
        # Its own sentence alone: the rest of it holds the text.
        raise click.ClickException(f"the content is not JSON: {error.msg} in line {error.lineno}; correct it") from None
    except (UnicodeDecodeError, RecursionError):
        raise click.ClickException("the content is not JSON as it can be read; write it as UTF-8 text") from None
    if not isinstance(content, dict):
        raise click.ClickException('the content is not a JSON object; write it as in {"kind": "sql", ...}')
    return content
