"""`edge search`."""

from __future__ import annotations

from typing import Literal

import click

from edge_cli import output
from edge_core.plugin import OpenSession

plugin_api = 1


@click.command()
@click.argument("query")
@click.option("--kind", type=click.Choice(["file", "folder", "connector"]), help="Only things of this kind.")
@click.option(
    "-n",
    "--most",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    help="How many results to show, the best first.",
)
@output.json_option
@click.pass_obj
def search(
    open_session: OpenSession,
    query: str,
    kind: Literal["file", "folder", "connector"] | None,
    most: int,
    as_json: bool,
) -> None:
    """Find files, folders and connectors by name, misspelt names too."""
    with open_session() as edge:
        results = edge.search(query, kind=kind)
    output.records(
        results[:most],
        lambda result: [f"{result.kind:<9}", result.name if result.path is None else result.path],
        as_json=as_json,
    )
    if results.partial:
        output.note("Not all names like that were compared, so there may be others; search for more words or letters.")
    if as_json:
        return
    if not results and not results.partial:
        output.note("Nothing has a name like that.")
    if len(results) > most:
        output.note(f"{len(results) - most} more; show them with --most {len(results)}, or search for more letters.")
