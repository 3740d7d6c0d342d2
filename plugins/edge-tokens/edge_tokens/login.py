"""From an invitation or a pasted token to a profile that every session finds."""

from __future__ import annotations

import os

from edge_core.config import Settings, checked_url
from edge_core.errors import EdgeError
from edge_core.whoami import WhoAmI
from edge_tokens.wire import Accepted, AcceptInvitation

PATH = "v1/invitations/accept"


def accept_invitation(service_url: str, code: str, api_token: str | None = None) -> Accepted:
    """Accept an invitation; a new user's first token is in the result, and nowhere else.

    Args:
        service_url: address of the service, such as ``https://edge.example.com/services/api``.
        code: the one-time code.
        api_token: a token of the invited user, if they have one already.

    Raises:
        NotFound: there is no such invitation, or it has expired or was withdrawn.
        Conflict: it was accepted already.
        Unauthenticated: the user exists already, so that they have to give a token of theirs.
        Forbidden: the token is another user's.
    """
    import json

    from edge_core.http import HttpClient

    settings = Settings(api_token=api_token or "", service_url=checked_url(service_url), organization="none")
    client = HttpClient(settings)
    body = json.dumps(AcceptInvitation(code=code).to_dict()).encode()
    # The key makes it safe to ask again when the answer, which has the token, was lost on its way.
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
    """Whose token it is.

    Raises:
        Unauthenticated: the token is not valid.
    """
    from edge_core.session import EdgeSession

    with EdgeSession(api_token=api_token, service_url=service_url, organization="none") as session:
        return session.whoami()


def choose_organization(me: WhoAmI, wanted: str | None) -> str:
    """The organization to work in: the wanted one, else the only one there is.

    Raises:
        EdgeError: the user is not in the wanted one, or in none, or in several.
    """
    names = [one.organization_name for one in me.organizations]
    if wanted is not None:
        if wanted not in names:
            raise EdgeError(
                f"{me.user_name} is not in the organization {wanted!r}, but in: {', '.join(names) or 'none'}"
            )
        return wanted
    if not names:
        raise EdgeError(f"{me.user_name} is in no organization yet; ask an organization's admin for an invitation")
    if len(names) > 1:
        raise EdgeError(f"{me.user_name} is in several organizations; add --organization and one of {', '.join(names)}")
    return names[0]
