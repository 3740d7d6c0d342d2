"""`edge template`."""

from __future__ import annotations

import click

from edge_cli import output
from edge_core.plugin import OpenSession
from edge_template.namespace import Template

plugin_api = 1


@click.group()
def template() -> None:
    """Read and write the log books of instruments."""


@template.command()
@click.argument("instrument")
@click.argument("text")
@click.pass_obj
def add(open_session: OpenSession, instrument: str, text: str) -> None:
    """Write an entry, and print its id."""
    with open_session() as edge:
        output.line(edge.get(Template).create(instrument, text).uid)


@template.command("list")
@click.option("--instrument", help="Only the log book of this instrument.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each entry.")
@click.pass_obj
def list_entries(open_session: OpenSession, instrument: str | None, as_json: bool) -> None:
    """Print the entries, the oldest first."""
    with open_session() as edge:
        for entry in edge.get(Template).list(instrument=instrument):
            if as_json:
                output.json(entry, indent=None)
            else:
                output.line(f"{entry.created_at:%Y-%m-%d %H:%M}", entry.instrument, f"{entry.author}: {entry.text}")
