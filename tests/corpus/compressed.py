"""Compressed tables and texts, as pipelines, tape archives and broken transfers leave them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable, Iterator

from .cases import Case

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


def cases() -> Iterator[Case]:
    table = {"id": [1, 2], "note": ["ä", "b"]}
    csv = "id,note\n1,ä\n2,b\n".encode()
    lines = '{"id":1,"note":"ä"}\n{"id":2,"note":"b"}\n'.encode()
    for suffix, pack in PACK.items():
        yield Case(f"plain.csv{suffix}", pack(csv), "a packed table", table)
        for name in ("plain.tsv", "plain.tab"):
            yield Case(name + suffix, pack(csv.replace(b",", b"\t")), "a packed table", table)
        for name in ("plain.jsonl", "plain.ndjson"):
            yield Case(name + suffix, pack(lines), "packed lines", table)
        for name in ("plain.txt", "plain.log"):
            yield Case(name + suffix, pack("grün".encode()), "a packed text", "grün")
        yield Case(
            f"members.csv{suffix}", pack(csv[:10]) + pack(csv[10:]), "several members, one after the other", table
        )
        yield Case(f"truncated.csv{suffix}", pack(csv)[:-6], "cut short", error='open_with="file"')
        yield Case(f"half.csv{suffix}", pack(csv * 999)[:30], "cut short within the content", error='open_with="file"')
        yield Case(f"not.csv{suffix}", csv, "a table that is not packed", error='open_with="file"')
        yield Case(f"nothing.csv{suffix}", "", "no content", error="is empty|No columns|ended before")
        yield Case(f"empty.txt{suffix}", pack(b""), "an empty text, packed", "")
        yield Case(f"garbage.csv{suffix}", pack(csv) + b"garbage", "bytes after the end", error='open_with="file"')
        damaged = pack(csv[10:])
        damaged = bytes([damaged[0] ^ 1]) + damaged[1:]
        yield Case(
            f"damaged.csv{suffix}",
            pack(csv[:10]) + damaged,
            "a second member that is damaged",
            error='open_with="file"',
        )
        yield Case(
            f"bomb.txt{suffix}",
            pack(bytes(3_000_000)),
            "a thousand times its size",
            error="unpacks to more than 1000000 bytes; max_unpacked_size=",
            options={"max_unpacked_size": 1_000_000},
        )
        yield Case(f"other{suffix}", pack(csv), "no format before the compression: bytes", pack(csv))
        yield Case(f"zeros.csv{suffix}", pack(csv) + bytes(512), "padded with zeros, as of tapes", table)
    yield Case("PLATE.2.CSV.GZ", gzip.compress(csv.decode().encode("utf-16")), "UTF-16, packed, upper-case", table)
    yield Case(
        "ids.csv.gz", gzip.compress(b"id\n1234567890123456789\nNA\n"), "ids", {"id": [1234567890123456789, None]}
    )
    yield Case("checksum.csv.gz", gzip.compress(csv)[:-8] + bytes(8), "a wrong checksum", error='open_with="file"')
    yield Case("twice.csv.gz", gzip.compress(gzip.compress(csv)), "packed twice", error="has zero bytes")
