"""`edge demo`: the main job, on real files, with every result checked.

What is shown after ``>>>`` is what runs: each line is compiled and executed as Python's own prompt
would, so the demonstration cannot drift from the product.
"""

from __future__ import annotations

import code
import contextlib
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from edge_cli import output
from edge_core.errors import EdgeError, MissingPackage

plugin_api = 1

TABLES = (".csv", ".tsv", ".parquet")
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
def demo(folder: Path | None) -> None:
    """Take a folder to an Edge server of its own and back, checking every result.

    Without FOLDER, a small set of public data is used: the Palmer penguins as CSV and Parquet, and
    a photograph.
    """
    with tempfile.TemporaryDirectory(prefix="edge-demo-") as folder_of_demo, contextlib.ExitStack() as stack:
        place = Path(folder_of_demo)
        source = folder.absolute() if folder is not None else _sample(place / "sample")
        files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
        if not files:
            raise click.ClickException(f"{source} has no files; give a folder with some")
        output.line(f"Starting an Edge server on an empty folder; {len(files)} files of {source} go there and back.")
        _Demo(source, files, place / "back", _start(place / "server", stack)).run()
    output.text("Every result was checked against the local files, and the server was stopped.", fg="green")


def _start(data: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    """Start a server that stops with `stack`; returns the environment its clients need."""
    from edge_server.testing.local_server import EdgeServer

    server = EdgeServer(data)
    stack.callback(server.close)
    try:
        server.start()
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    token = server.create_token("admin", note="edge demo")
    return {
        "EDGE_API_TOKEN": token,
        "EDGE_API_SERVICE_URL": server.url,
        "EDGE_API_ORG": "default",
        "NO_PROXY": "127.0.0.1",  # a proxy of the environment does not lead to this machine
    }


class _Failed(click.ClickException):
    """A result that is not what it must be."""


class _Demo:
    def __init__(self, source: Path, files: list[Path], back: Path, environment: dict[str, str]) -> None:
        self._source = source
        self._files = files
        self._back = back
        self._names: dict[str, Any] = {}
        self._prompt = code.InteractiveInterpreter(self._names)
        self._prompt.showtraceback = self._fail  # type: ignore[method-assign]
        self._environment = environment
        self._failure: BaseException | None = None

    def run(self) -> None:
        with _patched(os.environ, self._environment), contextlib.ExitStack() as stack:
            self._connect()
            stack.callback(self._names["edge"].close)
            self._upload()
            self._tables()
            self._pictures()
            self._bytes()
            self._link()
            self._download()
            self._plugins()
            self._type("edge.close()")

    def _connect(self) -> None:
        self._title("The session takes token, server and organization from the environment")
        self._type("from edge.api import EdgeSession")
        self._type("edge = EdgeSession()")
        self._type("edge")
        self._type("edge.whoami().user_name", lambda name: name == "admin")

    def _upload(self) -> None:
        self._title("A folder goes up")
        for number, path in enumerate(self._files):
            line = f"edge.files.upload({self._remote(path)!r}, {str(path)!r})"
            self._type(line, shown=number < 5)
        if len(self._files) > 5:
            output.line(f"... and {len(self._files) - 5} more")
        top = sorted({self._remote(path).split("/")[0] for path in self._files}, key=str.encode)
        self._type("edge.files.list()", lambda names: names == top)

    def _tables(self) -> None:
        for suffix in TABLES:
            path = self._first(suffix)
            if path is not None:
                self._table(path, suffix)

    def _table(self, path: Path, suffix: str) -> None:
        import pandas

        if suffix == ".parquet":
            local = pandas.read_parquet(path)
        else:
            local = pandas.read_csv(path, sep="\t" if suffix == ".tsv" else ",")
        self._title(f"A {suffix} file is a DataFrame")
        self._type(f"df = edge.files.open({self._remote(path)!r})")
        self._type("df.shape", lambda shape: shape == local.shape)
        self._type("df.head(3)", lambda _: self._names["df"].equals(local))

    def _pictures(self) -> None:
        path = self._first(*PICTURES)
        if path is None:
            return
        from PIL import Image

        with Image.open(path) as local:
            size = local.size
            pixels = local.tobytes()
        self._title("A picture is a Pillow image")
        self._type(f"picture = edge.files.open({self._remote(path)!r})")
        self._type("picture.size", lambda shown: shown == size and self._names["picture"].tobytes() == pixels)

    def _bytes(self) -> None:
        path = max(self._files, key=lambda file: file.stat().st_size)
        content = path.read_bytes()
        start = len(content) // 2
        self._title("Any file is bytes, read from where one likes")
        self._type(f"file = edge.files.open({self._remote(path)!r}, open_with='file')")
        self._type("file.size", lambda size: size == len(content))
        self._type(f"file.seek({start})", lambda where: where == start)
        self._type("file.read(16)", lambda block: block == content[start : start + 16])

    def _link(self) -> None:
        path = max(self._files, key=lambda file: file.stat().st_size)
        self._title("A signed link works without a token, until it expires")
        self._type("url = file.download_url(expires_in=60)")
        self._type("import requests")
        self._type("answer = requests.get(url)")
        self._type("'Authorization' in answer.request.headers", lambda sent: sent is False)
        self._type(
            "answer.status_code, len(answer.content)",
            lambda answer: answer[0] == 200 and self._names["answer"].content == path.read_bytes(),
        )
        self._type("file.close()")

    def _download(self) -> None:
        self._title("The folder comes back, byte for byte")
        self._type("import hashlib, pathlib", shown=False)
        for number, path in enumerate(self._files):
            target = self._back / path.relative_to(self._source)
            target.parent.mkdir(parents=True, exist_ok=True)
            line = f"edge.files.download({self._remote(path)!r}, {str(target)!r})"
            self._type(line, shown=number < 3)
            if _digest(target) != _digest(path):
                raise _Failed(f"{path} came back with other bytes")
        output.line(f"{len(self._files)} files came back with the SHA-256 they left with.")

    def _plugins(self) -> None:
        self._title("Each property is a plugin, loaded when it was touched")
        self._type(
            "[(plugin.name, plugin.status, plugin.distribution) for plugin in edge.namespaces()]",
            lambda plugins: any(plugin[:2] == ("files", "loaded") for plugin in plugins),
        )

    def _first(self, *suffixes: str) -> Path | None:
        return next((path for path in self._files if path.suffix.lower() in suffixes), None)

    def _remote(self, path: Path) -> str:
        return path.relative_to(self._source).as_posix()

    def _title(self, text: str) -> None:
        output.text(f"\n# {text}", fg="cyan")

    def _type(self, line: str, check: Callable[[Any], bool] | None = None, *, shown: bool = True) -> None:
        """Run one line as Python's prompt would, show it and its result, and check the result."""
        if shown:
            output.text(">>> ", dim=True, nl=False)
            output.text(line)
        results: list[Any] = []
        before = sys.displayhook
        sys.displayhook = results.append
        try:
            self._prompt.runsource(line, "<demo>", "single")
        finally:
            sys.displayhook = before
        if self._failure is not None:
            failure, self._failure = self._failure, None
            if isinstance(failure, EdgeError):
                raise failure
            raise _Failed(f"{line} failed with {type(failure).__name__}: {failure}") from failure
        if shown and results and results[0] is not None:
            output.text(repr(results[0]) if not hasattr(results[0], "to_string") else str(results[0]))
        if check is not None and not check(results[0]):
            raise _Failed(f"{line} gave {results[0]!r}, which is not what the local files say")

    def _fail(self) -> None:
        self._failure = sys.exc_info()[1]


@contextlib.contextmanager
def _patched(target: Any, values: dict[str, str]) -> Iterator[None]:
    before = {name: target.get(name) for name in values}
    target.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del target[name]
            else:
                target[name] = value


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sample(folder: Path) -> Path:
    """Public data that packages ship: the Palmer penguins (CC0) and a photograph (public domain)."""
    penguins = _package("palmerpenguins") / "data"
    picture = _package("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    (folder / "penguins").mkdir(parents=True)
    for name in ("penguins.csv", "penguins-raw.csv"):
        shutil.copyfile(penguins / name, folder / "penguins" / name)
    shutil.copyfile(picture, folder / "grace_hopper.jpg")
    import pandas

    pandas.read_csv(penguins / "penguins.csv").to_parquet(folder / "penguins" / "penguins.parquet")
    return folder


def _package(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingPackage(
            f"the demonstration's sample data needs {name}, which is not installed; run: "
            "python -m pip install palmerpenguins matplotlib pandas pyarrow pillow, or give a FOLDER of your own",
            name=name,
        )
    return Path(spec.origin).parent
