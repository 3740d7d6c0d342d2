"""Keys that are no tidy paths, in stores that keep them as they are and in stores that map or refuse some."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import botocore.exceptions
import pytest

from edge_core.errors import BadEntry, Conflict, NotFound
from edge_sources.s3 import S3Connection, S3File, S3Folder
from edge_vfs import InexactWarning

from .conftest import bucket_of

KEYS = [
    # slashes
    "/lead.csv",
    "//twice.csv",
    "runs//y.csv",
    "runs/a.csv",
    "tail/",
    "tail//",
    # segments that are steps elsewhere
    "a/./b.txt",
    "a/../c.txt",
    "./dot.txt",
    "../up.txt",
    "..",
    "dir/.",
    "...",
    # spaces and control characters
    "sp ace.txt",
    " lead",
    "trail ",
    " / .txt",
    "new\nline.txt",
    "re\rturn.txt",
    "tab\there.txt",
    "bell\x07.txt",
    "esc\x1b[31m/red.txt",
    "del\x7f.txt",
    "c1\x85.txt",
    # what addresses and XML escape
    "%2F.txt",
    "a%2Fb.txt",
    "100%",
    "plus+plus.txt",
    "q?mark=1&x.txt",
    "ha#sh.txt",
    "&amp;<b>'\".txt",
    "semi;colon,comma.txt",
    # beyond ASCII
    "caf\u00e9.txt",
    "cafe\u0301.txt",
    "\U0001f9ea.txt",
    "\ufeffbom.txt",
    "rtl\u202egpj.exe",
    "\ufffe.txt",
    # lengths
    "L" * 1024,
    "/".join("abcd"[n] * 255 for n in range(4)) + "e",
    "n" * 255,
    # other systems
    "back\\slash.txt",
    "..\\up.txt",
    "C:/x.txt",
    "con.txt",
    # a key that others begin with
    "both",
    "both/inside.txt",
]

STEPS = {"a/./b.txt", "a/../c.txt", "./dot.txt", "../up.txt", "..", "dir/."}

REFUSED = {
    "amazon": set[str](),
    "juicefs": STEPS | {"both/inside.txt"},
    "seaweedfs": STEPS | {"..\\up.txt", "L" * 1024, "/".join("abcd"[n] * 255 for n in range(4)) + "e"},
}
"""The keys that a store does not take."""

MAPPED = {
    "amazon": dict[str, str](),
    "juicefs": {"/lead.csv": "lead.csv", "//twice.csv": "twice.csv", "runs//y.csv": "runs/y.csv", "tail//": "tail/"},
    "seaweedfs": {
        **{"/lead.csv": "lead.csv", "//twice.csv": "twice.csv", "runs//y.csv": "runs/y.csv", "tail//": "tail/"},
        "back\\slash.txt": "back/slash.txt",
    },
}
"""What a store lists in place of a key that it has taken."""


def content_of(key: str) -> bytes:
    return b"" if key.endswith("/") else key.encode()


def put(connection: S3Connection, *keys: str) -> None:
    for key in keys:
        connection._store.client.put_object(Bucket=connection.bucket, Key=key, Body=content_of(key))


@pytest.fixture(params=["amazon", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("juicefs", "seaweedfs"))])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def connection(kind: str, request: pytest.FixtureRequest) -> S3Connection:
    """A connection to a fresh bucket of each kind of store."""
    if kind == "amazon":
        return request.getfixturevalue("amazon")  # type: ignore[no-any-return]
    return bucket_of(request.getfixturevalue("store" if kind == "juicefs" else kind))


@contextlib.contextmanager
def counted(sentence: str | None) -> Iterator[None]:
    """A single warning comes that matches `sentence`; none if it is None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [warning.category for warning in caught] == [InexactWarning] * (sentence is not None)
    if sentence is not None:
        assert sentence in str(caught[0].message)
        assert caught[0].filename == __file__


