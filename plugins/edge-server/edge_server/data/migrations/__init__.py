"""The database's history, one revision after another."""

HEAD = "0010"
"""The revision this code works with; read without Alembic, whose import would slow each start."""
