"""The caller's API tokens."""

from __future__ import annotations

import datetime as dt

import flask
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from edge_server.identity import directory
from edge_server.identity.models import Token, User
from edge_server.web.context import Context
from edge_server.web.permissions import USER
from edge_server.web.routes import Routes
from edge_tokens.token import Token as TokenRecord
from edge_tokens.wire import CreateToken, TokenPage, TokenQuery


def routes(context: Context) -> Routes:
    """Below ``/v1/users/me/tokens``."""
    routes = context.routes("/v1/users/me/tokens", group="tokens")

    @routes.operation("tokens.list", "GET", "", who=USER)
    @routes.arguments(TokenQuery.schema(), location="query")
    @routes.response(200, TokenPage.schema())
    def list_tokens(query: TokenQuery) -> flask.Response:
        """List the caller's tokens, the oldest first; expired ones for 30 days more."""
        shown = or_(Token.expires_at.is_(None), Token.expires_at > context.now() - directory.SHOWN_FOR)
        own = select(Token).where(Token.user_id == context.caller().id, Token.removed_at.is_(None), shown)
        with context.read() as session:
            tokens, following = context.page(session, own, Token.id, query)
            return context.answer(TokenPage(items=[_record(token) for token in tokens], next=following))

    @routes.operation("tokens.create", "POST", "", secret_answer=True, who=USER)
    @routes.arguments(CreateToken.schema())
    @routes.response(201, TokenRecord.schema())
    def create_token(request: CreateToken) -> flask.Response:
        """Make a token; its value is in this answer alone.

        The same request sent again gives the same token another value, and voids the one before.
        """
        lifetime = None if request.expires_in is None else dt.timedelta(seconds=request.expires_in)
        with context.write() as session:
            before = context.issued_before()
            if before is None:
                user = session.get_one(User, context.caller().id)
                token, value = directory.add_token(session, user, note=request.note, expires_in=lifetime)
                context.issued(token.uid)
            else:
                issued = _find(session, context.caller().id, before)
                if issued is None:
                    raise context.conflict(
                        "the token that this request made is removed; ask for another with a new key"
                    )
                token, value = issued, directory.renew_token(session, issued)
            return context.secret_answer(_record(token, value), status=201)

    @routes.operation("tokens.read", "GET", "/<token_id>", who=USER)
    @routes.response(200, TokenRecord.schema())
    def read_token(token_id: str) -> flask.Response:
        """Tell of one token."""
        with context.read() as session:
            return context.answer(_record(get(session, token_id)))

    @routes.operation("tokens.remove", "DELETE", "/<token_id>", who=USER)
    @routes.response(204)
    def remove_token(token_id: str) -> flask.Response:
        """Remove a token; it is refused from now on."""
        with context.write() as session:
            get(session, token_id).removed_at = context.now()
        return context.nothing()

    def get(session: Session, uid: str) -> Token:
        token = _find(session, context.caller().id, uid)
        if token is None:
            raise context.not_found(
                "the token is not one of yours, or it was removed; list them to see which there are"
            )
        return token

    return routes


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
        token=value,
    )
