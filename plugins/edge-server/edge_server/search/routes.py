"""The address at which things are found by their names."""

from __future__ import annotations

import base64
import binascii
import json
import unicodedata

import flask
from sqlalchemy.orm import Session

from edge_core.search import SearchResult
from edge_server.base.problems import bad_entry
from edge_server.search import finding
from edge_server.search.finding import Match
from edge_server.search.records import SearchPage, SearchQuery
from edge_server.web.context import OwnContext
from edge_server.web.engines import Paths
from edge_server.web.permissions import MEMBER
from edge_server.web.rates import SEARCH
from edge_server.web.routes import Routes
from edge_server.web.shares import Shares

SECONDS = 3.0
"""How long a query may take."""

AT_ONCE = 2
"""Searches that a user may have running at a time; all users together have a quarter of the threads."""


def routes(context: OwnContext) -> Routes:
    """Below ``/v1/orgs/<org>/search``."""
    routes = context.routes()
    running = Shares(
        "you are searching {} times at once already; try again when one of them has ended",
        "{} searches are running, which is all that may at a time; try again",
        retry_after=1,
    )

    @routes.operation("search", "GET", "", who=MEMBER, limit=SEARCH)
    @routes.arguments(SearchQuery.schema(), location="query")
    @routes.response(200, SearchPage.schema())
    def find(query: SearchQuery, org: str) -> flask.Response:
        """Find files and folders whose names resemble the query, the best first, at most 1,000.

        A name that is the query itself is the first. Where more names resemble the query than are compared, or it takes
        more than a few seconds, the answer is marked as partial. A user may search twice at a time.
        """
        kinds = context.engines.kinds
        if query.kind is not None and query.kind not in kinds:
            raise bad_entry(f"kind: {query.kind!r} is not a kind of things; it is one of {', '.join(sorted(kinds))}")
        after = None if query.cursor is None else _match_of_cursor(query.cursor)
        # Names are kept in this form.
        text = unicodedata.normalize("NFC", query.query)
        organization_id = context.member().organization_id
        at_once = max(1, context.engines.threads.count // 4)
        with (
            running.taken(context.caller().id, share=AT_ONCE, at_once=at_once),
            context.read() as session,
        ):
            matches, partial = finding.find(session, organization_id, text, query.kind, seconds=SECONDS)
            if after is not None:
                matches = [match for match in matches if match > after]
            page = matches[: query.limit]
            results = _results(context, session, page)
        following = _cursor(page[-1]) if len(matches) > len(page) else None
        return context.answer(SearchPage(items=results, next=following, partial=partial))

    return routes


def _results(context: OwnContext, session: Session, matches: list[Match]) -> list[SearchResult]:
    """What is sent of matches, without those that cannot be found any more, such as what is being deleted."""
    resolvers = context.engines.kinds
    by_resolver: dict[Paths, list[str]] = {}
    for match in matches:
        resolver = resolvers.get(match.kind)
        if resolver is not None:
            by_resolver.setdefault(resolver, []).append(match.uid)
    paths: dict[str, str] = {}
    for resolver, uids in by_resolver.items():
        paths |= resolver(session, uids)
    return [
        SearchResult(
            name=match.name,
            kind=match.kind,
            uid=match.uid,
            path=paths.get(match.uid),
            score=round(1.0 - match.distance, 6),
        )
        for match in matches
        if match.kind in resolvers and (resolvers[match.kind] is None or match.uid in paths)
    ]


def _cursor(match: Match) -> str:
    return base64.urlsafe_b64encode(json.dumps(match).encode()).decode().rstrip("=")


def _match_of_cursor(cursor: str) -> Match:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        distance, looseness, length, name, uid, kind = json.loads(
            base64.b64decode(padded, altchars=b"-_", validate=True)
        )
        return Match(float(distance), int(looseness), int(length), str(name), str(uid), str(kind))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise bad_entry("cursor: it is not one this server gave; begin the search anew") from None
