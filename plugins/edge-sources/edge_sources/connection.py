"""Connections: the client's side of connectors of every kind.

A kind is a class registered under the entry-point group ``edge.connectors``. It names the fields of
its content, and which of them are secret, and checks whether the connection works:

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

The server never connects by itself: it stores the content and encrypts the secret fields.
"""

from __future__ import annotations

import enum
import functools
import importlib
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import SplitResult, urlsplit

from edge_core.errors import BadEntry, ConnectionFailed, EdgeError, MissingPackage, Unauthenticated
from edge_core.registry import Registry

if TYPE_CHECKING:
    from edge_core.http import Route, ServiceClient
    from edge_core.session import EdgeSession

TEST_TIMEOUT = 10
"""Default time limit of `Connection.test`, in seconds."""

_C = TypeVar("_C", bound="Connection")


class ConnectionStatus(enum.Enum):
    """The result of `Connection.test`.

    Attributes:
        VALID_CONNECTION: the connection works.
        BAD_CREDENTIALS: the database or service answers, but rejects the credentials.
        NO_CONNECTION: nothing answers in time, or the database, bucket or document does not exist.
    """

    VALID_CONNECTION = "VALID_CONNECTION"
    BAD_CREDENTIALS = "BAD_CREDENTIALS"
    NO_CONNECTION = "NO_CONNECTION"


class Hidden(dict[str, Any]):
    """The secret fields of a connection: a dictionary whose `repr` hides its values.

    >>> Hidden(password="correct horse")
    <secret: password>
    """

    def __repr__(self) -> str:
        return f"<secret: {', '.join(self)}>"


class Connection:
    """Base of all kinds of connections.

    Attributes:
        kind: name of this kind on the server and of its entry point.
        fields: names of the attributes that are its content and may be shown.
        secret_fields: names of the secret attributes: the server encrypts them, and no `repr` shows them.
        uid: universally unique id, set by the server; None for a connection that is not stored.
        name: short name, for `EdgeData.get`.
        title: name for display.
        reason: why the last `test` did not give VALID_CONNECTION, as a sentence; None if it did, or before the first.
    """

    kind: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    secret_fields: ClassVar[tuple[str, ...]] = ()
    reason: str | None = None

    def __init__(self, name: str, title: str) -> None:
        self.uid: str | None = None
        self.name = name
        self.title = title
        self._etag: str | None = None
        self._http: ServiceClient | None = None
        self._session: EdgeSession | None = None  # the session whose connector it is

    def check(self, timeout: float) -> None:
        """Check that the connection works; every kind implements it.

        It runs in a thread that is abandoned when the time is over, so that steps without a time
        limit of their own, such as the look-up of a host name, do no harm.

        Args:
            timeout: time limit in seconds.

        Raises:
            Unauthenticated: the credentials are rejected.
            Exception: the connection does not work for another reason.
        """
        raise NotImplementedError(f"{type(self).__name__} has no check")

    def test(self, timeout: float | None = None) -> ConnectionStatus:
        """Test whether the connection works from this machine; if it does not, `reason` says why.

        Args:
            timeout: time limit in seconds; 10 by default.

        Raises:
            BadEntry: `timeout` is not positive.
            MissingPackage: a package that this kind needs is not installed.
        """
        seconds = TEST_TIMEOUT if timeout is None else timeout
        if seconds <= 0:
            raise BadEntry(f"timeout must be more than 0 seconds, not {timeout}")
        outcome: list[BaseException | None] = []
        thread = threading.Thread(target=self._check_into, args=(outcome, seconds), daemon=True)
        thread.start()
        thread.join(seconds)
        error = outcome[0] if outcome else _no_answer(self.name, seconds)
        if isinstance(error, MissingPackage):
            raise error
        self.reason = None if error is None else _reason(self.name, error)
        if isinstance(error, Unauthenticated):
            return ConnectionStatus.BAD_CREDENTIALS
        return ConnectionStatus.VALID_CONNECTION if error is None else ConnectionStatus.NO_CONNECTION

    def _check_into(self, outcome: list[BaseException | None], seconds: float) -> None:
        try:
            self.check(seconds)
        except BaseException as error:
            outcome.append(error.with_traceback(None))
        else:
            outcome.append(None)

    def to_dict(self) -> dict[str, Any]:
        """Return the content for serialization, with the secret fields under ``"secret"``.

        Printing the dictionary hides the values of the secret fields; writing it as JSON does not.
        """
        content = {field: getattr(self, field) for field in self.fields}
        secret = Hidden({field: getattr(self, field) for field in self.secret_fields})
        return {"kind": self.kind, "uid": self.uid, "name": self.name, "title": self.title, **content, "secret": secret}

    @classmethod
    def from_dict(cls: type[_C], content: Mapping[str, Any]) -> _C:
        """Return the connection for a dictionary in the form of `to_dict`.

        Args:
            content: the fields, the secret ones under ``"secret"`` or beside the others.

        Raises:
            BadEntry: a field is missing or not valid.
        """
        secret = content.get("secret", {})
        if not isinstance(secret, Mapping):
            raise BadEntry('secret holds no values; write it as in "secret": {"password": "..."}, or leave it out')
        flat = {**content, **secret}
        names = ("name", "title", *cls.fields, *cls.secret_fields)
        try:
            # Fields of a newer version are ignored here; `EdgeData.update` leaves them unchanged.
            connection = cls(**{name: flat[name] for name in names if name in flat})
        except TypeError as error:
            # The sentence names parameters, never their values.
            raise BadEntry(
                f"the definition of {flat.get('name')!r} does not fit the kind {cls.kind} ({error}); "
                "correct the connector"
            ) from None
        connection.uid = content.get("uid")
        return connection

    def route(self, url: str) -> Route:
        """Return the proxies and CA certificates for an address, those of the session's own calls."""
        if self._http is not None:
            return self._http.route(url)
        from edge_core import http

        return http.route(url)

    def _transferred(self, direction: str, path: str, done: int, total: int | None, *, finished: bool) -> None:
        """Report the progress of a transfer to the hooks of the session, if the connection came from one."""
        if self._http is not None:
            self._http.transferred(direction, path, done, total, finished=finished)

    def __repr__(self) -> str:
        fields = "".join(f", {field}={getattr(self, field, None)!r}" for field in ("uid", *self.fields))
        return f"<{type(self).__name__} {self.name!r}{fields}>"

    def __getstate__(self) -> dict[str, Any]:
        kept = {"uid", "name", "title", "_etag", *self.fields, *self.secret_fields}
        return {name: value for name, value in self.__dict__.items() if name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]  # a subclass's own, which takes its fields by name
            **{name: value for name, value in state.items() if name not in ("uid", "_etag")}
        )
        self.uid, self._etag = state["uid"], state["_etag"]


