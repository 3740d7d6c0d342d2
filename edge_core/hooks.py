"""Hooks: for what cuts across all calls, one to many, by pluggy.

A hook plugin is a module or object whose functions are marked with `hookimpl`, registered under the
entry-point group ``edge.hooks`` or, for one session, with ``session.hooks.register(plugin)``:

    from edge_core.hooks import hookimpl

    plugin_api = 1

    @hookimpl
    def edge_response(request, response):
        print(request.method, request.url, response.status)

A hook that only watches never breaks a call: what it raises is logged as a warning on the logger
``edge``. Hooks run in the thread of the call, so a slow one slows its call.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from edge_core.errors import EdgeError, PluginError
from edge_core.registry import Registry, is_strict, strictly

if TYPE_CHECKING:
    from edge_core.session import EdgeSession

log = logging.getLogger("edge")

hookspec = pluggy.HookspecMarker("edge")
hookimpl = pluggy.HookimplMarker("edge")


class Request(NamedTuple):
    """A request about to go.

    Attributes:
        id: its request id.
        method: HTTP method.
        url: address without its query.
        headers: may be changed; the token is not among them.
        signed: whether it goes to a signed address, which may refuse headers it does not know.
    """

    id: str
    method: str
    url: str
    headers: MutableMapping[str, str]
    signed: bool


class Response(NamedTuple):
    """What became of an attempt.

    Attributes:
        status: HTTP status; None if no answer came.
        headers: headers of the answer.
        seconds: time from sending to the answer's headers.
        error: the error, if no answer came.
    """

    status: int | None
    headers: Mapping[str, str]
    seconds: float
    error: EdgeError | None


class Transfer(NamedTuple):
    """How far a file has come.

    Attributes:
        direction: ``"upload"`` or ``"download"``.
        path: path of the file on the server.
        done: bytes that went so far.
        total: bytes in all, or None if nobody knows yet.
        finished: whether all of it has arrived and was checked; one that fails never says so.
    """

    direction: str
    path: str
    done: int
    total: int | None
    finished: bool


class Specifications:
    """The hooks there are."""

    @hookspec(firstresult=True)
    def edge_credentials(self, profile: str | None, missing: tuple[str, ...]) -> Mapping[str, str] | None:
        """Supply settings that neither arguments nor environment gave, before the profile file is asked.

        Args:
            profile: the profile the session was asked to use, or None.
            missing: which of ``api_token``, ``service_url`` and ``organization`` are missing.

        Returns:
            some of them; or None to leave it to the next plugin. The first answer wins.
        """

    @hookspec
    def edge_request(self, request: Request) -> None:
        """See a request before it goes, and change its headers; an error refuses the call."""

    @hookspec
    def edge_response(self, request: Request, response: Response) -> None:
        """See what became of each attempt."""

    @hookspec
    def edge_transfer(self, transfer: Transfer) -> None:
        """Hear how far a file has come, at most ten times a second for each call, and of each file's success.

        Of a file, `done` never decreases, whatever threads send its parts.
        """

    @hookspec
    def edge_session_opened(self, session: EdgeSession) -> None:
        """Hear of a session that is about to send its first request."""

    @hookspec
    def edge_session_closed(self, session: EdgeSession) -> None:
        """Hear of a session that was closed after it had been opened."""


class Hooks:
    """The hook plugins of one session.

    Args:
        installed: also take those that distributions register under ``edge.hooks``.
    """

    def __init__(self, *, installed: bool = True) -> None:
        self._manager = pluggy.PluginManager("edge")
        self._manager.add_hookspecs(Specifications)
        # One caller per plugin and hook, so that one plugin's failure is not the next one's.
        self._callers: dict[str, list[tuple[str, Any]]] = {}
        if installed:
            registry = Registry("edge.hooks")
            for name in registry.names():
                # One by one: pluggy's own loading stops at the first that is broken.
                try:
                    self.register(registry.load(name), name)
                except PluginError as error:
                    if is_strict():
                        raise strictly(error) from error
                    log.warning("%s", error)

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a hook plugin: a module or object with functions marked as `hookimpl`.

        Raises:
            PluginError: one of its hooks does not exist, or has parameters that the hook of that name lacks.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise PluginError(f"the hooks of {name or plugin!r} cannot be used: {error}") from error
        self._callers.clear()

    def unregister(self, plugin: object) -> None:
        """Remove a hook plugin."""
        self._manager.unregister(plugin)
        self._callers.clear()

    def credentials(self, profile: str | None, missing: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
        """The first answer to `edge_credentials`, and a remark on each plugin that failed."""
        remarks = []
        for name, caller in self._each("edge_credentials"):
            try:
                answer = caller(profile=profile, missing=missing)
            except Exception as error:
                remarks.append(f"the hook plugin {name} failed with {type(error).__name__}")
                log.warning("edge_credentials of %s failed with %s", name, type(error).__name__)
                continue
            if answer:
                return {key: value for key, value in answer.items() if key in missing and value}, remarks
        return {}, remarks

    def amend(self, request: Request) -> None:
        """Let every plugin change the request.

        Raises:
            PluginError: a plugin failed; an `EdgeError` of its own passes as it is.
        """
        for name, caller in self._each("edge_request"):
            try:
                caller(request=request)
            except EdgeError:
                raise
            except Exception as error:
                raise PluginError(
                    f"the hook plugin {name} failed on this call with {type(error).__name__}: {error}; "
                    "fix, upgrade or uninstall it"
                ) from error

    def tell(self, hook: str, **what: Any) -> None:
        """Tell every plugin; what one raises is logged and changes nothing."""
        for name, caller in self._each(hook):
            try:
                caller(**what)
            except Exception as error:
                log.warning("%s of the hook plugin %s failed with %s: %s", hook, name, type(error).__name__, error)

    def transfer(self, direction: str, path: str, done: int, total: int | None, *, finished: bool) -> None:
        """Tell of a transfer; the caller sees to it that this is not too often."""
        self.tell("edge_transfer", transfer=Transfer(direction, path, done, total, finished))

    def _each(self, hook: str) -> Iterable[tuple[str, Any]]:
        callers = self._callers.get(hook)
        if callers is None:
            plugins = [impl.plugin for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls())]
            callers = self._callers[hook] = [
                (
                    self._manager.get_name(plugin) or repr(plugin),
                    self._manager.subset_hook_caller(hook, [other for other in plugins if other is not plugin]),
                )
                for plugin in plugins
            ]
        return callers
