"""`S3Connection` against a real object store."""

from __future__ import annotations

import io
import itertools
import os
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import h5py
import pandas
import pytest
import trustme
from PIL import Image

from edge_core.errors import (
    AlreadyExists,
    BadEntry,
    Conflict,
    ConnectionFailed,
    EdgeError,
    NotFound,
    Unauthenticated,
)
from edge_sources import s3_store
from edge_sources.connection import ConnectionStatus
from edge_sources.s3 import S3Connection, S3File, S3Folder
from edge_vfs import InexactWarning, TransferProgress, progress
from edge_vfs.openers import UnreadableContent
from edge_vfs.transfers import fetching
from tests.object_stores import Store, free_port

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def put(bucket: S3Connection, *keys: str) -> None:
    client = bucket.client()
    for key in keys:
        client.put_object(Bucket=bucket.bucket, Key=key, Body=key.encode())


def test_a_parquet_file_and_a_picture_come_back_as_they_were(bucket: S3Connection, tmp_path: Path) -> None:
    frame = pandas.DataFrame({"plate": range(1000), "value": [n / 7 for n in range(1000)]})
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    bucket.root.upload("runs/plates.parquet", buffer.getvalue())
    pandas.testing.assert_frame_equal(bucket.root.open("runs/plates.parquet"), frame)
    frame.assign(kind="007").to_parquet(tmp_path / "parts", partition_cols=["kind"])
    bucket.root.upload_folder("parts.parquet", tmp_path / "parts")
    pandas.testing.assert_frame_equal(bucket.open("parts.parquet", "pandas"), frame.assign(kind="007"))
    picture = Image.effect_noise((64, 48), 50)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    bucket.root.upload("noise.png", buffer.getvalue())
    assert bucket.open("noise.png").tobytes() == picture.tobytes()
    bucket.root.upload("x.csv", b"a,b\n1,2\n")
    assert bucket.root.open("x.csv").to_dict("list") == {"a": [1], "b": [2]}
    assert bucket.open("x.csv", usecols=["b"]).to_dict("list") == {"b": [2]}
    assert bucket.open("x.csv", open_with="file").read() == b"a,b\n1,2\n"


@pytest.mark.slow
def test_further_formats_are_opened_as_in_files(bucket: S3Connection, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as local:
        local["volumes"] = range(100_000)
    for name in ("a.h5", "a.nc"):
        bucket.root.upload(name, (tmp_path / "a.h5").read_bytes())
        with bucket.open(name) as opened:
            assert opened["volumes"][-1] == 99_999
    bucket.root.upload("a.yml", b"volume: 1.5\n")
    assert bucket.root.open("a.yml") == {"volume": 1.5}
    bucket.root.upload("a.csv.zst", zstd.compress(b"a,b\n1,2\n"))
    assert bucket.root.open("a.csv.zst").to_dict("list") == {"a": [1], "b": [2]}
    with h5py.File(tmp_path / "foreign.h5", "w") as foreign:
        foreign["x"] = h5py.ExternalLink(str(tmp_path / "a.h5"), "/volumes")
    for name in ("foreign.h5", "foreign.nc"):
        bucket.root.upload(name, (tmp_path / "foreign.h5").read_bytes())
        with pytest.raises(UnreadableContent, match="is in another file"):
            bucket.open(name)


def test_prefixes_and_keys_as_documented(bucket: S3Connection) -> None:
    put(bucket, "folder1/myfile.txt", "folder2/subfolder/myfile2.txt")
    assert bucket.list_prefixes() == list(bucket.iter_prefixes()) == ["folder1/", "folder2/"]
    assert bucket.list_prefixes(prefix="folder2/") == ["folder2/subfolder/"]
    assert [key for key in bucket.list_keys() if not key.endswith("/")] == [
        "folder1/myfile.txt",
        "folder2/subfolder/myfile2.txt",
    ]
    assert list(bucket.iter_keys("folder1/my")) == bucket.list_keys("folder1/my") == ["folder1/myfile.txt"]


@pytest.mark.slow
def test_the_first_keys_come_after_the_first_page(bucket: S3Connection) -> None:
    put(bucket, *(f"k{n:03}" for n in range(25)))
    assert len(bucket.list_keys()) == 25  # by which the store's region is known
    calls: list[str] = []
    events = bucket._store.client.meta.events
    events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 10})
    events.register("before-call.s3.*", lambda model, **_: calls.append(model.name))
    keys = bucket.iter_keys()
    assert calls == []
    assert list(itertools.islice(keys, 10)) == [f"k{n:03}" for n in range(10)]
    assert calls == ["ListObjectsV2"]
    assert len(list(keys)) == 15
    assert len(calls) == 3
    scan = bucket.root.scan()
    next(scan)
    assert len(calls) == 4
    assert len(list(scan)) == 24
    assert len(calls) == 6


