"""`EdgeSession`: what users hold."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from edge_core import config, forks
from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError, PluginAttributeError, PluginError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    # For the type checker alone: at run time the core imports no plugin.
    from edge_admin.namespace import EdgeAdmin
    from edge_applications.namespace import EdgeApplication
    from edge_billing.namespace import EdgeBilling
    from edge_compute.namespace import EdgeCompute
    from edge_core.hooks import Hooks
    from edge_core.http import HttpClient
    from edge_core.plugin import Namespace
    from edge_core.registry import PluginRecord, Registry
    from edge_core.search import SearchResults
    from edge_core.whoami import WhoAmI
    from edge_files.folder import Folder
    from edge_secrets.namespace import EdgeSecrets
    from edge_sources.namespace import EdgeData
    from edge_tokens.namespace import EdgeTokens

_N = TypeVar("_N", bound="Namespace")

RESERVED = frozenset(
    {
        "close",
        "config",
        "get",
        "hooks",
        "http",
        "login",
        "namespaces",
        "organization",
        "reload_plugins",
        "search",
        "set_whoami",
        "whoami",
    }
)
"""Names no plugin may take."""


class EdgeSession:
    """A connection to one organization on an Edge server.

    Every value can come from the environment, so that an app on the platform writes
    ``EdgeSession()``. Give arguments by keyword: their order may change.

    Each property (`files`, `sources`, ...) is a plugin, imported when it is first touched;
    `namespaces` lists those installed. A session may be shared between threads and used as a
    context manager. Pickling it carries how it was configured: on arrival the environment and the
    profile are read again, and only a token given as an argument travels.

    Args:
        api_token: API token; else ``EDGE_API_TOKEN`` or ``JUPYTERHUB_API_TOKEN``, else the profile.
        service_url: address of the service; else ``EDGE_API_SERVICE_URL``, or with the token of a JupyterHub the
            service ``api`` at ``JUPYTERHUB_PUBLIC_HUB_URL``; else the profile.
        organization: short name of the organization; else ``EDGE_API_ORG``, else the profile. With the token of a
            JupyterHub the user's only organization, which the service is asked for at the first call.
        profile: section of the profile file to read; None reads ``default`` if a value is missing.
        timeout: seconds, or a pair (seconds to connect, seconds between bytes); (5, 60) by default.
        retries: how many times a failed call is tried again where that is safe; 2 by default. Unless it is 0, a
            server that says when to come again, or a store at which nothing listens, has half a minute for it.
        ca_bundle: path of a PEM file of CA certificates, for services behind a private CA.
        user_agent: text put first in the ``User-Agent`` header, such as ``"myapp/1.2"``.
        version_num: accepted and ignored; code written for old editions passes it.

    Attributes:
        config: the settings it works with, whatever they came from.

    Raises:
        ConfigurationError: a value is missing or cannot be right.
    """

    if TYPE_CHECKING:
        admin: EdgeAdmin
        applications: EdgeApplication
        billing: EdgeBilling
        compute: EdgeCompute
        files: Folder
        secrets: EdgeSecrets
        sources: EdgeData
        tokens: EdgeTokens

    _lock: threading.Lock

    def __init__(
        self,
        api_token: str | None = None,
        service_url: str | None = None,
        organization: str | None = None,
        *,
        profile: str | None = None,
        timeout: float | tuple[float, float] | None = None,
        retries: int | None = None,
        ca_bundle: str | os.PathLike[str] | None = None,
        user_agent: str | None = None,
        version_num: object = None,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "api_token": api_token,
            "service_url": service_url,
            "organization": organization,
            "profile": profile,
            "timeout": timeout,
            "retries": retries,
            "ca_bundle": ca_bundle,
            "user_agent": user_agent,
        }
        self.config = config.resolve(**self._arguments)
        forks.renew_lock(self)
        self._client: HttpClient | None = None
        self._hooks: Hooks | None = None
        self._opened = False
        self._plugins: Registry | None = None
        self._closed = False

    @property
    def organization(self) -> str:
        """Short name of the organization; at a JupyterHub that does not set it, the service is asked for it.

        Raises:
            ConfigurationError: it is not set, and the user is in no organization or in several.
        """
        return self.config.organization or self.http.organization

    @property
    def http(self) -> HttpClient:
        """The HTTP client that every namespace calls through."""
        client = self._client
        if client is None or self._closed:
            from edge_core.http import HttpClient

            with self._lock:
                if self._closed:
                    raise EdgeError("this session is closed; make a new EdgeSession")
                if self._client is None:
                    self._client = HttpClient(self.config, self._open)
                client = self._client
        return client

    @property
    def hooks(self) -> Hooks:
        """The session's hooks; ``session.hooks.register(plugin)`` adds one for this session."""
        if self._hooks is None:
            from edge_core.hooks import Hooks

            self._hooks = Hooks()
        return self._hooks

    def _open(self) -> Hooks | None:
        """The hooks there are, if any; asked before each request, and told before the first."""
        if not self._opened:
            self._opened = True
            from edge_core.installed import is_installed

            hooks = self.hooks if is_installed("edge.hooks") else self._hooks
            if hooks is not None:
                hooks.tell("edge_session_opened", session=self)
        return self._hooks

    def whoami(self) -> WhoAmI:
        """The user this session acts as.

        Raises:
            Unauthenticated: the token is not valid.
        """
        from edge_core.whoami import Organization, WhoAmI

        answer = self.http.core.get("/v1/users/me")
        following = answer.pop("organizations_next", None) if isinstance(answer, dict) else None
        me = WhoAmI.from_answer(answer)
        if following is not None:
            address = "/v1/users/me/organizations"
            pages = self.http.core.items(address, params={"limit": 1000}, make=Organization.from_answer)
            me.organizations = [*me.organizations, *(each for page in pages.by_page(following) for each in page.items)]
        return me

    def set_whoami(self, first_name: str | None = None, last_name: str | None = None, email: str | None = None) -> None:
        """Set the profile of the current user; what is left at None is erased.

        Raises:
            BadEntry: a value is too long.
        """
        from edge_core.whoami import Profile

        profile = Profile(first_name=first_name, last_name=last_name, email=email)
        self.http.core.put("/v1/users/me", json=profile.to_dict())

    def search(self, query: str, kind: Literal["file", "folder", "connector"] | None = None) -> SearchResults:
        """Files, folders and connectors of the organization whose names resemble `query`, the best first.

        A name that is the query itself comes first, then names with its words or with words that begin with them,
        then names with words that are like them: by their trigrams, so that a part of a word is found too, or as
        misspelt by one letter. There are at most 1,000 results. Where more names than that resemble the query, or
        more than the server looks at, the list's attribute ``partial`` is true.

        Args:
            query: text.
            kind: ``"file"``, ``"folder"`` or ``"connector"``; None for all. A server with plugins may know
                further kinds, which type checkers do not.

        Raises:
            BadEntry: the query is longer than 255 characters, or the server does not know the kind; the error
                names those it knows.
            ServerError: others of the same user are running, and none of them has ended for a while.
        """
        from edge_core.paging import Pages
        from edge_core.search import SearchResult, SearchResults

        results = SearchResults()

        def fetch(cursor: str | None) -> Any:
            path = f"/v1/orgs/{self.organization}/search"
            answer = self.http.core.get(path, params={"query": query, "kind": kind, "cursor": cursor})
            results.partial |= isinstance(answer, dict) and answer.get("partial") is True
            return answer

        results += Pages(fetch, SearchResult.from_answer)
        return results

    def get(self, namespace: type[_N]) -> _N:
        """The namespace of a class, typed: ``session.get(Lab)`` is ``session.lab`` as a ``Lab``.

        Raises:
            PluginError: the attribute the class names is missing, broken or of another class.
        """
        name = namespace.namespace
        plugin = getattr(self, name)
        if not isinstance(plugin, namespace):
            raise PluginError(
                f"session.{name} is a {type(plugin).__name__}, not the class {namespace.__name__}; "
                "another distribution gives that name (see session.namespaces())"
            )
        return plugin

    def namespaces(self) -> list[PluginRecord]:
        """What is installed for the session, working or not; imports nothing and never raises."""
        return self._registry().records()

    def reload_plugins(self) -> None:
        """Look for plugins again, and forget those already made."""
        from edge_core.installed import rescan

        with self._lock:
            if self._plugins is not None:
                for name in self._plugins.names():
                    self.__dict__.pop(name, None)
            self._plugins = None
            rescan()

    def close(self) -> None:
        """Close the session's connections; safe to call twice."""
        with self._lock:
            opened = self._opened and not self._closed
            self._closed = True
            if self._client is not None:
                self._client.close()
                self._client = None
        if opened and self._hooks is not None:
            self._hooks.tell("edge_session_closed", session=self)

    def _registry(self) -> Registry:
        with self._lock:
            if self._plugins is None:
                self._plugins = namespace_registry()
            return self._plugins

    if not TYPE_CHECKING:  # a type checker that saw this would let every misspelt name pass

        def __getattr__(self, name):
            # Private names are Python's and IPython's own questions; answering them costs no scan.
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            registry = self._registry()
            try:
                plugin = registry.load(name, lambda target: target(self))
            except KeyError:
                raise PluginAttributeError(_missing(name, registry.names())) from None
            with self._lock:
                return self.__dict__.setdefault(name, plugin)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._registry().names()})

    def __enter__(self) -> EdgeSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EdgeSession(service_url={self.config.service_url!r}, organization={self.config.organization!r})"

    def __getstate__(self) -> dict[str, Any]:
        return self._arguments

    def __setstate__(self, arguments: dict[str, Any]) -> None:
        EdgeSession.__init__(self, **arguments)


