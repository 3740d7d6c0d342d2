"""Every documented member, used as its documentation shows it, against a running server.

One test uses one section of `tests.reference.members`, under a watch: it fails as long as a member
of the section was not imported, constructed, called or read by the lines below. So the generated
reference lists nothing that no test has called. Imports are inside the tests, as each import path
is one of the things to use.
"""

from __future__ import annotations

import base64
import datetime as dt
import inspect
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_core.errors import BadEntry
from edge_core.hooks import hookimpl
from edge_core.session import EdgeSession
from edge_server.testing.local_server import EdgeServer
from tests import object_stores
from tests.reference.members import SECTIONS
from tests.reference.watch import Watch

Join = Callable[..., EdgeSession]


@pytest.fixture(autouse=True)
def everything_is_used(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves out a member of its section."""
    (section,) = [section for section in SECTIONS if section.test == request.function.__name__]
    watch = Watch(section, inspect.getfile(request.function))
    failed = request.session.testsfailed
    try:
        yield
    finally:
        watch.close()
    if request.session.testsfailed == failed:  # one that failed has left out the rest
        assert [key for key in section.uses() if key not in watch.used] == [], f"not used by {section.test}"


@pytest.fixture
def join(edge_server: EdgeServer, edge_session: EdgeSession) -> Iterator[Join]:
    """Makes sessions of fresh users in the session's organization, with the roles that are named."""
    sessions: list[EdgeSession] = []

    def make(*roles: str, server_admin: bool = False) -> EdgeSession:
        user = edge_server.create_user(organization=edge_session.organization, roles=roles, server_admin=server_admin)
        token = edge_server.create_token(user)
        session = EdgeSession(api_token=token, service_url=edge_server.url, organization=edge_session.organization)
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


def test_the_session(edge_session: EdgeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.api import EdgeSession, SearchResult, SearchResults

    settings = edge_session.config
    token, url, organization = settings.api_token, settings.service_url, settings.organization
    with EdgeSession(api_token=token, service_url=url, organization=organization) as edge:
        assert edge.organization == organization
        user_name = edge.whoami().user_name
    with EdgeSession(token, url, organization, version_num=1) as edge:
        assert edge.whoami().user_name == user_name
    monkeypatch.setenv("EDGE_API_SERVICE_URL", url)
    monkeypatch.setenv("EDGE_API_ORG", organization)
    for variable in ("JUPYTERHUB_API_TOKEN", "EDGE_API_TOKEN"):
        monkeypatch.setenv(variable, token)
        with EdgeSession() as edge:
            assert edge.whoami().user_name == user_name
        monkeypatch.setenv(variable, "edg_wrong")  # EDGE_API_TOKEN goes before it

    edge = edge_session
    edge.files.upload("plates/plate-7.csv", b"a,b\n1,2\n")
    results = edge.search("plate-7")
    assert isinstance(results, SearchResults)
    assert not results.partial
    result = results[0]
    assert isinstance(result, SearchResult)
    assert (result.name, result.kind, result.path) == ("plate-7.csv", "file", "plates/plate-7.csv")
    assert result.uid
    assert 0 < result.score <= 1
    assert [result.name for result in edge.search("plates", "folder")] == ["plates"]
    assert [result.name for result in edge.search(query="plate", kind="file")] == ["plate-7.csv"]
    edge.set_whoami(first_name="Ada", last_name="Lovelace", email="ada@example.com")
    assert edge.whoami().first_name == "Ada"
    edge.set_whoami("Ada")
    assert edge.whoami().last_name is None

    import edge.api

    documented = {
        "files": "Folder",
        "sources": "EdgeData",
        "applications": "EdgeApplication",
        "tokens": "EdgeTokens",
        "compute": "EdgeCompute",
        "billing": "EdgeBilling",
        "secrets": "EdgeSecrets",
        "admin": "EdgeAdmin",
    }
    for name in documented:
        assert type(getattr(edge_session, name)) is getattr(edge.api, documented[name])
    assert documented.keys() <= {namespace.name for namespace in edge_session.namespaces()}
    assert edge_session.get(edge.api.EdgeTokens) is edge_session.tokens
    edge_session.reload_plugins()
    assert edge_session.get(edge.api.EdgeTokens) is edge_session.tokens
    assert edge_session.http.core.get("/v1/users/me")["user_name"] == user_name
    closed: list[EdgeSession] = []

    class Listener:
        @hookimpl
        def edge_session_closed(self, session: EdgeSession) -> None:
            closed.append(session)

    session = EdgeSession(token, url, organization)
    session.hooks.register(Listener())
    session.whoami()
    session.close()
    assert closed == [session]


@pytest.mark.slow
def test_files(edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py
    import numpy
    import pandas
    from PIL import Image

    from edge.api import (
        File,
        Folder,
        IncompleteTransfer,
        InexactWarning,
        NotFound,
        TextWriter,
        TransferProgress,
        TransferReport,
        Writer,
    )

    edge = edge_session
    root = edge.files
    assert isinstance(root, Folder)
    monkeypatch.chdir(tmp_path)
    Path("mydata.csv").write_bytes(b"a,b\n1,2\n")
    with open("mydata.csv", "rb") as myfile:
        root.upload("mydata.csv", myfile)
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "png")
    root.upload("this/folder/image001.png", picture.getvalue())

    assert root.list() == ["mydata.csv", "this"]
    assert root.list_files() == ["mydata.csv"]
    assert root.list_folders() == ["this"]
    assert isinstance(root.open("mydata.csv"), pandas.DataFrame)
    assert isinstance(root.open("mydata.csv", "pandas"), pandas.DataFrame)
    assert isinstance(root.open("/this/folder/image001.png"), Image.Image)
    root.upload("semi.csv", b"a;b\n1;2\n")
    assert list(root.open("semi.csv", sep=";")) == ["a", "b"]
    with pytest.warns(InexactWarning, match="give sep=';'"):
        root.open("semi.csv")
    root.delete("semi.csv")
    assert root.open("/this/folder/image001.png", open_with="imageio").shape == (2, 2, 3)
    assert isinstance(root.open("/this/folder/image001.png", open_with="pil"), Image.Image)
    array = io.BytesIO()
    numpy.save(array, numpy.arange(3))
    for name, content, opener, expected in (
        ("array.npy", array.getvalue(), "numpy", [0, 1, 2]),
        ("data.json", b'{"a": 1}', "json", {"a": 1}),
        ("notes.txt", b"abc", "text", "abc"),
        ("plate.yaml", b"a: 1", "yaml", {"a": 1}),
    ):
        root.upload(name, content)
        for array in (root.open(name), root.open(name, open_with=opener)):
            assert getattr(array, "tolist", lambda array=array: array)() == expected
        root.delete(name)
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as file:
        file["x"] = numpy.arange(3)
    root.upload("array.h5", hdf5.getvalue())
    for file in (root.open("array.h5"), root.open("array.h5", "h5py"), root.open("array.h5", "xarray")):
        assert file["x"][2] == 2
        file.close()
    root.delete("array.h5")
    assert isinstance(root.open("this"), Folder)
    Path("mydata.csv").unlink()
    root.download("mydata.csv")
    assert Path("mydata.csv").read_bytes() == b"a,b\n1,2\n"
    assert root.download("mydata.csv", localpath="other.csv").read_bytes() == b"a,b\n1,2\n"
    root.make_folder("newfolder")
    root.rename("newfolder", "New Folder")
    root.move("New Folder", "Imported Data/New Folder")
    assert root.open("Imported Data").list() == ["New Folder"]

    folder = root / "this"
    assert (folder.basename, folder.path, folder.parent.path) == ("this", "/this", "/")
    assert [entry.name for entry in folder.scan()] == ["folder"]
    assert folder.exists("folder")
    assert root.stat("mydata.csv").size == 8
    assert [(place.path, folders, files) for place, folders, files in folder.walk()] == [
        ("/this", ["folder"], []),
        ("/this/folder", [], ["image001.png"]),
    ]
    assert list(root.glob("**/*.png")) == ["this/folder/image001.png"]
    reports: list[TransferProgress] = []
    root.download_folder("this", "copied", progress=reports.append)
    last = reports[-1]
    assert (last.direction, last.path, last.phase) == ("download", "this", "completing")
    assert (last.files, last.total_files, last.bytes, last.total_bytes) == (1, 1, len(picture.getvalue()), last.bytes)
    assert (last.skipped_files, last.skipped_bytes, last.eta) == (0, 0, 0)
    assert last.rate
    ends: list[TransferReport] = []
    assert root.upload_folder("again", "copied", report=ends.append).list() == ["folder"]
    assert (ends[0].sent, ends[0].skipped, ends[0].failed) == (("folder/image001.png",), (), ())
    assert ends[0].bytes == len(picture.getvalue())
    assert ends[0].seconds > 0
    with pytest.raises(IncompleteTransfer) as incomplete:
        root.upload_folder("again", "copied", overwrite=False)
    assert incomplete.value.report.failed[0].path == "folder/image001.png"
    assert root.sync("copied", "again", "up").skipped == ("folder/image001.png",)
    use_content(root, "mydata.csv")
    for kind, encoding in ((Writer, None), (TextWriter, "utf-8")):
        with root.create("mydata.csv", encoding=encoding) as writer:
            assert isinstance(writer, kind)
            writer.discard()
    with pytest.raises(NotFound, match="the upload cannot be found"):
        root.abort_upload("gone")
    assert root.uploads() == []
    newest, *older = root.versions("mydata.csv")
    assert (newest.size, older[-1].size) == (5, 8)
    root.delete("mydata.csv")
    root.restore("mydata.csv", older[-1].version)
    assert root.stat("mydata.csv").size == 8
    root.delete("mydata.csv")
    root.delete("again", recursive=True)
    assert root.list() == ["Imported Data", "this"]

    root.upload("abc.bin", b"abcdef")
    with root.open("abc.bin", open_with="file") as file:
        use_file(file, File, "abc.bin")
        assert download(file.download_url()) == b"abcdef"
    assert file.closed


def use_content(folder: Any, name: str) -> None:
    """Content as a whole, and values by their suffixes."""
    folder.save("saved.json", {"a": [1]})
    assert folder.open("saved.json") == {"a": [1]}
    folder.delete("saved.json")
    with folder.create("written.bin") as writer:
        assert writer.write(b"abc") == writer.tell() == 3
        writer.flush()
        use_writer(writer, "written.bin")
    assert writer.closed
    with folder.create("written.txt", encoding="utf-8") as text:
        assert text.write("abc") == 3
        text.flush()
    assert folder.read_bytes("written.bin") == folder.read_bytes("written.txt") == b"abc"
    for writer in (folder.create("written.bin"), folder.create("written.txt", encoding="utf-8")):
        writer.discard()
        writer.close()
    for written in ("written.bin", "written.txt"):
        folder.delete(written)
    assert folder.write_bytes(name, b"abc\n") == 4
    folder.touch(name)
    assert folder.read_bytes(name) == b"abc\n"
    assert folder.write_text(name, "abcd\n") == 5
    folder.copy(name, "copy.txt")
    assert folder.read_text("copy.txt") == "abcd\n"
    folder.delete("copy.txt")
    assert folder.read_text(name) == "abcd\n"


def use_writer(writer: Any, name: str) -> None:
    """What a writer tells of itself."""
    assert writer.name.endswith(f"/{name}")
    assert writer.mode == "wb"
    assert not writer.closed
    assert (writer.writable(), writer.readable(), writer.seekable()) == (True, False, False)
    for use in (lambda: writer.seek(0), writer.truncate, writer.read):
        with pytest.raises(io.UnsupportedOperation):
            use()


def use_file(file: Any, kind: type, name: str) -> None:
    """Everything of a file that has the content ``abcdef``."""
    assert isinstance(file, kind)
    assert isinstance(file, io.RawIOBase)
    assert (file.basename, file.size) == (name, 6)
    assert file.read() == b"abcdef"
    assert file.seek(1) == 1
    assert file.read(2) == b"bc"
    assert file.tell() == 3
    assert file.readall() == b"def"
    file.seek(0)
    buffer = bytearray(4)
    assert file.readinto(buffer) == 4
    assert file.read_ranges([(1, 3), (-1, None)]) == [b"bc", b"f"]
    assert buffer == b"abcd"
    assert file.peek(2).startswith(b"ef")
    assert file.readline() == b"ef"
    assert list(file) == []
    assert file.name.endswith(f"/{name}")
    assert file.readable()
    assert file.seekable()
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    with file:
        pass
    file.close()


def download(address: str) -> bytes:
    """What an address gives to one without a token."""
    import requests

    answer = requests.get(address, timeout=60)
    answer.raise_for_status()
    return answer.content


@pytest.mark.slow
def test_sources(
    edge_session: EdgeSession, tmp_path: Path, raw_server: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.api import (
        ConnectionStatus,
        EdgeData,
        OpenAPIConnection,
        S3Connection,
        S3File,
        S3Folder,
        SQLConnection,
        SQLTable,
    )

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    sources = edge_session.sources
    assert isinstance(sources, EdgeData)

    sqlite3.connect("lims.sqlite3").executescript("create table plates (id, name); insert into plates values (1, 'a')")
    database = SQLConnection("lims", "The LIMS", None, None, "sqlite", str(tmp_path / "lims.sqlite3"), "ada", "secret")
    assert sources.add(database) is None
    database.title = "LIMS"
    sources.update(database)
    assert sources.list() == sources.list_names() == ["lims"]
    assert [connection.kind for connection in sources.scan()] == ["sql"]
    conn = sources.get("lims")
    assert isinstance(conn, SQLConnection)
    assert (conn.host, conn.port, conn.db_kind, conn.db_name) == (None, None, "sqlite", database.db_name)
    assert (conn.username, conn.password) == ("ada", "secret")
    use_connection(conn, "sql", "lims", "LIMS", ConnectionStatus.VALID_CONNECTION)
    assert conn.engine.dialect.name == "sqlite"
    assert list(conn.tables) == ["plates"]
    table = conn.tables["plates"]
    assert isinstance(table, SQLTable)
    assert (table.name, table.columns, table.engine) == ("plates", ["id", "name"], conn.engine)
    assert table.table.name == "plates"
    assert table.to_dataframe().to_dict("list") == {"id": [1], "name": ["a"]}
    assert SQLTable(conn, "plates").to_dataframe(columns=["id"], limit=1).shape == (1, 1)
    assert [len(part) for part in table.iter_dataframes(chunksize=1)] == [1]
    conn.engine.dispose()
    assert sources.remove(conn.uid) is None
    assert sources.list() == []

    (tmp_path / "store").mkdir()
    with object_stores.juicefs(tmp_path / "store") as store:
        bucket = S3Connection("plates", "Plates", "plates", store.endpoint, store.access_key, store.secret_key, None)
        bucket.client().create_bucket(Bucket="plates")
        sources.add(bucket)
        use_bucket(sources.get("plates"), store, S3Folder, S3File)
        use_connection(bucket, "s3", "plates", "Plates", ConnectionStatus.VALID_CONNECTION)
        wrong = S3Connection("w", "Wrong", "plates", store.endpoint, store.access_key, "wrong", _verify=None)
        assert wrong.test(timeout=60) is ConnectionStatus.BAD_CREDENTIALS
    assert bucket.test(2) is ConnectionStatus.NO_CONNECTION

    body = b'[{"id": 7, "status": "sold"}]'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    address = raw_server(head % len(body) + body)
    sources.add(OpenAPIConnection("shop", "The shop", json.dumps(PETS)))
    shop = OpenAPIConnection("shop", "Shop", json.dumps(PETS), address, "tok", "ada", "secret")
    assert json.loads(shop.spec) == PETS
    assert (shop.server_url, shop.token, shop.username, shop.password) == (address, "tok", "ada", "secret")
    client = shop.generate_new_client()
    assert client.pet.findPetsByStatus(status="sold") == [{"id": 7, "status": "sold"}]
    use_connection(shop, "openapi", "shop", "Shop", ConnectionStatus.VALID_CONNECTION)


PETS = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "http://127.0.0.1:9"}],
    "paths": {
        "/pet/findByStatus": {
            "get": {
                "tags": ["pet"],
                "operationId": "findPetsByStatus",
                "parameters": [{"name": "status", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "Those there are."}},
            }
        }
    },
}


