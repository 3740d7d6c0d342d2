"""Properties by their documented names, where no test of their plugin reads them for a purpose of its own."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import pytest

from edge.admin.organization import Organization, OrganizationStatusEnum
from edge.apps.app_version import AppVersion
from edge.apps.application import Application
from edge.edge_billing import BillingCloudUsage, BillingComputedCost
from edge_admin.user import User
from edge_core.session import EdgeSession


def test_a_file_is_not_written(edge_session: EdgeSession) -> None:
    edge_session.files.upload("plate.csv", b"A1,3")
    with edge_session.files.open("plate.csv", open_with="file") as file, pytest.raises(io.UnsupportedOperation):
        file.write(b"A2,4")


def test_the_users_own_organizations(edge_session: EdgeSession) -> None:
    (organization,) = edge_session.whoami().organizations

    assert organization.title
    assert organization.to_dict() == {
        "organization_name": edge_session.organization,
        "title": organization.title,
        "roles": organization.roles,
    }


def test_organizations_as_administrators_see_them() -> None:
    organization = Organization(
        name="lab",
        title="The lab",
        status=OrganizationStatusEnum.Active,
        disable_launch=False,
        shutdown_apps=True,
        active=True,
    )

    assert (organization.shutdown_apps, organization.active, organization.status.value) == (True, True, "active")


def test_users_as_administrators_see_them() -> None:
    user = User("test-user-1", "Bob", "User", "bob@user.com")

    assert (user.first_name, user.last_name, user.email) == ("Bob", "User", "bob@user.com")
    assert user.server_admin is False


def test_records_of_billing() -> None:
    day = dt.date(2024, 1, 31)
    usage = BillingCloudUsage.from_answer(
        {"id": 1, "billing_date": "2024-01-31", "org_name": "lab", "classification": "internal"}
    )
    cost = BillingComputedCost.from_answer(
        {
            "id": 2,
            "billing_date": "2024-01-31",
            "org_name": "lab",
            "classification": "internal",
            "computed_cost": "0.0000012500",
        }
    )

    assert (usage.id, usage.billing_date, usage.org_name, usage.classification) == (1, day, "lab", "internal")
    assert (cost.id, cost.billing_date, cost.org_name, cost.classification) == (2, day, "lab", "internal")
    assert cost.computed_cost == Decimal("0.0000012500")


def test_what_older_programs_state_of_a_version_comes_back(edge_session: EdgeSession) -> None:
    edge_session.applications.add_application(Application("viewer", True))
    edge_session.applications.add_app_version(
        AppVersion(
            app_id="viewer",
            version="1.0.0",
            link="quay.io/lab/viewer:1.0.0",
            profiles={"small": {"cpu": 1}},
            default_profile="small",
        )
    )

    (kept,) = edge_session.applications.list_app_versions("viewer")
    assert (kept.profiles, kept.default_profile) == ({"small": {"cpu": 1}}, "small")
    assert [app.app_id for app in edge_session.applications.list_applications()] == ["viewer"]
