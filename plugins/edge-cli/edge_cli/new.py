"""`edge plugins new`: a working plugin, for its author to change.

Its source is the distribution edge-template, a plugin like any other: built, tested and installed.
The wheel carries files that wheels usually leave out (setup.cfg, tests and the like) under
``share/edge-template``; installed for development, they are in the folder of its package.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
from pathlib import Path

from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError
from edge_core.session import RESERVED, EdgeSession

SOURCE = "edge-template"

_OURS = frozenset({"cli", "core", "server", "template", "vfs"})

# Beginnings of the server's own addresses, operations and tables.
_SERVERS = frozenset({"healthz", "members", "meta", "orgs", "search", "server", "signed", "uploads", "users", "whoami"})

# The beginning of the part of setup.cfg that only the template itself needs.
_OWN_PART = "\n# For `edge plugins new`"


def create(name: str, parent: Path) -> Path:
    """Create the folder ``edge-NAME`` of a new plugin in `parent`, and return its path.

    Args:
        name: name of the session's new attribute.
        parent: an existing folder.

    Raises:
        EdgeError: the name is not valid or taken, the folder exists already, or the template is not
            installed.
    """
    _check(name)
    files = _source()
    folder = parent / _renamed(SOURCE, name)
    try:
        folder.mkdir()
    except FileExistsError:
        raise EdgeError(f"{folder} exists already; remove it, or choose another name") from None
    for path, text in files.items():
        target = folder / _renamed(path, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(text.partition(_OWN_PART)[0] if path == "setup.cfg" else text, name), "utf-8")
    return folder


def _check(name: str) -> None:
    if not name.isascii() or not name.isidentifier() or name != name.lower() or name.startswith("_"):
        raise EdgeError(f"{name!r} cannot be the name of a plugin; choose a lower-case Python name, such as lims")
    taken = name in RESERVED | _OURS | _SERVERS or name in NAMESPACES or hasattr(EdgeSession, name)
    if taken or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise EdgeError(f"the name {name!r} is taken; choose another")


def _renamed(text: str, name: str) -> str:
    words = {
        "edge-template": f"edge-{name.replace('_', '-')}",
        "template": name,
        "Template": "".join(word.capitalize() for word in name.split("_")),
    }
    for before, after in words.items():
        text = text.replace(before, after)
    return text


def _source() -> dict[str, str]:
    """The files of the template by their paths in its folder."""
    try:
        distribution = importlib.metadata.distribution(SOURCE)
    except importlib.metadata.PackageNotFoundError:
        raise EdgeError(f"a new plugin is a copy of {SOURCE}; install that first (README, Install)") from None
    spec = importlib.util.find_spec("edge_template")
    if spec is None or spec.origin is None:
        raise EdgeError(f"{SOURCE} is installed without its package; install it again")
    package = Path(spec.origin).parent
    sources = {package.name + "/" + path.relative_to(package).as_posix(): path for path in package.rglob("*")}
    folder = package.parent
    if (folder / "setup.cfg").is_file() and (folder / "tests").is_dir():
        paths = [folder / name for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")]
        sources |= {path.relative_to(folder).as_posix(): path for path in (*paths, *(folder / "tests").rglob("*"))}
    else:
        for file in distribution.files or []:
            _, shared, inner = str(file).replace("\\", "/").partition(f"share/{SOURCE}/")
            if shared:
                sources[inner] = Path(str(file.locate())).resolve()
    if "setup.cfg" not in sources:
        raise EdgeError(f"{SOURCE} is installed without its source; install it again from its wheel or folder")
    return {
        inner: path.read_text("utf-8")
        for inner, path in sorted(sources.items())
        if path.is_file() and "__pycache__" not in path.parts
    }
