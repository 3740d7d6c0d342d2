"""Run an application behind the proxy: `python -m edge_hub.app_proxy [OPTIONS] COMMAND...`; what images start."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from edge_core.errors import ConfigurationError, EdgeError
from edge_core.session import EdgeSession
from edge_hub.app_proxy.process import Launch, run_until_signal, serve
from edge_hub.app_proxy.proxy import AppProxy, Identify, always
from edge_hub.app_proxy.visitors import session_user

IDENTITY_VARIABLE = "EDGE_APP_IDENTITY"


def main() -> int:
    """Run until a signal comes or the application ends; the exit code is 1 if it ends by itself."""
    parser = argparse.ArgumentParser(prog="python -m edge_hub.app_proxy", description=__doc__)
    parser.add_argument("--listen", type=_address, default=("0.0.0.0", 8888), help="by default 0.0.0.0:8888")  # noqa: S104
    parser.add_argument(
        "--app",
        type=_address,
        default=("127.0.0.1", 9000),
        help="where the application listens; by default 127.0.0.1:9000",
    )
    parser.add_argument("command", nargs="+", help="what starts the application")
    arguments = parser.parse_args()
    launch = Launch(arguments.command, Path.cwd(), os.environ, arguments.app, lambda line: print(line, flush=True))  # noqa: T201
    try:
        proxy = AppProxy(arguments.app, _identify())
        run_until_signal(serve(launch, proxy, arguments.listen, _for_ever))
    except EdgeError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _identify() -> Identify:
    """What says who visits, by what the environment says of it.

    Raises:
        ConfigurationError: it says nothing: whoever reaches the port would be taken for the user.
    """
    if os.environ.get(IDENTITY_VARIABLE) != "session":
        raise ConfigurationError(
            f"nothing says who visits this application; set {IDENTITY_VARIABLE}=session where nobody but the user of "
            "the session reaches its port, as with: docker run --publish 127.0.0.1:9000:8888"
        )
    with EdgeSession() as edge:
        return always(session_user(edge))


async def _for_ever(_address: str) -> None:
    await asyncio.Event().wait()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
