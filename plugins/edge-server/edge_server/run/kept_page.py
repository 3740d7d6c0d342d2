"""What the commands share that write a page of `docs/` from the application, or check that it is current."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import flask

from edge_server.keys.signing import Signer
from edge_server.run import app


def application(*, plugins: bool = False, url_prefix: str = "") -> flask.Flask:
    """An application that serves nobody, to be asked what it consists of.

    Args:
        plugins: whether what the installed plugins add is part of it.
        url_prefix: the path that its addresses begin with.
    """
    with tempfile.TemporaryDirectory() as folder:
        engines = app.engines_at(Path(folder), Signer(b""))
        return app.build(engines, app.load(engines, plugins=plugins), prefix=url_prefix)


def command(
    module: str, summary: str, text: Callable[..., str], options: Sequence[click.Parameter] = ()
) -> click.Command:
    """The command of a module that writes a page.

    Args:
        module: the module's name, for the sentence that tells to run it.
        summary: what it writes, as a sentence.
        text: makes the page, from `plugins` and what `options` are set to.
        options: further ones of the command.
    """

    @click.command(help=summary)
    @click.option("--check", is_flag=True, help="Write nothing; fail if PATH is not current.")
    @click.option("--plugins", is_flag=True, help="Tell what the installed plugins add as well.")
    @click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
    def main(check: bool, plugins: bool, path: Path, **more: Any) -> None:
        current = text(plugins=plugins, **more)
        if not check:
            path.write_text(current, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != current:
            raise click.ClickException(f"{path} is not current; run python -m {module} {path}")

    main.params.extend(options)
    return main