def use_connection(conn: Any, kind: str, name: str, title: str, status: Any) -> None:
    """What every kind of connection has."""
    assert (conn.kind, conn.name, conn.title) == (kind, name, title)
    content = conn.to_dict()
    assert content["uid"] == conn.uid
    assert set(conn.fields) <= set(content)
    assert set(conn.secret_fields) == set(content["secret"])
    assert type(conn).from_dict(content).to_dict() == content
    assert "proxies" in conn.route("https://example.com")
    conn.check(30)
    assert conn.test(timeout=60) is status
    assert conn.reason is None


def use_bucket(conn: Any, store: Any, folder_class: type, file_class: type) -> None:
    """Everything of a bucket, which is empty."""
    assert (conn.bucket, conn.endpoint) == ("plates", store.endpoint)
    assert (conn.access_key, conn.secret_key) == (store.access_key, store.secret_key)
    root = conn.root
    assert isinstance(root, folder_class)
    root.upload("folder1/myfile.txt", b"abcdef")
    root.upload("folder2/subfolder/myfile2.txt", b"abcdef")
    assert list(conn.iter_prefixes()) == conn.list_prefixes() == ["folder1/", "folder2/"]
    assert conn.list_prefixes(prefix="folder2/") == ["folder2/subfolder/"]
    assert list(conn.iter_keys("folder1/")) == conn.list_keys(prefix="folder1/") == ["folder1/myfile.txt"]
    assert conn.open("folder1/myfile.txt") == "abcdef"
    conn.save("folder1/saved.txt", "abc")
    assert conn.open("folder1/saved.txt") == "abc"
    assert conn.filesystem().cat_file("folder1/saved.txt") == b"abc"
    root.delete("folder1/saved.txt")
    use_file(conn.open("folder1/myfile.txt", open_with="file"), file_class, "myfile.txt")
    assert download(root.open("folder1/myfile.txt", "file").download_url()) == b"abcdef"

    assert root.list() == root.list_folders() == ["folder1", "folder2"]
    assert root.list_files() == []
    folder = root.open("folder2")
    assert (folder.basename, folder.path, folder.parent.path) == ("folder2", "/folder2", "/")
    assert [entry.name for entry in folder.scan()] == ["subfolder"]
    assert folder.exists()
    assert folder.stat("subfolder/myfile2.txt").size == 6
    assert [place.path for place, _, _ in folder.walk()] == ["/folder2", "/folder2/subfolder"]
    assert list(root.glob("*/*.txt")) == ["folder1/myfile.txt"]
    assert root.download("folder1/myfile.txt", localpath="local.txt").read_bytes() == b"abcdef"
    root.download_folder("folder2", "copied")
    assert root.upload_folder("again", "copied").list() == ["subfolder"]
    for compare in ("digest", "time"):
        for direction in ("up", "down"):
            assert root.sync("copied", "again", direction, compare=compare).skipped == ("subfolder/myfile2.txt",)
    use_content(root, "again/subfolder/myfile2.txt")
    root.rename("folder1/myfile.txt", "other.txt")
    root.move("folder1/other.txt", "moved/file.txt")
    root.make_folder("empty")
    root.delete("folder2", recursive=True)
    assert root.exists("moved/file.txt")
    assert not root.exists("folder2/subfolder/myfile2.txt")


