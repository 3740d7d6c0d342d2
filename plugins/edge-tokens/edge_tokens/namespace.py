"""What hangs on the session as `tokens`."""

from __future__ import annotations

import builtins
import re
from typing import ClassVar

from edge_core.errors import NotFound
from edge_core.plugin import Namespace
from edge_tokens.token import Token
from edge_tokens.wire import CreateToken

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class EdgeTokens(Namespace):
    """The API tokens of the current user: `EdgeSession.tokens`.

    A token acts for its user in all of the user's organizations, and only the user sees it.
    """

    namespace = "tokens"
    base_path: ClassVar[str | None] = "/v1/users/me/tokens"
    plugin_api = 1

    def list(self) -> builtins.list[Token]:
        """The tokens that are not removed, the oldest first; those that expired show for 30 days more."""
        return builtins.list(self.http.items("", make=Token.from_answer))

    def get(self, token_id: str) -> Token:
        """One token, by its `id`.

        Raises:
            NotFound: the user has no such token.
        """
        return Token.from_answer(self.http.get(self._address(token_id)))

    def create(self, note: str | None = None, expires_in: int | None = None) -> Token:
        """Make a token; only the result's `token` ever holds its value.

        Args:
            note: what it is for; it need not be unique.
            expires_in: seconds it is good for; None for ever, 0 for a token that has expired at once.

        Raises:
            BadEntry: the note is too long, or `expires_in` is negative or above a hundred years.
        """
        wanted = CreateToken(note=note, expires_in=expires_in)
        return Token.from_answer(self.http.post("", json=wanted.to_dict()))

    def remove(self, token_id: str) -> None:
        """Remove a token; the server refuses it from now on.

        Raises:
            NotFound: the user has no such token, or it was removed already.
        """
        self.http.delete(self._address(token_id))

    @staticmethod
    def _address(token_id: str) -> str:
        # Anything else could lead to another address.
        if not isinstance(token_id, str) or not _ID.fullmatch(token_id):
            raise NotFound(f"there is no token with the id {token_id!r}; tokens.list() shows those there are")
        return f"/{token_id}"
