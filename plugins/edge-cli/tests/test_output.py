"""Commands print by `edge_cli.output` alone, and nothing that a server sends can steer the terminal."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from edge_cli import main, output
from edge_core.session import EdgeSession
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


def test_a_value_that_is_no_text_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    output.value("edg_\ud800")
    assert capsys.readouterr().out == "edg_\\ud800\n"


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


def test_a_search_that_compared_only_some_names_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for partial in (True, False):
        with answering(200, {"items": [], "next": None, "partial": partial}, monkeypatch):
            with EdgeSession() as edge:
                assert edge.search("plate").partial is partial
            code, printed = run(monkeypatch, capsys, "search", "plate")
        assert code == 0
        assert ("Not all names like that were compared" in printed) is partial
        assert ("Nothing has a name like that" in printed) is not partial


# --- every command, and every field that a server may fill ----------------------------------------

DESCRIPTION = json.loads((PLUGINS.parent / "docs" / "openapi.json").read_text())

CALLS = {
    "admin audit": "",
    "admin invitations accept": "i",
    "admin invitations decline": "i",
    "admin invitations list": "",
    "admin invitations own": "",
    "admin invitations remove": "i",
    "admin invite": "ada",
    "admin members add": "ada",
    "admin members list": "",
    "admin members remove": "ada",
    "admin members revoke-addresses": "ada",
    "admin members roles": "ada",
    "admin organizations add": "lab",
    "admin organizations list": "",
    "admin organizations quota": "lab",
    "admin organizations remove": "lab --yes",
    "admin organizations update": "lab --title x",
    "admin users add": "ada",
    "admin users list": "",
    "admin users remove": "ada --yes",
    "admin users revoke-addresses": "ada",
    "admin users update": "ada --license x",
    "app add": "viewer",
    "app approve": "viewer",
    "app init": "viewer --framework generic --no-env --target {folder}/viewer",
    "app launch": "viewer",
    "app list": "",
    "app publish": "viewer --folder {folder}",
    "app remove": "viewer --yes",
    "app running": "",
    "app share": "viewer",
    "app stop": "viewer",
    "app unshare": "viewer",
    "app versions": "viewer",
    "billing costs": "",
    "billing usage": "",
    "compute backend": "",
    "compute instances": "",
    "compute placeholders create": "p --profile x --quantity 1",
    "compute placeholders list": "",
    "compute placeholders remove": "p",
    "compute profiles create": "p --instance m5.large",
    "compute profiles list": "",
    "compute profiles remove": "p",
    "files abort": "a",
    "files cp": "edge:a edge:b",
    "files du": "",
    "files find": "",
    "files ls": "",
    "files mkdir": "a",
    "files mv": "a b",
    "files restore": "a v",
    "files sync": "edge:a b",
    "files rm": "a",
    "files stat": "a",
    "files uploads": "",
    "files uploads ls": "",
    "files uploads rm": "a",
    "files url": "a",
    "files versions": "a",
    "login": "{url} --token-file {token}",
    "search": "plate",
    "secrets delete": "db",
    "secrets list": "",
    "secrets read": "db",
    "secrets set": "db --file {secret}",
    "sources add": "--file {connector}",
    "sources list": "",
    "sources remove": "lims",
    "sources show": "lims",
    "sources test": "lims",
    "template add": "centrifuge text",
    "template list": "",
    "tokens create": "",
    "tokens list": "",
    "tokens remove": "t",
    "versions": "",
    "whoami": "",
}
"""Every command that talks to a server, with arguments that it takes."""

EXACT = ("admin invite", "tokens create")
"""What prints a value that a script takes over, exactly; see above."""

OTHERS = {
    **dict.fromkeys(("app run", "app check", "app shell"), "prints of an application in an environment of its own"),
    **dict.fromkeys(("app build", "env build"), "prints of docker, uv and npm"),
    **dict.fromkeys(("app register", "app unregister", "app upgrade"), "prints of files on this machine"),
    **dict.fromkeys(("reset cli_config", "reset known_apps"), "prints of files on this machine"),
    "billing plot": "writes a picture",
    "billing report": "writes a file of the server's bytes",
    "demo": "prints of a server of its own",
    "files cat": "writes content, exactly; see above",
    "hub run": "prints of a hub of its own",
    **dict.fromkeys(("plugins doctor", "plugins list"), "prints of what is installed"),
    **dict.fromkeys(("plugins migration", "plugins new"), "prints of what it wrote"),
}
"""What prints nothing that a server sent, and why. So do all of `edge server`, which run on its machine."""


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, by their words."""
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None, name
        yield from commands(below, (*words, name))


COMMANDS = dict(commands(main.cli))


