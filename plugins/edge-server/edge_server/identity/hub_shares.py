"""Who may visit whose server at a JupyterHub beside its owner, as the hub tells of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import marshmallow
from marshmallow import fields, validate


@dataclasses.dataclass(frozen=True)
class HubShare:
    """A server that is shared with a user, or with a group.

    Attributes:
        owner: name of the user whose server it is.
        server_name: its name.
        user: name of who may visit it; None if that is a group.
        group: name of the group whose members may visit it; None if that is a user.
    """

    owner: str
    server_name: str
    user: str | None
    group: str | None

    @property
    def recipient(self) -> dict[str, str]:
        """Whom it is shared with, as the hub is told of it."""
        return {"group": self.group} if self.group is not None else {"user": self.user or ""}


def share_of(model: Mapping[str, Any]) -> HubShare:
    """A share, as `ShareSchema` has loaded it."""
    server, user, group = model["server"], model["user"], model["group"]
    return HubShare(
        owner=server["user"]["name"],
        server_name=server["name"],
        user=None if user is None else user["name"],
        group=None if group is None else group["name"],
    )


class _Named(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.EXCLUDE

    name = fields.String(required=True, validate=validate.Length(max=255))


class _Server(_Named):
    user = fields.Nested(_Named(), required=True)


class ShareSchema(marshmallow.Schema):
    """What a hub tells of a share, as far as it matters here."""

    class Meta:
        unknown = marshmallow.EXCLUDE

    server = fields.Nested(_Server(), required=True)
    user = fields.Nested(_Named(), load_default=None, allow_none=True)
    group = fields.Nested(_Named(), load_default=None, allow_none=True)
