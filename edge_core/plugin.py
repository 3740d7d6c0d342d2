"""What a plugin author needs: the `Namespace` base.

A namespace is one object that hangs on the session. Its class names the attribute and states which
contract it was written for:

    class Lab(Namespace):
        namespace = "lab"
        plugin_api = 1

        def status(self) -> str:
            return self.http.get("/status")["status"]

and its distribution registers it under the entry-point group ``edge.namespaces``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from edge_core.http import ServiceClient
    from edge_core.session import EdgeSession

PLUGIN_API = 1
"""The contract this core speaks; a plugin states the one it was written for as `plugin_api`."""

OpenSession: TypeAlias = "Callable[[], EdgeSession]"
"""What a command of ``edge`` gets as click's context object: it opens the session the user asked for."""


class Namespace:
    """Base of what a plugin attaches to the session.

    Inheriting is a convenience, not a duty: any callable that takes the session will do.

    Attributes:
        namespace: the attribute's name on the session; `EdgeSession.get` finds the plugin by it.
        base_path: what every path of a call begins with; ``/v1/orgs/{organization}/NAMESPACE`` if
            the class does not say otherwise.
        session: the session this object hangs on.
        http: calls to the server, with this plugin's name in the user agent and the log.
    """

    namespace: ClassVar[str]
    base_path: ClassVar[str | None] = None

    def __init__(self, session: EdgeSession) -> None:
        self.session = session
        self._http: ServiceClient | None = None

    @property
    def http(self) -> ServiceClient:
        if self._http is None:
            base = self.base_path
            if base is None:
                base = f"/v1/orgs/{{organization}}/{self.namespace}"
            self._http = self.session.http.for_plugin(type(self).__module__, base)
        return self._http

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.session!r}>"
