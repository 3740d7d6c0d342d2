"""`edge files`, against a live server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_core.errors import NotFound
from edge_core.session import EdgeSession
from edge_files import sending
from edge_files.cli import files as command
from edge_files.folder import Folder
from edge_files.store import OrganizationStore
from edge_vfs import progress

Run = Callable[..., Result]


@pytest.fixture
def run(edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls `edge files` in an empty local folder, in an organization with a few plates."""
    monkeypatch.chdir(tmp_path)
    for path in ("runs/a.csv", "runs/b.csv", "runs/deep/c.csv", "b.csv"):
        edge_session.files.upload(path, path.encode())
    settings = edge_session.config

    def open_session() -> EdgeSession:
        return EdgeSession(
            api_token=settings.api_token, service_url=settings.service_url, organization=settings.organization
        )

    return lambda *arguments: CliRunner().invoke(command, arguments, obj=open_session)


def refusal(result: Result) -> str:
    assert result.exit_code != 0
    return result.output + str(result.exception)


def test_several_names_and_wildcards_are_moved(run: Run, files: Folder) -> None:
    assert run("mv", "runs/*.csv", "kept/").exit_code == 0
    assert run("mv", "kept/a.csv", "edge:runs/deep", "other/").exit_code == 0
    assert (files / "kept").list() == ["b.csv"]
    assert (files / "other").list() == ["a.csv", "deep"]
    assert run("mv", "other/a*", "renamed.csv").exit_code == 0, "a single match"
    assert files.read_bytes("renamed.csv") == b"runs/a.csv"


def test_what_would_replace_another_source_or_hold_itself_moves_nothing(
    run: Run, files: Folder, tmp_path: Path
) -> None:
    assert "several sources have the name 'b.csv'" in refusal(run("mv", "--overwrite", "b.csv", "runs/b.csv", "kept/"))
    assert "several sources have the name 'b.csv'" in refusal(run("cp", "edge:b.csv", "edge:runs/b.csv", "edge:kept/"))
    assert "several sources have the name 'b.csv'" in refusal(run("cp", "edge:b.csv", "edge:runs/b.csv", str(tmp_path)))
    assert "'runs' cannot be moved into itself" in refusal(run("mv", "*", "runs/"))
    assert "2 sources, and 'nowhere' is no folder" in refusal(run("mv", "runs/*.csv", "nowhere"))
    assert files.list() == ["b.csv", "runs"]
    assert list(tmp_path.iterdir()) == []


def test_wildcards_are_read(run: Run, files: Folder) -> None:
    assert run("cat", "runs/*.csv").stdout == "runs/a.csvruns/b.csv"
    assert len(run("url", "runs/*").stdout.split()) == 2, "of files; a folder has no address"
    assert run("find", "runs/*.csv", "runs/d*").stdout.split() == ["runs/a.csv", "runs/b.csv", "runs/deep/c.csv"]
    files.upload("runs/a.csv", b"new")
    shown = run("versions", "runs/*").stdout.splitlines()
    assert [line for line in shown if line.endswith(":")] == ["runs/a.csv:", "runs/b.csv:"]
    assert len(shown) == 5
    listed = json.loads(run("versions", "runs/?.csv", "b.csv", "--json").stdout)
    assert [row["path"] for row in listed] == ["runs/a.csv", "runs/a.csv", "runs/b.csv", "b.csv"]
    assert run("mkdir", "b*").exit_code == 0
    assert "b*" in files.list(), "a new folder has the name that was given"


def test_open_uploads_are_listed_and_dropped(run: Run, edge_session: EdgeSession) -> None:
    assert json.loads(run("uploads", "--json").stdout) == []
    http = OrganizationStore(edge_session).http
    upload = http.post("/uploads", json={"path": "runs/large.bin", "size": 3 << 20})["id"]
    heading, line = run("uploads", "-h").stdout.splitlines()
    assert heading.split() == ["upload", "sent", "counts", "last", "active", "by", "path"]
    assert line.split()[:3] == [upload, "0", "3.0M"]
    assert line.split()[-1] == "runs/large.bin"
    (listed,) = json.loads(run("uploads", "--json").stdout)
    assert (listed["id"], listed["reserved_bytes"], listed["held_bytes"]) == (upload, 3 << 20, 0)
    assert run("uploads", "ls", "-h").stdout.splitlines() == [heading, line]
    assert json.loads(run("uploads", "ls", "--json").stdout) == [listed]
    assert "give the options after 'ls'" in run("uploads", "--json", "ls").stderr
    assert run("uploads", "rm", upload).exit_code == 0
    assert json.loads(run("uploads", "--json").stdout) == []
    for words in (("uploads", "rm"), ("abort",)):
        assert "the upload cannot be found" in refusal(run(*words, upload))
    upload = http.post("/uploads", json={"path": "runs/large.bin", "size": 3 << 20})["id"]
    assert run("abort", upload).exit_code == 0