def test_deleting_in_bulk_works_where_it_needs_an_md5(bucket: S3Connection) -> None:
    put(bucket, "all/1", "all/2", "all/deep/3")
    assert len(bucket.list_keys("all/")) >= 3
    keys = [{"Key": "all/1"}]
    assert "Errors" not in bucket._store.client.delete_objects(Bucket=bucket.bucket, Delete={"Objects": keys})
    bucket.root.delete("all", recursive=True)
    assert bucket.list_keys() == []


@pytest.mark.slow
def test_a_store_may_expect_signatures_for_another_region(bucket: S3Connection) -> None:
    bucket.root.upload("x.csv", b"a\n1\n")
    fresh = S3Connection.from_dict(bucket.to_dict())
    signed: list[bytes] = []

    def watch() -> None:
        fresh._store.client.meta.events.register(
            "before-send.s3", lambda request, **_: signed.append(request.headers["Authorization"])
        )

    watch()
    assert fresh.list_keys() == ["x.csv"]
    watch()
    assert fresh.list_keys() == ["x.csv"]
    assert [b"/eu-lab/s3/" in authorization for authorization in signed] == [False, True, True]
    again = S3Connection.from_dict(bucket.to_dict())
    for connection in (fresh, again):
        with urlopen(connection.open("x.csv", "file").download_url()) as answer:
            assert answer.read() == b"a\n1\n"
    assert S3Connection.from_dict(bucket.to_dict()).test(60) is ConnectionStatus.VALID_CONNECTION


def test_all_below_a_folder_is_listed_by_its_keys(bucket: S3Connection) -> None:
    put(bucket, "a/b/one.txt", "a/two.txt", "a-b.txt", "c/d/e/three.txt", "ab/four.txt")
    bucket.root.make_folder("empty/inner")
    calls: list[str] = []
    bucket._store.client.meta.events.register("before-call.s3.*", lambda model, **_: calls.append(model.name))

    def below(path: str, **options: Any) -> list[tuple[str, str]]:
        return sorted((place, entry.kind) for place, entry in bucket._store.descendants(path, **options))

    everything = below("")
    assert calls == ["ListObjectsV2"]
    folders = ["a", "a/b", "ab", "c", "c/d", "c/d/e", "empty", "empty/inner"]
    assert [place for place, kind in everything if kind == "folder"] == folders
    files = ["a-b.txt", "a/b/one.txt", "a/two.txt", "ab/four.txt", "c/d/e/three.txt"]
    assert [place for place, kind in everything if kind == "file"] == files
    assert below("", kind="folder") + below("", kind="file") == [
        entry for entry in everything if entry[1] == "folder"
    ] + [entry for entry in everything if entry[1] == "file"]
    assert below("", prefix="a/") == [("a/b", "folder"), ("a/b/one.txt", "file"), ("a/two.txt", "file")]
    assert below("c", prefix="d/e") == [("d/e", "folder"), ("d/e/three.txt", "file")]
    assert below("c", prefix="x") == []
    with pytest.raises(NotFound):
        below("nothing")
    with pytest.raises(NotFound):
        below("nothing", prefix="x")
    assert sorted(bucket.root.glob("a/**/*.txt")) == ["a/b/one.txt", "a/two.txt"]


