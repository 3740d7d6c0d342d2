"""`edge secrets` as a person meets it: in a process of its own, against a live server."""

from __future__ import annotations

import contextlib
import json
import os
import secrets as random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_core.errors import NotFound
from edge_core.session import EdgeSession
from edge_secrets.cli import secrets

Run = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = [sys.executable, "-c", "from edge_cli.main import main; main()", "secrets"]


def environment(session: EdgeSession) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGE_", "JUPYTERHUB_"))}
    return {
        **kept,
        "EDGE_API_TOKEN": session.config.api_token,
        "EDGE_API_SERVICE_URL": session.config.service_url,
        "EDGE_API_ORG": session.config.organization,
    }


@pytest.fixture
def edge(admin: EdgeSession, tmp_path: Path) -> Run:
    """Run `edge secrets` with arguments, in an empty folder."""

    def call(*words: str, text: str | bytes = "") -> subprocess.CompletedProcess[str]:
        standard_input = text.encode() if isinstance(text, str) else text
        done = subprocess.run(
            [*COMMAND, *words],
            env=environment(admin),
            cwd=tmp_path,
            input=standard_input,
            capture_output=True,
            timeout=60,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


def test_no_argument_takes_the_content() -> None:
    parameters = {
        (name, parameter.name): parameter for name, command in secrets.commands.items() for parameter in command.params
    }
    assert {name for name, _ in parameters} == {"list", "read", "set", "delete"}
    assert {name for _, name in parameters} == {"name", "org", "as_json", "field", "file"}


@pytest.mark.slow
@pytest.mark.parametrize("org", [(), ("--org",)], ids=["own", "org"])
def test_a_secret_goes_in_and_comes_out(edge: Run, org: tuple[str, ...], tmp_path: Path) -> None:
    content = {"user": "lab", "password": f"content-{random.token_hex(8)}", "port": 5432, "note": "ключ"}
    (tmp_path / "secret.json").write_text(json.dumps(content), encoding="utf-8")
    calls = [
        (edge("set", "one", *org, "--file", "secret.json"), "", "Created one.\n"),
        (edge("set", "two", *org, text=json.dumps(content)), "", "Created two.\n"),
        (edge("set", "two", *org, "--file", "-", "--json", text="{}"), '{"name": "two", "created": false}\n', ""),
        (edge("list", *org), "one\ntwo\n", ""),
        (edge("list", *org, "--json"), '[\n  "one",\n  "two"\n]\n', ""),
        (
            edge("read", "one", *org),
            f"user: lab\npassword: {content['password']}\nport: 5432\nnote: ключ\n",
            "",
        ),
        (edge("read", "one", *org, "--field", "password"), f"{content['password']}\n", ""),
        (edge("read", "one", *org, "--field", "user", "--json"), '"lab"\n', ""),
        (edge("delete", "two", *org), "", "Deleted two.\n"),
        (edge("delete", "one", *org, "--json"), '{"name": "one", "deleted": true}\n', ""),
        (edge("list", *org, "--json"), "[]\n", ""),
    ]
    for done, out, err in calls:
        assert (done.returncode, done.stdout, done.stderr) == (0, out, err)


@pytest.mark.slow
def test_json_is_what_was_kept(edge: Run, admin: EdgeSession) -> None:
    content = {"a": [1, None, {"b": "\u2028\x1b[31m"}], "c": True}
    admin.secrets.create_user_secret("one", content)
    done = edge("read", "one", "--json")
    assert json.loads(done.stdout) == content
    assert done.stdout.isascii()


@pytest.mark.slow
def test_an_error_is_a_line_without_the_content(edge: Run, admin: EdgeSession) -> None:
    content = f"content-{random.token_hex(8)}"
    admin.secrets.create_user_secret("one", {"a": content})
    calls = [
        (edge("read", "missing"), 1, "there is no secret 'missing'"),
        (edge("delete", "missing"), 1, "there is no secret 'missing'"),
        (edge("read", "one", "--field", "b"), 1, "has no field b"),
        (edge("set", "one", text=content), 1, "the content is not JSON: "),
        (edge("set", "one", text=f'{{"a":\n"{content}" x}}'), 1, "in line 2; correct it"),
        (edge("set", "one", text=f'["{content}"]'), 1, "is not a JSON object"),
        (edge("set", "one", text=b"\xff" + content.encode()), 1, "write it as UTF-8"),
        (edge("set", "one", text="[" * 100_000), 1, "the content is not JSON"),
        (edge("set", "one", text=""), 1, "the content is not JSON"),
        (edge("set", content + "!", text="{}"), 1, "a secret's name is"),
        (edge("set", "one", "--file", "missing.json"), 2, "missing.json"),
        (edge("set", "one", content), 2, "unexpected extra argument"),
        (edge("set"), 2, "Missing argument"),
    ]
    for done, code, sentence in calls:
        assert done.returncode == code, done
        assert sentence in done.stderr
        assert done.stdout == ""
        assert content not in done.stderr
    assert admin.secrets.read_user_secret("one") == {"a": content}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_at_a_terminal_the_content_is_typed_and_not_shown(admin: EdgeSession, tmp_path: Path) -> None:
    content = f"content-{random.token_hex(8)}"
    typed = [("Name of a field", "user"), ("Value of user", "lab"), ("Name of a field", "password")]
    typed += [("Value of password", content), ("Name of a field", "")]
    shown = at_a_terminal(admin, ("set", "one"), typed)
    assert "Created one." in shown
    assert content not in shown
    assert admin.secrets.read_user_secret("one") == {"user": "lab", "password": content}
    assert "a secret needs a field at least" in at_a_terminal(admin, ("set", "two"), [("Name of a field", "")])
    with pytest.raises(NotFound):
        admin.secrets.read_user_secret("two")


def at_a_terminal(session: EdgeSession, words: tuple[str, ...], typed: list[tuple[str, str]]) -> str:
    """What a terminal shows when each answer is typed at its question."""
    import pty
    import termios

    terminal, other_end = pty.openpty()
    streams = {"stdin": other_end, "stdout": other_end, "stderr": other_end}
    process = subprocess.Popen([*COMMAND, *words], env=environment(session), start_new_session=True, **streams)
    os.close(other_end)
    shown, seen = "", 0
    with contextlib.suppress(OSError):  # the end, on Linux
        while True:
            if typed and typed[0][0] in shown[seen:]:
                question, answer = typed.pop(0)
                seen = len(shown)
                while question.startswith("Value") and termios.tcgetattr(terminal)[3] & termios.ECHO:
                    time.sleep(0.01)  # the echo is switched off after the question is there
                os.write(terminal, answer.encode() + b"\n")
            read = os.read(terminal, 4096).decode()
            if not read:
                break
            shown += read
    os.close(terminal)
    process.wait(60)
    assert typed == [], shown
    return shown
