"""The namespace `session.tokens`."""

from __future__ import annotations

import builtins
import datetime as dt
import re
from collections.abc import Sequence
from typing import ClassVar

from edge_core.durations import whole_seconds
from edge_core.errors import BadEntry, NotFound
from edge_core.plugin import Namespace
from edge_tokens.token import Token
from edge_tokens.wire import CreateToken

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class EdgeTokens(Namespace):
    """The API tokens of the current user: `EdgeSession.tokens`.

    A token acts for its user in all of the user's organizations, unless it is limited, and only the user sees it.
    """

    namespace = "tokens"
    base_path: ClassVar[str | None] = "/v1/users/me/tokens"
    plugin_api = 1

    def list(self) -> builtins.list[Token]:
        """The user's tokens, the oldest first; expired ones stay in the list for 30 days."""
        return builtins.list(self.http.items("", make=Token.from_answer))

    def get(self, token_id: str) -> Token:
        """A token by its `id`, without its value.

        Args:
            token_id: id of the token, as `list` gives it.

        Raises:
            NotFound: the user has no token with that id.
        """
        return Token.from_answer(self.http.get(self._address(token_id)))

    def create(
        self,
        note: str | None = None,
        expires_in: int | dt.timedelta | None = None,
        *,
        scopes: Sequence[str] | None = None,
    ) -> Token:
        """Create a token; only the returned record's `token` ever holds its value.

        A session whose own token is limited, or expires, makes tokens that are limited as it is, or more, and end no
        later: the record says how.

        Args:
            note: what the token is for, at most 200 characters; it need not be unique.
            expires_in: how long the token is valid, in seconds or as a timedelta of whole seconds; None for
                ever, 0 for one that has expired at once.
            scopes: what it is limited to, such as ``["files:read", "org:lab"]``: ``"read"``, ``"org:NAME"``, and
                parts of the API, each by the name of its property of the session, with ``:read`` to change nothing
                in it. None for what the session's own token is limited to.

        Raises:
            BadEntry: the note is too long; `expires_in` is negative, above a hundred years or no whole
                number of seconds; or a scope is not known, and the error names those that are.
            Forbidden: the session's own token is limited to other things.
        """
        if isinstance(scopes, str):
            raise BadEntry(f"scopes is a text, not a list of them; write scopes=[{scopes!r}]")
        lifetime = None if expires_in is None else whole_seconds(expires_in)
        body = CreateToken(note=note, expires_in=lifetime, scopes=None if scopes is None else [*scopes])
        return Token.from_answer(self.http.post("", json=body.to_dict()))

    def remove(self, token_id: str) -> None:
        """Remove a token, which the server refuses from now on.

        Args:
            token_id: id of the token, as `list` gives it.

        Raises:
            NotFound: the user has no token with that id, or it was removed already.
        """
        self.http.delete(self._address(token_id))

    @staticmethod
    def _address(token_id: str) -> str:
        # An invalid id could lead to another address.
        if not isinstance(token_id, str) or not _ID.fullmatch(token_id):
            raise NotFound(f"there is no token with the id {token_id!r}; tokens.list() lists the existing ones")
        return f"/{token_id}"