def namespace_registry() -> Registry:
    """What is installed for sessions, each plugin not yet made."""
    from edge_core.registry import Registry

    return Registry("edge.namespaces", refuse=_refuse, choices=config.plugin_choices)


def _refuse(name: str, distribution: str) -> str | None:
    """Why `distribution` may not give the attribute `name`, or None."""
    from edge_core.installed import normalized

    owner = NAMESPACES.get(name)
    if name in RESERVED or hasattr(EdgeSession, name):
        return f"{name!r} is the session's own name; the author of {distribution} must choose another"
    if not name.isidentifier() or name != name.lower() or name.startswith("_"):
        return f"{name!r} is not a lower-case Python name; the author of {distribution} must choose another"
    if owner is not None and owner != normalized(distribution):
        return (
            f"{name!r} belongs to {owner}; to let {distribution} give it, write '{name} = {distribution}' "
            "in the section [plugins] of the profile file"
        )
    return None


def _missing(name: str, installed: list[str]) -> str:
    if name in NAMESPACES:
        return f"session.{name} is not installed here; install the distribution {NAMESPACES[name]} (README, Install)"
    import difflib

    members = [member for member in (*vars(EdgeSession), *NAMESPACES, *installed) if not member.startswith("_")]
    near = difflib.get_close_matches(name, members, n=1)
    return f"EdgeSession has no attribute {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
