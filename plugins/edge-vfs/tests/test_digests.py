"""The digest of content in parts."""

from __future__ import annotations

import base64
import hashlib

import pytest

from edge_vfs import digests

COMPOSITE = b"xs5V4gLwLS0DvTL+msQFtmX13d8PJ8SUrxuUouRrK9E="


def test_content_of_a_single_part_has_its_own_sha256() -> None:
    assert digests.of_parts([hashlib.sha256(b"a").digest()]) == hashlib.sha256(b"a").hexdigest()


def test_several_parts_have_the_digest_that_s3_calls_composite() -> None:
    parts = [hashlib.sha256(part).digest() for part in (b"ab", b"cd", b"e")]
    # As S3 states it in base64, without the number of parts: computed by `openssl dgst -sha256 -binary` of each part,
    # the three answers one after another into the same command.
    assert base64.b64encode(bytes.fromhex(digests.of_parts(parts))) == COMPOSITE


def test_content_without_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        digests.of_parts([])


@pytest.mark.parametrize("step", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("content", [b"", b"ab", b"abc", b"abcdef", b"abcdefg"])
def test_content_that_is_read_in_any_blocks_has_the_digest_of_its_parts(content: bytes, step: int) -> None:
    read = digests.Hash(3)
    for at in range(0, len(content), step):
        read.update(content[at : at + step])
    parts = [hashlib.sha256(content[at : at + 3]).digest() for at in range(0, len(content) or 1, 3)]
    assert read.parts() == parts
    assert read.hexdigest() == digests.of_parts(parts)


def test_content_of_a_single_part_is_read_without_a_part_size() -> None:
    read = digests.Hash(None)
    for block in (b"ab", b"c"):
        read.update(block)
    assert read.hexdigest() == hashlib.sha256(b"abc").hexdigest()
