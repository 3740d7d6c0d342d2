"""Every file of the corpus comes exact, or with its sentence: from the live server and from a local store."""

from __future__ import annotations

import collections
import datetime as dt
import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

import edge_vfs
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from edge_vfs import Folder, InexactWarning, openers
from edge_vfs.openers import UnreadableContent, UnsavableValue

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
from .cases import ANYTHING, Case, differences, outcome, plain

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
    digest: str | None = None
    part_size: int | None = None

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

    def write(self, path: str, source: edge_vfs.Source, /, *, overwrite: bool, max_workers: int, resume: bool) -> None:
        self._entry = Entry(path, b"".join(part.read() for part in source.parts(1 << 20)))

    def progress(self, direction: str, path: str, done: int, total: int | None, /, *, finished: bool = False) -> None:
        """Nobody listens here."""


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


REFUSED = (
    *("nothing here writes", "are opened here, but not saved", "no opener has the suffix", "its name has no suffix"),
    *("JPEG changes the values", "it has [0-9] pictures, of which one is saved", "it is a file already"),
    *("JSON has texts, numbers", "which JSON does not", "its columns need names", "Duplicate column names"),
    r"give (dtype|index_col)=.* here and to open",  # opened with options, and saved without
    "comes back",
    "an npz holds a dict of arrays",
    r"the array 'readme.txt' must be a numpy.ndarray, not bytes",
    "has Python objects or is no array",
)
"""Reasons for which some files of the corpus are not saved, as regular expressions."""


@pytest.mark.parametrize("case", [case for case in CASES if case.error is None], ids=lambda case: case.name)
def test_what_was_opened_is_saved_and_opened_again_or_refused(case: Case) -> None:
    store: Any = LocalStore(case.name, case.payload)
    folder: Folder = Folder(store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactWarning)
        before = plain(folder.open(case.name, case.open_with, **case.options))
        try:
            folder.save(case.name, folder.open(case.name, case.open_with, **case.options), case.open_with)
        except (UnsavableValue, UnreadableContent) as refusal:
            sentence = str(refusal)
        else:
            assert not differences(before, plain(folder.open(case.name, case.open_with)))
            return
    assert folder.read_bytes(case.name) == case.payload
    assert any(re.search(reason, sentence) for reason in REFUSED), sentence


def test_the_corpus_has_every_suffix_and_each_name_once() -> None:
    names = [case.name.lower() for case in CASES]
    assert [name for name, count in collections.Counter(names).items() if count > 1] == []
    classes = [value for value in vars(openers).values() if isinstance(getattr(value, "suffixes", None), tuple)]
    suffixes = {suffix for opener in classes for suffix in opener.suffixes}
    assert len(suffixes) > 30
    assert {suffix for suffix in suffixes if not any(name.endswith(suffix) for name in names)} == set()
    assert len(CASES) >= 150