def test_the_root_is_a_folder_like_those_of_files(bucket: S3Connection, tmp_path: Path) -> None:
    root = bucket.root
    assert type(root) is S3Folder
    assert root.list() == []
    root.upload("a/b/one.txt", b"one")
    root.upload("a/two.txt", b"two")
    root.upload("a-b.txt", b"x")
    assert root.list() == ["a", "a-b.txt"]
    assert (root.list_files(), root.list_folders()) == (["a-b.txt"], ["a"])
    folder = root.open("a")
    assert (type(folder), folder.list(), folder.path) == (S3Folder, ["b", "two.txt"], "/a")
    assert [stat.kind for stat in folder.scan()] == ["folder", "file"]
    assert root.stat("a/two.txt").size == 3
    assert sorted(root.glob("**/*.txt")) == ["a-b.txt", "a/b/one.txt", "a/two.txt"]
    assert root.download("a/two.txt", localpath=tmp_path / "here.txt").read_bytes() == b"two"
    assert root.download("a/two.txt", tmp_path) == tmp_path / "two.txt"
    root.download_folder("a", tmp_path / "all")
    assert (tmp_path / "all" / "b" / "one.txt").read_bytes() == b"one"
    root.upload_folder("again", tmp_path / "all")
    assert root.open("again/b/one.txt", "text") == "one"
    for missing in ("nothing", "a/nothing.txt", "a-b.txt/x"):
        with pytest.raises(NotFound):
            root.open(missing)
        assert missing not in root
    with pytest.raises(NotFound):
        (root / "nothing").list()
    for bad in ("a//b", "../x", "a/./b", "x\ny"):
        with pytest.raises(BadEntry):
            root.upload(bad, b"")


