"""Connections: what a connector is on the client's side, of whatever kind.

A kind is a class registered under the entry-point group ``edge.connectors``. It states what its
content is called, and which of that is secret, and how to see whether it works:

    class Lims(Connection):
        kind = "lims"
        plugin_api = 1
        fields = ("address",)
        secret_fields = ("password",)

        def __init__(self, name, title, address, password):
            super().__init__(name, title)
            self.address, self.password = address, password

        def check(self, timeout):
            ...

The server never connects anywhere: it keeps the content, and seals what is secret.
"""

from __future__ import annotations

import enum
import functools
import importlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import SplitResult, urlsplit

from edge_core.errors import BadEntry, EdgeError, MissingPackage, Unauthenticated
from edge_core.registry import Registry

if TYPE_CHECKING:
    from edge_core.http import Route, ServiceClient

TEST_TIMEOUT = 10
"""Seconds `Connection.test` takes at most, if it is not told otherwise."""

_C = TypeVar("_C", bound="Connection")


class ConnectionStatus(enum.Enum):
    """What `Connection.test` found.

    Attributes:
        VALID_CONNECTION: it works.
        BAD_CREDENTIALS: something answers there, and does not let these credentials in.
        NO_CONNECTION: nothing answers in time, or what is asked for is not there.
    """

    VALID_CONNECTION = "VALID_CONNECTION"
    BAD_CREDENTIALS = "BAD_CREDENTIALS"
    NO_CONNECTION = "NO_CONNECTION"


class Hidden(dict[str, Any]):
    """The secret part of a connection's content: a dictionary that does not show its values.

    >>> Hidden(password="correct horse")
    <secret: password>
    """

    def __repr__(self) -> str:
        return f"<secret: {', '.join(self)}>"


class Connection:
    """Base of all kinds of connections.

    Attributes:
        kind: what the server and the entry point call this kind.
        fields: names of the attributes that are its content and may be seen.
        secret_fields: names of those that may not: the server seals them, and no `repr` shows them.
        uid: universally unique id, which the server gives; None for a connection it does not know.
        name: short name by which `EdgeData.get` finds it.
        title: name for display.
    """

    kind: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    secret_fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, title: str) -> None:
        self.uid: str | None = None
        self.name = name
        self.title = title
        self._etag: str | None = None
        self._http: ServiceClient | None = None

    def check(self, timeout: float) -> None:
        """See that the connection works; to be written by each kind.

        It runs in a thread that is left to itself when the time is over, so it need not care for
        what cannot be given a time limit, such as the search for a host name.

        Args:
            timeout: seconds it has.

        Raises:
            Unauthenticated: the credentials are not let in.
            Exception: anything else that is in the way.
        """
        raise NotImplementedError(f"{type(self).__name__} has no check")

    def test(self, timeout: float | None = None) -> ConnectionStatus:
        """See whether the connection works, from this machine.

        Args:
            timeout: seconds this takes at most; 10 by default.

        Raises:
            MissingPackage: a package that this kind needs is not installed.
        """
        seconds = TEST_TIMEOUT if timeout is None else timeout
        if seconds <= 0:
            raise BadEntry(f"timeout must be more than 0 seconds, not {timeout}")
        found: list[BaseException | None] = []
        thread = threading.Thread(target=self._check_into, args=(found, seconds), daemon=True)
        thread.start()
        thread.join(seconds)
        if not found:
            return ConnectionStatus.NO_CONNECTION
        error = found[0]
        if isinstance(error, MissingPackage):
            raise error
        if isinstance(error, Unauthenticated):
            return ConnectionStatus.BAD_CREDENTIALS
        return ConnectionStatus.VALID_CONNECTION if error is None else ConnectionStatus.NO_CONNECTION

    def _check_into(self, found: list[BaseException | None], seconds: float) -> None:
        try:
            self.check(seconds)
        except BaseException as error:
            found.append(error.with_traceback(None))
        else:
            found.append(None)

    def to_dict(self) -> dict[str, Any]:
        """The content, for serialization: what is secret stands under ``"secret"``, apart from the rest.

        Printing the dictionary does not show what is secret; writing it as JSON does.
        """
        content = {field: getattr(self, field) for field in self.fields}
        secret = Hidden({field: getattr(self, field) for field in self.secret_fields})
        return {"kind": self.kind, "uid": self.uid, "name": self.name, "title": self.title, **content, "secret": secret}

    @classmethod
    def from_dict(cls: type[_C], content: Mapping[str, Any]) -> _C:
        """The connection that `to_dict` has written.

        Raises:
            BadEntry: something is missing, or cannot be right.
        """
        flat = {**content, **content.get("secret", {})}
        names = ("name", "title", *cls.fields, *cls.secret_fields)
        try:
            # What a newer version has added is passed over; `EdgeData.update` leaves it as it is.
            made = cls(**{name: flat[name] for name in names if name in flat})
        except TypeError as error:
            # The sentence names parameters, never their values.
            raise BadEntry(f"the definition of {flat.get('name')!r} is no {cls.kind} connection: {error}") from None
        made.uid = content.get("uid")
        return made

    def route(self, url: str) -> Route:
        """The proxies and CA certificates for an address, as for the session's own calls."""
        if self._http is not None:
            return self._http.route(url)
        from edge_core import http

        return http.route(url)

    def __repr__(self) -> str:
        shown = "".join(f", {field}={getattr(self, field, None)!r}" for field in ("uid", *self.fields))
        return f"<{type(self).__name__} {self.name!r}{shown}>"

    def __getstate__(self) -> dict[str, Any]:
        kept = {"uid", "name", "title", "_etag", *self.fields, *self.secret_fields}
        return {name: value for name, value in self.__dict__.items() if name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]  # a subclass's own, which takes its fields by name
            **{name: value for name, value in state.items() if name not in ("uid", "_etag")}
        )
        self.uid, self._etag = state["uid"], state["_etag"]


def class_of(kind: str) -> type[Connection]:
    """The class of a kind.

    Raises:
        BadEntry: no installed distribution has such a kind, or what it has is none.
        PluginError: the distribution that has it is broken.
    """
    registry = _registry()
    try:
        found: Any = registry.load(kind)
    except KeyError:
        known = ", ".join(registry.names())
        raise BadEntry(
            f"nothing that is installed knows connections of the kind {kind!r} (there are: {known}); "
            "update edge-sources, or install the distribution that brings it"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Connection)):
        raise BadEntry(f"the entry point of {kind!r} is no Connection class; tell the author of its distribution")
    return found


def kinds() -> list[str]:
    """The kinds there are; imports none of them."""
    return _registry().names()


@functools.cache
def _registry() -> Registry:
    return Registry("edge.connectors")


def parts_of(url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        BadEntry: it is none; the sentence leaves it out, as there may be a password in it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is looked at only now
    except ValueError:
        raise BadEntry("the connection has an address that is none; write it as in https://lab.example.com") from None
    return parts


def need(what: str, extra: str, *modules: str) -> Any:
    """Import `modules` and return the first, or say how to install them.

    Raises:
        MissingPackage: one is not installed.
    """
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
        return first
    except ModuleNotFoundError as error:
        if error.name is None or error.name not in {module.partition(".")[0] for module in modules}:
            raise
        raise MissingPackage(
            f"{what} needs {error.name}, which is not installed; install the extra {extra!r} of edge-sources "
            "(README, Install)",
            name=error.name,
        ) from None


class SourceError(EdgeError):
    """The database or service behind a connection failed at what it was asked for."""
