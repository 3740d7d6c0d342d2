"""Tells Edge what the hub does not know: that an application does not answer yet, and how it has ended by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from edge_core.errors import EdgeError
from edge_core.redaction import HIDDEN, scrub
from edge_core.session import EdgeSession
from edge_hub.app_proxy.edge_app import EdgeApp
from edge_hub.app_proxy.process import LAST_LINES, AppFailed

LONGEST_LINE = 500
"""Characters of a line that are sent."""

_TIMEOUT = (2.0, 5.0)

_SHORTEST_SECRET = 6

_SECRET_NAME = re.compile(r"token|secret|passw|passphrase|credential|api_?key|private_?key|access_?key|cookie", re.I)

# As libraries write headers and settings: the name stays.
_ASSIGNED = re.compile(
    r"""(?ix) \b ((?:proxy-)?authorization | (?:set-)?cookie
    | [\w-]*(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|credential)s?)
    (["']?\s*[=:]\s*) (?:(?:bearer|basic|token)\s+)? ("[^"]*"|'[^']*'|[^\s,;&]+)"""
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}")

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Reports:
    """What is told of the application of a server that Edge has launched; nothing of others.

    Args:
        environment: the process's variables.
        warn: called with a sentence when Edge takes no report.
    """

    def __init__(self, environment: Mapping[str, str], warn: Callable[[str], None]) -> None:
        self._environment = environment
        self._server_name = environment.get("JUPYTERHUB_SERVER_NAME", "")
        self._is_launched = bool(environment.get("EDGE_APP_ID"))
        self._warn = warn

    async def start(self, ready: Callable[[], Awaitable[None]], patience: float) -> None:
        """Tell that the application does not answer, and later that it does; nothing if it answers in time.

        Args:
            ready: returns once it has answered.
            patience: seconds after which the hub sees it as running, whether or not it answers.
        """
        try:
            async with asyncio.timeout(patience):
                await ready()
        except TimeoutError:
            await self._send("starting")
            await ready()
            await self._send("running")

    async def end(self, failure: AppFailed) -> None:
        """Tell how the application has ended; Edge has the hub forget it then, which would go on waiting for it."""
        lines = failure.last_lines if failure.exit_code is not None else [str(failure)]
        await self._send("ended", failure.exit_code, without_secrets(lines, self._environment))

    async def _send(self, state: str, exit_code: int | None = None, last_lines: Sequence[str] | None = None) -> None:
        if not self._is_launched:
            return

        def send() -> None:
            with EdgeSession(timeout=_TIMEOUT) as edge:
                EdgeApp(edge).note(self._server_name, state, exit_code, last_lines)

        try:
            await asyncio.to_thread(send)
        except EdgeError as error:
            self._warn(f"Edge has not taken that the application is {state} ({error}).")


def without_secrets(lines: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The last lines of a log, without what is known to be secret, and what a terminal would obey.

    Args:
        lines: the log.
        environment: variables, of which those are secret whose names say so.
    """
    secrets = {
        value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }
    cleaned = []
    for line in lines[-LAST_LINES:]:
        text = _CONTROL.sub("", _ESCAPE.sub("", line))
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        text = _ASSIGNED.sub(rf"\1\2{HIDDEN}", text)
        cleaned.append(_BEARER.sub(rf"\1 {HIDDEN}", scrub(text))[:LONGEST_LINE])
    return cleaned
