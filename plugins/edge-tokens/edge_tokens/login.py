"""The steps of `edge login`: accept an invitation, check a token, choose the organization, renew a token."""

from __future__ import annotations

import datetime as dt
import os
from typing import NamedTuple

from edge_core.config import Settings, checked_url, command_line, config_path, read_profile, token_variables
from edge_core.errors import ConfigurationError, EdgeError
from edge_core.whoami import WhoAmI
from edge_tokens.profile import save_profile
from edge_tokens.token import Token
from edge_tokens.wire import Accepted, AcceptInvitation

PATH = "v1/invitations/accept"

LOCK_SECONDS = 120.0
"""How long a renewal waits for another one of the same file."""


class Renewal(NamedTuple):
    """What a renewal came to.

    Attributes:
        me: the user, with what the new token is.
        path: the profile file.
        before: when the old token would have ended; None for never.
    """

    me: WhoAmI
    path: str
    before: dt.datetime | None


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


def renew(profile: str) -> Renewal:
    """Renew the token of a profile: the profile has the new value afterwards, and the old one is void.

    The old one is void as soon as the new one is used, which is after the profile was written. So whatever fails in
    between, one of the two is in the profile and good.

    Args:
        profile: name of the profile.

    Raises:
        ConfigurationError: there is no token in the profile, or the file cannot be read or written.
        Unauthenticated: the token has expired or was removed.
        EdgeError: the new token is in the profile and could not be tried.
    """
    import filelock

    from edge_core.session import EdgeSession

    path = config_path()
    _require_whole(profile, read_profile(profile))
    try:
        # Of two renewals at once, the later one renews what the earlier one has written.
        with filelock.FileLock(f"{os.path.realpath(path)}.lock", timeout=LOCK_SECONDS):
            settings = read_profile(profile)
            url, organization = settings["service_url"], settings["organization"]
            with EdgeSession(settings["api_token"], url, organization) as session:
                current = session.whoami().token
                token = Token.from_answer(session.http.core.post("/v1/users/me/tokens/renew"))
            try:
                save_profile(profile, api_token=token.token or "", service_url=url, organization=organization)
            except ConfigurationError as error:
                raise ConfigurationError(f"{error}; the token that is there is not renewed and still good") from None
            try:
                with EdgeSession(token.token, url, organization) as session:
                    me = session.whoami()
            except EdgeError as error:
                raise EdgeError(
                    f"the new token is in {path} and could not be tried ({error}); the old one is void once it is used"
                ) from error
    except (filelock.Timeout, OSError) as error:
        raise ConfigurationError(f"{path} cannot be locked ({error}); fix that and renew again") from None
    return Renewal(me, path, None if current is None else current.expires_at)


def _require_whole(profile: str, settings: dict[str, str]) -> None:
    """See that a profile has a token, and the service that the token is for.

    Raises:
        ConfigurationError: it has not.
    """
    missing = [name for name in ("api_token", "service_url", "organization") if not settings.get(name)]
    if missing:
        variables = token_variables()
        note = f"; the token in {variables[0]} is not renewed in place, keep it in a profile first" if variables else ""
        raise ConfigurationError(
            f"there is no token to renew: the profile [{profile}] of {config_path()} has no {', '.join(missing)}"
            f"{note}: {command_line(profile, 'login SERVICE_URL')}"
        )


def ambient_note(renewed: Renewal) -> str | None:
    """What becomes of a token in the environment, which comes before the profile; None if there is none."""
    variables = token_variables()
    if not variables:
        return None
    return (
        f"The token in {variables[0]} of the environment comes before the profile and is not renewed in place; if it "
        f"was the old one it is void now: unset {variables[0]}, or set it to the new one in {renewed.path}"
    )
