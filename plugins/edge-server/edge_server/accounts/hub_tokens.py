"""The caller's tokens, where a JupyterHub makes them."""

from __future__ import annotations

import datetime as dt

import flask
from sqlalchemy import select

from edge_server.accounts.hub_keeps import kept_by_hub
from edge_server.base import pages
from edge_server.identity import hub_clients
from edge_server.identity.hub import HubRefused, HubToken
from edge_server.identity.hub_identity import HubIdentity
from edge_server.identity.models import Token
from edge_server.identity.token_scopes import UNLIMITED
from edge_server.web.context import Context
from edge_tokens.token import Token as TokenRecord
from edge_tokens.wire import CreateToken, TokenPage, TokenQuery


class HubTokens:
    """The hub's tokens that are good for this server, as the token routes answer with them.

    The hub is asked before a transaction and never in one, which nobody shall wait for.

    Args:
        context: of the subsystem of accounts.
        identity: the hub's.
    """

    def __init__(self, context: Context, identity: HubIdentity) -> None:
        self._context = context
        self._identity = identity
        self._hub = identity.hub

    def page(self, query: TokenQuery) -> flask.Response:
        """A page of the caller's tokens, the oldest first."""
        self._require_own_token()
        after = -1 if query.cursor is None else pages.key_of(query.cursor, int)
        rows = [token for token in self._own() if token.number > after]
        page, following = pages.cut(rows, lambda token: token.number, query)
        return self._context.answer(TokenPage(items=[_record(token) for token in page], next=following))

    def read(self, token_id: str) -> flask.Response:
        """A token of the caller."""
        self._require_own_token()
        return self._context.answer(_record(self._get(token_id)))

    def create(self, request: CreateToken) -> flask.Response:
        """Have the hub make a token that is good for this server alone, and ends no later than the one at hand."""
        self._require_own_token()
        if request.scopes is not None:
            raise self._context.bad_entry(
                "scopes: the tokens of this server are its JupyterHub's, which does not know these scopes; leave them "
                "out, and let the token expire soon"
            )
        name = self._context.caller().user_name
        seconds = self._seconds(request.expires_in)
        self._remove_issued()
        try:
            token = self._identity.ask(lambda: self._hub.create_token(name, request.note, seconds))
        except HubRefused as error:
            raise self._context.bad_entry(f"the hub does not make the token: {error}; change what is asked") from None
        try:
            with self._context.write() as session:
                session.flush()
                self._context.issued(_subject(token))
                self._context.audit(token=token.id, scopes=self._hub.scope)
                return self._context.secret_answer(_record(token), status=201)
        except BaseException:
            # Nobody learns its value.
            self._hub.remove_token(name, token.id)
            raise

    def remove(self, token_id: str) -> flask.Response:
        """Remove a token of the caller, at the hub and for all processes of this server."""
        self._require_own_token()
        me = self._context.caller()
        self._get(token_id)
        self._identity.ask(lambda: self._hub.remove_token(me.user_name, token_id))
        with self._context.write() as session:
            for row in session.scalars(select(Token).where(Token.user_id == me.id, Token.hub_id == token_id)):
                row.removed_at = row.removed_at or self._context.now()
                self._identity.forget(row.digest)
            self._context.audit(token=token_id)
            return self._context.nothing()

    def refuse_renewal(self) -> None:
        """Say that tokens are not renewed here.

        Raises:
            Refusal: always.
        """
        raise kept_by_hub(
            f"the tokens of this server are its JupyterHub's, which renews none; {self._identity.renewal}"
        )

    def _require_own_token(self) -> None:
        """See that the token at hand is no external application's, which ends with the application's registration.

        Raises:
            Refusal: it is; the tokens that it made would go on, and be good for more.
        """
        if self._context.caller().scopes != UNLIMITED:
            raise self._context.forbidden(
                "this is the login of an external application, which sees, makes and removes no tokens; use a token of "
                f"your own, for which: {self._identity.renewal}"
            )

    def _own(self) -> list[HubToken]:
        name = self._context.caller().user_name
        return [token for token in self._identity.ask(lambda: self._hub.tokens(name)) if self._is_good(token)]

    def _is_good(self, token: HubToken) -> bool:
        return self._hub.permits(token.scopes)

    def _get(self, token_id: str) -> HubToken:
        for token in self._own():
            if token.id == token_id:
                return token
        raise self._context.not_found(
            "the token is not one of yours that are good for this server, or it was removed; list them to see which "
            "there are"
        )

    def _seconds(self, expires_in: int | None) -> int | None:
        """How long a new token is good for, in seconds."""
        if expires_in == 0:
            raise self._context.bad_entry("expires_in: the hub makes no token that has expired; write 1 or more")
        end = self._context.caller().token_expires_at
        if end is None:
            return expires_in
        left = max(1, int((end - self._context.now()).total_seconds()))
        return left if expires_in is None else min(left, expires_in)

    def _remove_issued(self) -> None:
        """Void what this very request has issued before, whose value may be lost."""
        before = self._context.issued_before()
        if before is None:
            return
        name = self._context.caller().user_name
        for token in self._own():
            # A later token may have its id.
            if _subject(token) == before:
                self._identity.ask(lambda: self._hub.remove_token(name, token.id))  # noqa: B023


def _subject(token: HubToken) -> str:
    """What a request is noted to have issued."""
    return f"{token.id}.{int(token.created_at.astimezone(dt.UTC).timestamp() * 1e6):x}"


def _record(token: HubToken) -> TokenRecord:
    return TokenRecord(
        id=token.id,
        note=token.note or _login(token),
        prefix="",
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        scopes=None,
        token=token.value,
    )


def _login(token: HubToken) -> str | None:
    """What is said of a token that an external application has; None for any other."""
    name = hub_clients.application_of(token.client)
    return None if name is None else f"login of {hub_clients.client_id(name)}"