def test_ranged_reads_give_a_single_version_and_check_it(bucket: S3Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(3 << 20)
    bucket.root.upload("big.bin", content)
    with bucket.root.open("big.bin", "file") as file:
        assert type(file) is S3File
        assert (file.size, file.basename) == (len(content), "big.bin")
        file.seek(1_000_000)
        assert file.read(10) == content[1_000_000:1_000_010]
        file.seek(-5, os.SEEK_END)
        assert file.read() == content[-5:]
        file.seek(0)
        assert file.read() == content
        with urlopen(file.download_url()) as answer:
            assert answer.read() == content
    with bucket.root.open("big.bin", "file") as file:
        file.read(10)
        bucket.root.upload("big.bin", os.urandom(3 << 20))
        file.seek(2_000_000)
        with pytest.raises(Conflict):
            file.read(10)


def test_large_files_go_in_parts(bucket: S3Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3_store, "SMALL", 1 << 20)
    monkeypatch.setattr(s3_store, "PART", 5 << 20)
    content = os.urandom(11 << 20)
    bucket.root.upload("seekable.bin", io.BytesIO(content))

    class Pipe(io.RawIOBase):
        source = io.BytesIO(content)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self.source.readinto(buffer)

    bucket.root.upload("pipe.bin", io.BufferedReader(Pipe()))
    for name in ("seekable.bin", "pipe.bin"):
        assert bucket.root.download(name, tmp_path / name).read_bytes() == content


def test_a_large_download_is_of_a_single_version_over_many_connections(
    bucket: S3Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"ALONE": 0.0, "MEASURED": 0, "BUSY": float("inf"), "GAIN": 0.0}.items():
        monkeypatch.setattr(fetching, name, value)
    content = os.urandom((50 << 20) + 7)
    bucket.root.upload("big.bin", content)
    etag = bucket.root.stat("big.bin").version
    ranges: list[str] = []
    pinned: set[str] = set()
    replacing = threading.Lock()

    def note(params: dict[str, Any], **_: Any) -> None:
        ranges.append(params["headers"]["Range"])
        pinned.add(params["headers"].get("If-Match", ""))
        if "replaced.bin" in params["url_path"] and len(ranges) > 1 and replacing.acquire(blocking=False):
            bucket.root.upload("replaced.bin", content[::-1])

    bucket._store.client.meta.events.register("before-call.s3.GetObject", note)
    assert bucket.root.download("big.bin", tmp_path).read_bytes() == content
    assert len(ranges) > 1
    assert pinned == {etag}
    ranges.clear()
    bucket.root.upload("replaced.bin", content)
    with pytest.raises(Conflict, match=r"replaced\.bin"):
        bucket.root.download("replaced.bin", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["big.bin"]


def test_parts_go_at_the_same_time_and_a_failure_leaves_none(
    bucket: S3Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3_store, "SMALL", 1 << 20)
    monkeypatch.setattr(s3_store, "PART", 5 << 20)
    local = tmp_path / "large.bin"
    local.write_bytes(os.urandom(16 << 20))
    together = threading.Barrier(2)
    send = s3_store.BucketStore._send_part
    meet = [1, 2]

    def both(self: s3_store.BucketStore, place: dict[str, Any], number: int, part: Any) -> str:
        if number in meet:
            meet.remove(number)
            together.wait(60)
        return send(self, place, number, part)

    monkeypatch.setattr(s3_store.BucketStore, "_send_part", both)
    bucket.root.upload("large.bin", local, max_workers=2)
    assert bucket.root.read_bytes("large.bin") == local.read_bytes()
    readinto = s3_store._Body.readinto

    def changing(self: Any, buffer: Any) -> int:
        with local.open("r+b") as file:
            file.write(os.urandom(16 << 20))
        return readinto(self, buffer)

    with monkeypatch.context() as patched:
        patched.setattr(s3_store._Body, "readinto", changing)
        with pytest.raises(EdgeError, match="changed while it was being uploaded"):
            bucket.root.upload("other.bin", local)
    with monkeypatch.context() as patched:
        patched.setattr(
            s3_store._Body, "readinto", lambda self, buffer: os.truncate(local, 5) or readinto(self, buffer)
        )
        with pytest.raises(EdgeError, match="changed while it was being uploaded"):
            bucket.root.upload("other.bin", local)
    assert "other.bin" not in bucket.root
    assert not bucket.client().list_multipart_uploads(Bucket=bucket.bucket).get("Uploads")


def test_folders_are_created_moved_and_deleted(bucket: S3Connection) -> None:
    root = bucket.root
    root.make_folder("new")
    with pytest.raises(AlreadyExists):
        root.make_folder("new")
    root.make_folder("new", exist_ok=True)
    root.upload("new/one.txt", b"1")
    with pytest.raises(AlreadyExists):
        root.upload("new", b"")
    with pytest.raises(AlreadyExists):
        root.upload("new/one.txt", b"2", overwrite=False)
    with pytest.raises(Conflict):
        root.move("new", "new/inside")
    root.move("new", "old/place")
    assert root.open("old/place/one.txt", "text") == "1"
    assert "new" not in root
    root.rename("old/place/one.txt", "two.txt")
    assert root.open("old/place").list() == ["two.txt"]
    with pytest.raises(Conflict):
        root.delete("old")
    root.delete("old", recursive=True)
    assert "old" not in root
    with pytest.raises(NotFound):
        root.delete("old")


def test_names_may_be_anything(bucket: S3Connection) -> None:
    names = ["a b+c%20.txt", "Grüße.txt", "雪&=?#.txt", "q\"'<>.txt"]
    for name in names:
        bucket.root.upload(f"in/{name}", name.encode())
    assert sorted(bucket.root.open("in").list()) == sorted(names)
    for name in names:
        assert bucket.root.open(f"in/{name}", "text") == name


def test_each_thing_that_is_wrong_has_its_status_and_error(bucket: S3Connection, store: Store) -> None:
    def like(**more: Any) -> S3Connection:
        content = {"bucket": bucket.bucket, "endpoint": store.endpoint, **store._asdict(), **more}
        return S3Connection("x", "X", **content)

    assert bucket.test() is ConnectionStatus.VALID_CONNECTION
    cases = [
        (like(secret_key="wrong" * 8), ConnectionStatus.BAD_CREDENTIALS, Unauthenticated),
        (like(access_key="nobody"), ConnectionStatus.BAD_CREDENTIALS, Unauthenticated),
        (like(bucket="no-such-bucket"), ConnectionStatus.NO_CONNECTION, NotFound),
        (like(endpoint=f"http://127.0.0.1:{free_port()}"), ConnectionStatus.NO_CONNECTION, ConnectionFailed),
        (like(endpoint="http://no-such-host.invalid"), ConnectionStatus.NO_CONNECTION, ConnectionFailed),
    ]
    for connection, status, error in cases:
        assert connection.test(20) is status, connection
        with pytest.raises(error) as caught:
            connection.list_keys()
        assert connection.secret_key not in str(caught.value)
        assert "service URL" not in str(caught.value)
        assert connection.secret_key not in repr(connection)
    for wrong in ("ftp://\x00", "http://[::1", "http://store:port"):
        with pytest.raises(BadEntry):
            like(endpoint=wrong).client()


@pytest.mark.slow
def test_an_expired_or_unknown_certificate_is_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime as dt

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    expired = authority.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expired.configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer = listener.accept()[0]
            except OSError:
                return
            try:
                context.wrap_socket(peer, server_side=True).close()
            except OSError:
                peer.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
        for bundle in (None, str(tmp_path / "ca.pem")):
            connection = S3Connection("x", "X", "bucket", endpoint, "key", "secret", _verify=bundle)
            assert connection.test(20) is ConnectionStatus.NO_CONNECTION
            with pytest.raises(ConnectionFailed, match="certificate"):
                connection.list_keys()
    finally:
        listener.close()


def test_the_environments_aws_settings_change_nothing(
    bucket: S3Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-west-9\nca_bundle = /nowhere\ns3 =\n  addressing_style = virtual\n"
    )
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_MAX_ATTEMPTS": "none",
        "AWS_USE_FIPS_ENDPOINT": "true",
    }.items():
        monkeypatch.setenv(name, value)
    again = S3Connection.from_dict(bucket.to_dict())
    assert again.test(60) is ConnectionStatus.VALID_CONNECTION
    anonymous = S3Connection("x", "X", bucket.bucket, bucket.endpoint)
    assert anonymous.test(60) is ConnectionStatus.BAD_CREDENTIALS


@pytest.mark.slow
def test_proxies_are_those_of_the_environment(bucket: S3Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    away = S3Connection("x", "X", "b", "http://store.example.com", "k", "s")
    assert away.client()._endpoint.http_session._proxy_config.proxy_url_for("http://store.example.com") is not None
    monkeypatch.setenv("NO_PROXY", "store.example.com")
    monkeypatch.setenv("no_proxy", "store.example.com")
    assert away.client()._endpoint.http_session._proxy_config._proxies == {}
    assert away.client().meta.endpoint_url == "http://store.example.com"


def test_a_folder_of_odd_keys_comes_down_with_its_times(bucket: S3Connection, tmp_path: Path) -> None:
    put(bucket, "t/12:30.csv", "t/sub/A.txt", "t/sub/a.txt", "t/sub/con.txt")
    bucket.root.download_folder("t", tmp_path / "t")
    assert {path.name for path in (tmp_path / "t").rglob("*.*")} == {"12:30.csv", "A.txt", "a.txt", "con.txt"}
    assert (tmp_path / "t" / "12:30.csv").read_bytes() == b"t/12:30.csv"
    (listed,) = [entry for entry in (bucket.root / "t").scan() if entry.kind == "file"]
    assert (tmp_path / "t" / "12:30.csv").stat().st_mtime == pytest.approx(listed.modified_at.timestamp(), abs=1e-3)
    with pytest.raises(BadEntry, match="12:30"):
        bucket.root.download_folder("t", tmp_path / "portable", names="portable")
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    bucket.root.upload_folder("back", tmp_path / "t")
    assert bucket.root.open("back/sub/A.txt") == "t/sub/A.txt"
    assert bucket.root.open("back/sub/a.txt") == "t/sub/a.txt"
    written = io.BytesIO()
    written.write(b"x")
    with pytest.raises(BadEntry, match=r"seek\(0\)"):
        bucket.root.upload("t/12:30.csv", written)
    assert bucket.root.read_bytes("t/12:30.csv") == b"t/12:30.csv"
    bucket.root.touch("t/12:30.csv")
    assert bucket.root.read_text("t/12:30.csv") == "t/12:30.csv"


def test_files_and_folders_are_copied_by_the_store(bucket: S3Connection) -> None:
    root = bucket.root
    root.write_text("runs/2024/a.txt", "a")
    root.write_text("runs/b.txt", "b")
    calls: list[str] = []
    bucket._store.client.meta.events.register("before-call.s3.*", lambda model, **_: calls.append(model.name))
    root.copy("runs/b.txt", "kept/b.txt")
    assert "CopyObject" in calls
    assert not {"GetObject", "PutObject"} & set(calls)
    assert root.read_text("kept/b.txt") == "b"
    with pytest.raises(AlreadyExists):
        root.copy("runs/2024/a.txt", "kept/b.txt")
    root.copy("runs/2024/a.txt", "kept/b.txt", overwrite=True)
    root.copy("kept/b.txt", "kept/b.txt", overwrite=True)
    assert root.read_text("kept/b.txt") == "a"
    with pytest.raises(NotFound):
        root.copy("nothing", "c")
    with pytest.raises(BadEntry, match="recursive=True"):
        root.copy("runs", "more")
    with pytest.raises(Conflict, match="into itself"):
        root.copy("runs", "runs/2024/runs", recursive=True)
    root.copy("runs", "more", recursive=True)
    assert root.read_text("more/2024/a.txt") == "a"
    assert root.open("more").list() == ["2024", "b.txt"]


def test_the_time_of_a_local_file_is_kept(
    bucket: S3Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "SMALL", 1 << 20)
    monkeypatch.setattr(s3_store, "PART", 5 << 20)
    root = bucket.root
    local = tmp_path / "tree"
    local.mkdir()
    times = {"empty": -1_500_000_000, "small": 1_700_000_000_123_456_789, "large": 1}
    for (name, nanoseconds), size in zip(times.items(), (0, 1, 9 << 20), strict=True):
        (local / name).write_bytes(bytes(size))
        os.utime(local / name, ns=(nanoseconds, nanoseconds))
    root.upload_folder("tree", local)
    head = bucket.client().head_object(Bucket=bucket.bucket, Key="tree/small")
    assert head["Metadata"]["mtime"] == "1700000000.123456789"  # as rclone writes it
    root.copy("tree", "copy", recursive=True)
    root.move("copy", "moved")

    def times_of(folder: Path) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    assert times_of(root.download_folder("tree", tmp_path / "back")) == times
    assert times_of(root.download_folder("moved", tmp_path / "moved")) == times
    assert {name: root.download(f"moved/{name}", tmp_path).stat().st_mtime_ns for name in times} == times
    for seconds, nanoseconds in (("12", 12 * 10**9), ("1.5", 1_500_000_000), ("soon", None), ("1e9", None)):
        bucket.client().put_object(Bucket=bucket.bucket, Key="other", Body=b"x", Metadata={"mtime": seconds})
        assert root.stat("other").source_mtime_ns == nanoseconds


def test_transfers_deletions_and_moves_are_counted(amazon: S3Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(s3_store, "SMALL", 1 << 20)
    monkeypatch.setattr(s3_store, "PART", 5 << 20)
    root = amazon.root
    reports: list[TransferProgress] = []
    size = 12 << 20
    root.upload("runs/a.bin", bytes(size), progress=reports.append, max_workers=1)
    assert [report.bytes for report in reports if report.phase == "sending"] == [5 << 20, 10 << 20, size]
    assert [(report.phase, report.bytes) for report in reports[-2:]] == [("completing", size)] * 2
    put(amazon, *(f"runs/{number}.txt" for number in range(1200)), "runs//odd")
    reports.clear()
    root.move("runs", "kept", progress=reports.append)
    assert (reports[-1].direction, reports[-1].files, reports[-1].total_files) == ("move", 1202, 1202)
    assert {report.phase for report in reports} == {"listing", "moving", "completing"}
    reports.clear()
    with pytest.warns(InexactWarning, match="1 key stays|stay"):
        root.delete("kept", recursive=True, progress=reports.append)
    deleting = [report.files for report in reports if report.phase == "deleting"]
    assert deleting == [1000, 1201]
    assert (reports[-1].files, reports[-1].total_files) == (1201, 1201), "the odd key stays"


def test_a_bucket_is_a_file_system(bucket: S3Connection) -> None:
    fs = bucket.filesystem()
    assert fs == bucket.filesystem()
    with fs.open("runs/a.csv", "wb") as file:
        file.write(b"a\n1\n")
    fs.pipe_file("runs/b.csv", b"a\n2\n")
    assert fs.find("") == fs.glob("runs/*.csv") == ["runs/a.csv", "runs/b.csv"]
    assert [(entry["name"], entry["type"]) for entry in fs.ls("")] == [("runs", "directory")]
    assert fs.cat_ranges(["runs/a.csv", "runs/b.csv"], 2, None) == [b"1\n", b"2\n"]
    fs.cp("runs", "kept", recursive=True)
    fs.mv("kept/a.csv", "kept/c.csv")
    assert fs.find("kept") == ["kept/b.csv", "kept/c.csv"]
    assert pandas.read_csv(fs.open("kept/c.csv")).to_dict("list") == {"a": [1]}
    with pytest.raises(FileNotFoundError):
        fs.open("kept/a.csv")
    fs.rm("kept", recursive=True)
    assert not fs.exists("kept")
