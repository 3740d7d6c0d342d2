"""How routes are declared: with an operation id, strict arguments, and records as answers."""

from __future__ import annotations

import functools
import json
import re
import typing
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import flask
import flask_smorest
import marshmallow
import webargs
from webargs import core
from webargs.flaskparser import FlaskParser, abort

from edge_core.records import Record
from edge_server.base import at_hand
from edge_server.base.problems import Refusal, bad_entry
from edge_server.web import bodies, idempotency, receipts, updates
from edge_server.web.permissions import Rule
from edge_server.web.rates import Limit

BINARY_SCHEMA = {"type": "string", "format": "binary"}
"""Bytes, in the API description."""

BINARY_TYPE = "application/octet-stream"

BINARY_BODY = {"required": True, "content": {BINARY_TYPE: {"schema": BINARY_SCHEMA}}}
"""A request body of bytes, in the API description."""

_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBERS = range(-(1 << 63), 1 << 63)  # what a database can hold

MOST_PARAMETERS = 100
"""Parameters of a query."""

MOST_NESTED = 100
"""Levels of lists and objects in a body."""

MOST_CONTAINERS = 100_000
"""Lists and objects in a body; brackets in its texts count as well. Each costs as much as a hundred bytes of text."""

_BOOLEANS = {"true": True, "false": False}

_View = TypeVar("_View", bound=Callable[..., Any])


