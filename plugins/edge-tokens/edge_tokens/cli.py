"""`edge tokens`."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import click

from edge_tokens.token import Token

plugin_api = 1


@click.group()
def tokens() -> None:
    """List, make and remove your API tokens."""


@tokens.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(open_session: Any, as_json: bool) -> None:
    """List your tokens; their values cannot be shown."""
    with open_session() as edge:
        found = edge.tokens.list()
    if as_json:
        click.echo(json.dumps([_public(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(
            f"{one.id}  {one.prefix}…  {_life(one):<28}  {_used(one):<24}  {_printable(one.note or '')}".rstrip()
        )


@tokens.command()
@click.option("--note", help="What it is for.")
@click.option("--expires-in", type=int, metavar="SECONDS", help="How long it is good for; for ever by default.")
@click.option("--output", type=click.Path(path_type=Path), help="New file for the value, which only you can read.")
@click.option("--json", "as_json", is_flag=True, help="Print all of the token as JSON, its value included.")
@click.pass_obj
def create(open_session: Any, note: str | None, expires_in: int | None, output: Path | None, as_json: bool) -> None:
    """Make a token and print its value, which is shown only now."""
    handle = None if output is None else os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open_session() as edge:
            made = edge.tokens.create(note=note, expires_in=expires_in)
        if handle is not None:
            os.write(handle, f"{made.token}\n".encode())
    except BaseException:
        if output is not None:
            output.unlink()
        raise
    finally:
        if handle is not None:
            os.close(handle)
    if as_json:
        click.echo(json.dumps(made.to_dict() if output is None else _public(made), indent=2))
    elif output is None:
        click.echo(made.token)
    else:
        click.echo(f"{output} has the token {made.id}")


@tokens.command()
@click.argument("token_id")
@click.pass_obj
def remove(open_session: Any, token_id: str) -> None:
    """Remove a token, by the id that the list shows."""
    with open_session() as edge:
        edge.tokens.remove(token_id)


def _public(token: Token) -> dict[str, Any]:
    return {name: value for name, value in token.to_dict().items() if name != "token"}


def _life(token: Token) -> str:
    if token.expires_at is None:
        return "never expires"
    expired = token.expires_at <= dt.datetime.now(dt.UTC)
    return f"{'expired' if expired else 'expires'} {token.expires_at:%Y-%m-%d %H:%M}Z"


def _used(token: Token) -> str:
    return "never used" if token.last_used_at is None else f"used {token.last_used_at:%Y-%m-%d %H:%M}Z"


def _printable(text: str) -> str:
    # A note may hold what a terminal would obey.
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