def test_applications(edge_session: EdgeSession) -> None:
    from PIL import Image

    from edge.api import EdgeApplication
    from edge.apps.app_version import AppFrameworkEnum, AppKindEnum, AppProxyKindEnum, AppVersion
    from edge.apps.application import Application, AppResource, AppStatusEnum
    from edge.apps.server_info import ServerInfo

    apps = edge_session.applications
    assert isinstance(apps, EdgeApplication)
    added = apps.add_application(Application("viewer", True))
    assert isinstance(added, Application)
    assert added.status is AppStatusEnum.InReview
    apps.add_application(
        Application(app_id="second", visible_auto_add=False, visible_versions=[], idle_minutes=30, built_in=False)
    )
    second = apps.get_application("second")
    assert (second.app_id, second.built_in, second.idle_minutes) == ("second", False, 30)
    assert (second.visible_auto_add, second.visible_versions) == (False, [])
    second.idle_minutes = 60
    assert apps.update_application(second).to_dict()["idle_minutes"] == 60
    resource = AppResource(cpu=2, gpu=0, memory=4, shutdown=60)
    third = Application(app_id="third", max_resources=AppResource(2, 0, 4, 60), max_global_resources=resource)
    third = apps.add_application(third)
    assert third.max_global_resources.to_dict() == third.max_resources.to_dict()
    kept = third.max_resources
    assert (kept.cpu, kept.gpu, kept.memory, kept.shutdown) == (2, 0, 4, 60)
    assert apps.list_application_ids() == ["second", "third", "viewer"]
    assert apps.list_application_ids(include_builtin=True)[:3] == ["second", "third", "viewer"]
    assert any(app.built_in for app in apps.list_applications(True))
    assert apps.approve_application("viewer").status is AppStatusEnum.Approved
    apps.remove_application("third")

    icon = io.BytesIO()
    Image.new("RGB", (64, 64)).save(icon, "png")
    icon64 = base64.b64encode(icon.getvalue()).decode()
    link = "quay.io/lab/viewer:1.0.0"
    native: dict[str, Any] = {"title": "Viewer", "description": "Shows plates", "icon": icon64, "link": link}
    first = AppVersion(
        app_id="viewer",
        version="1.0.0",
        kind=AppKindEnum.Native,
        framework=AppFrameworkEnum.Panel,
        recommended_profile="edge.medium",
        volume_mount_point="/data",
        suggested_volume_size=5,
        **native,
    )
    apps.add_app_version(first)
    version = apps.get_app_version("viewer", "1.0.0")
    assert (version.app_id, version.version, version.title) == ("viewer", "1.0.0", "Viewer")
    assert (version.description, version.icon, version.link) == ("Shows plates", icon64, link)
    assert (version.kind, version.framework) == (AppKindEnum.Native, AppFrameworkEnum.Panel)
    assert version.recommended_profile == "edge.medium"
    assert (version.volume_mount_point, version.suggested_volume_size) == ("/data", 5)
    assert version.to_dict()["framework"] == "panel"
    version.title = "The viewer"
    assert apps.update_app_version(version).title == "The viewer"
    old = AppVersion(
        "viewer", "0.9", "Viewer", "Old", icon64, AppKindEnum.External, "https://example.com", "edge.medium"
    )
    apps.add_app_version(old)
    more = AppVersion(app_id="viewer", version="0.8", profiles=["small"], default_profile="small", **native)
    added = apps.add_app_version(more)
    assert (added.profiles, added.default_profile) == (["small"], "small")
    frameworks = (
        (AppProxyKindEnum.NoProxy, AppFrameworkEnum.NoFramework),
        (AppProxyKindEnum.Generic, AppFrameworkEnum.Generic),
        (AppProxyKindEnum.Panel, AppFrameworkEnum.Panel),
        (AppProxyKindEnum.PlotlyDash, AppFrameworkEnum.PlotlyDash),
        (AppProxyKindEnum.React, AppFrameworkEnum.React),
        (AppProxyKindEnum.Streamlit, AppFrameworkEnum.Streamlit),
    )
    for number, (proxy_kind, framework) in enumerate(frameworks):
        version = AppVersion(app_id="viewer", version=f"2.{number}", proxy_kind=proxy_kind, **native)
        assert apps.add_app_version(version).proxy_kind is framework
        version = AppVersion(app_id="viewer", version=f"3.{number}", framework=framework, **native)
        assert apps.add_app_version(version).framework is framework
    version = AppVersion(app_id="viewer", version="4", kind=AppKindEnum.Kubernetes, link="https://viewer.example.com")
    assert apps.add_app_version(version).kind is AppKindEnum.Kubernetes
    for kind in (AppKindEnum.Analysis, AppKindEnum.Data):
        with pytest.raises(BadEntry, match="kind"):  # those that are built in
            apps.add_app_version(AppVersion(app_id="viewer", version="5", kind=kind, **native))
    assert len(apps.list_app_versions("viewer")) == 16
    apps.remove_app_version("viewer", "0.9")

    apps.add_server_info(ServerInfo(app_id="viewer", domain="quay.io", username="lab+robot", password="secret"))
    credentials = apps.get_server_info("viewer", "quay.io")
    assert (credentials.app_id, credentials.domain, credentials.username, credentials.password) == (
        "viewer",
        "quay.io",
        "lab+robot",
        None,
    )
    credentials.username = "lab+other"
    assert apps.update_server_info(credentials).to_dict()["username"] == "lab+other"
    assert [credentials.domain for credentials in apps.list_server_infos("viewer")] == ["quay.io"]
    apps.remove_server_info("viewer", "quay.io")

    client = apps.register_oauth_client("viewer", "https://example.com/back")
    assert set(client) == {"client_id", "client_secret", "redirect_uri"}
    assert client["client_id"] == f"service-edge-app-{edge_session.organization}-viewer"
    assert apps.update_oauth_client("viewer", "https://example.com/other")["client_id"] == client["client_id"]
    assert apps.list_oauth_clients() == [apps.get_oauth_client("viewer")]
    apps.remove_oauth_client("viewer")
    use_running_apps(apps)


