"""Reads JSON and YAML that others wrote, within bounds.

YAML is read by the rules of YAML 1.2, which OpenAPI asks for: `no` is a text and not False, `12:30` is no number, and
keys are texts. The events of PyYAML's parser are taken one by one, so that a document is refused before it fills the
memory: a few lines of aliases of aliases stand for gigabytes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from edge_core.errors import BadEntry

if TYPE_CHECKING:
    import yaml

SIZE = 32 << 20
"""Most characters of a document with its aliases expanded; each value counts 16 more than its text."""

DEPTH = 200
"""Most levels of mappings and sequences within each other."""

_VALUE = 16

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

_TAG = "tag:yaml.org,2002:"


class _Unreadable(ValueError):
    """Why a text is not a document; the rest of a sentence that begins with "the API description"."""


def parse(text: str | bytes) -> tuple[Any, list[str]]:
    """Return the content of a text in JSON or YAML, and the keys that an object of it has twice.

    Both values of a key that occurs twice are dropped: the key has None, which nothing but `null` can mean.

    Raises:
        BadEntry: the text is neither, or too large with its aliases expanded, or nests too deep.
    """
    repeated: list[str] = []
    try:
        try:
            content = _from_json(text, repeated)
        except (ValueError, RecursionError):
            repeated.clear()
            return _from_yaml(text, repeated), repeated
        _measure(content)
    except _Unreadable as error:
        raise BadEntry(f"the API description {error}") from None
    return content, repeated


def _from_json(text: str | bytes, repeated: list[str]) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in pairs:
            _put(content, key, value, repeated)
        return content

    return json.loads(text, object_pairs_hook=mapping, parse_constant=_refuse)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _put(content: dict[str, Any], key: str, value: Any, repeated: list[str]) -> None:
    if key in content:
        repeated.append(key)
        value = None
    content[key] = value


def _measure(content: Any) -> None:
    size, waiting = 0, [(content, 1)]
    while waiting:
        value, depth = waiting.pop()
        size += _VALUE + (len(value) if isinstance(value, str) else 0)
        if isinstance(value, dict):
            size += sum(map(len, value))
            waiting += [(child, depth + 1) for child in value.values()]
        elif isinstance(value, list):
            waiting += [(child, depth + 1) for child in value]
        _limit(size, depth)


def _limit(size: int, depth: int) -> None:
    if size > SIZE:
        raise _Unreadable(f"is larger than {SIZE >> 20} MiB with its aliases expanded; leave out what is not needed")
    if depth > DEPTH:
        raise _Unreadable(f"nests more than {DEPTH} levels deep; simplify it")


class _Open:
    """A mapping or sequence whose end has not come, with its size and depth when its aliases are expanded."""

    def __init__(self, content: Any, anchor: str | None) -> None:
        self.content = content
        self.anchor = anchor
        self.size = _VALUE
        self.depth = 1
        self.key: str | None = None
        self.merged: list[Any] = []

    def add(self, value: Any, size: int, depth: int, repeated: list[str]) -> None:
        self.size += size
        self.depth = max(self.depth, depth + 1)
        if isinstance(self.content, list):
            self.content.append(value)
        else:
            if self.key is None:
                raise _Unreadable("has a key that is not a text; correct it")
            if self.key == "<<" and isinstance(value, (dict, list)):
                self.merged += value if isinstance(value, list) else [value]
            else:
                _put(self.content, self.key, value, repeated)
            self.key = None

    def closed(self) -> Any:
        for part in self.merged:
            if not isinstance(part, dict):
                raise _Unreadable("merges what is not a mapping (<<); correct it")
            for key, value in part.items():
                self.content.setdefault(key, value)
        return self.content


def _from_yaml(text: str | bytes, repeated: list[str]) -> Any:
    import yaml

    try:
        return _composed(text, repeated)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise _Unreadable(f"is neither JSON nor YAML{where}; correct it") from None
    except (UnicodeError, ValueError) as error:
        if isinstance(error, _Unreadable):
            raise
        raise _Unreadable("is neither JSON nor YAML; correct it") from None


def _composed(text: str | bytes, repeated: list[str]) -> Any:
    import yaml

    root: Any = None
    documents = 0
    opened: list[_Open] = []
    anchors: dict[str, tuple[Any, int, int]] = {}
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            mapping = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
                raise _Unreadable(f"has the tag {event.tag!r}, which is not one of JSON; remove it")
            if anchor is not None:
                anchors.pop(anchor, None)
            opened.append(_Open({} if mapping else [], anchor))
            _limit(0, len(opened))
        if isinstance(event, yaml.ScalarEvent):
            waits_for_key = bool(opened) and isinstance(opened[-1].content, dict) and opened[-1].key is None
            value: Any = event.value if waits_for_key else _scalar(event)
            size, depth = _VALUE + len(event.value), 1
        elif isinstance(event, yaml.AliasEvent):
            if anchor not in anchors:
                raise _Unreadable(f"has an alias to {anchor!r}, which is not complete before it; correct it")
            value, size, depth = anchors[anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = opened.pop()
            value, size, depth, anchor = ended.closed(), ended.size, ended.depth, ended.anchor
        else:
            continue
        if anchor is not None:
            anchors[anchor] = (value, size, depth)
        if not opened:
            root = value
        elif isinstance(opened[-1].content, dict) and opened[-1].key is None and isinstance(value, str):
            opened[-1].key = value
            opened[-1].size += size
        else:
            opened[-1].add(value, size, depth, repeated)
            _limit(opened[-1].size, len(opened) + depth)
    if documents != 1:
        raise _Unreadable("is not one document; give one alone")
    return root


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is None and event.implicit[0]:
        if _NULL.fullmatch(text):
            return None
        if match := _BOOL.fullmatch(text):
            return match[1] is not None
        if _INT.fullmatch(text):
            return int(text)
        if _RADIX.fullmatch(text):
            return int(text, 0)
        return float(text) if _FLOAT.fullmatch(text) else text
    if tag in (None, "!", _TAG + "str"):
        return text
    kinds = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": _FLOAT}
    kind = kinds.get(str(tag).removeprefix(_TAG))
    match = kind.fullmatch(text) if kind else None
    if match is None:
        raise _Unreadable(f"has the tag {tag!r}, which is not one of JSON or does not fit {text[:40]!r}; remove it")
    if kind is _NULL:
        return None
    if kind is _BOOL:
        return match[1] is not None
    return int(text) if kind is _INT else float(text)
