"""`edge://` in fsspec: paths, identity, and how many requests reading and listing cost."""

from __future__ import annotations

import copy
import fnmatch
import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from dask.base import tokenize
from fsspec.core import url_to_fs

from edge_core.errors import BadEntry, ConfigurationError, NotFound
from edge_core.session import EdgeSession
from edge_files.filesystem import EdgeFileSystem

MIB = 1 << 20

NAMES = ["a?b", "a#b", "100%", "a*b", "a[1]b", "a::b", "a b", "é%2F", "edge:x", "-", "a&b=c"]


@pytest.fixture
def fs(environment: EdgeSession) -> EdgeFileSystem:
    return fsspec.filesystem("edge")


@pytest.fixture
def calls(fs: EdgeFileSystem, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests of the file system so far, as method and last segment of the path."""
    sent: list[str] = []
    send = fs.session.http._send_once

    def noting(call: Any, request: Any) -> Any:
        *_, kind, last = call.url.partition("?")[0].split("/")
        sent.append(f"{call.method} {kind if call.signed else last}")
        return send(call, request)

    monkeypatch.setattr(fs.session.http, "_send_once", noting)
    return sent


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_itself(fs: EdgeFileSystem, environment: EdgeSession, name: str) -> None:
    environment.files.write_bytes(f"runs/{name}", b"content")
    assert fs.cat_file(f"runs/{name}") == fs.open(f"edge://runs/{name}").read() == b"content"
    assert fs.ls("runs", detail=False) == fs.find("runs") == [f"runs/{name}"]
    assert fs.cat(f"runs/{name}") == b"content"
    assert fs.isfile(f"runs/{name}")


@pytest.mark.parametrize("name", [name for name in NAMES if "::" not in name])
def test_an_address_has_a_name_as_it_is(environment: EdgeSession, name: str) -> None:
    environment.files.write_bytes(f"runs/{name}", b"content")
    with fsspec.open(f"edge://runs/{name}", expand=False) as file:
        assert file.read() == b"content"


def test_an_address_cannot_hide_a_chain(environment: EdgeSession) -> None:
    environment.files.write_bytes("runs/a::b", b"content")
    environment.files.write_bytes("runs/a", b"another file")
    with pytest.raises(TypeError, match="cannot be written as an address"):
        fsspec.open("edge://runs/a::b")


@pytest.mark.parametrize("path", ["runs/a", "/runs/a", "edge://runs/a", "edge:///runs/a", "runs/a/"])
def test_the_first_segment_is_no_host(fs: EdgeFileSystem, environment: EdgeSession, path: str) -> None:
    environment.files.write_bytes("runs/a", b"content")
    assert fs.cat_file(path) == b"content"
    assert fs.info(path)["name"] == "runs/a"


@pytest.mark.parametrize("path", ["", "/", "edge://", "edge:///"])
def test_the_root(fs: EdgeFileSystem, environment: EdgeSession, path: str) -> None:
    environment.files.write_bytes("a", b"")
    assert fs.ls(path, detail=False) == fs.find(path) == ["a"]
    assert fs.isdir(path)
    assert fs.info(path)["type"] == "directory"


@pytest.mark.parametrize("path", ["runs/../a", "..", "./a", "runs//a"])
def test_a_path_stays_as_it_is(fs: EdgeFileSystem, environment: EdgeSession, path: str) -> None:
    environment.files.write_bytes("a", b"content")
    environment.files.write_bytes("runs/a", b"content")
    assert not fs.exists(path)
    with pytest.raises(OSError, match="write it|empty|holds") as refused:
        fs.open(path)
    assert isinstance(refused.value, BadEntry)


# --- what there is --------------------------------------------------------------------------------


@pytest.fixture
def tree(environment: EdgeSession) -> list[str]:
    files = environment.files
    paths = [f"runs/{year}/{plate}" for year in ("2023", "2024") for plate in ("plate-1.csv", "plate-2.csv", "log")]
    for path in [*paths, "runs/deep/er/plate-3.csv", "readme"]:
        files.write_bytes(path, path.encode())
    files.make_folder("runs/empty")
    return sorted([*paths, "runs/deep/er/plate-3.csv", "readme"])


def test_entries_tell_what_they_are(fs: EdgeFileSystem, tree: list[str], environment: EdgeSession) -> None:
    stat = environment.files.stat("readme")
    details = fs.info("readme")
    assert (details["type"], details["size"], details["version"], details["sha256"]) == (
        "file",
        6,
        stat.version,
        stat.sha256,
    )
    assert fs.modified("readme") == fs.created("readme") == stat.modified_at
    assert details["mtime"] == stat.modified_at.timestamp()
    assert [(entry["name"], entry["type"]) for entry in fs.ls("runs")] == [
        ("runs/2023", "directory"),
        ("runs/2024", "directory"),
        ("runs/deep", "directory"),
        ("runs/empty", "directory"),
    ]
    assert fs.ls("readme") == [details]
    assert fs.ls("runs/empty") == []


def test_all_below_a_folder_comes_page_by_page(fs: EdgeFileSystem, tree: list[str], calls: list[str]) -> None:
    assert fs.find("") == tree
    assert calls == ["GET entries"]
    assert fs.find("runs", withdirs=True, maxdepth=1) == [
        "runs", "runs/2023", "runs/2024", "runs/deep", "runs/empty",
    ]  # fmt: skip
    assert fs.find("runs", maxdepth=2) == [path for path in tree if path.count("/") == 2]
    assert fs.du("runs") == sum(len(path) for path in tree if path.startswith("runs/"))
    assert calls == ["GET entries"] * 4
    assert fs.find("readme") == ["readme"]
    assert fs.find("nothing") == []


@pytest.mark.parametrize(
    "pattern", ["runs/*/plate-?.csv", "runs/**/plate-*", "*", "runs/20*/*", "**/*.csv", "nothing/*"]
)
def test_patterns_cost_a_page(fs: EdgeFileSystem, tree: list[str], calls: list[str], pattern: str) -> None:
    matching = fs.glob(f"edge://{pattern}")
    assert len(calls) <= 2
    fitting = [path for path in tree if fnmatch.fnmatchcase(path, pattern.replace("**/", "*"))]
    assert [path for path in matching if fs.isfile(path)] == [
        path for path in fitting if "**" in pattern or path.count("/") == pattern.count("/")
    ]


def test_a_walk_leaves_out_what_is_taken_from_it(fs: EdgeFileSystem, tree: list[str], calls: list[str]) -> None:
    walked = []
    for folder, folders, files in fs.walk("runs"):
        walked.append((folder, tuple(folders), tuple(files)))
        if "deep" in folders:
            folders.remove("deep")
    assert walked == [
        ("runs", ("2023", "2024", "deep", "empty"), ()),
        ("runs/2023", (), ("log", "plate-1.csv", "plate-2.csv")),
        ("runs/2024", (), ("log", "plate-1.csv", "plate-2.csv")),
        ("runs/empty", (), ()),
    ]
    assert calls == ["GET entries"]
    assert [folder for folder, _, _ in fs.walk("runs", topdown=False)][-1] == "runs"
    assert [folder for folder, _, _ in fs.walk("runs", maxdepth=1)] == ["runs"]
    assert list(fs.walk("nothing")) == []
    with pytest.raises(FileNotFoundError):
        list(fs.walk("nothing", on_error="raise"))


def test_what_is_not_there(fs: EdgeFileSystem, tree: list[str]) -> None:
    assert not fs.exists("nothing")
    assert not fs.isdir("nothing")
    assert not fs.isfile("nothing/below")
    for ask in (fs.info, fs.open, fs.cat_file, fs.ls, fs.modified, fs.ukey, fs.cat):
        with pytest.raises(FileNotFoundError, match="'nothing'") as missing:
            ask("nothing")
        assert isinstance(missing.value, NotFound)
        assert isinstance(pickle.loads(pickle.dumps(missing.value)), FileNotFoundError)
    with pytest.raises(IsADirectoryError, match="give the path of a file"):
        fs.open("runs")


def test_nobody_takes_a_lost_connection_for_a_missing_file(environment: EdgeSession) -> None:
    fs = fsspec.filesystem("edge", service_url="http://127.0.0.1:9", retries=0)
    for ask in (fs.exists, fs.isfile, fs.find, lambda path: list(fs.walk(path))):
        with pytest.raises(ConnectionError):
            ask("a")


def test_a_version_has_a_key(fs: EdgeFileSystem, environment: EdgeSession) -> None:
    environment.files.write_bytes("a", b"content")
    before = fs.ukey("a"), fs.checksum("a")
    assert before == (fs.ukey("a"), fs.checksum("a"))
    environment.files.write_bytes("a", b"other")
    assert fs.ukey("a") != before[0]
    assert fs.checksum("a") != before[1]
    environment.files.write_bytes("a", b"content")
    assert fs.checksum("a") == before[1]


def test_a_signed_address_needs_no_token(fs: EdgeFileSystem, environment: EdgeSession) -> None:
    import requests

    environment.files.write_bytes("a", b"content")
    address = fs.sign("a", expiration=60)
    assert environment.config.api_token not in address
    assert requests.get(address, timeout=10).content == b"content"


# --- reading --------------------------------------------------------------------------------------


def test_near_ranges_come_together(fs: EdgeFileSystem, environment: EdgeSession, calls: list[str]) -> None:
    content = os.urandom(MIB)
    environment.files.write_bytes("a", content)
    environment.files.write_bytes("b", b"0123456789")
    starts, ends = [0, 4096, 600_000, -10, 3, None], [100, 5000, 600_100, None, 5, 0]
    got = fs.cat_ranges(["a", "a", "a", "a", "b", "b"], starts, ends)
    assert got == [content[start:end] for start, end in zip(starts[:4], ends[:4], strict=True)] + [b"34", b""]
    assert sorted(calls) == ["GET content"] * 4 + ["GET entry"] * 2
    assert fs.cat_file("b", -4, -1) == b"678"
    assert fs.cat_ranges(["b", "nothing"], 0, 3)[0] == b"012"
    assert isinstance(fs.cat_ranges(["b", "nothing"], 0, 3)[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["b", "nothing"], 0, 3, on_error="raise")
    with environment.files.open("b", "file") as file:
        assert file.read_ranges([(0, 2), (5, None), (4, 2)]) == [b"01", b"56789", b""]
        assert file.tell() == 0


def test_small_files_are_read_together(fs: EdgeFileSystem, environment: EdgeSession, calls: list[str]) -> None:
    contents = {f"runs/{n:03}": b"content %d" % n for n in range(130)}
    fs.pipe({**contents, "runs/large": bytes(2 * MIB), "runs/deep/a": b"a"})
    calls.clear()
    assert fs.cat("runs/*[0-9]") == contents
    assert sorted(calls) == ["GET entries", "GET entry", "POST read", "POST read"], "and whether the pattern is a name"
    calls.clear()
    assert fs.cat([*contents][:100]) == dict([*contents.items()][:100])
    assert calls == ["POST read"]
    calls.clear()
    assert fs.cat("runs", recursive=True) == {**contents, "runs/large": bytes(2 * MIB), "runs/deep/a": b"a"}
    assert calls.count("POST read") == 2
    assert sorted(set(calls)) == ["GET content", "GET entries", "GET entry", "POST read"]
    assert calls.count("GET content") == 2, "the address of the large one, and its content"


def test_more_than_a_request_holds_is_read_by_several(
    fs: EdgeFileSystem, environment: EdgeSession, calls: list[str]
) -> None:
    contents = {f"{n:02}": os.urandom(MIB) for n in range(10)}
    fs.pipe(contents)
    calls.clear()
    assert fs.cat([*contents]) == contents
    assert calls == ["POST read"] * 2, "eight MiB at once"


def test_of_several_files_each_has_an_error_of_its_own(fs: EdgeFileSystem, environment: EdgeSession) -> None:
    fs.pipe({"a": b"a", "b": b"b", "folder/c": b"c"})
    paths = ["a", "b", "folder", "nothing"]
    with pytest.raises((FileNotFoundError, IsADirectoryError)):
        fs.cat(paths)
    assert fs.cat(paths, on_error="omit") == {"a": b"a", "b": b"b"}
    contents = fs.cat(paths, on_error="return")
    assert isinstance(contents.pop("nothing"), FileNotFoundError)
    assert isinstance(contents.pop("folder"), IsADirectoryError)
    assert contents == {"a": b"a", "b": b"b"}
    assert fs.cat(["a", "folder/c"], start=0, end=0) == {"a": b"", "folder/c": b""}
    assert fs.cat(["a"]) == {"a": b"a"}
    assert fs.cat("a") == b"a"


def test_a_server_that_reads_no_batches_sends_each_file(
    fs: EdgeFileSystem, environment: EdgeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe({"a": b"a", "b": b"b"})

    def unknown(*_: object, **__: object) -> None:
        raise NotFound("the server does not know this address", code="unknown_route")

    batches = fs._folder._store._batches
    monkeypatch.setattr(batches._http, "fetch", unknown)
    assert fs.cat(["a", "b"]) == {"a": b"a", "b": b"b"}
    assert batches.limits is None


def test_content_that_arrives_damaged_in_a_batch_is_read_again(
    fs: EdgeFileSystem, environment: EdgeSession, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe({"a": b"aaaa", "b": b"bbbb"})
    batches = fs._folder._store._batches
    pieces = batches._pieces
    monkeypatch.setattr(
        batches, "_pieces", lambda files: [(piece, content and content[:3] + b"?") for piece, content in pieces(files)]
    )
    assert fs.cat(["a", "b"]) == {"a": b"aaaa", "b": b"bbbb"}
    assert calls.count("GET content") == 2


def test_text_and_compressed_content(fs: EdgeFileSystem, environment: EdgeSession) -> None:
    import gzip

    environment.files.write_bytes("a.txt.gz", gzip.compress("erste\nzweite é\n".encode()))
    with fsspec.open("edge://a.txt.gz", "rt", compression="infer", encoding="utf-8") as file:
        assert list(file) == ["erste\n", "zweite é\n"]
    assert fs.head("a.txt.gz", 2) == b"\x1f\x8b"


def test_chained_addresses(environment: EdgeSession) -> None:
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner/a#1.txt", "content")
    environment.files.write_bytes("runs/a.zip", packed.getvalue())
    with fsspec.open("zip://inner/a#1.txt::edge://runs/a.zip") as file:
        assert file.read() == b"content"
    with fsspec.open("simplecache::edge://runs/a.zip") as file:
        assert file.read() == packed.getvalue()


# --- who asks -------------------------------------------------------------------------------------


def options(edge: EdgeSession, **changed: Any) -> dict[str, Any]:
    settings = edge.config
    settings_of = {"api_token": settings.api_token, "service_url": settings.service_url}
    return settings_of | {"organization": settings.organization} | changed


def test_the_same_settings_share_an_instance(environment: EdgeSession) -> None:
    assert fsspec.filesystem("edge") is fsspec.filesystem("edge")
    assert fsspec.filesystem("edge", **options(environment)) is fsspec.filesystem("edge", **options(environment))


def test_other_settings_never_share_an_instance(
    environment: EdgeSession, edge_join: Callable[..., EdgeSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = edge_join("developer")
    explicit = fsspec.filesystem("edge", **options(environment))
    variants = [
        fsspec.filesystem("edge", **options(environment, **changed))
        for changed in (
            {"api_token": other.config.api_token},
            {"organization": "another"},
            {"service_url": "http://127.0.0.1:9"},
        )
    ]
    ambient = fsspec.filesystem("edge")
    monkeypatch.setenv("EDGE_API_TOKEN", other.config.api_token)
    changed = fsspec.filesystem("edge")
    everyone = [explicit, *variants, ambient, changed]
    assert len({id(fs) for fs in everyone}) == len(set(everyone)) == len({tokenize(fs) for fs in everyone}) == 6
    assert variants[0].session.whoami().user_name == changed.session.whoami().user_name == other.whoami().user_name
    assert explicit.session.whoami().user_name == ambient.session.whoami().user_name == environment.whoami().user_name


def test_a_profile_that_changes_gives_another_instance(
    environment: EdgeSession, edge_join: Callable[..., EdgeSession], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.ini"
    for name in ("EDGE_API_TOKEN", "EDGE_API_SERVICE_URL", "EDGE_API_ORG"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(config))
    with pytest.raises(ConfigurationError):
        fsspec.filesystem("edge")

    def write(edge: EdgeSession) -> None:
        config.write_text("[lab]\n" + "".join(f"{name} = {value}\n" for name, value in options(edge).items()))
        config.chmod(0o600)

    write(environment)
    before = fsspec.filesystem("edge", profile="lab")
    write(edge_join("developer"))
    assert fsspec.filesystem("edge", profile="lab") is not before


def test_a_session_of_the_caller(environment: EdgeSession) -> None:
    environment.files.write_bytes("a", b"content")
    fs = fsspec.filesystem("edge", session=environment)
    assert fs.session is environment
    assert fs.cat_file("a") == b"content"
    assert fs != fsspec.filesystem("edge")
    with pytest.raises(TypeError, match="leave out organization"):
        fsspec.filesystem("edge", session=environment, organization="another")
    with pytest.raises(TypeError, match="takes an EdgeSession, not str"):
        fsspec.filesystem("edge", session="lab")


def test_an_unknown_option_is_refused(environment: EdgeSession) -> None:
    with pytest.raises(TypeError, match="no option 'token'; it takes api_token"):
        fsspec.filesystem("edge", token="t")


def test_no_token_shows(environment: EdgeSession) -> None:
    token = environment.config.api_token
    for fs in (
        fsspec.filesystem("edge", **options(environment)),
        fsspec.filesystem("edge", session=environment),
        fsspec.filesystem("edge"),
    ):
        shown = [repr(fs), str(fs), fs.to_json(), json.dumps(fs.to_dict()), tokenize(fs), str(fs.storage_options)]
        shown += [str(vars(fs)), str(fs.storage_args)]
        assert token not in "".join(shown)
        assert token not in repr(url_to_fs("edge://a", **options(environment)))
    again = fsspec.AbstractFileSystem.from_json(fsspec.filesystem("edge", **options(environment)).to_json())
    assert again.session.config == environment.config  # with the token of the environment


def test_a_pickle_carries_an_explicit_token_only(environment: EdgeSession) -> None:
    token = environment.config.api_token.encode()
    assert token not in pickle.dumps(fsspec.filesystem("edge"))
    explicit = fsspec.filesystem("edge", **options(environment))
    assert token in pickle.dumps(explicit)
    assert pickle.loads(pickle.dumps(explicit)) is explicit
    by_session = fsspec.filesystem("edge", session=environment)
    assert pickle.loads(pickle.dumps(by_session)).session.config == environment.config
    assert copy.copy(explicit) is explicit


def test_threads_share_connections_and_no_transaction(fs: EdgeFileSystem) -> None:
    others: list[EdgeFileSystem] = []
    thread = threading.Thread(target=lambda: others.append(fsspec.filesystem("edge")))
    thread.start()
    thread.join()
    assert others[0] == fs
    assert others[0] is not fs
    assert others[0].session is fs.session


def in_child(fs: EdgeFileSystem, answers: Any) -> None:
    answers.put((fs.cat_file("a"), fsspec.filesystem("edge").cat_file("a")))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_other_processes(fs: EdgeFileSystem, environment: EdgeSession, method: str) -> None:
    environment.files.write_bytes("a", b"content")
    assert fs.cat_file("a") == b"content"
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=in_child, args=(fs, answers))
    child.start()
    assert answers.get(timeout=60) == (b"content", b"content")
    child.join(60)
    assert child.exitcode == 0