def use_running_apps(apps: Any) -> None:
    """What there is of apps that run, at a server that has no hub to run them."""
    from edge.api import Conflict, EdgeError
    from edge.apps.running_app import RunningApp, RunningAppStatusEnum, SharedWith

    for call in (
        lambda: apps.launch("viewer"),
        apps.list_running,
        lambda: apps.find_running("viewer-0f1e2d3c"),
        lambda: apps.stop_running("viewer-0f1e2d3c"),
        lambda: apps.share_running("viewer-0f1e2d3c"),
        lambda: apps.unshare_running("viewer-0f1e2d3c"),
    ):
        with pytest.raises(Conflict, match="runs no applications"):
            call()
    running = RunningApp(
        server_name="viewer-0f1e2d3c",
        user_name="ann",
        app_id="viewer",
        version="1.0.0",
        status=RunningAppStatusEnum.Running,
        url="https://hub.example.com/user/ann/viewer-0f1e2d3c/",
    )
    assert (running.server_name, running.user_name, running.app_id) == ("viewer-0f1e2d3c", "ann", "viewer")
    assert (running.version, running.profile_id, running.url[:5]) == ("1.0.0", None, "https")
    assert (running.started_at, running.last_activity) == (None, None)
    assert list(running.progress()) == [running.status]
    assert (RunningAppStatusEnum.Starting.value, RunningAppStatusEnum.Stopping.value) == ("starting", "stopping")
    assert (RunningAppStatusEnum.Ended.value, running.exit_code, running.last_lines) == ("ended", None, None)
    assert running.wait() is running
    assert running.shared_with is None
    running.shared_with = SharedWith(organization=True, users=["bob"])
    assert (running.shared_with.organization, running.shared_with.users) == (True, ["bob"])
    for call in (running.refresh, running.stop, running.share, running.unshare):
        with pytest.raises(EdgeError, match="list_running"):
            call()


