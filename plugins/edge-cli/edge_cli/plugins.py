"""`edge plugins`."""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click

from edge_cli import output
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
"""Kind of plugin -> its entry-point group."""


@click.group()
def plugins() -> None:
    """Show which plugins are installed, and whether they work."""


@plugins.command("list")
@output.json_option
def list_plugins(as_json: bool) -> None:
    """List the plugins, without importing them; needs no server."""
    _print([(kind, record) for kind, registry in _registries().items() for record in registry.records()], as_json)


@plugins.command()
@output.json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Import every plugin and list what is wrong with those that cannot be used; needs no server.

    The exit code is 1 if a plugin that is not switched off cannot be used.
    """
    registries = _registries()
    broken = 0
    for kind, registry in registries.items():
        for name in registry.names():
            with contextlib.suppress(EdgeError):  # the record says why
                registry.load(name, _CHECKS.get(kind, _unchanged))
        broken += len(registry.unusable())
    _print([(kind, record) for kind, registry in registries.items() for record in registry.records()], as_json)
    if not as_json:
        output.line(f"{broken} of them cannot be used." if broken else "All that are switched on can be used.")
    ctx.exit(1 if broken else 0)


@plugins.command()
@click.argument("name")
@click.option(
    "--in",
    "parent",
    type=click.Path(exists=True, file_okay=False, path_type=pathlib.Path),
    default=pathlib.Path(),
    show_default="here",
    help="Folder to create it in.",
)
def new(name: str, parent: pathlib.Path) -> None:
    """Create the folder of a new plugin, edge-NAME, which gives sessions the attribute NAME.

    It is a whole plugin for you to change, with both halves, a command and tests.
    """
    from edge_cli.new import create

    folder = create(name, parent)
    output.line(f"{folder} is created. It works already:")
    output.line(f"    cd {shlex.quote(str(folder))} && python -m pip install -e . && python -m pytest")
    output.line("Its tests need edge-server and edge-testing. Change it from there; its README describes its files.")


@plugins.command()
@click.argument("name")
@click.option("-m", "--message", required=True, help="What changes, in a few words.")
@click.pass_context
def migration(ctx: click.Context, name: str, message: str) -> None:
    """Write the next migration of the tables of the plugin NAME; needs edge-server, and no running one.

    NAME is its name in `edge.server`. It is installed from its folder (pip install -e), where the
    migration is written from the difference between its classes and the migrations there are.
    """
    if importlib.util.find_spec("edge_server") is None:
        raise click.ClickException("migrations are written by edge-server, which is not installed; install it first")
    # In a process of its own, as nothing but edge-server imports the server.
    command = [sys.executable, "-m", "edge_server.run.plugin_migration", name, "--message", message]
    ctx.exit(subprocess.run(command).returncode)  # noqa: S603


def _registries() -> dict[str, Registry]:
    return {
        kind: namespace_registry() if group == "edge.namespaces" else Registry(group) for kind, group in KINDS.items()
    }


def _unchanged(target: Any) -> Any:
    return target


def _check_opener(target: Any) -> Any:
    opener = target()
    if not all(isinstance(suffix, str) and suffix.startswith(".") for suffix in opener.suffixes):
        raise TypeError("its suffixes must be text that begins with a dot")
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
"""Kind -> the check of a plugin beside its import and its contract."""


def _print(rows: list[tuple[str, PluginRecord]], as_json: bool) -> None:
    if as_json:
        output.json([{"kind": kind, **record._asdict()} for kind, record in rows])
        return
    output.table(
        [(kind, record.name, record.status, f"{record.distribution} {record.version}") for kind, record in rows],
        ("KIND", "NAME", "STATUS", "FROM"),
    )
    for _, record in rows:
        if record.error:
            output.line(f"{record.name} of {record.distribution}: {record.error}")
