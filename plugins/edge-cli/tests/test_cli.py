"""The `edge` command as a person meets it: in a process of its own, against a live server."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_cli.main import cli, main
from edge_core.registry import Registry
from edge_core.session import EdgeSession

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_", "JUPYTERHUB_"))}
    return {**kept, "EDGE_CONFIG_FILE": str(tmp_path / "none.ini")}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `edge` with arguments, in an empty folder."""

    def call(*words: str, text: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from edge_cli.main import main; main()", *words]
        return subprocess.run(
            command, env={**environment, **more}, cwd=tmp_path, input=text, capture_output=True, text=True, timeout=60
        )

    return call


@pytest.fixture
def online(run: Run, edge_session: EdgeSession) -> Run:
    """Run `edge` with arguments and the settings of a fresh organization."""
    settings = edge_session.config

    def call(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        variables = {
            "EDGE_API_TOKEN": settings.api_token,
            "EDGE_API_SERVICE_URL": settings.service_url,
            "EDGE_API_ORG": settings.organization,
        }
        return run(*words, **{**variables, **more})

    return call


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """What a call that fails shows, in this process."""
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "none.ini"))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(logging.getLogger("edge.retries"), "handlers", [])

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["edge", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (1, 2)
        return "".join(capsys.readouterr())

    return call


def test_whoami(online: Run, edge_session: EdgeSession) -> None:
    me = edge_session.whoami()
    shown = online("whoami")
    assert shown.returncode == 0
    assert me.user_name in shown.stdout
    assert f"* {edge_session.organization}: " in shown.stdout
    assert json.loads(online("whoami", "--json").stdout) == me.to_dict()


@pytest.mark.slow
def test_search_finds_by_name(online: Run, edge_session: EdgeSession) -> None:
    for name in ("Experiment-7.csv", "Experiment-8.csv", "other\u202etxt"):
        edge_session.files.upload(f"runs/{name}", b"x")
    shown = online("search", "expermient")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == "file       runs/Experiment-7.csv\nfile       runs/Experiment-8.csv\n"
    first = online("search", "expermient", "--most", "1")
    assert first.stdout == "file       runs/Experiment-7.csv\n"
    assert "1 more" in first.stderr
    assert json.loads(online("search", "run", "--kind", "folder", "--json").stdout)[0]["path"] == "runs"
    assert online("search", "other").stdout == "file       runs/other\\u202etxt\n"
    nothing = online("search", "zzz")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "Nothing" in nothing.stderr


@pytest.mark.slow
def test_files_go_up_show_and_come_back(online: Run, tmp_path: Path) -> None:
    (tmp_path / "plate.csv").write_bytes(b"a,b\n1,2\n")
    for words in (
        ["cp", "plate.csv", "edge:plate.csv"],
        ["cp", "plate.csv", "edge:runs/"],
        ["cp", str(tmp_path / "plate.csv"), "edge:"],
        ["cp", "plate.csv", "edge:runs"],
    ):
        shown = online("files", *words)
        assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")
    assert online("files", "ls").stdout == "plate.csv\nruns/\n"
    assert online("files", "ls", "edge:runs/").stdout == "plate.csv\n"
    assert online("files", "cat", "runs/plate.csv").stdout == "a,b\n1,2\n"
    assert online("files", "ls", "-l", "plate.csv").stdout.split()[0] == "8"
    listed = json.loads(online("files", "ls", "--json").stdout)
    assert [(row["name"], row["kind"], row["size"]) for row in listed] == [
        ("plate.csv", "file", 8),
        ("runs", "folder", None),
    ]
    assert online("files", "cp", "edge:runs/plate.csv", "back.csv").returncode == 0
    assert (tmp_path / "back.csv").read_bytes() == b"a,b\n1,2\n"


@pytest.mark.slow
def test_files_are_copied_and_restored_on_the_server(online: Run) -> None:
    def quiet(*words: str, **more: str) -> None:
        done = online("files", *words, **more)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    quiet("cp", "-", "edge:runs/a.txt", text="one")
    quiet("cp", "edge:runs/a.txt", "edge:b.txt")
    quiet("cp", "-r", "edge:runs/", "edge:kept/")
    assert online("files", "ls", "kept/runs").stdout == "a.txt\n"
    refused = online("files", "cp", "--no-overwrite", "edge:b.txt", "edge:runs/a.txt")
    assert (refused.returncode, "exists already" in refused.stderr) == (1, True)
    assert "add -r" in online("files", "cp", "edge:runs", "edge:more").stderr
    quiet("cp", "-", "edge:b.txt", text="newest")
    rows = [line.split() for line in online("files", "versions", "edge:b.txt").stdout.splitlines()]
    assert [(row[1], row[4]) for row in rows] == [("6", "newest"), ("3", "until")]
    listed = json.loads(online("files", "versions", "--json", "b.txt").stdout)
    assert [row["version"] for row in listed] == [row[0] for row in rows]
    quiet("rm", "b.txt")
    quiet("restore", "b.txt", rows[1][0])
    assert online("files", "cat", "b.txt").stdout == "one"


@pytest.mark.slow
def test_folders_are_created_and_files_moved_and_deleted(online: Run) -> None:
    def quiet(*words: str) -> None:
        done = online("files", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def says(text: str, *words: str) -> None:
        done = online("files", *words)
        assert done.returncode == 1
        assert text in done.stderr
        assert "Traceback" not in done.stderr

    quiet("mkdir", "edge:runs/2024/", "old")
    says("old", "mkdir", "old")
    quiet("mkdir", "-p", "old")
    assert online("files", "cp", "-", "edge:a.txt", text="a").returncode == 0
    assert online("files", "cp", "-", "edge:b.txt", text="b").returncode == 0
    quiet("mv", "edge:a.txt", "edge:runs/2024")
    quiet("mv", "runs/2024/", "runs/2025")
    assert online("files", "ls", "runs/2025").stdout == "a.txt\n"
    says("overwrite", "mv", "b.txt", "runs/2025/a.txt")
    quiet("mv", "--overwrite", "b.txt", "runs/2025/a.txt")
    assert online("files", "cat", "runs/2025/a.txt").stdout == "b"
    says("-r deletes it", "rm", "runs")
    says("nothing.txt", "rm", "nothing.txt")
    quiet("rm", "edge:runs/2025/a.txt", "old/")
    quiet("rm", "-r", "runs")
    says("empty", "rm", "-r", "edge:/")
    assert online("files", "ls").stdout == ""


@pytest.mark.slow
def test_folders_go_up_and_come_down_whole(online: Run, tmp_path: Path) -> None:
    (tmp_path / "plates" / "deep").mkdir(parents=True)
    (tmp_path / "plates" / "deep" / "a.txt").write_text("a")
    for words in (
        ["cp", "-r", "plates", "edge:"],
        ["cp", "-r", "plates/", "edge:copy"],
        ["cp", "-r", "edge:plates/", "down"],
        ["cp", "-r", "edge:copy", "plates"],
    ):
        done = online("files", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for path in ("down/deep/a.txt", "plates/copy/deep/a.txt"):
        assert (tmp_path / path).read_text() == "a"


@pytest.mark.slow
def test_folders_with_odd_entries_go_up_and_come_down_strictly(
    online: Run, edge_session: EdgeSession, tmp_path: Path
) -> None:
    (tmp_path / "plates").mkdir()
    (tmp_path / "plates" / "12:30.txt").write_text("a")
    os.symlink("nothing", tmp_path / "plates" / "nowhere")
    refused = online("files", "cp", "-r", "--strict", "plates", "edge:")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'nowhere' (a link that leads nowhere); nothing was uploaded" in refused.stderr
    assert edge_session.files.list() == []
    done = online("files", "cp", "-r", "plates", "edge:")
    assert done.returncode == 0
    assert "Warning: 1 entry of 'plates' cannot be uploaded" in done.stderr
    assert edge_session.files.open("plates").list() == ["12:30.txt"]
    refused = online("files", "cp", "-r", "--portable", "edge:plates", "portable")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "'12:30.txt' cannot be a local file's name" in refused.stderr
    assert not (tmp_path / "portable").exists()
    assert online("files", "cp", "-r", "edge:plates", "down").returncode == 0
    assert (tmp_path / "down" / "12:30.txt").read_text() == "a"


@pytest.fixture
def plates(edge_session: EdgeSession, tmp_path: Path) -> Path:
    """An organization and an empty local folder: three plates, one of them in a folder, and a name with a wildcard."""
    for path, content in {"runs/a.csv": b"a", "runs/b.csv": b"bb", "runs/deep/c.csv": b"ccc", "[1].txt": b"1"}.items():
        edge_session.files.upload(path, content)
    folder = tmp_path / "plates"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_several_files_and_wildcards_are_copied_both_ways(online: Run, plates: Path, edge_session: EdgeSession) -> None:
    def quiet(*words: str) -> None:
        done = online("files", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    quiet("cp", "edge:runs/*.csv", "edge:[1].txt", "plates")
    assert {path.name: path.read_bytes() for path in plates.iterdir()} == {
        "a.csv": b"a",
        "b.csv": b"bb",
        "[1].txt": b"1",
    }
    quiet("cp", "plates/a.csv", "plates/[1].txt", "edge:new/")
    assert edge_session.files.open("new").list() == ["[1].txt", "a.csv"]
    quiet("cp", "-r", "plates", "plates/a.csv", "edge:new")
    assert edge_session.files.open("new").list() == ["[1].txt", "a.csv", "plates"]
    quiet("cp", "-r", "edge:runs/*", "plates")
    assert (plates / "deep" / "c.csv").read_bytes() == b"ccc"
    for words, code, sentence in (
        (["cp", "edge:runs/*", "plates"], 2, "'runs/deep' is a folder; add -r"),
        (["cp", "plates", "edge:x"], 2, "'plates' is a folder; add -r"),
        (["cp", "edge:runs/*.csv", "elsewhere"], 2, "there are 2 sources, and 'elsewhere' is no folder"),
        (["cp", "plates/a.csv", "plates/b.csv", "edge:elsewhere"], 2, "there are 2 sources, and 'elsewhere'"),
        (["cp", "edge:runs/*.txt", "plates"], 1, "nothing in the organization matches 'runs/*.txt'"),
        (["rm", "runs/*.txt"], 1, "nothing in the organization matches 'runs/*.txt'"),
    ):
        done = online("files", *words)
        assert (done.returncode, sentence in done.stderr) == (code, True), done.stderr
    quiet("rm", "edge:runs/*.csv", "[1].txt")
    assert edge_session.files.open("runs").list() == ["deep"]


@pytest.mark.slow
def test_standard_output_is_a_target(online: Run, plates: Path) -> None:
    assert online("files", "cp", "edge:runs/a.csv", "-").stdout == "a"
    assert (
        online("files", "cp", "edge:runs/*.csv", "-").stdout
        == online("files", "cat", "runs/a.csv", "runs/b.csv").stdout
    )
    assert list(plates.iterdir()) == []


@pytest.mark.slow
def test_what_is_there_is_listed_measured_and_shown(online: Run, plates: Path) -> None:
    assert online("files", "ls", "runs/*.csv").stdout == "runs/a.csv\nruns/b.csv\n"
    assert online("files", "ls", "[1].txt", "runs/d*").stdout == "[1].txt\nruns/deep/:\nc.csv\n"
    assert online("files", "find").stdout == "[1].txt\nruns/\nruns/a.csv\nruns/b.csv\nruns/deep/\nruns/deep/c.csv\n"
    assert online("files", "find", "runs", "--name", "[ac].csv").stdout == "runs/a.csv\nruns/deep/c.csv\n"
    assert online("files", "find", "edge:runs/", "--kind", "folder").stdout == "runs/deep/\n"
    assert online("files", "find", "runs/a.csv").stdout == "runs/a.csv\n"
    assert online("files", "find", "nowhere").returncode == 1
    assert online("files", "du", "runs", "runs/deep", "runs/b.csv").stdout == (
        "bytes  files  path\n    6      3  runs\n    3      1  runs/deep\n    2      1  runs/b.csv\n"
    )
    assert json.loads(online("files", "du", "--json").stdout) == [{"path": "", "size": 7, "files": 4}]
    (entry,) = json.loads(online("files", "stat", "runs/b.csv", "--json").stdout)
    assert (entry["path"], entry["kind"], entry["size"]) == ("runs/b.csv", "file", 2)
    shown = online("files", "stat", "runs/b.csv", "runs").stdout
    assert f"sha256: {entry['sha256']}\n" in shown
    assert "\n\npath: runs\n" in shown
    address = online("files", "url", "edge:runs/b.csv", "--expires-in", "60").stdout.strip()
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert answer.read() == b"bb"


def test_a_command_whose_distribution_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "registry", Registry("edge.no_commands"))
    for command, distribution in {"files": "edge-files", "app": "edge-applications", "login": "edge-tokens"}.items():
        shown = CliRunner().invoke(cli, [command, "ls"])
        assert shown.exit_code == 2
        assert f"edge {command} is not installed here; install the distribution {distribution}" in shown.output


def test_an_error_of_this_machine_tells_what_was_added_to_it(
    typed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        error = OSError(errno.ENOSPC, "No space left on device", "x.bin")
        error.add_note("what has arrived is kept in .x.bin.part")
        raise error

    monkeypatch.setattr("edge_cli.main.cli", full)
    assert typed("files", "ls") == ("Error: x.bin: No space left on device; what has arrived is kept in .x.bin.part\n")


@pytest.mark.slow
def test_standard_input_goes_up(online: Run) -> None:
    assert online("files", "cp", "-", "edge:a.txt", text="hello").returncode == 0
    assert online("files", "cat", "a.txt").stdout == "hello"
    shown = online("files", "cp", "-", "edge:", text="hello")
    assert shown.returncode == 2
    assert "standard input has no name" in shown.stderr


@pytest.mark.slow
def test_nothing_is_replaced_with_no_overwrite(online: Run) -> None:
    online("files", "cp", "-", "edge:a.txt", text="old")
    shown = online("files", "cp", "--no-overwrite", "-", "edge:a.txt", text="new")
    assert shown.returncode == 1
    assert online("files", "cat", "a.txt").stdout == "old"


@pytest.mark.slow
def test_a_name_cannot_steer_the_terminal(online: Run, edge_session: EdgeSession) -> None:
    edge_session.files.upload("\u202egpj.exe", b"")
    assert online("files", "ls").stdout == "\\u202egpj.exe\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["files", "cat", "nothing.txt"], 1, "nothing.txt"),
        (["files", "ls", "../x"], 1, ".."),
        (["files", "cp", "missing.csv", "edge:x"], 1, "missing.csv: No such file or directory"),
        (["files", "cp", "a", "b"], 2, 'must begin with "edge:"'),
        (["files", "cp", "edge:a", "edge:b"], 1, "no file or folder 'a'"),
        (["files", "versions", "nothing.txt"], 1, "no file 'nothing.txt'"),
        (["files", "restore", "nothing.txt", "v1"], 1, "no version v1 of 'nothing.txt'"),
        (["files", "cp", "only-one"], 2, "Missing argument"),
        (["files", "cp", "--strict", "a", "edge:b"], 2, "--strict is for folders"),
        (["files", "cp", "--no-overwrite", "edge:a", "b"], 2, "--no-overwrite is for uploads"),
        (["files", "cp", "-r", "--portable", "a", "edge:b"], 2, "--portable is for downloads"),
        (["fils"], 2, "No such command 'fils'"),
    ],
)
def test_each_mistake_is_a_line_and_an_exit_code(online: Run, words: list[str], code: int, sentence: str) -> None:
    shown = online(*words)
    assert shown.returncode == code
    assert sentence in shown.stderr
    assert "Traceback" not in shown.stderr
    if code == 1:
        assert shown.stderr.count("\n") == 1
        assert shown.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    "words",
    [
        ["whoami", "{}"],
        ["{}"],
        ["files", "{}"],
        ["files", "ls", "a", "b", "{}"],
        ["tokens", "create", "--{}"],
        ["tokens", "create", "-{}"],
        ["tokens", "create", "--expires-in", "{}"],
        ["tokens", "create", "--expires-in={}"],
        ["tokens", "create", "--jsn={}"],
        ["tokens", "create", "--json={}"],
        ["search", "--kind", "{}", "a"],
        ["secrets", "set", "one", "{}"],
        ["secrets", "set", "one", "--file", "{}"],
        ["login", "http://127.0.0.1:1", "{}"],
        ["login", "http://127.0.0.1:1", "--token", "{}"],
        ["login", "http://127.0.0.1:1", "--token-file", "{}"],
        ["login", "{}"],
        ["login", "//{}"],
        ["--profile", "{}", "whoami"],
        ["--debug", "--profile", "{}", "whoami"],
    ],
)
@pytest.mark.parametrize("token", ["edg_" + "Sw0rdfish9" * 4, "edi_Sw0rdfish"])
def test_a_token_by_mistake_is_not_repeated(typed: Callable[..., str], words: list[str], token: str) -> None:
    assert "Sw0rd" not in typed(*(word.format(token) for word in words))


@pytest.mark.parametrize("words", [["login", "http://127.0.0.1:1", "hunter2"], ["login", "edg_" + "a" * 39]])
def test_login_says_that_a_token_is_no_argument(typed: Callable[..., str], words: list[str]) -> None:
    shown = typed(*words)
    assert "a token is never an argument, where others can see it: paste it at the prompt" in shown
    assert "hunter2" not in shown


def test_arguments_too_many_are_not_repeated(typed: Callable[..., str]) -> None:
    shown = typed("secrets", "set", "one", "hunter2", "(a)\nb hunter2")
    assert "Got unexpected extra arguments, which are not shown as they may be secret; leave them out" in shown
    assert "hunter2" not in shown


@pytest.mark.slow
def test_settings_that_are_missing_or_wrong_are_a_line(run: Run, online: Run) -> None:
    shown = run("whoami")
    assert shown.returncode == 1
    assert "EDGE_API_TOKEN" in shown.stderr
    shown = online("whoami", EDGE_API_TOKEN="edg_wrong")
    assert shown.returncode == 1
    assert "token" in shown.stderr
    assert "edg_wrong" not in shown.stderr
    shown = online("--profile", "nowhere", "whoami")
    assert (shown.returncode, "no profile [nowhere]" in shown.stderr) == (1, True)
    shown = run("whoami", EDGE_API_TOKEN="t", EDGE_API_SERVICE_URL="http://edge.invalid", EDGE_API_ORG="lab")
    assert shown.stderr.splitlines() == [
        "Warning: the API token travels in clear to edge.invalid, since the service URL begins with http://; use https://",
        "Error: there is no host named edge.invalid; check the service URL",
    ]


@pytest.mark.slow
def test_debug_shows_the_traceback(online: Run) -> None:
    shown = online("--debug", "files", "cat", "nothing.txt")
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr


def test_plugins_are_listed_without_server_or_settings(run: Run) -> None:
    shown = run("plugins", "list")
    assert shown.returncode == 0
    assert "namespace  files" in shown.stdout
    listed = json.loads(run("plugins", "list", "--json").stdout)
    (files,) = (row for row in listed if (row["kind"], row["name"]) == ("namespace", "files"))
    assert files["status"] == "available"
    assert {row["name"] for row in listed if row["kind"] == "command"} >= {"files", "whoami", "plugins", "server"}


@pytest.mark.slow
def test_a_broken_subcommand_breaks_only_itself(run: Run, tmp_path: Path) -> None:
    dist_info = tmp_path / "site" / "lab_plugin-1.0.dist-info"
    dist_info.mkdir(parents=True)
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugin\nVersion: 1.0\n")
    (dist_info / "entry_points.txt").write_text("[edge.commands]\nlab = missing_module:lab\n")
    site = {"PYTHONPATH": str(tmp_path / "site")}
    shown = run("--help", **site)
    assert shown.returncode == 0
    assert re.search(r"^  lab +broken: see edge plugins list$", shown.stdout, flags=re.M)
    shown = run("lab", **site)
    assert shown.returncode == 1
    assert "lab-plugin 1.0" in shown.stderr
    assert run("plugins", "list", **site).returncode == 0


def test_a_command_imports_no_other_plugins_command(environment: dict[str, str]) -> None:
    source = (
        "import sys; sys.argv = ['edge', 'plugins', 'list']\n"
        "from edge_cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('flask', 'pandas', 'edge_files', 'edge_server', 'requests') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=60)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_reader_that_stops_early_is_no_error(online: Run, edge_session: EdgeSession, tmp_path: Path) -> None:
    edge_session.files.upload("long.txt", b"line\n" * 500_000)
    settings = edge_session.config
    command = f"{sys.executable} -c 'from edge_cli.main import main; main()' files cat long.txt | head -n 1"
    shown = subprocess.run(
        ["bash", "-c", command],
        env={
            **os.environ,
            "EDGE_API_TOKEN": settings.api_token,
            "EDGE_API_SERVICE_URL": settings.service_url,
            "EDGE_API_ORG": settings.organization,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (shown.stdout, shown.stderr) == ("line\n", "")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_is_a_word(environment: dict[str, str], edge_session: EdgeSession) -> None:
    settings = edge_session.config
    command = [sys.executable, "-c", "from edge_cli.main import main; main()", "files", "cp", "-", "edge:never.txt"]
    variables = {
        "EDGE_API_TOKEN": settings.api_token,
        "EDGE_API_SERVICE_URL": settings.service_url,
        "EDGE_API_ORG": settings.organization,
    }
    process = subprocess.Popen(
        command,
        env={**environment, **variables},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdin is not None
    process.stdin.write("x" * 300_000)  # more than a pipe holds: once it is taken, the command is at work
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "Interrupted."
    assert edge_session.files.list() == []


# --- plugins --------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A folder with distributions that can be put on the import path."""

    def install(name: str, points: str, source: str) -> Path:
        module = name.replace("-", "_")
        dist_info = tmp_path / "site" / f"{module}-1.0.dist-info"
        dist_info.mkdir(parents=True)
        (dist_info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (dist_info / "entry_points.txt").write_text(points)
        (tmp_path / "site" / f"{module}.py").write_text(source)
        return tmp_path / "site"

    return install


@pytest.mark.slow
def test_the_doctor_finds_nothing_wrong_with_ours(run: Run) -> None:
    shown = run("plugins", "doctor")
    assert shown.returncode == 0, shown.stdout
    assert "All that are switched on can be used." in shown.stdout
    assert {row["status"] for row in json.loads(run("plugins", "doctor", "--json").stdout)} == {"loaded"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("points", "source", "sentence"),
    [
        ("[edge.namespaces]\nlab = lab_plugin:Lab\n", "raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("[edge.namespaces]\nlab = lab_plugin:Lab\n", "def Lab(session): pass", "states no plugin contract"),
        ("[edge.namespaces]\nfiles = lab_plugin:Lab\n", "", "'files' belongs to edge-files"),
        ("[edge.openers]\nlab = lab_plugin:Lab\n", "class Lab:\n plugin_api=1\n suffixes=['x']", "begins with a dot"),
        ("[edge.commands]\nlab = lab_plugin:Lab\n", "class Lab:\n plugin_api=1", "not a click command"),
        ("[edge.connectors]\nlab = lab_plugin:Lab\n", "plugin_api = 1", "has no attribute 'Lab'"),
        ("[edge.server]\nlab = lab_plugin:Lab\n", "plugin_api = 1\nLab = 42", "cannot be called"),
        ("[edge.hooks]\nlab = lab_plugin\n", "import a_library_nobody_has", "No module named"),
    ],
)
def test_the_doctor_says_what_is_wrong(
    run: Run, site: Callable[..., Path], points: str, source: str, sentence: str
) -> None:
    path = site("lab-plugin", points, source)
    # A few others are enough, and those of sources and the server take seconds to import.
    few = {"PYTHONPATH": str(path), "EDGE_ENABLE_PLUGINS": "edge-cli, edge-files, lab-plugin"}
    shown = run("plugins", "doctor", **few)
    assert shown.returncode == 1
    assert sentence in shown.stdout
    assert "lab-plugin" in shown.stdout
    assert "1 of them cannot be used." in shown.stdout
    assert shown.stderr == ""
    off = run("plugins", "doctor", **few, EDGE_DISABLE_PLUGINS="lab-plugin")
    assert off.returncode == 0
    assert "EDGE_DISABLE_PLUGINS switches lab-plugin off" in off.stdout


def test_with_every_plugin_switched_off_the_command_still_says_so(run: Run) -> None:
    shown = run("plugins", "list", EDGE_ENABLE_PLUGINS="")
    assert shown.returncode == 0
    assert "EDGE_ENABLE_PLUGINS does not name edge-cli" in shown.stdout
    refused = run("whoami", EDGE_ENABLE_PLUGINS="")
    assert refused.returncode != 0
    assert "EDGE_ENABLE_PLUGINS" in refused.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["servr"], " Did you mean 'server'?"),
        (["secrets", "get", "key"], " Did you mean 'read'?"),
        (["secrets", "rm", "key"], " Did you mean 'delete'?"),
        (["secrets", "add", "key"], " Did you mean 'set'?"),
        (["files", "show", "x"], " Did you mean 'cat'?"),
        (["files", "list"], " Did you mean 'ls'?"),
        (["files", "uploads", "delete"], " Did you mean 'rm'?"),
        (["tokens", "new"], " Did you mean 'create'?"),
        (["admin", "users", "creat"], ""),
        (["admin", "users", "updat"], " Did you mean 'update'?"),
        (["files", "verson"], " Did you mean 'versions'?"),
    ],
)
def test_a_command_of_the_same_meaning_is_suggested_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], meant: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["edge", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    name = next(word for word in words if word not in ("secrets", "files", "uploads", "tokens", "admin", "users"))
    assert capsys.readouterr().err.endswith(f"\nError: No such command '{name}'.{meant}\n")
