"""The limits on how often, for the request at hand.

A user counts, whatever token they come with, since they can make as many as they like. An address counts for wrong
tokens, codes and signatures alone, and what is right is never refused for those: behind one address there may be a
whole institute, which a single guesser must not lock out. What is guessed at is too long to be guessed anyway.
"""

from __future__ import annotations

import flask

from edge_server.web.engines import engines
from edge_server.web.rates import FAILURES, Limit


def spend(limit: Limit, user_name: str | None) -> None:
    """Count something that the request does, for its user; for its address if it has none.

    Raises:
        Refusal: that is too often.
    """
    engines().rates.spend(limit, client_address() if user_name is None else f"user {user_name}")


def failed() -> None:
    """Count a token, code or signature that is not right, before saying so.

    Raises:
        Refusal: too many come from that address.
    """
    engines().rates.spend(FAILURES, client_address())


def client_address() -> str:
    """The address that the request comes from, as text to count by."""
    request = flask.request
    forwarded_for = ",".join(request.headers.getlist("X-Forwarded-For"))
    return f"address {engines().proxies.client(request.remote_addr, forwarded_for)}"