@pytest.mark.slow
def test_any_key_is_listed_walked_opened_downloaded_and_deleted(
    connection: S3Connection, kind: str, tmp_path: Path
) -> None:
    for key in KEYS:
        if key in REFUSED[kind]:
            with pytest.raises(botocore.exceptions.ClientError):
                put(connection, key)
        else:
            put(connection, key)
    contents = {MAPPED[kind].get(key, key): content_of(key) for key in KEYS if key not in REFUSED[kind]}
    assert sorted(connection.list_keys()) == sorted(contents)

    for key, content in contents.items():
        with connection.open(key, "file") as file:
            assert file.read() == content
        if kind != "amazon":
            with urlopen(file.download_url()) as answer:
                assert answer.read() == content

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactWarning)
        walked = {f"{here.path}/{name}".lstrip("/") for here, _, names in connection.root.walk() for name in names}
    hidden = {key for key in contents if key != "tail/" and {"", ".", ".."} & set(key.split("/"))}
    assert walked == contents.keys() - hidden - {"tail/"}

    for path in walked:
        assert connection.root.stat(path).size == len(contents[path])
        assert connection.root.download(path, tmp_path / "here").read_bytes() == contents[path]
    for key in hidden:
        with connection.open(key, "file") as file, open(tmp_path / "here", "wb") as target:
            shutil.copyfileobj(file, target)
        assert (tmp_path / "here").read_bytes() == contents[key]

    for path in walked:
        connection.root.delete(path)
        assert connection.root._store.head(path) is None
    assert {key for key in connection.list_keys() if not key.endswith("/")} == {
        key for key in hidden if not key.endswith("/")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InexactWarning)
        for name in filter(connection.root.exists, connection.root.list_folders()):
            connection.root.delete(name, recursive=True)
    assert set(connection.list_keys()) == hidden


def test_what_a_folder_cannot_show_is_counted_and_opens_by_its_key(amazon: S3Connection, tmp_path: Path) -> None:
    put(amazon, "runs//y.csv", "/lead.csv", "/deep/er.csv", "runs/../z.csv", "top.csv")
    root = amazon.root
    for listing in (root.list, root.list_files, root.__iter__, root.scan, lambda: root.glob("*")):
        with counted("2 keys such as '/deep/er.csv' cannot be shown in a folder"):
            assert "top.csv" in str(list(listing()))
    with counted("2 keys such as 'runs/../z.csv'"):
        assert root.open("runs").list() == []
    with counted("2 keys such as 'runs/../z.csv'"):
        root.download_folder("runs", tmp_path / "runs")
    with warnings.catch_warnings(), pytest.raises(InexactWarning):
        warnings.simplefilter("error")
        root.download_folder("runs", tmp_path / "strictly")
    assert not (tmp_path / "strictly").exists()
    assert root.exists("runs")
    assert amazon.open("runs//y.csv", "text") == "runs//y.csv"
    file = amazon.open("/lead.csv", "file")
    assert (type(file), file.name, file.read()) == (S3File, "//lead.csv", b"/lead.csv")
    assert amazon.open("/lead.csv").columns.to_list() == ["/lead.csv"]
    for missing in ("lead.csv", "/top.csv", "runs///y.csv", "runs/y.csv", "nothing/", "//", "a\x1b"):
        with pytest.raises(NotFound, match="does not exist in the bucket") as failed:
            amazon.open(missing)
        assert str(failed.value).isprintable()
    with pytest.raises(BadEntry, match="list_keys"):
        amazon.open("")
    with pytest.raises(BadEntry, match="open of the connection"):
        root.open("runs//y.csv")


def test_a_long_list_of_keys_that_a_folder_cannot_show_is_not_read_to_its_end(amazon: S3Connection) -> None:
    put(amazon, *(f"/{n}" for n in range(12)))
    events = amazon._store.client.meta.events
    calls: list[str] = []
    events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 5})
    events.register("before-call.s3.*", lambda model, **_: calls.append(model.name))
    with counted("at least 5 keys such as '/0'"):
        assert amazon.root.list() == []
    assert len(calls) == 2


def test_deleting_a_folder_deletes_what_it_shows(amazon: S3Connection) -> None:
    put(amazon, "runs/", "runs/a.csv", "runs/sub/b.csv", "runs/sub//c.csv", "runs//y.csv", "runs2/a.csv", "runs")
    amazon.root.delete("runs", recursive=True)
    assert amazon.root.exists("runs/a.csv"), "the name stood for the file"
    with pytest.raises(Conflict, match="not empty"):
        amazon.root.delete("runs")
    with counted("2 keys such as 'runs//y.csv' stay"):
        amazon.root.delete("runs", recursive=True)
    assert amazon.list_keys() == ["runs//y.csv", "runs/sub//c.csv", "runs2/a.csv"]
    with counted("2 keys such as 'runs//y.csv' stay"):
        amazon.root.delete("runs", recursive=True)
    with pytest.raises(Conflict, match="not empty"):
        amazon.root.delete("runs/sub")


def test_a_marker_is_part_of_its_folder(connection: S3Connection) -> None:
    put(connection, "runs/", "runs/empty/", "runs/a.csv")
    root = connection.root
    assert root.open("runs").list() == ["a.csv", "empty"]
    assert root.open("runs/empty").list() == []
    for folder in (connection.open("runs"), connection.open("runs/"), connection.open("runs/empty/")):
        assert type(folder) is S3Folder
    assert connection.open("runs/empty/", "file").read() == b""
    root.move("runs", "moved")
    assert sorted(root.open("moved").list()) == ["a.csv", "empty"]
    assert not root.exists("runs")
    root.delete("moved", recursive=True)
    assert connection.list_keys() == []
    root.make_folder("empty")
    root.delete("empty")
    assert connection.list_keys() == []


