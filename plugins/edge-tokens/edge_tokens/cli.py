"""`edge tokens`."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import click

from edge_cli import output
from edge_core.plugin import OpenSession
from edge_tokens.token import Token

plugin_api = 1


@click.group()
def tokens() -> None:
    """List, create and remove your API tokens."""


@tokens.command(name="list")
@output.json_option
@click.pass_obj
def show(open_session: OpenSession, as_json: bool) -> None:
    """List your tokens; their values cannot be shown."""
    with open_session() as edge:
        tokens = edge.tokens.list()
    if as_json:
        output.json([_public(token) for token in tokens])
    else:
        output.table(
            [(row.id, f"{row.prefix}…", _expiry(row), _last_use(row), _limits(row), row.note) for row in tokens]
        )


@tokens.command()
@click.option("--note", help="What it is for.")
@click.option(
    "--expires-in",
    type=int,
    metavar="SECONDS",
    help="Seconds it is valid; by default, and at most, as long as the token that you make it with.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="What it is limited to: read, org:NAME, or a part of the API such as files or files:read; can be repeated.",
)
@click.option(
    "--output", "target", type=click.Path(path_type=Path), help="New file for the value, which only you can read."
)
@click.option("--json", "as_json", is_flag=True, help="Print all of the token as JSON, its value included.")
@click.pass_obj
def create(
    open_session: OpenSession,
    note: str | None,
    expires_in: int | None,
    scopes: tuple[str, ...],
    target: Path | None,
    as_json: bool,
) -> None:
    """Create a token and print its value, which is shown only now."""
    handle = None if target is None else os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open_session() as edge:
            token = edge.tokens.create(note=note, expires_in=expires_in, scopes=scopes or None)
        if handle is not None:
            os.write(handle, f"{token.token}\n".encode())
    except BaseException:
        if target is not None:
            target.unlink()
        raise
    finally:
        if handle is not None:
            os.close(handle)
    if as_json:
        output.json(token if target is None else _public(token))
    elif target is None:
        output.value(token.token or "")
    else:
        output.line(f"{target} has the token {token.id}, which {_expiry(token)}")


@tokens.command()
@click.argument("token_id")
@click.pass_obj
def remove(open_session: OpenSession, token_id: str) -> None:
    """Remove a token, by the id that the list shows."""
    with open_session() as edge:
        edge.tokens.remove(token_id)


def _public(token: Token) -> dict[str, Any]:
    return {name: value for name, value in token.to_dict().items() if name != "token"}


def _expiry(token: Token) -> str:
    if token.expires_at is None:
        return "never expires"
    expired = token.expires_at <= dt.datetime.now(dt.UTC)
    return f"{'expired' if expired else 'expires'} {token.expires_at:%Y-%m-%d %H:%M}Z"


def _limits(token: Token) -> str:
    return "" if token.scopes is None else ", ".join(token.scopes)


def _last_use(token: Token) -> str:
    return "never used" if token.last_used_at is None else f"used {token.last_used_at:%Y-%m-%d %H:%M}Z"
