"""`edge plugins`."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shlex
from collections.abc import Callable
from typing import Any

import click

from edge_core.errors import EdgeError
from edge_core.registry import PluginRecord, Registry
from edge_core.session import namespace_registry

plugin_api = 1

KINDS = {
    "namespace": "edge.namespaces",
    "opener": "edge.openers",
    "connector": "edge.connectors",
    "command": "edge.commands",
    "server": "edge.server",
    "hook": "edge.hooks",
}
"""What a plugin can be -> its entry-point group."""


@click.group()
def plugins() -> None:
    """See which plugins are installed, and whether they work."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(as_json: bool) -> None:
    """List the plugins, without importing them; needs no server."""
    _print([(kind, record) for kind, registry in _registries().items() for record in registry.records()], as_json)


@plugins.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Import every plugin and say what is wrong with those that cannot be used; needs no server.

    The exit code is 1 if there are any, but for those that were switched off.
    """
    registries = _registries()
    broken = 0
    for kind, registry in registries.items():
        for name in registry.names():
            with contextlib.suppress(EdgeError):  # the record says why
                registry.load(name, _CHECKS.get(kind, _as_it_is))
        broken += len(registry.unusable())
    _print([(kind, record) for kind, registry in registries.items() for record in registry.records()], as_json)
    if not as_json:
        click.echo(f"{broken} of them cannot be used." if broken else "All that are switched on can be used.")
    ctx.exit(1 if broken else 0)


@plugins.command()
@click.argument("name")
@click.option(
    "--in",
    "parent",
    type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path),
    default=pathlib.Path(),
    show_default="here",
    help="Folder to make it in.",
)
def new(name: str, parent: pathlib.Path) -> None:
    """Make the folder of a new plugin, edge-NAME, which gives sessions the attribute NAME.

    It is a whole plugin, to be changed into the one you want: both halves, a command and tests.
    """
    from edge_cli.new import create

    folder = create(name, parent)
    click.echo(f"{folder} is made. It works already:")
    click.echo(f"    cd {shlex.quote(str(folder))} && python -m pip install -e . && python -m pytest")
    click.echo("Its tests need edge-server and pytest. Change it from there; its README says what is where.")


def _registries() -> dict[str, Registry]:
    return {
        kind: namespace_registry() if group == "edge.namespaces" else Registry(group) for kind, group in KINDS.items()
    }


def _as_it_is(target: Any) -> Any:
    return target


def _check_opener(target: Any) -> Any:
    opener = target()
    if not all(isinstance(suffix, str) and suffix.startswith(".") for suffix in opener.suffixes):
        raise TypeError("its suffixes must be texts that begin with a dot")
    return opener


def _check_command(target: Any) -> Any:
    if not isinstance(target, click.Command):
        raise TypeError(f"it is a {type(target).__name__}, not a click command")
    return target


def _check_hooks(target: Any) -> Any:
    from edge_core.hooks import Hooks

    Hooks(installed=False).register(target)
    return target


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "opener": _check_opener,
    "command": _check_command,
    "hook": _check_hooks,
}
"""Kind -> what is tried with a plugin beside its import and its contract."""


def _print(rows: list[tuple[str, PluginRecord]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"kind": kind, **record._asdict()} for kind, record in rows], indent=2))
        return
    for line in _table([("KIND", "NAME", "STATUS", "FROM"), *(_row(kind, record) for kind, record in rows)]):
        click.echo(line)
    for _, record in rows:
        if record.error:
            click.echo(f"{record.name} of {record.distribution}: {record.error}")


def _row(kind: str, record: PluginRecord) -> tuple[str, ...]:
    return kind, record.name, record.status, f"{record.distribution} {record.version}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
