"""`edge search`."""

from __future__ import annotations

import json
from typing import Literal

import click

from edge_core.plugin import OpenSession

plugin_api = 1


@click.command()
@click.argument("query")
@click.option("--kind", type=click.Choice(["file", "folder", "connector"]), help="Only things of this kind.")
@click.option(
    "-n", "--most", type=click.IntRange(1), default=50, show_default=True, help="Most results to show, the best first."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def search(
    open_session: OpenSession,
    query: str,
    kind: Literal["file", "folder", "connector"] | None,
    most: int,
    as_json: bool,
) -> None:
    """Find files, folders and connectors by name; a misspelt one will do."""
    with open_session() as edge:
        found = edge.search(query, kind=kind)
    shown = found[:most]
    if as_json:
        click.echo(json.dumps([one.to_dict() for one in shown], indent=2))
        return
    for one in shown:
        click.echo(f"{one.kind:<9}  {_printable(one.name if one.path is None else one.path)}")
    if not found:
        click.echo("Nothing has a name like that.", err=True)
    if len(found) > most:
        click.echo(
            f"{len(found) - most} more; show them with --most {len(found)}, or search for more letters.", err=True
        )


def _printable(text: str) -> str:
    # A name may hold what a terminal would obey.
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
