"""Changing what someone else may change as well: entity tags, `If-Match`, and merge patches.

A row that can be updated counts its changes (`data.declarative.Revised`). Its entity tag is made of that
count, so that an update which names the tag it has seen is refused once the row has moved on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import flask
import marshmallow

from edge_core.records import Record
from edge_server.base.problems import Refusal, bad_entry, invalid
from edge_server.web.answers import Revised, etag

MERGE_PATCH = "application/merge-patch+json"

_R = TypeVar("_R", bound=Record)


def require_unchanged(row: Revised) -> None:
    """See that the row is still as the request's `If-Match` has seen it; without the header it may be anything.

    Raises:
        Refusal: it was changed meanwhile.
    """
    header = flask.request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return
    if etag(row) not in [tag.strip() for tag in header.split(",")]:
        raise Refusal(412, "changed", "someone else changed it since you read it; get it again and repeat your change")


def patched(current: _R, patch: Mapping[str, Any], *, fixed: Collection[str] = ()) -> _R:
    """The record as a merge patch makes it (RFC 7396), checked like one that was sent whole.

    Args:
        current: the record as it is.
        patch: what `Record.patch_schema` has loaded.
        fixed: fields that stay as they are. A patch may repeat them or leave them null, as one made
            of a whole record does, but not change them.

    Raises:
        Refusal: the result is not valid, or a fixed field would change.
    """
    before = current.to_dict()
    for name in fixed:
        if patch.get(name) is not None and patch[name] != before[name]:
            raise bad_entry(f"{name}: it cannot be changed; leave it out")
    changed = {name: value for name, value in patch.items() if name not in fixed}
    try:
        loaded: _R = type(current).schema().load(_merged(before, changed))
    except marshmallow.ValidationError as error:
        raise invalid(error) from None
    return loaded


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
