"""What people expect of a folder beside the reference: paths, joining, walking, patterns, notebooks, whole trees."""

from __future__ import annotations

import array
import hashlib
import os
import socket
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from edge_core.errors import AlreadyExists, BadEntry, Conflict, NotFound
from edge_core.session import EdgeSession
from edge_files.folder import Folder
from edge_vfs.folder import SHOWN
from edge_vfs.report import IncompleteTransfer


@pytest.fixture
def tree(files: Folder) -> Folder:
    for path in ("runs/2024/a.csv", "runs/2024/b.txt", "runs/2023/a.csv", "runs/.hidden.csv", "top.csv"):
        files.upload(path, path.encode())
    files.make_folder("runs/empty")
    return files


def test_a_name_may_be_a_path_object_everywhere(files: Folder, tmp_path: Path) -> None:
    files.upload(PurePosixPath("runs/a.txt"), b"x")
    files.make_folder(PureWindowsPath("runs\\new"))
    assert files.open(Path("runs/a.txt")) == "x"
    assert files.exists(Path("runs/new"))
    files.move(Path("runs/a.txt"), Path("runs/new/b.txt"))
    files.rename(Path("runs/new/b.txt"), "c.txt")
    assert files.download(Path("runs/new/c.txt"), tmp_path).read_bytes() == b"x"
    files.delete(Path("runs"), recursive=True)
    with pytest.raises(TypeError, match="a str or a path"):
        files.open(b"runs")  # type: ignore[arg-type]


def test_exists_and_stat(tree: Folder) -> None:
    assert tree.exists("runs/2024/a.csv")
    assert tree.exists("runs")
    assert "top.csv" in tree
    assert "nothing.csv" not in tree
    assert not tree.exists("runs/2024/a.csv/b")
    about = tree.stat("runs/2024/a.csv")
    content = b"runs/2024/a.csv"
    assert (about.name, about.kind, about.size) == ("a.csv", "file", len(content))
    assert about.sha256 == hashlib.sha256(content).hexdigest()
    assert about.modified_at.utcoffset() is not None
    folder = tree.stat("runs")
    assert (folder.name, folder.kind, folder.size, folder.sha256) == ("runs", "folder", None, None)
    assert tree.stat().kind == "folder"
    with pytest.raises(NotFound, match="nothing"):
        tree.stat("nothing")
    with pytest.raises(BadEntry):
        tree.exists("../x")


