"""An application's process with all that it starts, behind the proxy."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_core.errors import ConfigurationError, EdgeError
from edge_hub.app_proxy.proxy import AppProxy

STOP_TIMEOUT = 5.0
"""Seconds that processes have between SIGTERM and SIGKILL."""

LAST_LINES = 20

_LONGEST_LINE = 64 << 10
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AppFailed(EdgeError):
    """An application could not be started, has ended by itself, or never answers.

    Attributes:
        last_lines: what it wrote last.
        exit_code: how it ended; None if it has not.
    """

    def __init__(self, sentence: str, last_lines: Sequence[str] = (), exit_code: int | None = None) -> None:
        super().__init__(sentence)
        self.last_lines = list(last_lines)
        self.exit_code = exit_code


@dataclasses.dataclass(frozen=True)
class Launch:
    """How an application is started.

    Attributes:
        command: the program and its arguments; no shell reads them.
        folder: its working folder.
        environment: all of its environment.
        address: address and port where it listens.
        show: called with each line that it writes, without the line's end.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    address: tuple[str, int]
    show: Callable[[str], None]


class AppProcess:
    """A running application: the process, and those that it has started and that stay in its process group."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process) -> None:
        self.last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._show = launch.show
        self._process = process
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, launch: Launch) -> AsyncIterator[AppProcess]:
        """Run an application as long as the context lasts; nothing of it is left when the context ends.

        Raises:
            AppFailed: the command cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *launch.command,
                cwd=launch.folder,
                env=launch.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # A process group of its own: Ctrl-C in the terminal reaches us alone, and we stop all of it.
                start_new_session=True,
            )
        except OSError as error:
            raise AppFailed(
                f"{launch.command[0]} cannot be started ({error.strerror}); correct the command of the application"
            ) from None
        app = cls(launch, process)
        try:
            yield app
        finally:
            await app._stop()

    async def ended(self) -> int:
        """Wait for the end of the process, and return its exit code; negative for the number of a signal."""
        code = await self._process.wait()
        # What it wrote last may still be in the pipe, which processes of its that live on keep open.
        await asyncio.wait([self._reading], timeout=0.5)
        return code

    async def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 - it is a pipe
        rest = b""
        while block := await stream.read(1 << 16):
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._note(line)
        if rest:
            self._note(rest)

    def _note(self, line: bytes) -> None:
        text = line.removesuffix(b"\r").decode(errors="replace")
        self.last_lines.append(text)
        self._show(text)

    async def _stop(self) -> None:
        try:
            if self._signal(signal.SIGTERM):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self._process.wait()
                    while self._signal(0):
                        await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        finally:
            self._signal(signal.SIGKILL)
            await self._process.wait()
            # The pipe closes with its end, which processes that live on in a group of their own keep away.
            await asyncio.wait([self._reading], timeout=0.5)
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _signal(self, number: int) -> bool:
        """Send a signal to all processes of the group; False if there are none."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True


async def serve(
    launch: Launch,
    proxy: AppProxy,
    listen: tuple[str, int],
    when_ready: Callable[[str], Awaitable[None]],
    *,
    patience: float | None = None,
) -> None:
    """Run an application behind the proxy until `when_ready` returns; then all of it is stopped.

    Args:
        launch: how the application is started.
        proxy: what stands in front of it.
        listen: address and port of the proxy; port 0 for a free one.
        when_ready: called with the address of the proxy once the application answers.
        patience: seconds after which an application that does not answer has failed; None to wait for ever.

    Raises:
        AppFailed: the application cannot be started, ends by itself or does not answer.
        ConfigurationError: a port is in use.
    """
    _check_free(*launch.address)
    async with proxy.serving(*listen) as address, AppProcess.running(launch) as app:

        async def until_done() -> None:
            try:
                async with asyncio.timeout(patience):
                    await proxy.wait_until_ready()
            except TimeoutError:
                raise AppFailed(
                    f"the application does not answer after {patience:.0f} s; {proxy.state or 'it was not checked.'} "
                    f"It has to listen at {launch.address[0]}:{launch.address[1]}",
                    app.last_lines,
                ) from None
            await when_ready(address)

        ended, done = asyncio.create_task(app.ended()), asyncio.create_task(until_done())
        try:
            await asyncio.wait([ended, done], return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                done.result()
            else:
                code = ended.result()
                raise AppFailed(f"the application has ended with exit code {code}", app.last_lines, code)
        finally:
            for task in (ended, done):
                task.cancel()
            await asyncio.gather(ended, done, return_exceptions=True)


def run_until_signal(serving: Coroutine[Any, Any, None]) -> bool:
    """Run to the end, or until SIGINT, SIGTERM or SIGHUP; a second signal does not wait for processes to end.

    Returns:
        False if a signal came.
    """

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a task
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await serving

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        return False
    return True


def _check_free(host: str, port: int) -> None:
    """Refuse a port where something else listens, which would be taken for the application."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} of {host}, where the application is to listen, cannot be had ({error.strerror}); "
                "stop what listens there, or choose another"
            ) from None
