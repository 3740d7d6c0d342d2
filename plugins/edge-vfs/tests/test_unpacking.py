"""Compressed tables and texts are unpacked, up to a limit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable

import pytest

from edge_core.errors import BadEntry, MissingPackage
from edge_vfs.file import File
from edge_vfs.openers import UnreadableContent

from .opening import opened

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
BEFORE_3_14 = pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 has zstd of its own")

each_compression = pytest.mark.parametrize(("suffix", "pack"), PACK.items())


@each_compression
def test_compressed_files_are_opened_as_what_they_hold(suffix: str, pack: Callable[[bytes], bytes]) -> None:
    table = {"id": [1, 2], "note": ["ä", "b"]}
    assert opened(f"a.csv{suffix}", pack("id,note\n1,ä\n2,b\n".encode())).to_dict("list") == table
    assert opened(f"A.CSV{suffix.upper()}", pack("id,note\n1,ä\n2,b\n".encode("utf-16"))).to_dict("list") == table
    for name in ("a.tsv", "a.tab"):
        assert opened(name + suffix, pack("id\tnote\n1\tä\n2\tb\n".encode())).to_dict("list") == table
    lines = '{"id":1,"note":"ä"}\n{"id":2,"note":"b"}\n'.encode()
    for name in ("a.jsonl", "a.ndjson"):
        assert opened(name + suffix, pack(lines)).to_dict("list") == table
    for name in ("a.txt", "a.log"):
        assert opened(name + suffix, pack("grün".encode())) == "grün"
    content = pack(b"id\n1\n")
    assert opened(f"a.csv{suffix}", content, "file").read() == content


def test_options_and_repairs_are_those_of_the_format() -> None:
    assert opened("a.csv.gz", gzip.compress(b"a;b\n1;2\n"), sep=";").to_dict("list") == {"a": [1], "b": [2]}
    assert opened("a.csv.gz", gzip.compress(b"a,b\n1,2\n3,4,\n")).to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert opened("a.csv.gz", gzip.compress(b"a,b\n9007199254740993,1\n,1\n"))["a"][0] == 9007199254740993


@each_compression
def test_several_compressed_pieces_are_read_on(suffix: str, pack: Callable[[bytes], bytes]) -> None:
    assert opened(f"a.csv{suffix}", pack(b"a\n1\n") + pack(b"2\n"))["a"].tolist() == [1, 2]


@each_compression
def test_what_unpacks_to_more_than_the_limit_is_refused(suffix: str, pack: Callable[[bytes], bytes]) -> None:
    content = pack(b"a\n" + b"1\n" * 50_000)
    assert len(content) < 1000
    for name in (f"a.csv{suffix}", f"a.txt{suffix}"):
        with pytest.raises(
            UnreadableContent, match="unpacks to more than 100000 bytes; max_unpacked_size=400000 opens"
        ):
            opened(name, content, max_unpacked_size=100_000)
    assert len(opened(f"a.csv{suffix}", content, max_unpacked_size=100_002)) == 50_000
    with pytest.raises(BadEntry, match="does not take the option max_unpacked_size"):
        opened("a.csv", b"a\n1\n", max_unpacked_size=1)


@each_compression
def test_damaged_and_other_content(suffix: str, pack: Callable[[bytes], bytes]) -> None:
    content = pack(bytes(range(256)) * 40)
    for damaged in (b"a,b\n1,2\n", content[:-9], content[:9], content[: len(content) // 2]):
        with pytest.raises(UnreadableContent, match='open_with="file" gives its bytes'):
            opened(f"a.csv{suffix}", damaged)
    assert isinstance(opened(f"a{suffix}", content), File)
    assert isinstance(opened(f"a.tar{suffix}", content), File)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        pytest.param("a.csv.zst", "backports.zstd", marks=BEFORE_3_14),
        pytest.param("a.txt.zst", "backports.zstd", marks=BEFORE_3_14),
        ("a.csv.zst", "pandas"),
        ("a.csv.gz", "pandas"),
        ("a.tab", "pandas"),
    ],
)
def test_a_name_that_was_a_file_stays_a_file_where_the_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert isinstance(opened(name, b"?"), File)
    with pytest.raises(MissingPackage, match=f"needs {missing}.*; run: python -m pip install"):
        opened(name, b"?", "pandas" if missing == "pandas" or ".csv" in name else "text")