def test_tokens(edge_session: EdgeSession) -> None:
    from edge.api import EdgeTokens
    from edge.edge_tokens import Token

    tokens = edge_session.tokens
    assert isinstance(tokens, EdgeTokens)
    token = tokens.create(note="notebook", expires_in=3600)
    assert isinstance(token, Token)
    assert token.token.startswith(token.prefix)
    assert tokens.create().expires_at is None
    assert tokens.create("expired", 0).note == "expired"
    copy = tokens.get(token.id)
    assert (copy.note, copy.token, copy.last_used_at) == ("notebook", None, None)
    assert copy.expires_at - copy.created_at == dt.timedelta(hours=1)
    assert copy.to_dict()["id"] == token.id
    assert token.id in {token.id for token in tokens.list()}
    tokens.remove(token.id)
    assert token.id not in {token.id for token in tokens.list()}


def test_who_am_i(edge_session: EdgeSession, edge_server: EdgeServer) -> None:
    from edge.api import WhoAmI
    from edge.whoami.organization import Organization

    edge_session.set_whoami("Ada", "Lovelace", "ada@example.com")
    me = edge_session.whoami()
    assert isinstance(me, WhoAmI)
    assert (me.first_name, me.last_name, me.email) == ("Ada", "Lovelace", "ada@example.com")
    assert (me.server_admin, me.license_name) == (False, None)
    assert me.to_dict()["user_name"] == me.user_name
    (organization,) = me.organizations
    assert isinstance(organization, Organization)
    assert organization.organization_name == edge_session.organization
    assert isinstance(organization.title, str)
    assert organization.roles == ["admin", "developer"]
    assert organization.to_dict()["roles"] == ["admin", "developer"]


