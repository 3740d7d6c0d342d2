"""`edge hub`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge_cli import output

plugin_api = 1


@click.group()
def hub() -> None:
    """Try Edge as a service of a JupyterHub."""


@hub.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for all that the hub and the Edge server keep.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port on 127.0.0.1.")
@click.option("--admin", default="admin", show_default=True, metavar="NAME", help="Admin of the hub.")
@click.option(
    "--user", "users", multiple=True, default=("ada", "bob"), show_default=True, metavar="NAME", help="Can be repeated."
)
@click.option(
    "--proxy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The program configurable-http-proxy, if not on PATH.",
)
def run(data: Path, port: int, admin: str, users: tuple[str, ...], proxy: Path | None) -> None:
    """Start a JupyterHub, its proxy and an Edge server on this machine, until Ctrl-C.

    This is for trying and for tests: all servers and apps run as you, so that each of them can read the whole folder.
    """
    from edge_hub import running

    os.umask(0o077)
    prepared = running.prepare(data.absolute(), port=port, admin=admin, users=users, proxy=proxy)
    output.line(f"# A JupyterHub with Edge as its service api listens at {prepared.url}, on this machine alone.")
    output.line(f"# Log in as {', '.join((admin, *users))}; the passwords are in {prepared.settings}")
    output.line(f"# Applications run as {prepared.applications} says.")
    output.note(
        f"Warning: every notebook and app of this hub runs as you and can read {data}, the data of all users among it; "
        "let nobody in whom you do not trust with it."
    )
    output.flush()
    os.execv(prepared.command[0], prepared.command)  # noqa: S606  # the hub gets Ctrl-C itself
