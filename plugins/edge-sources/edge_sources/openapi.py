"""`OpenAPIConnection`: a service described by an OpenAPI 3 document, as a client with methods."""

from __future__ import annotations

from typing import Any

from edge_core.errors import BadEntry
from edge_sources.connection import Connection


class OpenAPIConnection(Connection):
    """A service with an API description.

    Args:
        name: short name.
        title: name for display.
        spec: the OpenAPI 3 document, JSON or YAML: its address, or its text.
        server_url: the service's address; by default what the document says.
        token: a bearer token, or the key where the document asks for an API key.
        username: the user, where the document asks for HTTP's basic authentication.
        password: the user's password.
    """

    kind = "openapi"
    plugin_api = 1
    fields = ("spec", "server_url", "username")
    secret_fields = ("token", "password")

    def __init__(
        self,
        name: str,
        title: str,
        spec: str,
        server_url: str | None = None,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__(name, title)
        if not isinstance(spec, str) or not spec.strip():
            raise BadEntry("spec must be the address of an OpenAPI 3 document, or its text; give it")
        self.spec = spec
        self.server_url = server_url
        self.token = token
        self.username = username
        self.password = password

    def generate_new_client(self) -> Any:
        """A client whose methods are the document's operations, grouped by tag.

        ``client.pet.findPetsByStatus(status="sold")`` calls the operation of that `operationId` and
        returns its answer as plain data.

        Raises:
            BadEntry: the document is no valid OpenAPI 3, or refers to other documents.
            ConnectionFailed: the document cannot be fetched.
            MissingPackage: a package that this needs is not installed.
        """
        from edge_sources.openapi_client import make_client

        return make_client(self)

    def check(self, timeout: float) -> None:
        from edge_sources.openapi_client import check

        check(self, timeout)

    def __repr__(self) -> str:
        spec = self.spec if self.spec.startswith(("http://", "https://")) else f"{len(self.spec)} characters"
        return f"<{type(self).__name__} {self.name!r}, uid={self.uid!r}, spec={spec!r}, server_url={self.server_url!r}>"
