"""`Secret`: the content of a secret, as `EdgeSecrets` reads it."""

from __future__ import annotations

from typing import Any


class Secret(dict[str, Any]):
    """The content of a secret: a dictionary that does not show it.

    It can be changed and given to `EdgeSecrets.update_user_secret` or
    `update_organization_secret`, which notice if the secret was changed meanwhile. Copies made
    with ``dict(secret)`` are plain dictionaries.

    Args:
        name: the secret's name.
        content: the content.
        origin: what identifies the secret among all others.
        etag: the version that was read.

    >>> secret = Secret("warehouse", {"password": "correct horse"})
    >>> secret
    <secret 'warehouse', content hidden>
    >>> secret["password"]
    'correct horse'
    """

    def __init__(self, name: str, content: dict[str, Any], origin: object = None, etag: str | None = None) -> None:
        super().__init__(content)
        self.name = name
        self._origin = origin
        self._etag = etag

    def seen(self, origin: object) -> str | None:
        """The version that was read, if it was read from `origin`."""
        return self._etag if self._origin == origin else None

    def saved(self, etag: str | None) -> None:
        """Remember the version that the server has after an update."""
        self._etag = etag

    def __repr__(self) -> str:
        return f"<secret {self.name!r}, content hidden>"
