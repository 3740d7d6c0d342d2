"""`edge secrets`: the content comes from a prompt, a file or standard input, never from an argument."""

from __future__ import annotations

import json
import sys
from typing import IO, Any

import click

from edge_core.errors import AlreadyExists, NotFound

plugin_api = 1

_org = click.option("--org", is_flag=True, help="The organization's secrets instead of your own.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def secrets() -> None:
    """Keep passwords and keys, your own or (--org) the organization's.

    A secret is a dictionary: names with values.
    """


@secrets.command("list")
@_org
@_json
@click.pass_obj
def list_secrets(open_session: Any, org: bool, as_json: bool) -> None:
    """List the names of the secrets."""
    with open_session() as edge:
        kept = edge.secrets
        names = kept.list_organization_secrets() if org else kept.list_user_secrets()
    if as_json:
        click.echo(json.dumps(names, indent=2))
        return
    for name in names:
        click.echo(name)


@secrets.command()
@click.argument("name")
@_org
@click.option("--field", metavar="FIELD", help="Print the value under this name alone.")
@_json
@click.pass_obj
def read(open_session: Any, name: str, org: bool, field: str | None, as_json: bool) -> None:
    """Print a secret to standard output. The server keeps a record of it.

    For use in a script: PGPASSWORD=$(edge secrets read warehouse --field password)
    """
    with open_session() as edge:
        kept = edge.secrets
        content = dict(kept.read_organization_secret(name) if org else kept.read_user_secret(name))
    if field is not None:
        if field not in content:
            raise click.ClickException(f"the secret {name} has no such field; read it without --field to see them")
        click.echo(json.dumps(content[field]) if as_json else _shown(content[field]))
    elif as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        for one, value in content.items():
            click.echo(f"{one}: {_shown(value)}")


@secrets.command("set")
@click.argument("name")
@_org
@click.option(
    "--file",
    type=click.File("rb"),
    help='File with the content, a JSON object; "-" is standard input.',
)
@_json
@click.pass_obj
def set_secret(open_session: Any, name: str, org: bool, file: IO[bytes] | None, as_json: bool) -> None:
    """Create a secret, or replace its whole content.

    Without --file the content is asked for, field by field and without an echo; where standard
    input is no terminal, it is read from there.
    """
    if file is None and not sys.stdin.isatty():
        file = sys.stdin.buffer
    content = _asked() if file is None else _parsed(file)
    with open_session() as edge:
        created = _set(edge.secrets, name, org, content)
    if as_json:
        click.echo(json.dumps({"name": name, "created": created}))
    else:
        click.echo(f"{'Created' if created else 'Replaced'} {name}.", err=True)


@secrets.command()
@click.argument("name")
@_org
@_json
@click.pass_obj
def delete(open_session: Any, name: str, org: bool, as_json: bool) -> None:
    """Delete a secret."""
    with open_session() as edge:
        if org:
            edge.secrets.delete_organization_secret(name)
        else:
            edge.secrets.delete_user_secret(name)
    if as_json:
        click.echo(json.dumps({"name": name, "deleted": True}))
    else:
        click.echo(f"Deleted {name}.", err=True)


def _set(kept: Any, name: str, org: bool, content: dict[str, Any]) -> bool:
    """Keep the content under a name, whether or not that is new; returns whether it was."""
    update = kept.update_organization_secret if org else kept.update_user_secret
    create = kept.create_organization_secret if org else kept.create_user_secret
    try:
        update(name, content)
    except NotFound:
        try:
            create(name, content)
        except AlreadyExists:  # made by someone else this moment
            update(name, content)
            return False
        return True
    return False


def _asked() -> dict[str, Any]:
    content: dict[str, Any] = {}
    while True:
        field = click.prompt("Name of a field (empty: done)", default="", show_default=False, err=True)
        if not field:
            if content:
                return content
            raise click.ClickException("a secret needs a field at least; nothing was changed")
        content[field] = click.prompt(f"Value of {field}", hide_input=True, err=True)


def _parsed(file: IO[bytes]) -> dict[str, Any]:
    try:
        content = json.load(file)
    except json.JSONDecodeError as error:
        # Its own sentence alone: the rest of it holds the text.
        raise click.ClickException(f"the content is not JSON: {error.msg} in line {error.lineno}; correct it") from None
    except (UnicodeDecodeError, RecursionError):
        raise click.ClickException("the content is not JSON as it can be read; write it as UTF-8 text") from None
    if not isinstance(content, dict):
        raise click.ClickException('the content is not a JSON object; write it as in {"password": "..."}')
    return content


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
