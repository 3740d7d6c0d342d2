"""The steps of `edge login`: accept an invitation, check a token, choose the organization."""

from __future__ import annotations

import os

from edge_core.config import Settings, checked_url
from edge_core.errors import EdgeError
from edge_core.whoami import WhoAmI
from edge_tokens.wire import Accepted, AcceptInvitation

PATH = "v1/invitations/accept"


def accept_invitation(service_url: str, code: str, api_token: str | None = None) -> Accepted:
    """Accept an invitation; the answer has a new user's first token, which is shown only there.

    Args:
        service_url: address of the service, such as ``https://edge.example.com/services/api``.
        code: the one-time code.
        api_token: a token of the invited user, if they have one already.

    Raises:
        NotFound: the invitation does not exist, has expired or was withdrawn.
        Conflict: it was accepted already.
        Unauthenticated: the user exists already, and has to use a token of theirs.
        Forbidden: the token is another user's.
    """
    import json

    from edge_core.http import HttpClient

    settings = Settings(api_token=api_token or "", service_url=checked_url(service_url), organization="none")
    client = HttpClient(settings)
    body = json.dumps(AcceptInvitation(code=code).to_dict()).encode()
    # The key makes it safe to send it again when the answer, which has the token, was lost.
    headers = {"Content-Type": "application/json", "Idempotency-Key": os.urandom(16).hex()}
    try:
        # Without a token the code is what permits it, as the signature of a signed address is.
        if api_token is None:
            answer = client.core.fetch_signed("POST", PATH, headers=headers, body=body)
        else:
            answer = client.core.fetch("POST", f"/{PATH}", headers=headers, body=body)
        with answer:
            return Accepted.from_answer(answer.json())
    finally:
        client.close()


def whoami(service_url: str, api_token: str) -> WhoAmI:
    """The user that a token belongs to.

    Args:
        service_url: address of the service.
        api_token: the token.

    Raises:
        Unauthenticated: the token is not valid.
    """
    from edge_core.session import EdgeSession

    with EdgeSession(api_token=api_token, service_url=service_url, organization="none") as session:
        return session.whoami()


def choose_organization(me: WhoAmI, name: str | None) -> str:
    """The organization to work in: the named one, else the user's only one.

    Args:
        me: the user.
        name: short name; None for the only one.

    Raises:
        EdgeError: the user is not in the named one, or in none, or in several.
    """
    names = [organization.organization_name for organization in me.organizations]
    if name is not None:
        if name not in names:
            raise EdgeError(f"{me.user_name} is not in the organization {name!r}, but in: {', '.join(names) or 'none'}")
        return name
    if not names:
        raise EdgeError(f"{me.user_name} is in no organization yet; ask an organization's admin for an invitation")
    if len(names) > 1:
        raise EdgeError(f"{me.user_name} is in several organizations; add --organization and one of {', '.join(names)}")
    return names[0]