def test_compute(edge_session: EdgeSession) -> None:
    import edge.api
    from edge.api import EdgeCompute
    from edge.edge_compute import AppPlaceholder, AppProfile, AppProfileStatusEnum

    assert edge.api.AppProfile is AppProfile
    assert edge.api.AppProfileStatusEnum is AppProfileStatusEnum
    assert edge.api.AppPlaceholder is AppPlaceholder
    compute = edge_session.compute
    assert isinstance(compute, EdgeCompute)
    assert compute.get_backend()["starts_machines"] is False
    machine = compute.list_instance_types()[0]
    name = machine["instance_name"]
    assert compute.retrieve_instance_type(name) == machine
    profile = AppProfile(
        uid=None,
        profile_id="lab.small",
        name="Small",
        instance_name=name,
        cpu=1.0,
        gpu=0,
        memory=0.5,
        built_in=False,
        status=AppProfileStatusEnum.Pending,
        disable=False,
    )
    created = compute.create_app_profile("lab.small", profile)
    assert created.status in (AppProfileStatusEnum.Pending, AppProfileStatusEnum.Ready)
    assert (created.profile_id, created.name, created.instance_name) == ("lab.small", "Small", name)
    assert (created.cpu, created.gpu, created.memory) == (1.0, 0, 0.5)
    assert (created.built_in, created.disable) == (False, False)
    assert created.to_dict()["uid"] == created.uid
    created.disable = True
    assert compute.update_app_profile("lab.small", created).disable
    assert compute.retrieve_app_profile("lab.small").uid == created.uid
    assert {"lab.small", "edge.medium"} <= {listed.profile_id for listed in compute.list_app_profiles()}

    placeholder = AppPlaceholder(uid=None, name="morning", profile_id="edge.medium", quantity=2, disable=False)
    kept = compute.create_placeholder(placeholder)
    assert (kept.name, kept.profile_id, kept.quantity, kept.disable) == ("morning", "edge.medium", 2, False)
    assert kept.to_dict()["uid"] == kept.uid
    kept.quantity = 1
    assert compute.update_placeholder("morning", kept).quantity == 1
    assert compute.retrieve_placeholder(kept.uid).quantity == 1
    assert [placeholder.name for placeholder in compute.list_placeholders()] == ["morning"]
    assert compute.list_placeholder_states() == [
        {"uid": kept.uid, "name": "morning", "quantity": 1, "ready": None, "reported_at": None}
    ]
    compute.remove_placeholder("morning")
    compute.remove_app_profile("lab.small")


