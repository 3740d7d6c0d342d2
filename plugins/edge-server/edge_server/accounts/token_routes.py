"""The caller's API tokens."""

from __future__ import annotations

import datetime as dt

import flask
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from edge_server.accounts.hub_tokens import HubTokens
from edge_server.base.problems import bad_entry
from edge_server.identity import directory, token_scopes
from edge_server.identity.models import Token, User
from edge_server.identity.token_scopes import UNLIMITED, Scopes
from edge_server.web import permissions
from edge_server.web.context import Context
from edge_server.web.permissions import USER, Caller
from edge_server.web.routes import Routes
from edge_tokens.token import Token as TokenRecord
from edge_tokens.wire import CreateToken, TokenPage, TokenQuery


def routes(context: Context, at_hub: HubTokens | None = None) -> Routes:
    """Below ``/v1/users/me/tokens``.

    Args:
        context: of the subsystem of accounts.
        at_hub: the tokens of a hub; None where this server makes its own.
    """
    routes = context.routes("/v1/users/me/tokens", group="tokens")

    @routes.operation("tokens.list", "GET", "", who=USER)
    @routes.arguments(TokenQuery.schema(), location="query")
    @routes.response(200, TokenPage.schema())
    def list_tokens(query: TokenQuery) -> flask.Response:
        """List the caller's tokens, the oldest first; expired ones for 30 days more.

        A limited token sees those that may do nothing that it may not.
        """
        if at_hub is not None:
            return at_hub.page(query)
        shown = or_(Token.expires_at.is_(None), Token.expires_at > context.now() - directory.SHOWN_FOR)
        own = select(Token).where(Token.user_id == context.caller().id, Token.removed_at.is_(None), shown)
        with context.read() as session:
            if context.caller().scopes != UNLIMITED:
                reached = [token.id for token in session.scalars(own) if permissions.within_reach(token)]
                own = own.where(Token.id.in_(reached))
            tokens, following = context.page(session, own, Token.id, query)
            return context.answer(TokenPage(items=[_record(token) for token in tokens], next=following))

    @routes.operation("tokens.create", "POST", "", secret_answer=True, who=USER)
    @routes.arguments(CreateToken.schema())
    @routes.response(201, TokenRecord.schema())
    def create_token(request: CreateToken) -> flask.Response:
        """Make a token; its value is in this answer alone.

        It is limited as the token at hand is, or more, and does not outlive it. The same request sent again gives the
        same token another value, and voids the one before.
        """
        if at_hub is not None:
            return at_hub.create(request)
        me = context.caller()
        lifetime = None if request.expires_in is None else dt.timedelta(seconds=request.expires_in)
        scopes = me.scopes if request.scopes is None else _parsed(request.scopes)
        permissions.require_scopes_within(scopes)
        with context.write() as session:
            before = context.issued_before()
            if before is None:
                if request.scopes is not None:
                    _require_member(session, me, scopes)
                token, value = directory.add_token(
                    session,
                    session.get_one(User, me.id),
                    note=request.note,
                    expires_in=lifetime,
                    not_after=me.token_expires_at,
                    scopes=scopes,
                    parent=None if me.scopes == UNLIMITED else me.token_uid,
                )
                context.issued(token.uid)
            else:
                issued = _find(session, me.id, before)
                # It may be that another token made it, which was less limited or longer-lived.
                if issued is None or not permissions.within_reach(issued) or _outlives(issued, me):
                    raise context.conflict(
                        "the token that this request made is removed, or is not for the token at hand; ask for another "
                        "with a new key"
                    )
                token, value = issued, directory.replace_value(session, issued)
            context.audit(token=token.uid, scopes=", ".join(token.scopes or ()))
            return context.secret_answer(_record(token, value), status=201)

    @routes.operation("tokens.renew", "POST", "/renew", secret_answer=True, who=USER)
    @routes.response(201, TokenRecord.schema())
    def renew_token() -> flask.Response:
        """Make the token that takes the place of the one at hand; its value is in this answer alone.

        The one at hand is void as soon as the new one is used, and good until then. The new one ends when the one at
        hand does; that of a new server's first token, which can be renewed, as much later as it was good for.
        """
        if at_hub is not None:
            at_hub.refuse_renewal()
        me = context.caller()
        with context.write() as session:
            current = _find(session, me.id, me.token_uid)
            if current is None:
                raise context.conflict("this token was removed at the same moment; log in with another one")
            token, value = directory.renew_token(session, current)
            context.audit(token=token.uid, renewed=current.uid)
            return context.secret_answer(_record(token, value), status=201)

    @routes.operation("tokens.read", "GET", "/<token_id>", who=USER)
    @routes.response(200, TokenRecord.schema())
    def read_token(token_id: str) -> flask.Response:
        """Tell of one token."""
        if at_hub is not None:
            return at_hub.read(token_id)
        with context.read() as session:
            return context.answer(_record(get(session, token_id)))

    @routes.operation("tokens.remove", "DELETE", "/<token_id>", who=USER)
    @routes.response(204)
    def remove_token(token_id: str) -> flask.Response:
        """Remove a token; it is refused from now on, and if it is limited, so are those that were made with it."""
        if at_hub is not None:
            return at_hub.remove(token_id)
        with context.write() as session:
            directory.remove_token(session, get(session, token_id))
            context.audit(token=token_id)
            return context.nothing()

    def get(session: Session, uid: str) -> Token:
        token = _find(session, context.caller().id, uid)
        if token is None or not permissions.within_reach(token):
            raise context.not_found(
                "the token is not one of yours, or it was removed; list them to see which there are"
            )
        return token

    return routes


def _parsed(texts: list[str]) -> Scopes:
    try:
        return token_scopes.parse(texts, permissions.namespaces())
    except token_scopes.UnknownScope as error:
        raise bad_entry(f"scopes: {error}") from None


def _require_member(session: Session, me: Caller, scopes: Scopes) -> None:
    """See that a token is limited to organizations that its user is in; a name mistyped would say nothing else."""
    # The token at hand learns of no organization that it is kept from.
    own = {row.organization.name for row in session.scalars(directory.select_memberships(me.id, me.scopes))}
    for name in sorted((scopes.organizations or frozenset()) - own):
        those = f"; those you are in are {', '.join(sorted(own))}" if own else ""
        raise bad_entry(f"scopes: you are in no organization {name!r}{those}")


def _outlives(token: Token, me: Caller) -> bool:
    return me.token_expires_at is not None and (token.expires_at is None or token.expires_at > me.token_expires_at)


def _find(session: Session, user_id: int, uid: str) -> Token | None:
    return session.scalar(select(Token).where(Token.uid == uid, Token.user_id == user_id, Token.removed_at.is_(None)))


def _record(token: Token, value: str | None = None) -> TokenRecord:
    return TokenRecord(
        id=token.uid,
        note=token.note,
        prefix=token.prefix,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        scopes=token.scopes,
        token=value,
    )
