"""What a JupyterHub keeps in this server's place: refused here by a sentence that says where it is changed."""

from __future__ import annotations

from edge_server.base.problems import Refusal
from edge_server.identity.hub_identity import HubIdentity
from edge_server.identity.models import Organization, User


def kept_by_hub(detail: str) -> Refusal:
    """The hub keeps it."""
    return Refusal(409, "kept_by_hub", detail)


def refuse_new_user(hub: HubIdentity | None) -> None:
    """See that this server itself keeps who its users are.

    Raises:
        Refusal: they come from a hub.
    """
    if hub is not None:
        raise kept_by_hub(
            "this server's users are those of its JupyterHub, and come by themselves with their first request; add the "
            "user at the hub, on its Admin page"
        )


def refuse_removal(hub: HubIdentity, user: User) -> None:
    """See that a user is not at the hub, who would come back with the next request.

    Raises:
        Refusal: they are.
    """
    if user.hub_created is None:
        return
    at_hub = hub.ask(lambda: hub.hub.user(user.user_name))
    if at_hub is not None and at_hub.created == user.hub_created:
        raise kept_by_hub(
            f"{user.user_name} is a user of this server's JupyterHub; delete them at the hub, on its Admin page, and "
            "then here, with what they have here"
        )


def refuse_change(hub: HubIdentity | None, user: User, *, server_admin: bool) -> None:
    """See that a hub does not say whether a user is a server admin, if that would be changed.

    Raises:
        Refusal: it does.
    """
    if hub is not None and user.hub_created is not None and server_admin != user.server_admin:
        raise kept_by_hub(
            "server_admin: the admins of this server's JupyterHub are its server admins; change it at the hub, on its "
            "Admin page"
        )


def refuse_members(organization: Organization) -> None:
    """See that no groups of a hub say who is in an organization.

    Raises:
        Refusal: they do.
    """
    if organization.hub:
        raise kept_by_hub(
            f"the groups of this server's JupyterHub say who is in {organization.name} and in which roles; change them "
            "at the hub"
        )


def refuse_first_token(hub: HubIdentity | None) -> None:
    """See that this server itself makes the tokens of its users.

    Raises:
        Refusal: a hub does.
    """
    if hub is not None:
        raise Refusal(
            401,
            "unauthenticated",
            f"this server's users are those of its JupyterHub, so accept with a token of the hub: {hub.renewal}, and "
            "add --token-file FILE to `edge login`",
            {"WWW-Authenticate": "Bearer"},
        )