def sample(schema: dict[str, Any], field: str = "") -> Any:
    """A value that fits a schema, in which every text is hostile.

    Each field has a text of its own, or one that may be in an error could not be told from a token, which may not.
    """
    if "$ref" in schema:
        return sample(DESCRIPTION["components"]["schemas"][schema["$ref"].rpartition("/")[2]], field)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            choice = next(choice for choice in schema[several] if choice != {"type": "object", "nullable": True})
            return sample(choice, field)
    kind = schema.get("type")
    if kind == "array":
        return [sample(schema["items"], field)]
    if kind == "object":
        fields = {name: sample(about, name) for name, about in schema.get("properties", {}).items()}
        if "path" in fields:
            fields["kind"] = "file"  # of an entry, which the client looks at
        if "properties" not in schema:
            fields[HOSTILE] = sample(schema.get("additionalProperties") or {"type": "string"}, field)
        return {**fields, **({"next": None} if "next" in fields else {})}
    if kind in ("integer", "number"):
        return 1
    if kind == "boolean":
        return True
    return {"date-time": TIME, "date": TIME[:10], "decimal": "1"}.get(schema.get("format", ""), HOSTILE + field)


def describe(request: Request) -> tuple[int, Any]:
    """The answer that the API description has for a request."""
    for path, operations in DESCRIPTION["paths"].items():
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", path)
        if re.fullmatch(pattern, request.path) and request.method.lower() in operations:
            responses = operations[request.method.lower()]["responses"]
            status = min(status for status in responses if status.startswith("2"))
            content = responses[status].get("content", {}).get("application/json")
            return int(status), None if content is None else sample(content["schema"])
    return 404, {"title": "t", "status": 404, "code": "not_found", "detail": HOSTILE}


def test_every_command_is_tried() -> None:
    tried = {words for words in COMMANDS if not words.startswith("server ") and words not in OTHERS}
    assert tried == {words for words in CALLS if words in COMMANDS}, "give CALLS arguments for it"


def variants(words: str) -> Iterator[str]:
    """A command, and the same with each option that changes how it prints."""
    options = {name for parameter in COMMANDS[words].params for name in parameter.opts}
    yield words
    yield from (f"{words} {option}" for option in ("--json", "--csv", "-l", "--builtin") if option in options)


@pytest.mark.parametrize("call", [call for words in CALLS if words in COMMANDS for call in variants(words)])
def test_no_field_of_any_answer_can_steer_the_terminal(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = next(words for words in sorted(CALLS, key=len, reverse=True) if call.startswith(words))
    sent = []

    def reply(request: Request) -> tuple[int, dict[str, str], bytes]:
        status, answer = describe(request)
        sent.append(answer)
        return status, {"Content-Type": "application/json"}, b"" if answer is None else json.dumps(answer).encode()

    files = {
        "secret": '{"a": "b"}',
        "token": "edg_x",
        "connector": '{"name": "lims", "kind": "s3", "title": "t", "bucket": "b"}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "app_config.yaml").write_text("app_id: viewer\napp_version: 1.0.0\nlink: quay.io/lab/viewer:1.0.0\n")
    monkeypatch.setenv("EDGE_CONFIG_FILE", str(tmp_path / "config.ini"))
    with Wire(reply) as wire:
        for name, value in (("TOKEN", "edg_x"), ("SERVICE_URL", wire.url), ("ORG", "lab")):
            monkeypatch.setenv(f"EDGE_API_{name}", value)
        places = {name: str(tmp_path / name) for name in files}
        arguments = CALLS[words].format(url=wire.url, folder=tmp_path, **places)
        code, printed = run(monkeypatch, capsys, *call.split(), *arguments.split())
    assert sent, printed
    assert code in (0, 1), printed
    assert "unexpected" not in printed
    if words in EXACT and "--json" not in call:
        return
    # The tab stands between the columns of `edge sources list`; one in a name is escaped.
    assert [line for line in printed.split("\n") if not line.replace("\t", "").isprintable()] == []
    if "--json" in call and code == 0 and "owned" in printed:
        assert any(text.startswith(HOSTILE) for text in texts(list(documents(printed))))


def documents(printed: str) -> Iterator[Any]:
    """The JSON documents that stand one after another; behind them is what went to standard error."""
    while (printed := printed.strip()).startswith(("[", "{")):
        document, end = json.JSONDecoder().raw_decode(printed)
        yield document
        printed = printed[end:]


def texts(value: Any) -> Iterator[str]:
    """All texts in a value, names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for name, field in value.items() for text in (name, *texts(field)))
    elif isinstance(value, list):
        yield from (text for element in value for text in texts(element))


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
    PLUGINS / "edge-hub" / "edge_hub" / "app_proxy" / "__main__.py",  # what an image starts, and no command of `edge`
    PLUGINS / "edge-server" / "edge_server" / "run" / "logs.py",  # the server's log is no command's output
    PLUGINS / "edge-server" / "edge_server" / "run" / "process.py",  # the server's log is no command's output
    PLUGINS / "edge-vfs" / "edge_vfs" / "progress.py",  # bars, which ask whether there is a terminal to be on
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