@pytest.mark.slow
def test_billing(edge_session: EdgeSession, edge_server: EdgeServer, join: Join, tmp_path: Path) -> None:
    from edge.api import EdgeBilling
    from edge.edge_billing import BillingCloudUsage, BillingComputedCost
    from edge_billing.rows import Rows

    prices = edge_server.data / "prices.toml"
    prices.write_text('currency = "EUR"\n[api_requests]\nprice = 0.40\nper = "million requests"\n')
    edge_session.files.upload("a.csv", b"x" * 5000)
    billing = edge_session.billing
    assert isinstance(billing, EdgeBilling)
    today = dt.datetime.now(dt.UTC).date()
    week = (today - dt.timedelta(days=6), today)

    (usage,) = billing.query_cloud_usage(usage_type="transfer_in", date_range=week)
    assert isinstance(usage, BillingCloudUsage)
    assert billing.query_cloud_usage("transfer_in", "internal", "transfer", None, week, None, 1000) == [usage]
    assert billing.query_cloud_usage(billing_date=usage.billing_date, start_after_id=usage.id - 1, page_size=1)
    assert (usage.org_name, usage.classification) == (edge_session.organization, "internal")
    assert (usage.usage_type, usage.cost_allocation_tag) == ("transfer_in", None)
    assert (usage.usage_quantity, usage.usage_quantity_units, usage.estimated) == (Decimal(5000), "bytes", True)
    assert usage.to_dict()["usage_quantity"] == "5000"
    assert usage in billing.all_cloud_usage(service="transfer")
    rows = billing.query_cloud_usage("transfer_in")
    assert isinstance(rows, Rows)
    assert rows.to_dataframe()["usage_quantity"].tolist() == [Decimal(5000)]

    (cost,) = billing.query_computed_costs(billing_date=usage.billing_date)
    assert isinstance(cost, BillingComputedCost)
    assert cost.computed_cost > 0
    assert isinstance(cost.id, int)
    assert (cost.billing_date, cost.org_name) == (usage.billing_date, edge_session.organization)
    assert (cost.classification, cost.usage_type) == ("internal", "api_requests")
    assert (cost.category, cost.estimated, cost.currency) == ("Compute", True, "EUR")
    assert Decimal(cost.to_dict()["computed_cost"]) == cost.computed_cost
    assert [record.id for record in billing.all_computed_costs()] == [cost.id]
    assert billing.prices().currency == "EUR"
    import matplotlib

    matplotlib.use("agg")
    axes = billing.plot(date_range=week)
    assert axes.get_ylabel()
    report = join(server_admin=True).billing.download_report(tmp_path / "report.csv", date_range=week)
    assert edge_session.organization.encode() in report
    prices.unlink()


def test_secrets(edge_session: EdgeSession) -> None:
    from edge.api import EdgeSecrets

    secrets = edge_session.secrets
    assert isinstance(secrets, EdgeSecrets)
    secrets.create_user_secret("lims", {"password": "one"})
    assert secrets.read_user_secret("lims") == {"password": "one"}
    secrets.update_user_secret("lims", {"password": "two"})
    assert secrets.list_user_secrets() == ["lims"]
    secrets.delete_user_secret("lims")
    secrets.create_organization_secret("lims", {"password": "three"})
    secrets.update_organization_secret("lims", {"password": "four"})
    assert secrets.read_organization_secret("lims") == {"password": "four"}
    assert secrets.list_organization_secrets() == ["lims"]
    secrets.delete_organization_secret("lims")
    assert secrets.list_user_secrets() == secrets.list_organization_secrets() == []


def test_administration(edge_session: EdgeSession, edge_server: EdgeServer, join: Join, edge_join: Join) -> None:
    import edge.admin
    from edge.admin.organization import Organization, OrganizationStatusEnum
    from edge.admin.user import User
    from edge.api import EdgeAdmin
    from edge_admin.audit_line import AuditLine
    from edge_admin.invitation import Invitation
    from edge_admin.member import Member
    from edge_admin.quota import Quota

    assert edge.admin.Organization is Organization
    assert edge.admin.OrganizationStatusEnum is OrganizationStatusEnum
    assert edge.admin.User is User
    admin = join(server_admin=True).admin
    assert isinstance(admin, EdgeAdmin)
    name = f"{edge_session.organization}-two"
    admin.add_organization(
        Organization(
            name=name,
            title="Two",
            status=OrganizationStatusEnum.DisableApps,
            disable_launch=True,
            shutdown_apps=True,
            active=True,
        )
    )
    organization = admin.get_organization(name)
    assert (organization.name, organization.title, organization.status) == (
        name,
        "Two",
        OrganizationStatusEnum.DisableApps,
    )
    assert (organization.disable_launch, organization.shutdown_apps, organization.active) == (True, True, True)
    assert organization.uid == organization.to_dict()["uid"]
    organization.status = OrganizationStatusEnum.Active
    assert admin.update_organization(organization).status is OrganizationStatusEnum.Active
    assert name in admin.list_organization_names()
    assert name in {listed.name for listed in admin.list_organizations()}
    assert admin.set_quota(name, 5000).storage_bytes == 5000
    quota = admin.get_quota(name)
    assert isinstance(quota, Quota)
    assert quota.to_dict() == {
        "storage_bytes": 5000,
        "used_bytes": 0,
        "upload_bytes": 0,
        "deleted_bytes": 0,
        "limit_bytes": 5000,
        "deleted_limit_bytes": 20_000,
    }
    assert (quota.storage_bytes, quota.used_bytes) == (5000, 0)
    assert (quota.upload_bytes, quota.deleted_bytes) == (0, 0)
    assert (quota.limit_bytes, quota.deleted_limit_bytes) == (5000, 20_000)

    bob = f"bob-{name}"
    admin.add_user(User(bob, "Bob", "User", "bob@user.com"))
    user = admin.get_user(bob)
    assert (user.user_name, user.first_name, user.last_name, user.email) == (bob, "Bob", "User", "bob@user.com")
    assert (user.server_admin, user.home_org, user.license_name) == (False, None, None)
    assert user.uid == user.to_dict()["uid"]
    user.home_org = name
    assert admin.update_user(user).home_org == name
    assert bob in admin.list_user_names()
    assert bob in {listed.user_name for listed in admin.list_users()}

    assert admin.add_user_to_organization(bob, ["developer"], name).roles == ["developer"]
    member = admin.get_member(bob, name)
    assert isinstance(member, Member)
    assert (member.first_name, member.last_name, member.email) == ("Bob", "User", "bob@user.com")
    assert (member.license_name, member.home) == (None, True)
    assert member.to_dict()["roles"] == member.roles == ["developer"]
    member.roles = []
    assert admin.update_member(member, name).roles == []
    assert [member.user_name for member in admin.list_members(name)] == [bob]
    own = edge_session.admin
    theirs = edge_join(user=bob).admin
    for _ in range(2):
        invited = own.add_user_to_organization(bob)
        assert (invited.invited, invited.email) == (True, None)
        (invitation,) = theirs.list_own_invitations()
        theirs.decline_invitation(invitation.id)
    own.add_user_to_organization(bob)
    (invitation,) = theirs.list_own_invitations()
    assert theirs.accept_invitation(invitation.id).organization_name == edge_session.organization
    assert own.set_roles(bob, ["developer"]) == own.get_roles(bob) == ["developer"]
    assert own.revoke_member_addresses(bob) is None  # type: ignore[func-returns-value]
    assert admin.revoke_user_addresses(bob) is None  # type: ignore[func-returns-value]
    own.remove_user_from_organization(bob)
    assert own.invite_to_organization(bob, roles=["developer"])
    invitation = own.list_invitations()[-1]
    assert isinstance(invitation, Invitation)
    assert (invitation.user_name, invitation.organization_name) == (bob, edge_session.organization)
    assert invitation.expires_at - invitation.created_at == dt.timedelta(days=7)
    assert (invitation.email, invitation.accepted_at, invitation.code) == (None, None, None)
    assert invitation.created_by == edge_session.whoami().user_name
    assert invitation.to_dict()["roles"] == invitation.roles == ["developer"]
    own.remove_invitation(invitation.id)
    assert [listed.accepted_at is None for listed in own.list_invitations()] == [False]
    line = own.list_audit_lines()[0]
    assert isinstance(line, AuditLine)
    assert (line.action, line.user_name) == ("invitations.remove", edge_session.whoami().user_name)
    assert (line.about["user_name"], line.organization_name) == (bob, edge_session.organization)
    assert line.at >= invitation.created_at
    assert line.token_id == edge_session.tokens.list()[0].id
    assert line.to_dict()["request_id"] == line.request_id
    assert admin.list_server_audit_lines(action="admin.users.revoke_addresses")[0].organization_name is None
    admin.remove_user(bob)
    assert admin.remove_organization(name).status is OrganizationStatusEnum.Deleting


