"""The API's description."""

from __future__ import annotations

import json
from pathlib import Path

import openapi_schema_validator
from click.testing import CliRunner

from edge_server.run import permission_table
from edge_server.run.openapi import document, main, text

RULES = permission_table.rules()

KEPT = Path(__file__).parents[3] / "docs" / "openapi.json"


def test_the_kept_description_is_current() -> None:
    assert KEPT.read_text(encoding="utf-8") == text(), "run python -m edge_server.run.openapi docs/openapi.json"


def test_the_description_has_every_operation_with_its_refusals() -> None:
    described = document()
    operations = {
        operation["operationId"]: operation
        for path in described["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    }
    assert set(operations) == set(RULES)
    for operation in operations.values():
        assert "application/problem+json" in operation["responses"]["default"]["content"]
        assert operation["summary"]
    assert operations["files.list"]["security"] == [{"token": []}]
    assert "security" not in operations["signed.content"]


def test_a_record_or_null_is_no_other_object() -> None:
    schema = {"$ref": "#/components/schemas/Application", "components": json.loads(text())["components"]}
    check = openapi_schema_validator.OAS30Validator(schema)
    for resources, fits in ((None, True), ({"cpu": 2}, True), ({"other": 1}, False), ({"cpu": "two"}, False)):
        assert check.is_valid({"app_id": "viewer", "built_in": True, "max_resources": resources}) is fits


def test_the_check_fails_where_the_description_is_not_current(tmp_path: Path) -> None:
    path = str(tmp_path / "openapi.json")
    stale = CliRunner().invoke(main, ["--check", path])
    assert stale.exit_code == 1
    assert "is not current" in stale.output
    assert CliRunner().invoke(main, [path]).exit_code == 0
    assert CliRunner().invoke(main, ["--check", path]).exit_code == 0


def test_the_kept_page_of_permissions_is_current() -> None:
    page = KEPT.with_name("permissions.md").read_text(encoding="utf-8")
    assert page == permission_table.text(), "run python -m edge_server.run.permission_table docs/permissions.md"
