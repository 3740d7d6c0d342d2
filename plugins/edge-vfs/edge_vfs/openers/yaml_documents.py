"""YAML documents, by PyYAML's safe loader, without what it does silently.

A value without quotes can be of another type in YAML 1.2 than in YAML 1.1, which most of Python reads: `no` is a text
or False, `010` is 10 or 8, `1e-5` a number or a text. The version that a file or the user states is the one it is read
by; else it is YAML 1.1, with a warning where YAML 1.2 gives another value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from edge_core.errors import BadEntry
from edge_vfs.file import File
from edge_vfs.openers.opener import Content, UnreadableContent, UnsavableValue, need, warn
from edge_vfs.openers.text import encoding_of
from edge_vfs.openers.unpacking import OPTION

MAX_UNPACKED_SIZE = 16 << 20
"""Characters that a document may have once its aliases are replaced by what they stand for."""

_TAG = "tag:yaml.org,2002:"

# The core schema of YAML 1.2.2, section 10.3.2.
_CORE = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
_CORE_TAG = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _CORE.items()))

_ALIKE = {f"{_TAG}timestamp", f"{_TAG}merge", f"{_TAG}value"}
"""Types of YAML 1.1 alone whose values are what a reader of the text expects: dates, and the key ``<<``."""

_DIRECTIVE = re.compile(r"(?:[ \t]*(?:#.*)?\n|%(?!YAML).*\n)*%YAML[ \t]+1\.([12])\b")


class YAMLOpener:
    """YAML documents as dictionaries, lists, texts, numbers and dates; no other objects are made."""

    suffixes: ClassVar[tuple[str, ...]] = (".yaml", ".yml")

    def modules(self, file: File) -> Collection[str]:
        return {"yaml"}

    def options(self, file: File) -> Collection[str]:
        return {"document", "encoding", "version", OPTION}

    def open(
        self,
        file: File,
        version: str | None = None,
        document: int | None = None,
        encoding: str | None = None,
        max_unpacked_size: int = MAX_UNPACKED_SIZE,
    ) -> Any:
        yaml = need("YAML", file, "yaml")
        if version not in (None, "1.1", "1.2"):
            raise BadEntry(f'version must be "1.1" or "1.2", not {version!r}')
        with file:
            content = file.readall()
        text = content.decode(encoding or encoding_of(content))
        directive = _DIRECTIVE.match(text)
        chosen = version or (directive and f"1.{directive[1]}")
        loader = _loader_class()(text)
        loader.version = chosen or "1.1"
        try:
            nodes = list(iter(lambda: loader.get_node() if loader.check_node() else None, None))
            node = _chosen(file, nodes, document)
            if node is None:
                return None
            _check_keys(file, loader, node)
            _check_size(file, node, max(max_unpacked_size, 10 * len(text)))
            value = loader.construct_document(node)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            place = f"line {mark.line + 1}: " if mark else ""
            reason = getattr(error, "problem", None) or re.sub(r"\s+", " ", str(error))
            raise UnreadableContent(
                f'{file.basename} could not be read as YAML ({place}{reason}); open_with="text" gives its text'
            ) from error
        finally:
            loader.dispose()
        if not chosen and loader.ambiguous:
            _warn_of_versions(file, loader.ambiguous, loader.dates)
        if loader.shortened:
            warn(
                f"{file.basename} has {loader.shortened[0]}, which Python holds with fewer digits; "
                'open_with="text" gives its text'
            )
        return value

    def save_options(self, basename: str) -> Collection[str]:
        return {"version"}

    def save(self, file: Content, value: Any, version: str | None = None) -> None:
        yaml = need("YAML", file, "yaml", doing="saving")
        if version not in (None, "1.1", "1.2"):
            raise BadEntry(f'version must be "1.1" or "1.2", not {version!r}')
        directive = None if version is None else (1, int(version[2]))
        try:
            text = yaml.dump(value, Dumper=_dumper_class(), allow_unicode=True, sort_keys=False, version=directive)
        except yaml.representer.RepresenterError as error:
            kind = type(error.args[-1]).__name__
            raise UnsavableValue(f"YAML has texts, numbers, dates, None, lists and dicts, and no {kind}") from error
        file.write(text.encode())


def _chosen(file: File, nodes: list[Any], document: int | None) -> Any:
    """Return the document of the number `document`; without it, the first, with a warning if there are more."""
    if document is None:
        if len(nodes) > 1:
            warn(f"{file.basename} has {len(nodes)} documents, and the first was opened; document=1 opens the next")
        return nodes[0] if nodes else None
    if not 0 <= document < len(nodes):
        raise BadEntry(f"{file.basename} has {len(nodes)} documents; give document= a number from 0 on below that")
    return nodes[document]


def _warn_of_versions(file: File, texts: list[str], dates: int) -> None:
    text, others = texts[0], len(texts) - 1 + dates
    values = f"{text!r} would be another value"
    if others:
        values = f"{text!r} and {others} {'other' if others == 1 else 'others'} would be other values"
    older, newer = (_value_of(text, version) for version in ("1.1", "1.2"))
    warn(
        f"{file.basename} does not state its version of YAML, and was read as 1.1: {values} in 1.2 "
        f'({older!r} and {newer!r}); version="1.2" or version="1.1" chooses'
    )


def _value_of(text: str, version: str) -> Any:
    loader = _loader_class()(text)
    loader.version = version
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _children(node: Any) -> Iterator[Any]:
    for child in node.value if node.id != "scalar" else ():
        if isinstance(child, tuple):
            yield from child
        else:
            yield child


def _check_keys(file: File, loader: Any, top: Any) -> None:
    """Raise if a mapping has a key twice: Python would keep one of the values."""
    visited: set[int] = set()
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if id(node) in visited:
            continue
        visited.add(id(node))
        waiting += _children(node)
        if node.id != "mapping":
            continue
        keys: dict[Any, Any] = {}
        for key_node, _ in node.value:
            if key_node.id != "scalar" or key_node.tag == f"{_TAG}merge":
                continue
            key = loader.construct_object(key_node)
            if key in keys:
                line = key_node.start_mark.line + 1
                equal = "" if type(key) is type(keys[key]) else f" (equal to {keys[key]!r} in Python)"
                raise UnreadableContent(
                    f"{file.basename} has the key {key!r}{equal} a second time in line {line}, and only one of its "
                    'values could be returned; open_with="text" gives its text'
                )
            keys[key] = key


def _check_size(file: File, top: Any, limit: int) -> None:
    """Raise if a document is far larger once its aliases are replaced: a few hundred bytes can stand for gigabytes."""
    sizes: dict[int, int] = {}
    waiting = [(top, False)]
    while waiting:
        node, is_left = waiting.pop()
        if is_left:
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in _children(node))
        elif id(node) not in sizes:
            # While its parts are counted, a node that has itself as a part counts once.
            sizes[id(node)] = 1 + (len(node.value) if node.id == "scalar" else 0)
            if node.id != "scalar":
                waiting.append((node, True))
                waiting += [(child, False) for child in _children(node)]
    if sizes[id(top)] > limit:
        raise UnreadableContent(
            f"{file.basename} stands for {sizes[id(top)]} characters, as its aliases repeat parts of it; "
            f"{OPTION}={sizes[id(top)]} opens it"
        )


@functools.cache
def _loader_class() -> Any:
    import yaml

    # The loader in C has the same results, and is several times faster.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]  # known inside the call alone
        version = "1.1"

        def __init__(self, text: str) -> None:
            super().__init__(text)
            self.ambiguous: list[str] = []
            self.dates = 0
            self.shortened: list[str] = []

        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            older = super().resolve(kind, value, implicit)
            if kind is not yaml.ScalarNode or not implicit[0]:
                return older
            core = _CORE_TAG.fullmatch(value)
            newer = _TAG + (core.lastgroup if core and core.lastgroup else "str")
            if older not in _ALIKE and (older != newer or (newer == f"{_TAG}int" and _is_octal(value))):
                self.ambiguous.append(value)
            self.dates += older == f"{_TAG}timestamp"
            if older in (f"{_TAG}merge", f"{_TAG}value"):
                newer = older
            return newer if self.version == "1.2" else older

        def flatten_mapping(self, node: Any) -> None:
            # Not PyYAML's own: that of 6.0.4 lets the last of several merged mappings win, not the first.
            own, merged = [], []
            for key, value in node.value:
                if key.tag != f"{_TAG}merge":
                    own.append((key, value))
                    continue
                for source in reversed(value.value) if value.id == "sequence" else [value]:
                    if source.id != "mapping":
                        raise yaml.constructor.ConstructorError(
                            None, None, "only mappings can be merged by <<", source.start_mark
                        )
                    self.flatten_mapping(source)
                    merged += source.value
            node.value = merged + own

        def construct_int(self, node: Any) -> int:
            text = self.construct_scalar(node)
            if self.version == "1.1":
                return int(self.construct_yaml_int(node))
            return int(text, 0 if text.startswith(("0o", "0x")) else 10)

        def construct_float(self, node: Any) -> float:
            text = self.construct_scalar(node)
            number = float(self.construct_yaml_float(node))
            if number in (float("inf"), -float("inf")) and not text.lower().endswith(".inf"):
                self.shortened.append(text)
            return number

        def construct_timestamp(self, node: Any) -> Any:
            fraction = re.search(r"\.[0-9]{6}([0-9]+)", node.value)
            if fraction and fraction[1].strip("0"):
                self.shortened.append(node.value)
            try:
                return self.construct_yaml_timestamp(node)
            except ValueError as error:
                raise yaml.constructor.ConstructorError(
                    None, None, f'{node.value} is no date; version="1.2" gives it as a text', node.start_mark
                ) from error

    for name in ("int", "float", "timestamp"):
        Loader.add_constructor(_TAG + name, getattr(Loader, f"construct_{name}"))
    Loader.add_constructor(f"{_TAG}value", base.construct_yaml_str)
    return Loader


@functools.cache
def _dumper_class() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]  # known inside the call alone
        def represent_text(self, text: str) -> Any:
            # PyYAML quotes what is no text in YAML 1.1; this does so for YAML 1.2.
            return self.represent_scalar(f"{_TAG}str", text, style="'" if _CORE_TAG.fullmatch(text) else None)

    Dumper.add_representer(str, Dumper.represent_text)
    return Dumper


def _is_octal(text: str) -> bool:
    """Return whether a whole number is another in YAML 1.1, where a leading 0 makes it octal."""
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits.isdigit() and digits.startswith("0") and int(digits, 8) != int(digits)
