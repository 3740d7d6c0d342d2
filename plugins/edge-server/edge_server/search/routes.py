"""Finding things by their names."""

from __future__ import annotations

import base64
import binascii
import json
import unicodedata

import flask

from edge_core.search import SearchResult
from edge_server.base.problems import bad_entry
from edge_server.files import tree
from edge_server.search import index
from edge_server.search.index import Found
from edge_server.search.search_records import SearchPage, SearchQuery
from edge_server.web.engines import services
from edge_server.web.permissions import member
from edge_server.web.routes import Routes, answer

routes = Routes("search", __name__, url_prefix="/v1/orgs/<org>/search")


@routes.operation("search", "GET", "")
@routes.arguments(SearchQuery.schema(), location="query")
@routes.response(200, SearchPage.schema())
def find(query: SearchQuery, org: str) -> flask.Response:
    """Find files and folders whose names resemble the query, the best first, at most 1,000."""
    after = None if query.cursor is None else _found_of_cursor(query.cursor)
    # Names are kept in this form.
    wanted = unicodedata.normalize("NFC", query.query)
    with services().database.read() as session:
        found = index.find(session, member().organization_id, wanted, query.kind)
        if after is not None:
            found = [one for one in found if one > after]
        page = found[: query.limit]
        in_tree = [one.uid for one in page if one.kind in ("file", "folder")]
        paths = tree.paths_of(session, in_tree)
    # What is being deleted is still in the index, but no longer anywhere.
    gone = set(in_tree) - paths.keys()
    items = [_result(one, paths.get(one.uid)) for one in page if one.uid not in gone]
    return answer(SearchPage(items=items, next=_cursor(page[-1]) if len(found) > len(page) else None))


def _result(found: Found, path: str | None) -> SearchResult:
    return SearchResult(
        name=found.name, kind=found.kind, uid=found.uid, path=path, score=round(1.0 - found.distance, 6)
    )


def _cursor(found: Found) -> str:
    return base64.urlsafe_b64encode(json.dumps(found).encode()).decode().rstrip("=")


def _found_of_cursor(cursor: str) -> Found:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        distance, length, name, uid, kind = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return Found(float(distance), int(length), str(name), str(uid), str(kind))
    except (ValueError, TypeError, binascii.Error):
        raise bad_entry("cursor: it is not one this server gave; begin the search anew") from None
