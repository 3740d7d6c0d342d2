"""`edge secrets`; the content comes from a prompt, a file or standard input, never from an argument."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from edge_cli import output
from edge_cli.input import json_object
from edge_core.errors import AlreadyExists, NotFound
from edge_core.plugin import OpenSession

if TYPE_CHECKING:
    from edge_secrets.namespace import EdgeSecrets

plugin_api = 1

_org = click.option("--org", is_flag=True, help="The organization's secrets instead of your own.")


@click.group()
def secrets() -> None:
    """Keep passwords and keys, your own or (--org) the organization's.

    A secret is a dictionary: names with values.
    """


@secrets.command("list")
@_org
@output.json_option
@click.pass_obj
def list_secrets(open_session: OpenSession, org: bool, as_json: bool) -> None:
    """List the names of the secrets."""
    with open_session() as edge:
        names = edge.secrets.list_organization_secrets() if org else edge.secrets.list_user_secrets()
    output.records(names, lambda name: [name], as_json=as_json)


@secrets.command()
@click.argument("name")
@_org
@click.option("--field", metavar="FIELD", help="Print the value under this name alone.")
@output.json_option
@click.pass_obj
def read(open_session: OpenSession, name: str, org: bool, field: str | None, as_json: bool) -> None:
    """Print a secret to standard output. The server keeps a record of it.

    For use in a script: PGPASSWORD=$(edge secrets read warehouse --field password)
    """
    with open_session() as edge:
        content = edge.secrets.read_organization_secret(name) if org else edge.secrets.read_user_secret(name)
    if field is not None:
        if field not in content:
            raise click.ClickException(f"the secret {name} has no field {field}; read it without --field to see them")
        if as_json:
            output.json(content[field], indent=None)
        else:
            output.value(_text(content[field]))
    elif as_json:
        output.json(dict(content))
    else:
        output.fields({key: _text(value) for key, value in content.items()})


@secrets.command("set")
@click.argument("name")
@_org
@click.option(
    "--file",
    type=click.File("rb"),
    help='File with the content, a JSON object; "-" is standard input.',
)
@output.json_option
@click.pass_obj
def set_secret(open_session: OpenSession, name: str, org: bool, file: IO[bytes] | None, as_json: bool) -> None:
    """Create a secret, or replace its whole content.

    Without --file you type the content, field by field and without an echo; if standard input is
    not a terminal, it is read from there.
    """
    if file is None and not sys.stdin.isatty():
        file = sys.stdin.buffer
    content = _prompted() if file is None else json_object(file, '{"password": "..."}')
    with open_session() as edge:
        created = _set(edge.secrets, name, org, content)
    output.done(f"{'Created' if created else 'Replaced'} {name}.", {"name": name, "created": created}, as_json=as_json)


@secrets.command()
@click.argument("name")
@_org
@output.json_option
@click.pass_obj
def delete(open_session: OpenSession, name: str, org: bool, as_json: bool) -> None:
    """Delete a secret."""
    with open_session() as edge:
        if org:
            edge.secrets.delete_organization_secret(name)
        else:
            edge.secrets.delete_user_secret(name)
    output.done(f"Deleted {name}.", {"name": name, "deleted": True}, as_json=as_json)


def _set(secrets: EdgeSecrets, name: str, org: bool, content: dict[str, Any]) -> bool:
    """Store the content under a name and return whether the name is new."""
    update = secrets.update_organization_secret if org else secrets.update_user_secret
    create = secrets.create_organization_secret if org else secrets.create_user_secret
    try:
        update(name, content)
    except NotFound:
        try:
            create(name, content)
        except AlreadyExists:  # created by someone else this moment
            update(name, content)
            return False
        return True
    return False


def _prompted() -> dict[str, Any]:
    content: dict[str, Any] = {}
    while True:
        field = output.prompt("Name of a field (empty: done)", optional=True, err=True)
        if not field:
            if content:
                return content
            raise click.ClickException("a secret needs a field at least; nothing was changed")
        content[field] = output.prompt(f"Value of {field}", hidden=True, err=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
