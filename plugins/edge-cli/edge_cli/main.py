"""The `edge` command itself: subcommands come from plugins, imported when they are called.

A subcommand is a click command registered under the entry-point group ``edge.commands``. It gets,
as click's context object, a function that opens the session the user asked for:

    from edge_cli import output

    @click.command()
    @click.pass_obj
    def lab(open_session):
        with open_session() as edge:
            output.line(edge.lab.status())
"""

from __future__ import annotations

import functools
import logging
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import click

from edge_cli import output
from edge_cli.suggestions import with_suggestion
from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError, PluginError
from edge_core.redaction import scrub_typed
from edge_core.registry import Registry

if TYPE_CHECKING:
    from edge_core.session import EdgeSession


_DISTRIBUTIONS = {
    **NAMESPACES,
    "app": NAMESPACES["applications"],
    "env": NAMESPACES["applications"],
    "reset": NAMESPACES["applications"],
    "login": NAMESPACES["tokens"],
    "server": "edge-server",
    "demo": "edge-server",
}
"""Command -> the distribution that has it."""


class PluginGroup(click.Group):
    """A click group whose commands are the plugins of ``edge.commands``."""

    @functools.cached_property
    def registry(self) -> Registry:
        return Registry("edge.commands")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self.registry.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "plugins":
            # Not by the registry: this command must work where plugins are switched off or broken.
            from edge_cli.plugins import plugins

            return plugins
        try:
            command: click.Command = self.registry.load(cmd_name)
        except KeyError:
            return None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        distribution = _DISTRIBUTIONS.get(args[0])
        if distribution is not None and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"edge {args[0]} is not installed here; install the distribution {distribution} (README, Install)"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            try:
                rows.append((name, self.registry.load(name).get_short_help_str(70)))
            except PluginError:
                rows.append((name, "broken: see edge plugins list"))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.command(cls=PluginGroup)
@click.option("--profile", metavar="NAME", help="Section of the profile file to take missing settings from.")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
@click.version_option(package_name="edge-cli", prog_name="edge")
@click.pass_context
def cli(ctx: click.Context, profile: str | None, debug: bool) -> None:
    """Work with an Edge organization from the command line.

    The token, the server and the organization come from EDGE_API_TOKEN, EDGE_API_SERVICE_URL and
    EDGE_API_ORG, or from a profile.
    """
    ctx.obj = functools.partial(_open_session, profile)


def _open_session(profile: str | None) -> EdgeSession:
    from edge_core.session import EdgeSession

    return EdgeSession(profile=profile, user_agent="edge-cli")


def main() -> None:
    """Run the command; errors are one line each, `--debug` shows their traceback."""
    warnings.showwarning = _show_warning
    # Without a handler, Python would write each of them beside our own line.
    logging.getLogger("edge.retries").addHandler(logging.NullHandler())
    sys.exit(_run())


def _run() -> int:
    """The exit code: 0 done, 1 failed, 2 called wrongly, 130 interrupted."""
    try:
        outcome = cli(standalone_mode=False)
        output.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Abort as error:
        # click raises it for a KeyboardInterrupt, which may tell what is left, such as of an upload.
        output.note("; ".join(["Interrupted", *getattr(error.__context__, "__notes__", ())]) + ".")
        return 130
    except click.UsageError as error:
        output.wrong_call(with_suggestion(error))
        return error.exit_code
    except click.ClickException as error:
        output.error(error.format_message())
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output, such as `head`, has seen enough.
        output.discard()
        return 1
    except Exception as error:
        if "--debug" in sys.argv:
            output.text(scrub_typed(traceback.format_exc()), err=True)
        else:
            output.error(_sentence(error))
        return 1


def _sentence(error: Exception) -> str:
    """What happened, with what was added to the error on its way, such as what is left of a download."""
    return "; ".join([_reason(error), *getattr(error, "__notes__", ())])


def _reason(error: Exception) -> str:
    if isinstance(error, EdgeError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    return f"unexpected {type(error).__name__}: {error}; run again with edge --debug ... and report it"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    output.note(f"Warning: {message}")
