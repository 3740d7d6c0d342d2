"""`edge plugins migration`: the next migration of a plugin, from the difference to its classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from edge_cli.plugins import plugins
from edge_server.base.problems import CannotStart
from edge_server.data.database import FILE_NAME, Database
from edge_server.run import app, plugin_migration, start

from .bringing import Bring
from .engines import sqlite_only
from .test_subsystems import loaded

NOTES = """
plugin_api = 1
from pathlib import Path
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Moment(sa.TypeDecorator):
    impl = sa.DateTime(timezone=True)
    cache_ok = True

class Note(Base):
    __tablename__ = "lab_notes"
    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    organization_id: Mapped[int] = mapped_column(sa.BigInteger, index=True)
    text: Mapped[str] = mapped_column(sa.String(100), unique=True)
    written_at: Mapped[object] = mapped_column(Moment)

def server(context):
    return context.subsystem(metadata=Base.metadata, migrations=Path(__file__).parent / "lab_migrations")
"""

LONGER = NOTES.replace(
    "    written_at",
    "    language: Mapped[str | None] = mapped_column(sa.String(10))\n"
    '    pages: Mapped[int] = mapped_column(server_default="1")\n    written_at',
)


def write(source: str, bring: Bring, message: str = "what changes") -> tuple[Path, Result]:
    """The folder of the migrations, and what the module says to write the next one."""
    site = bring(source)
    for path in (site / "lab_migrations").glob("v1.py"):
        path.unlink()  # `bring` always writes this
    shutil.rmtree(site / "lab_migrations" / "__pycache__", ignore_errors=True)
    return site / "lab_migrations", CliRunner().invoke(plugin_migration.main, ["lab", "-m", message])


def migrated(data: Path) -> sa.Inspector:
    """The tables of a server that has started on `data`, with the migrations as they are."""
    data.mkdir(exist_ok=True)
    start.prepare(data)
    app.require_migrated(*loaded(data))
    return sa.inspect(Database(data / FILE_NAME).engine)


@sqlite_only("which is migrated at a start")
def test_the_first_migration_and_that_of_an_added_column_run(bring: Bring, tmp_path: Path) -> None:
    shutil.rmtree(bring(NOTES) / "lab_migrations")
    first = CliRunner().invoke(plugin_migration.main, ["lab", "-m", "Notes of the lab."])
    folder = bring(NOTES) / "lab_migrations"
    (folder / "v1.py").unlink()
    assert first.exit_code == 0, first.output
    assert first.output.startswith(f"{folder / 'v0001_notes_of_the_lab.py'} is written.")
    inspector = migrated(tmp_path / "data")
    (key,) = inspector.get_foreign_keys("lab_notes")
    assert (key["referred_table"], key["options"]) == ("organizations", {"ondelete": "CASCADE"})
    assert "lab_plugin" not in (folder / "v0001_notes_of_the_lab.py").read_text(), "a picture, without its code"

    folder, nothing = write(NOTES, bring)
    assert (nothing.exit_code, nothing.output.partition(":")[0]) == (0, "Nothing to write")

    folder, second = write(LONGER, bring, 'A "language", pages')
    assert second.exit_code == 0, second.output
    assert sorted(path.name for path in folder.glob("v*.py"))[1] == "v0002_a_language_pages.py"
    columns = {column["name"] for column in migrated(tmp_path / "data").get_columns("lab_notes")}
    assert {"language", "pages"} <= columns

    folder, back = write(NOTES, bring, "less")
    assert back.exit_code == 0, back.output
    assert "drop_column('language')" in (folder / "v0003_less.py").read_text()


def test_a_column_without_a_value_for_rows_there_are_is_a_sentence(bring: Bring) -> None:
    write(NOTES, bring)
    folder, answer = write(LONGER.replace(', server_default="1"', "").replace('server_default="1"', ""), bring)
    assert answer.exit_code == 1
    assert "the new column pages has no value for the rows there are; give it a server_default" in answer.output
    assert len(list(folder.glob("v*.py"))) == 1


def test_nothing_is_written_into_an_installed_copy(bring: Bring, tmp_path: Path) -> None:
    copy = NOTES.replace('Path(__file__).parent / "lab_migrations"', repr(str(tmp_path / "site-packages" / "lab")))
    _, answer = write(copy.replace("migrations='", "migrations=Path('").replace("lab')", "lab'))"), bring)
    assert answer.exit_code == 1
    assert "is installed as a copy, in which a migration would be lost; install it from its folder" in answer.output


def test_a_folder_that_cannot_be_written_is_a_sentence(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    bring(NOTES)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CannotStart, match=r"lab_migrations cannot be written \(Permission denied\); make the folder"):
        plugin_migration.write("lab", "x")


def test_a_plugin_that_is_not_there_or_has_no_tables_is_a_sentence(bring: Bring) -> None:
    with pytest.raises(CannotStart, match="the server half 'lab' is not installed, or switched off; install"):
        plugin_migration.write("lab", "x")
    with pytest.raises(CannotStart, match="'files' has no tables of its own; .* the server's own tables are 'server'"):
        plugin_migration.write("files", "x")
    bring("plugin_api = 1\ndef server(context): return context.subsystem()")
    with pytest.raises(CannotStart, match="'lab' has no tables of its own"):
        plugin_migration.write("lab", "x")


def test_the_migrations_of_the_server_and_of_the_template_are_complete() -> None:
    assert plugin_migration.write("server", "x") is None
    assert plugin_migration.write("template", "x") is None


@pytest.mark.slow
def test_the_command_starts_it(bring: Bring, capfd: pytest.CaptureFixture[str]) -> None:
    bring(NOTES)
    with pytest.raises(SystemExit) as ended:
        plugins(["migration", "lab", "-m", "Notes"], prog_name="edge plugins")
    assert ended.value.code == 0
    assert "v0002_notes.py is written" in capfd.readouterr().out
    assert CliRunner().invoke(plugins, ["migration", "nobody", "-m", "x"]).exit_code == 1
    assert capfd.readouterr().err.startswith("Error: the server half 'nobody' is not installed")
