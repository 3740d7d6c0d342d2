"""What the README's commands rest on: neither changes the other, and what they install is locked."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import CONSTRAINTS, RUNNERS, THIRD_PARTY, distributions
from tools.set_version import ROOT, setup_files

OURS = set(distributions())
PLUGIN_TESTS = [str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/tests")]

PROJECT = """\
[tool.mypy]
strict = true
files = ["page.py"]

[tool.basedpyright]
typeCheckingMode = "standard"
include = ["page.py"]
"""

PAGE = """\
from marshmallow import missing

absent: bool = missing is None
"""


def _tox() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "tox.ini")
    return config


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["mypy", "basedpyright"])
def test_a_checker_looks_into_its_own_environment_and_not_into_that_of_the_clone(number: int, tmp_path: Path) -> None:
    """The README's first command makes `.venv` in the clone, without what the checks need."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "page.py").write_text(PAGE)
    venv.create(tmp_path / ".venv", symlinks=True)
    line = _tox()["testenv:types"]["commands"].strip().splitlines()[number]
    name, *options = shlex.split(line.replace("{envpython}", sys.executable))

    checked = subprocess.run(
        [sys.executable, "-m", name, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_checks_of_types_are_the_two_that_a_decoy_is_tried_with() -> None:
    commands = _tox()["testenv:types"]["commands"].strip().splitlines()

    assert [shlex.split(command)[0] for command in commands] == ["mypy", "basedpyright"]


def _locked() -> dict[str, list[Requirement]]:
    """Name -> the pins of it, of which one holds on each platform and Python."""
    pins: dict[str, list[Requirement]] = {}
    for line in (ROOT / CONSTRAINTS).read_text().splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def _declared() -> Iterator[tuple[str, str]]:
    """Every file that says what to install, and each requirement in it."""
    for path in setup_files():
        config = configparser.ConfigParser(interpolation=None)
        config.read(path)
        texts = [config["options"].get("install_requires", "")]
        if config.has_section("options.extras_require"):
            texts += config["options.extras_require"].values()
        yield from ((str(path.relative_to(ROOT)), line) for text in texts for line in text.splitlines() if line)
    for path in [*sorted(ROOT.glob("requirements*.txt")), ROOT / "tox.ini"]:
        for line in re.findall(r"^\s*([A-Za-z][\w.-]*(?:[<>=!~]=?.*)?)$", path.read_text(), re.MULTILINE):
            yield path.name, line
    for path in [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]:
        for line in tomllib.loads(path.read_text())["build-system"]["requires"]:
            yield str(path.relative_to(ROOT)), line
    yield from (("README.md", runner) for runner in RUNNERS)


def test_every_requirement_is_locked_to_a_version_that_satisfies_it() -> None:
    locked, ours = _locked(), set(distributions())
    unlocked = set()
    for file, line in _declared():
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        pins = locked.get(name, [])
        versions = [next(iter(pin.specifier)).version for pin in pins]
        if name not in ours and not (versions and all(map(requirement.specifier.contains, versions))):
            unlocked.add((file, line, *versions))

    assert unlocked == set(), "tox -e lock renews constraints.txt"


def test_the_lock_pins_versions_of_others_and_names_no_registry() -> None:
    text = (ROOT / CONSTRAINTS).read_text()

    pins = [pin for pins in _locked().values() for pin in pins]
    assert {specifier.operator for pin in pins for specifier in pin.specifier} == {"=="}
    assert not set(distributions()) & set(_locked())
    assert "://" not in text
    assert "--" not in text


def test_what_others_make_is_fetched_by_hash_and_in_the_locked_version() -> None:
    lines = (ROOT / THIRD_PARTY).read_text().replace("\\\n", " ").splitlines()
    pins = [line.partition(" --hash")[0].strip() for line in lines if line[0] != "#"]
    locked = {(name, pin.specifier) for name, pins in _locked().items() for pin in pins}

    assert all("--hash=sha256:" in line for line in lines if line[0] != "#")
    chosen = {(canonicalize_name(pin.name), pin.specifier) for pin in map(Requirement, pins)}
    assert chosen <= locked, "tox -e lock renews third-party.txt"
    names = {name for name, _ in chosen}
    assert not set(distributions()) & names
    needed = {Requirement(line) for file, line in _declared() if file.endswith("setup.cfg")}
    assert {canonicalize_name(requirement.name) for requirement in needed} - set(distributions()) <= names


def _own_requirements(folder: str) -> set[str]:
    """The distributions of ours that one of ours needs, with the extras in the brackets behind its folder."""
    path, _, extras = folder.rstrip("]").partition("[")
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / path / "setup.cfg")
    texts = [config["options"].get("install_requires", "")]
    texts += [config["options.extras_require"][extra] for extra in filter(None, extras.split(","))]
    requirements = [Requirement(line) for text in texts for line in text.splitlines() if line]
    return {requirement.name for requirement in requirements} & set(distributions())


def _installs() -> Iterator[tuple[str, list[str]]]:
    """Every place that says which of our folders to install together, and the folders."""
    for path in sorted(ROOT.glob("requirements*.txt")):
        yield path.name, re.findall(r"^(?:-e )?(\.\S*)$", path.read_text(), re.MULTILINE)
    everything = re.findall(r"^(\.\S*)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]:
        text = path.read_text(encoding="utf-8")
        commands = re.findall(r"pip install (.*\./plugins.*)$", text, re.MULTILINE)
        commands += re.findall(r"^\|[^|]*\| `(\. .*?)` \|$", text, re.MULTILINE)
        for command in commands:
            folders = [word for word in shlex.split(command) if word.startswith(".")]
            yield f"{path.name}: {command}", (everything if "-r requirements.txt" in command else []) + folders


def test_whoever_installs_from_folders_asks_no_index_for_a_name_of_ours() -> None:
    places = list(_installs())
    assert len(places) > 12
    for place, folders in places:
        own = {"edge-core" if folder == "." else folder.partition("[")[0].rpartition("/")[2] for folder in folders}
        missing = set().union(*map(_own_requirements, folders)) - own
        assert missing == set(), f"{place}: pip would look for {missing} in an index, where anyone may have put it"


def test_what_a_folder_requires_of_ours_stands_before_it() -> None:
    for place, folders in _installs():
        before: set[str] = set()
        for folder in folders:
            late = _own_requirements(folder) - before
            assert late == set(), f"{place}: pip looks for {late} in an index before it comes to their folders"
            before.add("edge-core" if folder == "." else folder.partition("[")[0].rpartition("/")[2])


READ = (".py", ".md", ".yml", "Containerfile")


def _readable() -> Iterator[tuple[Path, list[str]]]:
    """What tells people to install something: each page in its paragraphs, each module in its string literals."""
    pages = ["README.md", "SECURITY.md", "docs/**/*.md", "changes/*.md", "plugins/*/README.md"]
    packages = [f"{folder}/**/*{suffix}" for folder in ("edge", "edge_core", "plugins/*/edge_*") for suffix in READ]
    for path in sorted({path for pattern in pages + packages for path in ROOT.glob(pattern)}):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            literals = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
            yield path, [literal for literal in literals if isinstance(literal, str)]
        elif path.suffix == ".md":
            prose, blocks = text.split("```")[::2], text.split("```")[1::2]
            yield path, [re.sub(r"\n(?=\S)", " ", part) for part in prose] + blocks
        else:
            yield path, [text]


def _names(text: str) -> set[str]:
    """Distributions of ours that a command of pip in a text takes by name, which is from an index."""
    commands = re.findall(r"pip (?:install|download|wheel)\b(.*?)(?:`|;|, |$)", text, re.MULTILINE)
    words = [word for command in commands if "--no-index" not in command for word in re.findall(r"[^\s'\"]+", command)]
    return {canonicalize_name(re.split(r"[\[<>=~!]", word)[0]) for word in words} & OURS


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("run `pip install edge-server[metrics]`", {"edge-server"}),
        ("python -m pip install --upgrade 'edge_server>=0.1' edge-vfs", {"edge-server", "edge-vfs"}),
        ("python -m pip install 'edge-hub[", {"edge-hub"}),
        ("python -m pip install . './plugins/edge-vfs[tables]'", set()),
        ("python -m pip install --no-index --find-links wheels edge-files", set()),
        ("run: python -m pip install tqdm, or leave edge-vfs alone", set()),
    ],
)
def test_a_name_of_ours_is_seen_in_a_command(text: str, names: set[str]) -> None:
    assert _names(text) == names


