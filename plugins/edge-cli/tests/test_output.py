"""Commands print by `edge_cli.output` alone, and nothing that a server sends can steer the terminal."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_cli import main, output
from edge_testing.wire import Request, Wire

PLUGINS = Path(__file__).parents[2]

TITLE = "\x1b]0;owned\x07"
"""OSC 0: sets the title of the terminal's window."""

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x1b\\"
"""OSC 52: puts a command into the clipboard."""

HOSTILE = f"{TITLE}{CLIPBOARD}\x9b31m\r\nplate\u202e-7\x7f.csv\x00\ud800\U000e0001"
SHOWN = (
    "\\u001b]0;owned\\u0007\\u001b]52;c;cm0gLXJmIH4=\\u001b\\\\u009b31m\\u000d\\u000aplate\\u202e-7\\u007f.csv"
    "\\u0000\\ud800\\U000e0001"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- the functions --------------------------------------------------------------------------------


def test_text_is_shown_on_a_line_with_escapes() -> None:
    assert output.printable(HOSTILE) == SHOWN
    assert output.printable("plate-7 µL äöü 試料 🧪.csv") == "plate-7 µL äöü 試料 🧪.csv"


@pytest.mark.parametrize(
    "show",
    [
        lambda text: output.line(text, text),
        lambda text: output.note(text),
        lambda text: output.error(text),
        lambda text: output.text(text),
        lambda text: output.table([(text, 1)], ("NAME", text), numeric=[text]),
        lambda text: output.records([text], lambda row: [row], as_json=False),
        lambda text: output.records([text], lambda row: [row], as_json=True),
        lambda text: output.fields({text: text}),
        lambda text: output.csv([text], [[text]]),
        lambda text: output.json({text: text}),
        lambda text: output.done(text, {}, as_json=False),
        lambda text: output.done("", {text: text}, as_json=True),
    ],
)
@pytest.mark.parametrize("text", [TITLE, CLIPBOARD, "\x9d0;owned\x9c", "a\rb", "\x7f", "\u202e"])
def test_no_way_to_print_lets_a_control_character_through(
    show: Callable[[str], None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(text)
    printed = "".join(capsys.readouterr())
    assert printed.endswith("\n")
    assert printed.replace("\n", "").isprintable()


def test_a_name_with_a_newline_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.line("a\nb", separator="\t")
    output.table([("a\tb", None), ("c", 2)])
    output.fields({"a\nb: c": "d"})
    assert capsys.readouterr().out.splitlines() == ["a\\u000ab", "a\\u0009b", "c         2", "a\\u000ab: c: d"]


def test_json_is_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    output.json({HOSTILE: [HOSTILE]})
    assert json.loads(capsys.readouterr().out) == {HOSTILE: [HOSTILE]}


def test_a_table_aligns_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([("a", 1, None), ("bcd", 10, "x")], ("NAME", "SIZE", ""), numeric=["SIZE"])
    assert capsys.readouterr().out == "NAME  SIZE\na        1\nbcd     10  x\n"
    output.table([])
    assert capsys.readouterr().out == ""


def test_a_value_and_content_are_exact_in_a_pipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output.value(f"-----BEGIN-----\n{TITLE}")
    sys.stdout.flush()
    output.content([b"\x1b]0;", b"owned\x07\xff\r\n"])
    assert capfdbinary.readouterr().out == f"-----BEGIN-----\n{TITLE}\n\x1b]0;owned\x07".encode() + b"\xff\r\n"


def test_on_a_terminal_a_value_and_content_keep_their_lines_alone() -> None:
    with contextlib.redirect_stdout(Terminal()) as terminal:
        output.value(f"-----BEGIN-----\n{CLIPBOARD}")
        # A character in two pieces, bytes that are no UTF-8, a carriage return that would overwrite the line.
        output.content([b"\x1b]52;c;", b"\xc3", b"\xa4\t\xff\r\n", b"good\revil\n"])
    assert terminal.getvalue() == (
        "-----BEGIN-----\n\\u001b]52;c;cm0gLXJmIH4=\\u001b\\\n\\u001b]52;c;ä\t\\xff\ngood\nevil\n"
    )


# --- the commands ---------------------------------------------------------------------------------

TIME = "2031-01-31T12:00:00Z"
ENTRY = {
    "uid": "u",
    "name": HOSTILE,
    "path": HOSTILE,
    "kind": "file",
    "size": 1,
    "modified_at": TIME,
    "created_at": TIME,
}
ME = {"user_name": "ada", "first_name": HOSTILE, "organizations": [{"organization_name": "lab", "title": HOSTILE}]}
ORGANIZATION = {"name": "lab", "title": HOSTILE, "status": HOSTILE}
TOKEN = {"id": "t", "prefix": "edg_a", "note": HOSTILE, "created_at": TIME}
APPLICATION = {"app_id": "viewer", "visible_versions": [HOSTILE], "status": HOSTILE}
PROFILE = {"profile_id": "p", "name": HOSTILE, "instance_name": HOSTILE, "status": HOSTILE}
USAGE = {
    "id": 1,
    "billing_date": "2031-01-31",
    "usage_type": HOSTILE,
    "usage_quantity": "1",
    "cost_allocation_tag": HOSTILE,
}
CONNECTOR = {"uid": "c", "name": HOSTILE, "kind": "openapi", "title": HOSTILE, "created_at": TIME, "modified_at": TIME}
LOG_ENTRY = {
    "uid": "e", "instrument": HOSTILE, "text": HOSTILE, "author": HOSTILE, "created_at": TIME, "modified_at": TIME
}  # fmt: skip


def page(*rows: Any) -> dict[str, Any]:
    return {"items": list(rows), "next": None}


@contextlib.contextmanager
def answering(status: int, answer: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that gives this answer to every request; content to those for content."""

    def reply(request: Request) -> tuple[int, dict[str, str], bytes]:
        return status, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    with Wire(reply) as wire:
        for name, value in (("TOKEN", "edg_x"), ("SERVICE_URL", wire.url), ("ORG", "lab")):
            monkeypatch.setenv(f"EDGE_API_{name}", value)
        yield


ANSWERS: dict[str, Any] = {
    "whoami": ME,
    "search plate": page(ENTRY),
    "files ls": ENTRY,
    "tokens list": page(TOKEN),
    "admin organizations list": page(ORGANIZATION),
    "app list": page(APPLICATION),
    "compute profiles list": page(PROFILE),
    "billing usage": page(USAGE),
    "sources list": page(CONNECTOR),
    "secrets list": page({"name": HOSTILE}),
    "secrets read db": {"name": "db", "content": {HOSTILE: HOSTILE}},
    "template list": page(LOG_ENTRY),
}


@pytest.mark.parametrize(
    "call",
    [*ANSWERS, *(f"{words} --json" for words in ANSWERS), "files ls --long", "billing usage --csv"],
)
def test_what_a_server_sends_cannot_steer_the_terminal(
    call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = call.split()
    with answering(200, ANSWERS[" ".join(word for word in words if not word.startswith("--"))], monkeypatch):
        code, printed = run(monkeypatch, capsys, *words)
    assert code == 0, printed
    assert "owned" in printed
    # The tab stands between the columns of `edge sources list`; one in a name is escaped.
    assert [line for line in printed.split("\n") if not line.replace("\t", "").isprintable()] == []


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["sentence", "traceback"])
def test_the_error_of_a_server_cannot_steer_the_terminal(
    debug: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = {"title": "Refused", "status": 403, "code": "forbidden", "detail": f"refused {HOSTILE}"}
    with answering(403, problem, monkeypatch):
        code, printed = run(monkeypatch, capsys, *debug, "whoami")
    assert code == 1
    assert "owned" in printed
    assert [line for line in printed.split("\n") if not line.isprintable()] == []
    assert debug or printed.count("\n") == 1


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code of `edge`, and all that it printed."""
    monkeypatch.setattr(sys, "argv", ["edge", *words])
    monkeypatch.setattr("warnings.showwarning", None)  # it sets its own
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code, "".join(capsys.readouterr())


# --- and none prints by itself --------------------------------------------------------------------

PRINTING = {
    *(f"click.{name}" for name in ("echo", "secho", "echo_via_pager", "prompt", "confirm", "pause", "progressbar")),
    *("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "print", "traceback.print_exc"),
}

ALLOWED = {
    PLUGINS / "edge-cli" / "edge_cli" / "output.py",
    PLUGINS / "edge-server" / "edge_server" / "run" / "process.py",  # the server's log is no command's output
}


def modules() -> list[Path]:
    """Every module of a distribution that could be part of a command."""
    return sorted(set(PLUGINS.glob("edge-*/edge_*/**/*.py")) - ALLOWED)


def printing(source: str) -> list[tuple[int, str]]:
    """Line and name of what prints by itself."""
    uses = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node) in PRINTING:
            uses.append((node.lineno, ast.unparse(node)))
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            uses += [(node.lineno, name) for name in names if name in PRINTING]
    return uses


def test_no_command_prints_by_itself() -> None:
    assert len(modules()) > 50
    places = [
        f"{path.relative_to(PLUGINS)}:{line} {name}" for path in modules() for line, name in printing(path.read_text())
    ]
    assert places == []


def test_the_search_for_printing_sees_it() -> None:
    source = "import click\nfrom sys import stdout\nclick.echo(1)\nprint(2)\nclick.secho(3)\nclick.command()"
    assert printing(source) == [(2, "sys.stdout"), (3, "click.echo"), (4, "print"), (5, "click.secho")]