class _StrictParser(FlaskParser):
    """webargs' parser, refusing what it would pass over in silence."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": marshmallow.RAISE}

    def get_default_request(self) -> flask.Request:
        """The request itself; by default it is Flask's proxy."""
        return at_hand.request()

    def load_querystring(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        values: dict[str, Any] = {}
        for name, texts in req.args.lists():
            if len(texts) > 1:
                raise bad_entry(f"{name}: it is given {len(texts)} times; give it once")
            values[name] = texts[0]
            # In JSON a number in quotes is refused; a query has nothing but text.
            field = schema.fields.get(name)
            if isinstance(field, marshmallow.fields.Integer):
                if _NUMBER.fullmatch(texts[0]) and int(texts[0]) in _NUMBERS:
                    values[name] = int(texts[0])
            elif isinstance(field, marshmallow.fields.Boolean):
                values[name] = _BOOLEANS.get(texts[0], texts[0])
        return values

    def load_json(self, req: flask.Request, schema: marshmallow.Schema) -> Any:
        if not core.is_json(req.mimetype) and not bodies.has_manifest():
            raise Refusal(
                415, "unsupported_media_type", "send the body as JSON, with the header Content-Type: application/json"
            )
        raw = bodies.whole()
        if not raw:
            return webargs.missing
        containers = raw.count(b"[") + raw.count(b"{")
        if containers > MOST_CONTAINERS:
            raise bad_entry(f"the body has more than {MOST_CONTAINERS} lists and objects; send less at once")
        try:
            loaded = core.parse_json(raw)
            if containers > MOST_NESTED:
                _require_shallow(loaded)
            if b"\\u" in raw:
                # An escaped half of a surrogate pair is JSON to Python and text to nobody else.
                json.dumps(loaded, ensure_ascii=False).encode()
        except RecursionError:
            raise bad_entry("the body nests too deep to be read; simplify it") from None
        except UnicodeEncodeError:
            raise bad_entry("the body holds text that is not valid Unicode; correct it and send it again") from None
        except ValueError:
            # No JSON, no UTF-8, or a number of more digits than Python reads.
            abort(400, messages={"json": ["Invalid JSON body."]})
        return loaded


def _require_shallow(body: Any) -> None:
    """See that what looks into the body will not run out of stack.

    Raises:
        RecursionError: its lists and objects are nested deeper than `MOST_NESTED`.
    """
    level = [body]
    for _ in range(MOST_NESTED):
        below: list[Any] = []
        for container in level:
            items = container.values() if isinstance(container, dict) else container
            below += [inner for inner in items if inner and isinstance(inner, (dict, list))]
        if not below:
            return
        level = below
    raise RecursionError


class Routes(flask_smorest.Blueprint):  # type: ignore[misc]
    """A group of addresses."""

    ARGUMENTS_PARSER = _StrictParser()

    def operation(
        self,
        operation_id: str,
        method: str,
        address: str,
        *,
        who: Rule | str,
        secret_answer: bool = False,
        repeatable: bool = False,
        reads: bool = False,
        limit: Limit | None = None,
        max_json: int = bodies.LARGEST_JSON,
    ) -> Callable[[_View], _View]:
        """Decorator: the view answers `method` at `address`.

        Args:
            operation_id: its name in the permission table, the audit log and the API description.
            method: HTTP method.
            address: below the group's.
            who: whom it lets in: "member", "developer" or "org_admin" of the organization in the
                address, each of them including the next; "user" for any user, "server_admin", or
                "anyone".
            secret_answer: it answers with a secret or a signature, so the answer is never kept.
            repeatable: a POST that has one effect and one answer however often it is sent, without
                an ``Idempotency-Key``.
            reads: a POST that changes nothing, as what it asks for is too long for an address: a token that may
                only read may send it.
            limit: how often a user may ask for it, if that is limited.
            max_json: bytes of the largest JSON body it takes; what is sent to it is in memory whole.

        Raises:
            ValueError: the role is not known.
        """
        if who not in list(Rule):
            raise ValueError(f"there is no role {who!r}; the roles are {', '.join(Rule)}")

        def decorate(view: _View) -> _View:
            once = receipts.once(view) if method in receipts.METHODS else view
            if method == "POST" and not hasattr(view, "once"):
                once = idempotency.once(view)
            documented = self.doc(operationId=operation_id)(once)
            documented.operation_id = operation_id
            documented.who = Rule(who)
            documented.secret_answer = secret_answer
            documented.repeatable = repeatable
            documented.reads = reads
            documented.limit = limit
            documented.max_json = max_json
            # An endpoint's name cannot hold a dot.
            endpoint = operation_id.replace(".", ":")
            self.route(address, methods=[method], endpoint=endpoint)(documented)
            return typing.cast(_View, documented)

        return decorate

    def arguments(self, schema: marshmallow.Schema, **options: Any) -> Callable[[_View], _View]:
        """Decorator: the view's first argument is what came, loaded by `schema`; options are flask-smorest's."""
        decorate: Callable[[_View], _View] = super().arguments(schema, **options)
        if options.get("location", "json") != "json":
            return decorate
        # A request that was not valid has not been asked for yet: it claims no key.
        return lambda view: decorate(idempotency.once(view))

    def merge_patch(self, record: type[Record]) -> Callable[[_View], _View]:
        """Decorator: the view's first argument is a merge patch of such a record, for `changes.patched`."""
        return self.arguments(record.patch_schema(), content_type=updates.MERGE_PATCH)

    def manifest(self, schema: marshmallow.Schema, *, media_type: str, content: int) -> Callable[[_View], _View]:
        """Decorator: the view's first argument is a line of JSON, which content comes after (`bodies.contents`).

        Args:
            schema: loads the line.
            media_type: what such a body is called.
            content: most bytes after the line.
        """

        def decorate(view: _View) -> _View:
            loaded = self.arguments(schema, content_type=media_type)(view)

            @functools.wraps(loaded)
            def begun(*args: Any, **kwargs: Any) -> Any:
                bodies.begin_manifest(media_type, content)
                return loaded(*args, **kwargs)

            return typing.cast(_View, begun)

        return decorate

    def content(self, *, redirects: bool) -> Callable[[_View], _View]:
        """Decorator: the view answers with content, whole or a range of it.

        Args:
            redirects: or with where that is.
        """

        def decorate(view: _View) -> _View:
            headers = {}
            if redirects:
                elsewhere = "Too large to be sent here: Location is a signed address, to be fetched without a token."
                view = self.alt_response(307, description=elsewhere)(view)
                further = "A signed address of content too large to be sent here as a whole, for further ranges."
                headers["Content-Location"] = {"description": further, "schema": {"type": "string"}}
            part = "The one range that the Range header asks for."
            view = self.alt_response(
                206, schema=BINARY_SCHEMA, content_type=BINARY_TYPE, description=part, headers=headers
            )(view)
            whole: _View = self.response(200, BINARY_SCHEMA, content_type=BINARY_TYPE)(view)
            return whole

        return decorate


def refuse_unreadable_query() -> None:
    """Refuse a query that is endless, or not UTF-8: Werkzeug would take its bytes for the text of their escapes."""
    query = at_hand.request().query_string
    if query.count(b"&") >= MOST_PARAMETERS:
        raise bad_entry(f"the query has more than {MOST_PARAMETERS} parameters; leave out those that are not needed")
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise bad_entry("the query is not valid UTF-8; encode names as UTF-8 and escape them") from None