def test_a_marker_with_content_is_counted_and_moved_with_its_content(amazon: S3Connection) -> None:
    amazon.client().put_object(Bucket=amazon.bucket, Key="runs/", Body=b"notes")
    with counted("1 key such as 'runs/' cannot be shown"):
        assert amazon.root.open("runs").list() == []
    assert amazon.open("runs/", "file").read() == b"notes"
    put(amazon, "runs//y.csv")
    amazon.root.move("runs", "moved")
    assert amazon.list_keys() == ["moved/", "moved//y.csv"], "a move takes all keys along"
    assert amazon.open("moved/", "file").read() == b"notes"


def test_what_appears_while_a_folder_is_deleted_or_moved_stays(connection: S3Connection) -> None:
    put(connection, "runs/a.csv", "runs/b.csv", "runs/sub/c.csv")
    others = bucket_of_another_user(connection)

    def appear(**_: Any) -> None:
        put(others, "runs/new.csv", "runs/late/new.csv")

    connection.list_keys()  # by which the store's region is known
    events = connection._store.client.meta.events
    events.register("before-call.s3.DeleteObjects", appear)
    sentence = "2 keys such as 'runs/late/new.csv' appeared while the folder /runs was {}, and stay in it"
    with pytest.raises(Conflict, match=sentence.format("deleted")):
        connection.root.delete("runs", recursive=True)
    assert sorted(connection.list_keys("runs/")) == ["runs/late/new.csv", "runs/new.csv"]
    events.unregister("before-call.s3.DeleteObjects", appear)
    connection.root.delete("runs", recursive=True)
    assert connection.list_keys() == []

    put(connection, "runs/a.csv", "runs/sub/c.csv")
    events.register("before-call.s3.DeleteObjects", appear)
    with pytest.raises(Conflict, match=sentence.format("moved")):
        connection.root.move("runs", "there")
    assert sorted(connection.list_keys("runs/")) == ["runs/late/new.csv", "runs/new.csv"]
    assert sorted(connection.list_keys("there/")) == ["there/a.csv", "there/sub/c.csv"]


def bucket_of_another_user(connection: S3Connection) -> S3Connection:
    return S3Connection(
        "other", "Other", connection.bucket, connection.endpoint, connection.access_key, connection.secret_key
    )


def test_keys_that_xml_cannot_hold_do_not_stop_a_deletion(connection: S3Connection) -> None:
    put(connection, "runs/a.csv", "runs/bell\x07.csv", "runs/\ufffe/b.csv", "runs/new\nline/c.csv", "runs/c.csv")
    root = connection.root
    assert {path for path in root.glob("runs/**") if root.stat(path).kind == "file"} == set(connection.list_keys())
    assert root.read_bytes("runs/bell\x07.csv") == b"runs/bell\x07.csv"
    root.move("runs/bell\x07.csv", "runs/bell.csv")
    assert root.read_bytes("runs/bell.csv") == b"runs/bell\x07.csv"
    put(connection, "runs/bell\x07.csv")
    root.delete("runs", recursive=True)
    assert connection.list_keys() == []
    assert root.list() == []


def test_new_names_are_tidy(connection: S3Connection) -> None:
    put(connection, "a.csv")
    for name in ("x\ny", "a//b", "./a", "x\x7f", "a/"):
        for call in (
            lambda name=name: connection.root.upload(name, b""),
            lambda name=name: connection.root.make_folder(name),
            lambda name=name: connection.root.move("a.csv", name),
        ):
            with pytest.raises(BadEntry, match="give a path without these"):
                call()
    assert connection.list_keys() == ["a.csv"]


def test_a_key_that_others_begin_with_is_a_file_beside_a_folder(amazon: S3Connection, tmp_path: Path) -> None:
    put(amazon, "both", "both/inside.txt")
    root = amazon.root
    assert root.list() == ["both", "both"]
    assert (root.list_files(), root.list_folders()) == (["both"], ["both"])
    assert root.read_bytes("both") == b"both"
    assert root.open("both/inside.txt") == "both/inside.txt"
    assert (root / "both").list() == ["inside.txt"]
    assert type(amazon.open("both/")) is S3Folder
    put(amazon, "top/both", "top/both/inside.txt")
    with pytest.raises(BadEntry, match="no local folder can hold both"):
        root.download_folder("top", tmp_path / "top")
    root.delete("both")
    assert root.open("both").list() == ["inside.txt"]
