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
GENERATED = int(os.environ.get("EDGE_HOSTILE_NAMES", "40"))


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
        assert f"work/{path}" in {f"{place.path}/{file}"[1:] for place, _, files_ in work.walk() for file in files_}
        for spelling in (name, path, unicodedata.normalize("NFD", path)):
            assert work.open(spelling, open_with="file").read() == CONTENT
            assert work.exists(spelling)
        (stored,) = [entry for entry in (work / path).parent.scan() if entry.name == path.rpartition("/")[2]]
        assert stored.size == len(CONTENT)
        work.move(name, "plain.txt")
        if "/" in path:
            work.delete(path.partition("/")[0], recursive=True)  # it can have the name, as in "0/0"
        work.rename("plain.txt", stored.name)
        assert work.exists(stored.name)
        work._repr_html_()
        return "stored, " + down(work, stored.name, top)
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
            around = {path.relative_to(top).as_posix() for path in top.rglob("*")}
            assert {path for path in around if not path.startswith("a/inside")} == {"a"}, f"{name!a} went elsewhere"
        (local,) = (path for path in inside.rglob("*") if path.is_file())
        assert local.read_bytes() == CONTENT
        assert local.resolve().parent == inside
        local.unlink()
    return "downloaded" if taken else "not downloaded"


@pytest.mark.slow
def test_names_of_every_kind_are_kept_or_refused(edge_session: EdgeSession, capsys: pytest.CaptureFixture[str]) -> None:
    files = edge_session.files
    outcomes: Counter[str] = Counter()

    def try_name(name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="edge-names-") as top:
            outcomes[attempt(files, name, pathlib.Path(top).resolve())] += 1

    for name in HOSTILE:
        try_name(name)

    @settings(max_examples=GENERATED, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(name=names)
    def try_generated(name: str) -> None:
        try_name(name)

    try_generated()
    # Which names a local file cannot have depends on the system; on Linux a file can have all that are stored.
    assert {"refused", "stored, downloaded"} <= set(outcomes)
    with capsys.disabled():
        summary = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
        print(f"\n{outcomes.total()} hostile names tried: {summary}; 0 outside, 0 unhandled")
