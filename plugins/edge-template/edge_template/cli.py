"""`edge template`."""

from __future__ import annotations

import json
from typing import Any

import click

plugin_api = 1


@click.group()
def template() -> None:
    """Read and write the log books of instruments."""


@template.command()
@click.argument("instrument")
@click.argument("text")
@click.pass_obj
def add(open_session: Any, instrument: str, text: str) -> None:
    """Write an entry, and print its id."""
    with open_session() as edge:
        click.echo(edge.template.create(instrument, text).uid)


@template.command("list")
@click.option("--instrument", help="Only the log book of this instrument.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each entry.")
@click.pass_obj
def list_entries(open_session: Any, instrument: str | None, as_json: bool) -> None:
    """Print the entries, the oldest first."""
    with open_session() as edge:
        for entry in edge.template.list(instrument=instrument):
            if as_json:
                click.echo(json.dumps(entry.to_dict()))
            else:
                # A text may hold what a terminal would obey.
                text = "".join(char if char.isprintable() else " " for char in entry.text)
                click.echo(f"{entry.created_at:%Y-%m-%d %H:%M}  {entry.instrument}  {entry.author}: {text}")