def test_no_page_and_no_sentence_has_pip_look_for_a_name_of_ours() -> None:
    texts = list(_readable())
    assert sum("pip install" in text for _, parts in texts for text in parts) > 20
    places = {str(path.relative_to(ROOT)): set().union(*map(_names, parts)) for path, parts in texts}
    assert {place: names for place, names in places.items() if names} == {}, (
        "an index does not have these; name what others have published, or a folder of the clone"
    )


ENVIRONMENTS_WITHOUT_LOCK = {"testenv:lock", "testenv:newest"}


def test_every_environment_installs_what_is_locked() -> None:
    config = _tox()
    for section in config.sections():
        if section.startswith("testenv") and section not in ENVIRONMENTS_WITHOUT_LOCK:
            installs = config.get(section, "commands_pre", fallback=config["testenv"]["commands_pre"])
            if "uv pip install" in installs:
                assert "{[shared]locked} -r" in installs or "{[testenv]commands_pre}" in installs, section
            else:
                assert "-c constraints.txt" in config[section]["deps"], section
    for section in ENVIRONMENTS_WITHOUT_LOCK:
        assert "constraints" not in config[section]["deps"] + config[section]["commands_pre"]


def test_every_size_that_a_test_takes_from_the_environment_is_full_at_night() -> None:
    """What the README's command runs in a small size is run in its full size by somebody."""
    sources = [path for folder in ("tests", *PLUGIN_TESTS) for path in (ROOT / folder).rglob("test_*.py")]
    read = {name for path in sources for name in re.findall(r'environ\.get\("(EDGE_\w+)", "', path.read_text())}
    at_night = {line.partition(" = ")[0] for line in _tox()["testenv:nightly"]["set_env"].strip().splitlines()}

    assert at_night == read


def test_the_readme_names_every_environment() -> None:
    names = {section.partition(":")[2] for section in _tox().sections() if section.startswith("testenv:")}
    table = (ROOT / "README.md").read_text().partition("## Develop")[2]

    assert names == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
