"""`edge plugins new`: a plugin that works, to be changed into the one that is wanted.

There is one source of it, the distribution edge-template, which is a plugin like any other: built,
tested and installed. Its wheel carries what a wheel usually leaves behind (setup.cfg, tests and
the like) under ``share/edge-template``; installed for development, its folder is beside its package.
"""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

import importlib_metadata

from edge_core.documented import NAMESPACES
from edge_core.errors import EdgeError
from edge_core.session import RESERVED, EdgeSession

SOURCE = "edge-template"

_OURS = frozenset({"cli", "core", "server", "template", "vfs"})

# What a server's addresses, operations or tables already begin with.
_SERVERS = frozenset({"healthz", "members", "meta", "orgs", "search", "server", "signed", "uploads", "users", "whoami"})

# Where the part of its setup.cfg begins that only the source itself needs.
_OWN_PART = "\n# For `edge plugins new`"


def create(name: str, parent: Path) -> Path:
    """Make the folder ``edge-NAME`` of a new plugin in `parent`, and return it.

    Args:
        name: the attribute it will give the session.
        parent: an existing folder.

    Raises:
        EdgeError: there cannot be a plugin of that name, the folder is there already, or the
            source is not installed.
    """
    _check(name)
    files = _source()
    folder = parent / _renamed(SOURCE, name)
    try:
        folder.mkdir()
    except FileExistsError:
        raise EdgeError(f"{folder} is there already; remove it, or choose another name") from None
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
    """The files of the source by their paths in its folder."""
    try:
        distribution = importlib_metadata.distribution(SOURCE)
    except importlib_metadata.PackageNotFoundError:
        raise EdgeError(f"a new plugin is a copy of {SOURCE}; install that first (README, Install)") from None
    spec = importlib.util.find_spec("edge_template")
    if spec is None or spec.origin is None:
        raise EdgeError(f"{SOURCE} is installed without its package; install it again")
    package = Path(spec.origin).parent
    found = {package.name + "/" + path.relative_to(package).as_posix(): path for path in package.rglob("*")}
    folder = package.parent
    if (folder / "setup.cfg").is_file() and (folder / "tests").is_dir():
        paths = [folder / one for one in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg")]
        found |= {path.relative_to(folder).as_posix(): path for path in (*paths, *(folder / "tests").rglob("*"))}
    else:
        for file in distribution.files or []:
            _, shared, inner = str(file).replace("\\", "/").partition(f"share/{SOURCE}/")
            if shared:
                found[inner] = Path(str(file.locate())).resolve()
    if "setup.cfg" not in found:
        raise EdgeError(f"{SOURCE} is installed without its source; install it again from its wheel or folder")
    return {
        inner: path.read_text("utf-8")
        for inner, path in sorted(found.items())
        if path.is_file() and "__pycache__" not in path.parts
    }