def test_the_command_tells_what_is_not_sent_again(
    run: Run, edge_session: EdgeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "large.bin"
    local.write_bytes(bytes(9 << 20))
    complete = sending._Sending._complete
    with monkeypatch.context() as patched:
        patched.setattr(sending._Sending, "_complete", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run("cp", str(local), "edge:").exit_code == 1
    assert complete is sending._Sending._complete
    again = run("cp", str(local), "edge:")
    assert again.exit_code == 0
    assert again.stderr == "9.4 MB of 9.4 MB of 'large.bin' were on the server already and were not sent again\n"
    assert run("cp", str(local), "edge:").stderr == ""


def test_open_uploads_are_listed_and_dropped_by_the_session(edge_session: EdgeSession) -> None:
    files = edge_session.files
    http = OrganizationStore(edge_session).http
    for path in ("a", "b"):
        http.post("/uploads", json={"path": path, "size": None})
    first, second = files.uploads()
    assert (first.path, first.size, first.held_bytes, first.active_at) == ("a", None, 0, None)
    assert first.created_by == edge_session.whoami().user_name
    files.abort_upload(first)
    files.abort_upload(second.id)
    assert files.uploads() == []
    with pytest.raises(NotFound, match="the upload cannot be found"):
        files.abort_upload(first)
    with pytest.raises(TypeError, match="an upload is what uploads.* not int"):
        files.abort_upload(2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ls", "stat", "du", "find", "cat", "url", "versions"])
def test_what_is_missing_among_several_is_a_line_and_the_rest_is_shown(run: Run, name: str) -> None:
    shown = run(name, "nothing.csv", "b.csv", "no*")
    assert shown.exit_code == 1
    first, second = shown.stderr.splitlines()
    assert "Error: " in first
    assert "nothing.csv" in first
    assert second.startswith("Error: nothing in the organization matches 'no*'")
    assert shown.stdout.strip()


def test_what_changes_something_looks_for_all_names_first(run: Run, files: Folder) -> None:
    for words in (
        ["rm", "b.csv", "no*"],
        ["mv", "b.csv", "nothing", "runs/"],
        ["cp", "edge:b.csv", "edge:no", "edge:runs/"],
    ):
        refusal(run(*words))
    assert files.list() == ["b.csv", "runs"]
    assert "b.csv" in (files / "runs").list()
    assert files.read_bytes("runs/b.csv") == b"runs/b.csv"


def test_a_folder_does_not_go_to_standard_output(run: Run, tmp_path: Path) -> None:
    shown = run("cp", "-r", "edge:b.csv", "edge:runs", "-")
    assert shown.exit_code == 2
    assert "'runs' is a folder, which does not go to standard output; name a local folder" in shown.stderr
    assert shown.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_errors_advise_by_options(run: Run, files: Folder, tmp_path: Path) -> None:
    (tmp_path / "plates").mkdir()
    (tmp_path / "plates" / "a.csv").touch()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "nowhere").symlink_to("nothing")
    assert run("cp", "-r", "plates", "edge:").exit_code == 0
    assert run("cp", "-r", "edge:runs/deep", "edge:").exit_code == 0
    for words, advised in (
        (["mkdir", "runs"], "'runs' exists already; choose another name, or -p accepts a folder that exists"),
        (["mv", "b.csv", "runs/a.csv"], "'runs/a.csv' exists already; choose another name, or --overwrite replaces it"),
        (["cp", "--no-overwrite", "edge:b.csv", "edge:runs/a.csv"], "leave --no-overwrite out to replace it"),
        (["cp", "-r", "--no-overwrite", "plates", "edge:"], "leave --no-overwrite out to replace it"),
        (["cp", "-r", "--no-overwrite", "edge:runs/deep", "edge:"], "leave --no-overwrite out to copy into it"),
        (["rm", "runs"], "'runs' is not empty; -r deletes it and everything in it"),
        (["cp", "-r", "--strict", "odd", "edge:"], "or leave --strict out to skip it"),
        (["cat", "runs"], "'runs' is a folder, which has no content; give the path of a file"),
        (["versions", "run?"], "'run?' is a folder, which has no content; give the path of a file"),
        (["url", "runs"], "'runs' is a folder, which has no content; give the path of a file"),
    ):
        sentence = refusal(run(*words))
        assert advised in sentence
        assert "=True" not in sentence
    with pytest.raises(Exception, match="overwrite=True replaces it"):  # in Python the words are Python's again
        files.upload("b.csv", b"", overwrite=False)


def test_sizes_are_rounded_on_demand(run: Run, files: Folder) -> None:
    files.upload("big.bin", bytes(1536))
    assert run("ls", "-lh", "big.bin").stdout.split()[0] == "1.5K"
    assert run("ls", "-lh", "b.csv").stdout.split()[0] == "5"
    assert run("ls", "-l", "big.bin").stdout.split()[0] == "1536"
    assert run("du", "-h", "big.bin").stdout.splitlines()[1].split() == ["1.5K", "1", "big.bin"]


def test_copies_show_a_bar_on_standard_error_unless_they_are_quiet(
    run: Run, files: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BAR_BYTES", 0)
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    (tmp_path / "local").mkdir()
    files.make_folder("up")
    for name in "ab":
        (tmp_path / "local" / name).write_bytes(bytes(1000))
    copies = [
        (("cp", "-r", "local", "edge:up"), "local: "),
        (("cp", "local/a", "edge:a.bin"), "a.bin: "),
        (("cp", "-r", "edge:up", "down"), "up: "),
        (("cp", "edge:a.bin", "."), "a.bin: "),
        (("cp", "edge:a.bin", "-"), "a.bin: "),
        (("cat", "a.bin"), "a.bin: "),
    ]
    for arguments, _ in copies:
        assert run(*arguments).stderr == "", "without a terminal"
    monkeypatch.setattr(progress, "_is_terminal", lambda: True)
    for arguments, bar in copies:
        shown = run(*arguments)
        assert shown.exit_code == 0
        assert shown.stderr.lstrip("\r").startswith(bar), arguments
        assert "100%" in shown.stderr
        assert bar not in shown.stdout
        assert run(*arguments, "--quiet").stderr == ""
    assert run("cat", "a.bin", "-q").stdout_bytes == bytes(1000)


def test_a_folder_becomes_like_another(run: Run, files: Folder, tmp_path: Path) -> None:
    (tmp_path / "plates").mkdir()
    for name in ("a.csv", "b.csv", "notes.txt"):
        (tmp_path / "plates" / name).write_text(name)
    plan = run("sync", "--dry-run", "--include", "*.csv", "plates", "edge:plates")
    assert plan.stdout.splitlines() == ["send  a.csv", "send  b.csv"]
    assert plan.stderr == "nothing was changed: 2 to send, 0 to delete\n"
    assert not files.exists("plates")
    assert run("sync", "--include", "*.csv", "plates", "edge:plates/").stderr.startswith("2 files with 10 bytes")
    assert (files / "plates").list() == ["a.csv", "b.csv"]
    (tmp_path / "plates" / "a.csv").unlink()
    plan = run("sync", "-n", "--delete", "--exclude", "*.txt", "plates", "edge:plates")
    assert plan.stdout == "delete  a.csv\n"
    done = run("sync", "--delete", "--exclude", "*.txt", "plates", "edge:plates")
    assert done.stderr.splitlines()[0] == "deletes 1 files and folders of edge:plates"
    assert done.stderr.splitlines()[1].endswith("1 unchanged, 1 deleted")
    assert (files / "plates").list() == ["b.csv"]
    assert run("sync", "--quiet", "edge:runs", "here").output == ""
    assert (tmp_path / "here" / "deep" / "c.csv").exists()
    (tmp_path / "empty").mkdir()
    advised = refusal(run("sync", "--delete", "empty", "edge:runs"))
    assert "or --allow-empty deletes them all the same" in advised
    assert run("sync", "--delete", "--allow-empty", "empty", "edge:runs").exit_code == 0
    assert (files / "runs").list() == []
    for words in (["plates", "here"], ["edge:plates", "edge:runs"]):
        assert run("sync", *words).exit_code == 2


def test_a_file_that_fails_ends_the_command_with_1(run: Run, files: Folder, tmp_path: Path) -> None:
    (tmp_path / "plates" / "a").mkdir(parents=True)
    (tmp_path / "plates" / "a" / "x").touch()
    (tmp_path / "plates" / "b").touch()
    files.upload("plates/a", b"a file")
    assert "1 of 2 files could not be uploaded, all others were: 'a/x'" in refusal(run("sync", "plates", "edge:plates"))
    assert files.exists("plates/b")
