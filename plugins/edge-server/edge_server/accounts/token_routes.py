"""The caller's API tokens."""

from __future__ import annotations

import datetime as dt

import flask
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from edge_server.base import clock, pages
from edge_server.base.problems import conflict, not_found
from edge_server.data.database import SERVER
from edge_server.identity import accounts
from edge_server.identity.models import Token, User
from edge_server.web import idempotency
from edge_server.web.answers import answer
from edge_server.web.engines import services
from edge_server.web.permissions import USER, caller
from edge_server.web.routes import Routes
from edge_tokens.token import Token as TokenRecord
from edge_tokens.wire import CreateToken, TokenPage, TokenQuery

routes = Routes("tokens", __name__, url_prefix="/v1/users/me/tokens")


@routes.operation("tokens.list", "GET", "", who=USER)
@routes.arguments(TokenQuery.schema(), location="query")
@routes.response(200, TokenPage.schema())
def list_tokens(query: TokenQuery) -> flask.Response:
    """List the caller's tokens, the oldest first; expired ones for 30 days more."""
    shown = or_(Token.expires_at.is_(None), Token.expires_at > clock.now() - accounts.SHOWN_FOR)
    wanted = select(Token).where(Token.user_id == caller().id, Token.removed_at.is_(None), shown)
    with services().database.read() as session:
        found, following = pages.page(session, wanted, Token.id, query)
        return answer(TokenPage(items=[_record(token) for token in found], next=following))


@routes.operation("tokens.create", "POST", "", secret_answer=True, who=USER)
@routes.arguments(CreateToken.schema())
@routes.response(201, TokenRecord.schema())
def create_token(wanted: CreateToken) -> flask.Response:
    """Make a token; its value is in this answer alone.

    The same request sent again gives the same token another value, and voids the one before.
    """
    lifetime = None if wanted.expires_in is None else dt.timedelta(seconds=wanted.expires_in)
    with services().database.write(SERVER) as session:
        before = idempotency.issued_before()
        if before is None:
            user = session.get_one(User, caller().id)
            token, value = accounts.add_token(session, user, note=wanted.note, expires_in=lifetime)
            idempotency.issued(token.uid)
        else:
            found = _find(session, before)
            if found is None:
                raise conflict("the token that this request made is removed; ask for another with a new key")
            token, value = found, accounts.renew_token(session, found)
        return answer(_record(token, value), status=201)


@routes.operation("tokens.read", "GET", "/<token_id>", who=USER)
@routes.response(200, TokenRecord.schema())
def read_token(token_id: str) -> flask.Response:
    """Tell of one token."""
    with services().database.read() as session:
        return answer(_record(_get(session, token_id)))


@routes.operation("tokens.remove", "DELETE", "/<token_id>", who=USER)
@routes.response(204)
def remove_token(token_id: str) -> flask.Response:
    """Remove a token; it is refused from now on."""
    with services().database.write(SERVER) as session:
        _get(session, token_id).removed_at = clock.now()
    return flask.Response(status=204)


def _find(session: Session, uid: str) -> Token | None:
    wanted = select(Token).where(Token.uid == uid, Token.user_id == caller().id, Token.removed_at.is_(None))
    return session.scalar(wanted)


def _get(session: Session, uid: str) -> Token:
    token = _find(session, uid)
    if token is None:
        raise not_found("you have no such token, or it was removed; list them to see which there are")
    return token


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
