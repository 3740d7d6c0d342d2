"""The digest of content in parts."""

from __future__ import annotations

import base64
import hashlib

import pytest

from edge_vfs import digests

COMPOSITE = b"xs5V4gLwLS0DvTL+msQFtmX13d8PJ8SUrxuUouRrK9E="


def test_content_of_one_part_has_its_own_sha256() -> None:
    assert digests.of_parts([hashlib.sha256(b"a").digest()]) == hashlib.sha256(b"a").hexdigest()


def test_several_parts_have_the_digest_that_s3_calls_composite() -> None:
    parts = [hashlib.sha256(part).digest() for part in (b"ab", b"cd", b"e")]
    # As S3 states it in base64, without the number of parts: computed by `openssl dgst -sha256 -binary` of each part,
    # the three answers one after another into the same command.
    assert base64.b64encode(bytes.fromhex(digests.of_parts(parts))) == COMPOSITE


def test_content_without_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        digests.of_parts([])
