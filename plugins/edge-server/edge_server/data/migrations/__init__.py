"""The database's history, one revision after another, in the files of `versions`."""

from pathlib import Path

HEAD = max(path.name[1:5] for path in (Path(__file__).parent / "versions").glob("v[0-9]*.py"))
"""The revision this code works with; read without Alembic, whose import would slow each start."""
