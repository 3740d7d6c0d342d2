"""`edge plugins`."""

from __future__ import annotations

import json

import click

from edge_core.registry import PluginRecord, Registry
from edge_core.session import namespace_registry

plugin_api = 1


@click.group()
def plugins() -> None:
    """See which plugins are installed."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(as_json: bool) -> None:
    """List the plugins, without importing them; needs no server."""
    found = {
        "namespace": namespace_registry().records(),
        "opener": Registry("edge.openers").records(),
        "command": Registry("edge.commands").records(),
    }
    rows = [(kind, record) for kind, records in found.items() for record in records]
    if as_json:
        click.echo(json.dumps([{"kind": kind, **record._asdict()} for kind, record in rows], indent=2))
        return
    for line in _table([("KIND", "NAME", "STATUS", "FROM"), *(_row(kind, record) for kind, record in rows)]):
        click.echo(line)
    for _, record in rows:
        if record.error:
            click.echo(f"{record.name}: {record.error}")


def _row(kind: str, record: PluginRecord) -> tuple[str, ...]:
    return kind, record.name, record.status, f"{record.distribution} {record.version}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
