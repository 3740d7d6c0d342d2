"""`OpenAPIConnection`: a service with an OpenAPI 3 document, from which a client with methods is generated."""

from __future__ import annotations

from typing import Any

from edge_core.errors import BadEntry
from edge_core.redaction import bare
from edge_sources.connection import Connection


class OpenAPIConnection(Connection):
    """A service with an API description.

    Args:
        name: short name.
        title: name for display.
        spec: the OpenAPI 3 document, JSON or YAML: its address, or its text.
        server_url: the service's address; by default the one in the document, to which a token or password
            only goes if the document was fetched from there.
        token: a bearer token, or the API key if the document requires one.
        username: the user, if the document requires HTTP basic authentication.
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
            raise BadEntry("spec is empty or not a str; give the address of an OpenAPI 3 document, or its text")
        self.spec = spec
        self.server_url = server_url
        self.token = token
        self.username = username
        self.password = password

    def generate_new_client(self) -> Any:
        """Return a client whose methods are the document's operations, grouped by tag.

        ``client.pet.findPetsByStatus(status="sold")`` calls the operation with that `operationId` and
        returns its answer as dictionaries, lists, texts and numbers. An operation in which something is
        wrong is left out, with an `InexactWarning` that says what.

        Raises:
            BadEntry: the document is not OpenAPI 3.0 to 3.2, is too large, or names a server of another
                origin than its own, to which the credentials would go.
            ConnectionFailed: the document cannot be fetched.
            MissingPackage: a package that this needs is not installed.
        """
        from edge_sources.openapi_client import make_client

        return make_client(self)

    def check(self, timeout: float) -> None:
        from edge_sources.openapi_client import check

        check(self, timeout)

    def __repr__(self) -> str:
        spec = bare(self.spec) if is_address(self.spec) else f"{len(self.spec)} characters"
        server_url = self.server_url and bare(self.server_url)
        return f"<{type(self).__name__} {self.name!r}, uid={self.uid!r}, spec={spec!r}, server_url={server_url!r}>"


def is_address(spec: str) -> bool:
    """Return whether the description of a service is given by its address, and not by its text."""
    return spec.lower().startswith(("http://", "https://"))
