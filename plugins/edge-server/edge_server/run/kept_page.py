"""What the commands share that write a page of `docs/` from the application, or check that it is current."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol

import click
import flask

from edge_server.keys.signing import Signer
from edge_server.run import app


class Text(Protocol):
    """Makes the text of a page."""

    def __call__(self, *, plugins: bool) -> str: ...


def application(*, plugins: bool = False) -> flask.Flask:
    """An application that serves nobody, to be asked what it consists of.

    Args:
        plugins: whether what the installed plugins add is part of it.
    """
    with tempfile.TemporaryDirectory() as folder:
        engines = app.engines_at(Path(folder), Signer(b""))
        return app.build(engines, app.load(engines, plugins=plugins))


def command(module: str, summary: str, text: Text) -> click.Command:
    """The command of a module that writes a page.

    Args:
        module: the module's name, for the sentence that tells to run it.
        summary: what it writes, as a sentence.
        text: makes the page.
    """

    @click.command(help=summary)
    @click.option("--check", is_flag=True, help="Write nothing; fail if PATH is not current.")
    @click.option("--plugins", is_flag=True, help="Tell what the installed plugins add as well.")
    @click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
    def main(check: bool, plugins: bool, path: Path) -> None:
        current = text(plugins=plugins)
        if not check:
            path.write_text(current, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != current:
            raise click.ClickException(f"{path} is not current; run python -m {module} {path}")

    return main
