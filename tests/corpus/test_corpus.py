"""Every file of the corpus comes exact, or with its sentence: from the live server and from a local store."""

from __future__ import annotations

import collections
import datetime as dt
import hashlib
import io
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_vfs import Folder, openers

from . import (
    arrays,
    columnar,
    compressed,
    delimited,
    hdf5_files,
    json_files,
    pictures,
    spreadsheets,
    texts,
    unlike_their_names,
    yaml_files,
)
from .cases import ANYTHING, Case, differences, outcome

MODULES = (
    *(arrays, columnar, compressed, delimited, hdf5_files, json_files, pictures, spreadsheets, texts),
    *(unlike_their_names, yaml_files),
)
CASES = [case for module in MODULES for case in module.cases()]


class Entry(NamedTuple):
    name: str
    content: bytes
    kind: str = "file"
    version: str | None = None
    modified_at: dt.datetime = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class LocalStore:
    """A store that holds one file, as whoever writes a store for `edge_vfs` would."""

    def __init__(self, name: str, content: bytes) -> None:
        self._entry = Entry(name, content)

    def stat(self, path: str, /) -> Entry:
        return self._entry

    def reader(self, path: str, stat: Entry, /) -> LocalStore:
        return self

    def open(self, start: int, stop: int, /) -> io.BytesIO:
        return io.BytesIO(self._entry.content[start:stop])


@pytest.fixture(scope="module")
def files(edge_server: EdgeServer) -> Iterator[Folder[Any]]:
    """The files of one organization, for all cases."""
    organization = edge_server.create_organization()
    user = edge_server.create_user(organization=organization, roles=("developer",))
    with EdgeSession(edge_server.create_token(user), edge_server.url, organization) as edge:
        yield edge.files


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_is_opened_exactly_or_says_why_not(case: Case, files: Folder[Any]) -> None:
    files.upload(case.name, case.payload)
    local: Any = LocalStore(case.name, case.payload)
    for folder in (files, Folder(local)):
        result = outcome(folder, case, case.name)
        if case.error is None:
            assert result.error is None, case.why
            assert case.value is ANYTHING or not differences(case.value, result.value), case.why
        else:
            assert re.search(case.error, result.error or ""), (case.why, result)
            assert case.name in str(result.error)
        assert not re.search(r" object at 0x|BytesIO|Traceback", result.error or "")
        warned = [] if case.warns is None else [f"InexactWarning: .*{case.warns}"]
        assert len(result.warnings) == len(warned), (case.why, result.warnings)
        assert all(map(re.search, warned, result.warnings)), (case.why, result.warnings)


def test_the_corpus_has_every_suffix_and_each_name_once() -> None:
    names = [case.name.lower() for case in CASES]
    assert [name for name, count in collections.Counter(names).items() if count > 1] == []
    classes = [value for value in vars(openers).values() if isinstance(getattr(value, "suffixes", None), tuple)]
    suffixes = {suffix for opener in classes for suffix in opener.suffixes}
    assert len(suffixes) > 30
    assert {suffix for suffix in suffixes if not any(name.endswith(suffix) for name in names)} == set()
    assert len(CASES) >= 150