def test_errors(edge_session: EdgeSession, join: Join, raw_server: Callable[[bytes], str], monkeypatch: Any) -> None:
    from edge.api import (
        AlreadyExists,
        ApiError,
        BadEntry,
        BadResponse,
        ChecksumError,
        ConfigurationError,
        Conflict,
        ConnectionFailed,
        EdgeError,
        EdgeSessionError,
        Forbidden,
        MissingPackage,
        NotFound,
        PluginError,
        QuotaExceeded,
        ServerError,
        Unauthenticated,
    )

    edge = edge_session
    with pytest.raises(NotFound) as caught:
        edge.files.open("missing.csv")
    error = caught.value
    assert isinstance(error, ApiError)
    assert (error.status, error.code, error.method) == (404, "not_found", "GET")
    assert error.request_id in str(error)
    assert error.url.startswith(edge.config.service_url)
    with pytest.raises(NotFound):
        edge.secrets.read_user_secret("missing")
    edge.files.make_folder("runs/old")
    with pytest.raises(AlreadyExists):
        edge.files.make_folder("runs")
    with pytest.raises(BadEntry):
        edge.files.make_folder("a\0b")
    with pytest.raises(Conflict):
        edge.files.delete("runs")
    with pytest.raises(Forbidden):
        edge.admin.list_organization_names()
    join(server_admin=True).admin.set_quota(edge.organization, 5)
    with pytest.raises(QuotaExceeded):
        edge.files.upload("a.csv", b"123456")

    url, organization = edge.config.service_url, edge.organization

    def ask(address: str, token: str = "edg_wrong") -> None:
        with EdgeSession(token, address, organization, retries=0) as session:
            session.whoami()

    with pytest.raises(Unauthenticated):
        ask(url)
    with pytest.raises(ServerError):
        ask(raw_server(problem(500, "internal")))
    with pytest.raises(ChecksumError):
        ask(raw_server(problem(422, "checksum_mismatch")))
    with pytest.raises(ApiError, match="a teapot"):
        ask(raw_server(problem(418, "teapot", "this is a teapot")))
    with pytest.raises(BadResponse):
        ask(raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
    with pytest.raises(ConnectionFailed):
        ask(raw_server(b""))
    for name in (ConfigurationError, EdgeSessionError):
        with pytest.raises(name):
            EdgeSession(api_token="edg_x")
    with pytest.raises(PluginError):

        class Other(type(edge.tokens)):  # type: ignore[misc]
            pass

        edge.get(Other)
    edge.files.upload("b.csv", b"a\n1\n")
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingPackage):
        edge.files.open("b.csv")
    closed = EdgeSession("edg_x", url, organization)
    closed.close()
    with pytest.raises(EdgeError, match="closed"):
        closed.whoami()


def problem(status: int, code: str, detail: str = "it went wrong; do something") -> bytes:
    """The answer of a server that refuses (RFC 9457)."""
    body = json.dumps({"status": status, "code": code, "title": code, "detail": detail}).encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
