"""Names of every kind against a live server and its client: stored and given back, or refused in a sentence.

EDGE_HOSTILE_NAMES is how many hypothesis makes up beside the known ones; run with `-s` to see the count.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
import unicodedata
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from edge_core.errors import BadEntry
from edge_core.session import EdgeSession
from tests.hostile import HOSTILE, names

CONTENT = b"content"
MADE_UP = int(os.environ.get("EDGE_HOSTILE_NAMES", "40"))


def attempt(files: Any, name: str, top: pathlib.Path) -> str:
    """Store under `name` and get it back in every way; returns what became of it.

    Any error but `BadEntry` is nobody's to handle, and fails the test.
    """
    work = files.make_folder("work")
    try:
        try:
            work.upload(name, CONTENT)
        except BadEntry as error:
            assert str(error).isprintable()  # noqa: PT017  # counted, and so not expected
            for call in (work.make_folder, work.open, work.exists, work.stat, work.delete, work.download):
                with pytest.raises(BadEntry):
                    call(name)
            assert work.list() == []
            return "refused"
        path = unicodedata.normalize("NFC", name.removeprefix("/"))
        assert f"work/{path}" in {f"{one.path}/{file}"[1:] for one, _, files_ in work.walk() for file in files_}
        for spelling in (name, path, unicodedata.normalize("NFD", path)):
            assert work.open(spelling, open_with="file").read() == CONTENT
            assert work.exists(spelling)
        (found,) = [one for one in (work / path).parent.scan() if one.name == path.rpartition("/")[2]]
        assert found.size == len(CONTENT)
        work.move(name, "plain.txt")
        work.rename("plain.txt", found.name)
        assert work.exists(found.name)
        work._repr_html_()
        return "stored, " + down(work, found.name, top)
    finally:
        files.delete("work", recursive=True)


def down(work: Any, name: str, top: pathlib.Path) -> str:
    """Download alone and with its folder; nothing may appear anywhere but in the local folder."""
    inside = top / "a" / "inside"
    inside.mkdir(parents=True, exist_ok=True)
    taken = 0
    for call in (lambda: work.download(name, inside), lambda: work.parent.download_folder(work, inside)):
        try:
            call()
            taken += 1
        except BadEntry:
            continue
        finally:
            around = {one.relative_to(top).as_posix() for one in top.rglob("*")}
            assert {one for one in around if not one.startswith("a/inside")} == {"a"}, f"{name!a} went elsewhere"
        (local,) = (one for one in inside.rglob("*") if one.is_file())
        assert local.read_bytes() == CONTENT
        assert local.resolve().parent == inside
        local.unlink()
    return "downloaded" if taken else "not downloaded"


@pytest.mark.slow
def test_names_of_every_kind_are_kept_or_refused(edge_session: EdgeSession, capsys: pytest.CaptureFixture[str]) -> None:
    files = edge_session.files
    outcomes: Counter[str] = Counter()

    def one(name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="edge-names-") as top:
            outcomes[attempt(files, name, pathlib.Path(top).resolve())] += 1

    for name in HOSTILE:
        one(name)

    @settings(max_examples=MADE_UP, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(name=names)
    def made_up(name: str) -> None:
        one(name)

    made_up()
    assert {"refused", "stored, downloaded", "stored, not downloaded"} == set(outcomes)
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
        print(f"\n{outcomes.total()} hostile names tried: {told}; 0 outside, 0 unhandled")
