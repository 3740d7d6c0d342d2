"""Names say what they name, and texts are plain English: what `python -m tools.words` checks."""

import subprocess
import sys

import pytest

from tests.test_repository import ROOT
from tools import words

# Taken apart, so that this file is clean itself.
NO_SUCH = " ".join(["no", "such"])
QUAINT = "men" + "ded"


def test_every_name_and_text_of_the_repository_passes():
    parts = words.check(ROOT)
    assert parts["edge_core"].names > 1000
    places = [str(place) for part in parts.values() for place in part.places]
    assert not places, "\n".join(places)


@pytest.fixture
def clone(tmp_path):
    """An empty clone to put files into."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def reasons(clone, text, path="lab/shelf.py"):
    """What is listed of a file with this text."""
    (clone / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / path).write_text(text)
    return [place.reason for part in words.check(clone).values() for place in part.places]


@pytest.mark.parametrize(
    "code",
    [
        "found = 1",
        "found: int",
        "found_rows += 1",
        "(row, [found]) = load()",
        "self.rowsWanted = 1",
        "class AskedQuery: pass",
        "def given_name(): pass",
        "async def told(): pass",
        "def load(one): pass",
        "def load(*made): pass",
        "lambda said: 1",
        "for STATED_TIME in times: pass",
        "with load() as found: pass",
        "try: pass\nexcept Exception as found: pass",
        "[row for one in rows]",
        "if (found := load()): pass",
        "import numpy as found",
        "from numpy import array as found",
        "match row:\n    case [one, *rows]: pass",
        "match row:\n    case {'a': 1, **found}: pass",
    ],
)
def test_a_filler_word_is_listed_wherever_a_name_is_bound(clone, code):
    (reason,) = reasons(clone, code)
    assert "filler word" in reason


@pytest.mark.parametrize(
    "code",
    [
        "row = found",
        "load(one=1)",
        "session.found = 1",
        "from hypothesis import given",
        "founders = stone = aforesaid = 1",
        "class NotFound(Exception): pass",
        "database = 1",
        "def write(data: bytes): pass",
        "self.data: Path = folder",
        "raise ValueError('there is no table; found none')",
    ],
)
def test_names_of_others_and_longer_words_pass(clone, code):
    assert not reasons(clone, code)


@pytest.mark.parametrize(
    "code",
    [
        "item = 1",
        "tmp = 1",
        "data = 1",
        "self.data = 1",
        "self.data: Any = 1",
        "def write(data): pass",
        "def write(data: Any): pass",
    ],
)
def test_a_name_that_says_nothing_is_listed(clone, code):
    (reason,) = reasons(clone, code)
    assert "does not say what it is" in reason


@pytest.mark.parametrize(
    "code",
    [
        'def load():\n    """The same, for rows."""',
        'LIMIT = 3\n"""The same, for rows."""',
        'class Lab:\n    """What hangs on the session as `lab`."""',
        f'def load():\n    """Loads.\n\n    Raises:\n        NotFound: there is {NO_SUCH} row.\n    """',
        f"# {QUAINT} since",
        f"raise NotFound('there is {NO_SUCH} row')",
        "raise Failed('it answered 200, " + "as no " + "Edge server does')",
    ],
)
def test_texts_that_are_not_plain_english_are_listed(clone, code):
    assert len(reasons(clone, code)) == 1


def test_what_others_print_passes(clone):
    assert not reasons(clone, f"if '{NO_SUCH} table: shelf' in message: raise")


def test_an_unpacked_archive_is_read_as_well(tmp_path):
    assert len(reasons(tmp_path, "found = 1")) == 1
    assert len(reasons(tmp_path, "found = 1", ".venv/lib/shelf.py")) == 1


def test_examples_in_documents_and_docstrings_are_read(clone):
    assert reasons(clone, "Text of a page.\n\n```python\nfor found in shelf:\n    print(found)\n```\n", "README.md")
    (clone / "README.md").unlink()
    assert reasons(
        clone, 'def load():\n    """Loads.\n\n    >>> for found in load():\n    ...     print(found)\n    """\n'
    )


def test_the_command_lists_places_and_fails_until_there_are_none(clone):
    assert reasons(clone, "\n\nfound = row = 1")
    listing = subprocess.run([sys.executable, words.__file__, clone], capture_output=True, text=True)
    assert listing.returncode == 1
    assert "lab/shelf.py:3: the name `found` has the filler word found\n" in listing.stdout
    assert listing.stdout.splitlines()[-1].split() == ["all", "2", "1", "50.00%", "1"]
    reasons(clone, "row = 1")
    assert subprocess.run([sys.executable, words.__file__, clone], capture_output=True).returncode == 0