def _no_answer(name: str, seconds: float) -> ConnectionFailed:
    return ConnectionFailed(f"{name}: nothing answered within {seconds:g} s; check the address, or give more time")


def _reason(name: str, error: BaseException) -> str:
    if isinstance(error, EdgeError):
        return str(error)
    # The text of another library's error may hold credentials.
    return f"{name}: the test failed ({type(error).__name__}); check the connector"


def class_of(kind: str) -> type[Connection]:
    """Return the class of a kind.

    Args:
        kind: name of the kind, such as ``"sql"``.

    Raises:
        BadEntry: no installed distribution has the kind, or its entry point is not a `Connection` class.
        PluginError: the distribution that has it is broken.
    """
    registry = _registry()
    try:
        connection_class: Any = registry.load(kind)
    except KeyError:
        known = ", ".join(registry.names())
        raise BadEntry(
            f"no installed distribution has connections of the kind {kind!r} (known kinds: {known}); "
            "update edge-sources, or install the distribution that has it"
        ) from None
    if not (isinstance(connection_class, type) and issubclass(connection_class, Connection)):
        raise BadEntry(f"the entry point of {kind!r} is not a Connection class; tell the author of its distribution")
    return connection_class


def kinds() -> list[str]:
    """Return the names of the installed kinds; imports none of them."""
    return _registry().names()


@functools.cache
def _registry() -> Registry:
    return Registry("edge.connectors")


def parts_of(url: str) -> SplitResult:
    """Return the parts of an address.

    Raises:
        BadEntry: it is not valid; the sentence does not show it, since it may hold a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # is parsed only when it is read
    except ValueError:
        raise BadEntry("the connection's address is not valid; write it as in https://lab.example.com") from None
    return parts


def need(what: str, extra: str, *modules: str) -> Any:
    """Import `modules` and return the first.

    Args:
        what: what needs the modules, for the error.
        extra: the extra of edge-sources that installs them.
        *modules: names of the modules.

    Raises:
        MissingPackage: a module is not installed; the sentence says how to install it.
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
    """The database or service of a connection failed to answer a request."""
