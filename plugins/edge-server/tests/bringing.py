"""Distributions with a server half, as other people write them, installed for one test."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_core import registry

Bring = Callable[..., Path]

GOOD = """
plugin_api = 1
from pathlib import Path
import sqlalchemy as sa
from edge_core.records import Record

class Word(Record):
    text: str

metadata = sa.MetaData()
words = sa.Table("lab_words", metadata, sa.Column("text", sa.String(100)))

def server(context):
    routes = context.routes()

    @routes.operation("lab.words.add", "POST", "/words", who="developer")
    @routes.arguments(Word.schema())
    @routes.response(201, Word.schema())
    def add(word, org):
        with context.write() as session:
            session.execute(sa.insert(words).values(text=word.text))
            return context.answer(word, status=201)

    @routes.operation("lab.words.count", "GET", "/words", who="member")
    @routes.response(200, Word.schema())
    def count(org):
        with context.read() as session:
            return context.answer(Word(text=str(session.scalar(sa.select(sa.func.count()).select_from(words)))))

    migrations = Path(__file__).parent / "lab_migrations"
    return context.subsystem(routes, metadata=metadata, migrations=migrations)
"""

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade(): op.create_table("lab_words", sa.Column("text", sa.String(100)))
"""


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bring]:
    """Install a distribution with a server half, for this process and those it starts."""
    before = set(sys.modules)

    def make(source: str = GOOD, *migrations: str, name: str = "lab-plugin", point: str = "lab") -> Path:
        module = name.replace("-", "_")
        site = tmp_path / name
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True, exist_ok=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[edge.server]\n{point} = {module}:server\n")
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        (site / "lab_migrations").mkdir(exist_ok=True)
        for number, text in enumerate(migrations or (FIRST,), 1):
            (site / "lab_migrations" / f"v{number}.py").write_text(text)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
        registry.rescan()
        sys.modules.pop(module, None)
        return site

    yield make
    registry.rescan()
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[module]