def test_joining_sends_nothing_and_is_accepted_as_a_name(
    tree: Folder, edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(edge_session.http, "_send_once", None)
        year = tree / "runs" / Path("2024")
        assert (year.path, year.basename, year.parent.path, tree.path, tree.parent.path) == (
            "/runs/2024",
            "2024",
            "/runs",
            "/",
            "/",
        )
        assert repr(year) == "<Folder '/runs/2024'>"
    assert year.list() == ["a.csv", "b.txt"]
    assert year.exists()
    assert not (tree / "runs" / "2025").exists()
    assert tree.open(year / "b.txt") == "runs/2024/b.txt"
    tree.move(year / "b.txt", tree / "moved.txt")
    assert year.download(tree / "moved.txt", tmp_path).read_text() == "runs/2024/b.txt"
    with pytest.raises(BadEntry, match="root"):
        tree.delete(tree, recursive=True)
    assert tree.list() == ["moved.txt", "runs", "top.csv"]


def test_a_folder_of_another_organization_is_refused(tree: Folder, edge_server: Any) -> None:
    other = edge_server.create_organization()
    token = edge_server.create_token(edge_server.create_user(organization=other))
    url = tree._store.session.config.service_url  # type: ignore[attr-defined]
    with EdgeSession(token, url, other) as edge, pytest.raises(BadEntry, match="another store"):
        tree.open(edge.files / "top.csv")


def test_iterating_gives_the_names(tree: Folder) -> None:
    assert list(tree) == tree.list() == ["runs", "top.csv"]
    entries = [(entry.name, entry.kind, entry.size) for entry in tree.scan()]
    assert entries == [("runs", "folder", None), ("top.csv", "file", 7)]
    assert tree.open("runs").basename == "runs"


@pytest.mark.slow
def test_iterating_holds_no_long_list(files: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 entries, page by page, from a server that has them; each page is freed before the next but one."""
    total, limit = 100_000, 1000

    def page(path: str, *, params: Any) -> Any:
        first = int(params["cursor"] or 0)
        items = [
            {
                "name": f"{number:08}.csv",
                "kind": "file",
                "uid": "u",
                "modified_at": "2026-01-01T00:00:00Z",
                "size": 1,
                "sha256": "0" * 64,
                "version": "v",
            }
            for number in range(first, first + limit)
        ]
        return {"items": items, "next": str(first + limit) if first + limit < total else None}

    monkeypatch.setattr(files._store.http, "get", page)  # type: ignore[attr-defined]
    tracemalloc.start()
    try:
        assert sum(1 for _ in files) == total
        assert sum(entry.size or 0 for entry in files.scan()) == total
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20, "all of them would take more than 100 MiB"


def test_walk_skips_folders_that_are_removed_from_its_list(tree: Folder) -> None:
    steps = [(folder.path, folders, files) for folder, folders, files in tree.walk()]
    assert steps == [
        ("/", ["runs"], ["top.csv"]),
        ("/runs", ["2023", "2024", "empty"], [".hidden.csv"]),
        ("/runs/2023", [], ["a.csv"]),
        ("/runs/2024", [], ["a.csv", "b.txt"]),
        ("/runs/empty", [], []),
    ]
    seen = []
    for folder, folders, _ in tree.walk("runs"):
        seen.append(folder.path)
        if "2023" in folders:
            folders.remove("2023")
    assert seen == ["/runs", "/runs/2024", "/runs/empty"]
    with pytest.raises(NotFound):
        list(tree.walk("nothing"))


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.csv", ["top.csv"]),
        ("*", ["runs", "top.csv"]),
        ("/runs/2024/*", ["runs/2024/a.csv", "runs/2024/b.txt"]),
        ("runs/*/a.csv", ["runs/2023/a.csv", "runs/2024/a.csv"]),
        ("runs/202[4-9]/?.csv", ["runs/2024/a.csv"]),
        ("**/a.csv", ["runs/2023/a.csv", "runs/2024/a.csv"]),
        ("runs/**/*.csv", ["runs/.hidden.csv", "runs/2023/a.csv", "runs/2024/a.csv"]),
        ("runs/2024/b.txt", ["runs/2024/b.txt"]),
        ("RUNS/*", []),
        ("nothing/*", []),
        ("top.csv/*", []),
    ],
)
def test_glob_finds_by_pattern(tree: Folder, pattern: str, paths: list[str]) -> None:
    assert sorted(tree.glob(pattern)) == paths
    assert all(tree.exists(path) for path in paths)


def test_glob_lists_only_folders_that_can_hold_a_match(tree: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    children = tree._store.children

    def noting(path: str, /, kind: str | None = None) -> Any:
        listed.append(path)
        return children(path, kind)

    monkeypatch.setattr(tree._store, "children", noting)
    assert list((tree / "runs").glob("2024/*.csv")) == ["2024/a.csv"]
    assert list(tree.glob("runs/*4/*.csv")) == ["runs/2024/a.csv"]
    assert list(tree.glob("r*")) == ["runs"]
    assert listed == ["runs/2024", "runs", "runs/2024", ""]


def test_all_below_a_folder_is_listed_at_once(
    tree: Folder, edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = []
    send = edge_session.http._send_once

    def noting(request: Any, *arguments: Any, **options: Any) -> Any:
        urls.append(request.url)
        return send(request, *arguments, **options)

    monkeypatch.setattr(edge_session.http, "_send_once", noting)
    assert len(list(tree.walk())) == 5
    assert list(tree.glob("**/*.csv")) == ["top.csv", "runs/.hidden.csv", "runs/2023/a.csv", "runs/2024/a.csv"]
    assert len(list(tree.glob("runs/2*/**/*.csv"))) == 2
    assert len(urls) == 3
    assert "prefix=2" in urls[-1]
    tree.download_folder("runs", tmp_path / "runs")
    assert len([url for url in urls if "/entries" in url]) == 4


def test_a_server_of_before_lists_folder_by_folder(
    tree: Folder, edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = [(folder.path, folders, files) for folder, folders, files in tree.walk()]
    get = tree._store.http.get  # type: ignore[attr-defined]

    def before(path: str, **options: Any) -> Any:
        if "recursive" in (options.get("params") or {}):
            options["params"]["unknown"] = "of a later version"
        return get(path, **options)

    monkeypatch.setattr(tree._store.http, "get", before)  # type: ignore[attr-defined]
    assert [(folder.path, folders, files) for folder, folders, files in tree.walk()] == walked
    assert list(tree.glob("**/*.csv")) == ["top.csv", "runs/.hidden.csv", "runs/2023/a.csv", "runs/2024/a.csv"]
    assert list(tree.glob("runs/2*/**")) == [
        "runs/2023/a.csv",
        "runs/2024/a.csv",
        "runs/2024/b.txt",
    ]
    tree.download_folder("runs", tmp_path / "runs")
    assert (tmp_path / "runs" / "2024" / "a.csv").exists()


@pytest.mark.parametrize("pattern", ["", "a//b", "a**/b", "runs/"])
def test_an_invalid_pattern_is_refused(tree: Folder, pattern: str) -> None:
    with pytest.raises(BadEntry, match="pattern"):
        list(tree.glob(pattern))


@pytest.mark.slow
def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    program = "import edge_files.namespace, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"fsspec", "numpy", "pandas", "pyarrow", "PIL", "imageio", "openpyxl", "odf", "python_calamine"}
    assert heavy.isdisjoint(loaded)


# --- content as a whole ---------------------------------------------------------------------------


def test_content_is_written_and_read_as_it_is(files: Folder) -> None:
    for content in (b"", b"\r\n\r\0", bytearray(b"abc"), memoryview(array.array("i", [1, 2]))):
        assert files.write_bytes("runs/a.bin", content) == len(bytes(content))
        assert files.read_bytes("runs/a.bin") == bytes(content)
    assert files.write_bytes("a.bin", memoryview(b"abcdef")[::2]) == 3
    assert files.read_bytes("a.bin") == b"ace"
    for text in ("", "a\r\nb\rc\n", "\ufeffgrün 文件 🧪"):
        assert files.write_text("a.csv", text) == len(text)
        assert files.read_text("a.csv") == text
        assert files.read_bytes("a.csv") == text.encode()
    files.write_text(files / "a.csv", "grün", "latin-1", overwrite=True)
    assert files.read_bytes("a.csv") == b"gr\xfcn"
    assert files.read_text("a.csv", encoding="latin-1") == "grün"
    assert files.read_text("a.csv", errors="replace") == "gr\ufffdn"


def test_what_cannot_be_written_or_read_changes_nothing(
    files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("a local file")
    files.write_bytes("a.csv", b"gr\xfcn")
    files.make_folder("runs")
    with pytest.raises(UnicodeDecodeError, match="the encoding of 'a.csv', such as encoding='latin-1'"):
        files.read_text("a.csv")
    with pytest.raises(UnicodeEncodeError, match="nothing was uploaded: leave encoding out"):
        files.write_text("a.csv", "文件", encoding="latin-1")
    with pytest.raises(TypeError, match="not str; for text use write_text"):
        files.write_bytes("a.csv", "a.csv")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="write_bytes"):
        files.write_text("a.csv", b"x")  # type: ignore[arg-type]
    for write in (files.write_bytes, files.write_text):
        with pytest.raises(AlreadyExists):
            write("a.csv", b"x" if write == files.write_bytes else "x", overwrite=False)  # type: ignore[operator]
    for read in (files.read_bytes, files.read_text):
        with pytest.raises(BadEntry, match="is a folder"):
            read("runs")
        with pytest.raises(NotFound):
            read("nothing")
    assert files.read_bytes("a.csv") == b"gr\xfcn"


def test_touch_never_empties_a_file(files: Folder) -> None:
    files.touch("runs/new.txt")
    assert files.read_bytes("runs/new.txt") == b""
    files.write_bytes("runs/new.txt", b"content")
    before = files.stat("runs/new.txt")
    files.touch("runs/new.txt")
    assert files.stat("runs/new.txt").version == before.version
    assert files.read_bytes("runs/new.txt") == b"content"
    with pytest.raises(
        AlreadyExists, match="'runs/new.txt' exists already; choose another name, or leave exist_ok out"
    ):
        files.touch("runs/new.txt", exist_ok=False)
    with pytest.raises(AlreadyExists, match="'runs' is a folder"):
        files.touch("runs")


def test_a_name_that_is_taken_says_by_what_and_which_argument_writes_it(files: Folder, tmp_path: Path) -> None:
    files.upload("runs/a.csv", b"a")
    files.upload("b.csv", b"b")
    files.make_folder("kept")
    (tmp_path / "sub").mkdir()
    replaces = "exists already; choose another name, or overwrite=True replaces it"
    for write, sentence in (
        (lambda: files.make_folder("runs"), "'runs' exists already; choose another name, or exist_ok=True returns"),
        (lambda: files.make_folder("b.csv", exist_ok=True), "'b.csv' is a file; choose another name"),
        (lambda: files.upload_folder("b.csv", tmp_path / "sub"), "'b.csv' is a file; choose another name"),
        (lambda: files.move("runs", "b.csv"), "'b.csv' is a file; choose another name"),
        (lambda: files.upload("runs", b"", overwrite=False), "'runs' is a folder; give a path in it"),
        (lambda: files.move("b.csv", "runs", overwrite=True), "'runs' is a folder; give a path in it"),
        (lambda: files.copy("b.csv", "runs"), "'runs' is a folder; give a path in it"),
        (
            lambda: files.rename("runs", "kept"),
            "'kept' is a folder; to move 'runs' into it, give the new path 'kept/runs'",
        ),
        (lambda: files.upload("b.csv", b"", overwrite=False), f"'b.csv' {replaces}"),
        (lambda: files.move("runs/a.csv", "b.csv"), f"'b.csv' {replaces}"),
        (lambda: files.copy("runs/a.csv", "b.csv"), f"'b.csv' {replaces}"),
        (
            lambda: files.copy("runs", "kept", recursive=True),
            "'kept' exists already; choose another name, or overwrite=True copies into it",
        ),
    ):
        with pytest.raises(AlreadyExists) as caught:
            write()
        assert str(caught.value).startswith(sentence)
    with pytest.raises(Conflict, match="'runs' is not empty; recursive=True deletes it"):
        files.delete("runs")


# --- notebooks ------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The document as a browser parses it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = [
    "<script>alert(1)<",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "\u202egpj.exe",
    "<!--",
    "]]>",
]


def test_a_notebook_shows_a_table_with_escaped_names(files: Folder) -> None:
    folder = files.make_folder("<b onclick=x>")
    for name in HOSTILE:
        folder.upload(name, b"12345")
    folder.make_folder("sub")
    shown = Tags(folder._repr_html_())
    assert shown.tags == {"table", "caption", "bdi", "thead", "tbody", "tr", "th", "td"}
    assert shown.attributes == set()
    for text in (*HOSTILE, "sub/", "/<b onclick=x>", "5"):
        assert text in shown.text


def test_a_notebook_shows_the_beginning_of_a_long_folder_and_errors(files: Folder) -> None:
    for number in range(SHOWN + 1):
        files.make_folder(f"many/{number:03}")
    shown = Tags((files / "many")._repr_html_())
    assert "000/" in shown.text
    assert "and more" in shown.text
    assert f"{SHOWN:03}/" not in shown.text
    gone = Tags((files / "<i>gone")._repr_html_())
    assert gone.tags == {"pre"}
    assert "<i>gone" in gone.text


def test_the_repr_of_a_file_has_its_path_and_size(tree: Folder) -> None:
    file = tree.open("top.csv", open_with="file")
    assert repr(file) == "<File '/top.csv', 7 bytes>"
    file.close()
    assert repr(file) == "<File '/top.csv', 7 bytes, closed>"
    assert repr(tree / "a\u202eb") == "<Folder '/a\\u202eb'>"


# --- whole trees ----------------------------------------------------------------------------------


def local(top: Path) -> dict[str, bytes | None]:
    """The files and folders below a local folder; a folder has no content."""
    paths = sorted(top.rglob("*"))
    return {path.relative_to(top).as_posix(): None if path.is_dir() else path.read_bytes() for path in paths}


def test_a_tree_comes_down_and_goes_up_whole(tree: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine.txt").write_text("stays")
    assert tree.download_folder("runs") == Path("runs")
    expected = {
        ".hidden.csv": b"runs/.hidden.csv",
        "2023": None,
        "2023/a.csv": b"runs/2023/a.csv",
        "2024": None,
        "2024/a.csv": b"runs/2024/a.csv",
        "2024/b.txt": b"runs/2024/b.txt",
        "empty": None,
        "mine.txt": b"stays",
    }
    assert local(tmp_path / "runs") == expected
    copy = tree.upload_folder("copies/first", tmp_path / "runs")
    assert copy.path == "/copies/first"
    assert tree.download_folder(copy, tmp_path / "again") == tmp_path / "again"
    assert local(tmp_path / "again") == expected
    with pytest.raises(IncompleteTransfer, match="exists already"):
        tree.upload_folder("copies/first", tmp_path / "runs", overwrite=False)
    with pytest.raises(FileNotFoundError, match="does not exist; check the path"):
        tree.upload_folder("copies", tmp_path / "nothing")
    with pytest.raises(NotADirectoryError, match="is not a folder; upload it with upload$"):
        tree.upload_folder("copies", tmp_path / "runs" / "mine.txt")
    with pytest.raises(IsADirectoryError, match="is a folder; upload it with upload_folder"):
        tree.upload("copies", tmp_path / "runs")
    with pytest.raises(BadEntry, match="download_folder"):
        tree.download("runs", tmp_path)
    with pytest.raises(NotFound):
        tree.download_folder("nothing", tmp_path / "nothing")
    with pytest.raises(BadEntry):
        tree.download_folder("top.csv", tmp_path / "file")


@pytest.fixture
def odd_tree(tmp_path: Path) -> Iterator[Path]:
    """A local folder with three good files and much that cannot be uploaded."""
    top = tmp_path / "odd"
    (top / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", "sub/12:30?.txt"):
        (top / name).write_text(name)
    os.symlink(top / "nothing", top / "sub" / "nowhere")
    os.symlink("round", top / "round")
    os.symlink(top, top / "sub" / "circle")
    (top / ("\u0958" * 80)).write_text("composed, it has twice as many bytes")
    os.mkfifo(top / "pipe")
    os.symlink(top / "pipe", top / "to-pipe")
    os.symlink("/dev/null", top / "to-device")
    Path(os.fsdecode(os.fsencode(top) + b"/gr\xfcn.txt")).write_text("latin-1")
    (top / "new\nline.txt").write_text("x")
    (top / "c1\x85.txt").write_text("x")
    folder = Path(os.fsdecode(os.fsencode(top) + b"/folder\xff"))
    folder.mkdir()
    (folder / "inside.txt").write_text("x")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(top / "socket"))
        yield top


SKIPPED = (
    "nowhere",
    "round",
    "circle' (a link to a folder)",
    "\u0958' (a name that has more than 255 bytes",
    "pipe",
    "to-pipe",
    "to-device",
    "gr\\udcfcn",
    "new\\nline",
    "c1\\x85",
    "folder\\udcff",
    "socket",
)


def test_what_cannot_be_uploaded_is_skipped_with_a_single_warning(files: Folder, odd_tree: Path) -> None:
    with pytest.warns(UserWarning, match="; skipped$") as warned:
        files.upload_folder("odd", odd_tree)
    assert len(warned) == 1
    sentence = str(warned[0].message)
    assert sentence.startswith(f"{len(SKIPPED)} entries of ")
    assert all(name in sentence for name in SKIPPED)
    assert warned[0].filename == __file__
    assert files.open("odd").list() == ["a.txt", "sub"]
    assert files.open("odd/sub").list() == ["12:30?.txt", "b.txt"]


def test_what_interrupted_downloads_left_is_not_uploaded(files: Folder, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "chapter.part").write_text("b")
    (tmp_path / ".a.bin.0123456789abcdef01234567.part").write_text("c")
    with pytest.warns(UserWarning, match=r"^1 entry of .*\.part' \(an unfinished download\); skipped$"):
        files.upload_folder("runs", tmp_path)
    assert files.open("runs").list() == ["a.txt", "chapter.part"]


def test_strict_refuses_what_cannot_be_uploaded_before_the_first_byte(files: Folder, odd_tree: Path) -> None:
    with pytest.raises(BadEntry, match=f"^{len(SKIPPED)} entries .* nothing was uploaded"):
        files.upload_folder("odd", odd_tree, strict=True)
    with warnings.catch_warnings(), pytest.raises(UserWarning):
        warnings.simplefilter("error")
        files.upload_folder("odd", odd_tree)
    assert files.list() == []


def test_an_upload_that_fails_says_what_was_done(files: Folder, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(name)
    files.upload("copy/b.txt", b"mine")
    with pytest.raises(
        IncompleteTransfer, match="^1 of 3 files could not be uploaded, all others were: 'b.txt'"
    ) as raised:
        files.upload_folder("copy", tmp_path, overwrite=False)
    report = raised.value.report
    assert report.sent == ("a.txt", "c.txt")
    assert isinstance(report.failed[0].error, AlreadyExists)
    assert [files.read_text(f"copy/{name}.txt") for name in "abc"] == ["a.txt", "mine", "c.txt"]
    files.upload("other/b.txt", b"mine")
    with pytest.raises(AlreadyExists, match=r"; \d of 3 files had been uploaded before"):
        files.upload_folder("other", tmp_path, overwrite=False, on_error="stop")


def test_names_that_are_the_same_on_the_server_are_refused_before_the_first_byte(files: Folder, tmp_path: Path) -> None:
    (tmp_path / "sub" / "u\u0308").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("x")
    assert files.upload_folder("good", tmp_path).list() == ["a.txt", "sub"]
    (tmp_path / "sub" / "\u00fc").write_text("another")
    with pytest.raises(BadEntry, match="normal form"):
        files.upload_folder("odd", tmp_path)
    assert files.list() == ["good"]
