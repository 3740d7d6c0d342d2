"""The namespace `session.secrets`."""

from __future__ import annotations

import json
from typing import Any

from edge_core.plugin import Namespace
from edge_secrets import wire
from edge_secrets.secret import Secret
from edge_secrets.wire import CreateSecret, OpenSecret, ReplaceSecret, SecretEntry

_USER = "/user"
_ORGANIZATION = "/organization"


class EdgeSecrets(Namespace):
    """Secrets: dictionaries of passwords, keys and the like, which the server stores encrypted.

    A user secret belongs to the user in this organization; not even admins can read it.
    Organization secrets are read by all members and written by the organization's admins. Names
    have 1 to 128 ASCII letters, digits, ``-`` and ``_``; a secret has at most 64 KiB as JSON and 32
    levels.

    Every method raises `BadEntry` for a name that is not valid.
    """

    namespace = "secrets"
    plugin_api = 1

    def list_user_secrets(self) -> list[str]:
        """The names of the user's secrets, in order."""
        return self._list(_USER)

    def read_user_secret(self, secret_name: str) -> dict[str, Any]:
        """The content of a user secret; its `repr` does not show it.

        Args:
            secret_name: name of the secret.

        Raises:
            NotFound: the secret does not exist.
        """
        return self._read(_USER, secret_name)

    def create_user_secret(self, secret_name: str, secret: dict[str, Any]) -> None:
        """Store a user secret, a dictionary that JSON can express, under a new name.

        Args:
            secret_name: name of the secret.
            secret: the content, a dictionary that JSON can express.

        Raises:
            AlreadyExists: the name is taken.
            BadEntry: `secret` is not such a dictionary, or is too large or too deep.
        """
        self._create(_USER, secret_name, secret)

    def update_user_secret(self, secret_name: str, secret: dict[str, Any]) -> None:
        """Replace the whole content of a user secret.

        Args:
            secret_name: name of the secret.
            secret: the content, a dictionary that JSON can express.

        Raises:
            NotFound: the secret does not exist.
            BadEntry: `secret` is not a dictionary that JSON can express, or is too large or too deep.
            Conflict: `secret` came from `read_user_secret`, and someone else changed it since.
        """
        self._update(_USER, secret_name, secret)

    def delete_user_secret(self, secret_name: str) -> None:
        """Delete a user secret.

        Args:
            secret_name: name of the secret.

        Raises:
            NotFound: the secret does not exist.
        """
        self._delete(_USER, secret_name)

    def list_organization_secrets(self) -> list[str]:
        """The names of the organization's secrets, in order."""
        return self._list(_ORGANIZATION)

    def read_organization_secret(self, secret_name: str) -> dict[str, Any]:
        """The content of an organization secret; its `repr` does not show it.

        Args:
            secret_name: name of the secret.

        Raises:
            NotFound: the secret does not exist.
        """
        return self._read(_ORGANIZATION, secret_name)

    def create_organization_secret(self, secret_name: str, secret: dict[str, Any]) -> None:
        """Store an organization secret, a dictionary that JSON can express, under a new name.

        Args:
            secret_name: name of the secret.
            secret: the content, a dictionary that JSON can express.

        Raises:
            AlreadyExists: the name is taken.
            BadEntry: `secret` is not such a dictionary, or is too large or too deep.
            Forbidden: the user is not an admin of the organization.
        """
        self._create(_ORGANIZATION, secret_name, secret)

    def update_organization_secret(self, secret_name: str, secret: dict[str, Any]) -> None:
        """Replace the whole content of an organization secret.

        Args:
            secret_name: name of the secret.
            secret: the content, a dictionary that JSON can express.

        Raises:
            NotFound: the secret does not exist.
            BadEntry: `secret` is not a dictionary that JSON can express, or is too large or too deep.
            Conflict: `secret` came from `read_organization_secret`, and someone else changed it since.
            Forbidden: the user is not an admin of the organization.
        """
        self._update(_ORGANIZATION, secret_name, secret)

    def delete_organization_secret(self, secret_name: str) -> None:
        """Delete an organization secret.

        Args:
            secret_name: name of the secret.

        Raises:
            NotFound: the secret does not exist.
            Forbidden: the user is not an admin of the organization.
        """
        self._delete(_ORGANIZATION, secret_name)

    def _list(self, kind: str) -> list[str]:
        return list(self.http.items(kind, make=_name_of))

    def _read(self, kind: str, name: str) -> Secret:
        path = _path(kind, name)
        with self.http.fetch("GET", path, headers={"Accept": "application/json"}) as answer:
            content = OpenSecret.from_answer(answer.json()).content
            return Secret(name, content, self._origin(path), answer.headers.get("ETag"))

    def _create(self, kind: str, name: str, secret: dict[str, Any]) -> None:
        _path(kind, name)
        self.http.post(kind, json=CreateSecret(name, _checked(secret)).to_dict())

    def _update(self, kind: str, name: str, secret: dict[str, Any]) -> None:
        path = _path(kind, name)
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        seen = secret.seen(self._origin(path)) if isinstance(secret, Secret) else None
        if seen is not None:
            headers["If-Match"] = seen
        body = json.dumps(ReplaceSecret(_checked(secret)).to_dict()).encode()
        with self.http.fetch("PUT", path, headers=headers, body=body) as answer:
            if isinstance(secret, Secret) and seen is not None:
                secret.saved(answer.headers.get("ETag"))

    def _delete(self, kind: str, name: str) -> None:
        self.http.delete(_path(kind, name))

    def _origin(self, path: str) -> tuple[str, str, str]:
        """What identifies a secret among those of all servers and organizations."""
        return self.session.config.service_url, self.session.organization, path


def _name_of(row: Any) -> str:
    return SecretEntry.from_answer(row).name


def _path(kind: str, name: str) -> str:
    return f"{kind}/{wire.check_name(name)}"


def _checked(secret: dict[str, Any]) -> dict[str, Any]:
    """The secret, refused here if the server would refuse it."""
    wire.encode(secret)
    return dict(secret)
