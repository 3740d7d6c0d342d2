"""Writes the API's description: `python -m edge_server.run.openapi [--check] [--plugins] PATH`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from edge_server.keys.signing import Signer
from edge_server.run import app
from edge_server.web.description import description_of


def document(*, plugins: bool = False) -> dict[str, Any]:
    """The description of the API as OpenAPI, from the routes and records themselves.

    Args:
        plugins: whether to describe what the installed plugins add as well.
    """
    with tempfile.TemporaryDirectory() as folder:
        engines = app.engines_at(Path(folder), Signer(b""))
        return description_of(app.build(engines, app.load(engines, plugins=plugins)))


def text(*, plugins: bool = False) -> str:
    """The document as it is kept: sorted, so that a change shows as what it is."""
    return json.dumps(document(plugins=plugins), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if PATH is not current.")
@click.option("--plugins", is_flag=True, help="Describe what the installed plugins add as well.")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
def main(check: bool, plugins: bool, path: Path) -> None:
    """Write the API's description to PATH."""
    current = text(plugins=plugins)
    if not check:
        path.write_text(current, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != current:
        raise click.ClickException(f"{path} is not current; run python -m edge_server.run.openapi {path}")


if __name__ == "__main__":
    main()
