"""Instance types, app profiles and placeholders."""

from __future__ import annotations

from typing import Any

import flask
from sqlalchemy import select

from edge_compute.app_placeholder import AppPlaceholder as PlaceholderRecord
from edge_compute.app_profile import AppProfile as ProfileRecord
from edge_compute.wire import (
    AppPlaceholderPage,
    AppProfilePage,
    ComputeBackend,
    InstanceType,
    InstanceTypePage,
    ListCompute,
)
from edge_server.base import pages
from edge_server.base.problems import not_found
from edge_server.compute import machines
from edge_server.compute.models import AppPlaceholder, AppProfile
from edge_server.data.database import SERVER
from edge_server.web import updates
from edge_server.web.answers import answer
from edge_server.web.engines import services
from edge_server.web.permissions import MEMBER, ORG_ADMIN, member
from edge_server.web.routes import Routes

routes = Routes("compute", __name__, url_prefix="/v1/orgs/<org>/compute")


@routes.operation("compute.backend", "GET", "/backend", who=MEMBER)
@routes.response(200, ComputeBackend.schema())
def backend(org: str) -> flask.Response:
    """Tell what gives machines on this server, and whether it starts any."""
    return answer(machines.backend_record(services().compute))


@routes.operation("compute.instance_types.list", "GET", "/instance-types", who=MEMBER)
@routes.arguments(ListCompute.schema(), location="query")
@routes.response(200, InstanceTypePage.schema())
def list_instance_types(query: ListCompute, org: str) -> flask.Response:
    """List the kinds of machines there are, in the order of their names."""
    after = "" if query.cursor is None else pages.key_of(query.cursor, str)
    left = [one for name, one in services().instance_types.require().items() if name > after]
    items = left[: query.limit]
    following = pages.cursor_of(items[-1].instance_name) if len(left) > query.limit else None
    return answer(InstanceTypePage(items=items, next=following))


@routes.operation("compute.instance_types.read", "GET", "/instance-types/<instance_name>", who=MEMBER)
@routes.response(200, InstanceType.schema())
def read_instance_type(org: str, instance_name: str) -> flask.Response:
    """Tell of one kind of machine."""
    found = services().instance_types.require().get(instance_name)
    if found is None:
        raise not_found(f"there is no instance type {instance_name!r}; list the instance types to see their names")
    return answer(found)


@routes.operation("compute.profiles.list", "GET", "/app-profiles", who=MEMBER)
@routes.arguments(ListCompute.schema(), location="query")
@routes.response(200, AppProfilePage.schema())
def list_profiles(query: ListCompute, org: str) -> flask.Response:
    """List the app profiles in the order of their ids, and on the last page the built-in ones after them."""
    with services().database.read() as session:
        own = select(AppProfile).where(AppProfile.organization_id == member().organization_id)
        found, following = pages.page(session, own, AppProfile.profile_id, query)
        items = [machines.profile_record(one) for one in found]
    if following is None:
        items += machines.built_in(services().compute).values()
    return answer(AppProfilePage(items=items, next=following))


@routes.operation("compute.profiles.create", "POST", "/app-profiles", who=ORG_ADMIN)
@routes.arguments(ProfileRecord.schema())
@routes.response(201, ProfileRecord.schema())
def create_profile(wanted: ProfileRecord, org: str) -> flask.Response:
    """Make an app profile, which is pending at first. A `uid`, `status` or `built_in` that is sent is not taken."""
    parts = services()
    with parts.database.write(SERVER) as session:
        row = machines.create_profile(session, parts.compute, parts.instance_types, member().organization_id, wanted)
        response = answer(machines.profile_record(row), row, 201)
    parts.background.wake(machines.TASK)
    return response


@routes.operation("compute.profiles.read", "GET", "/app-profiles/<profile_id>", who=MEMBER)
@routes.response(200, ProfileRecord.schema())
def read_profile(org: str, profile_id: str) -> flask.Response:
    """Tell of one app profile."""
    built_in = machines.built_in(services().compute).get(profile_id)
    if built_in is not None:
        return answer(built_in)
    with services().database.read() as session:
        row = machines.get_profile(session, member().organization_id, profile_id)
        return answer(machines.profile_record(row), row)


@routes.operation("compute.profiles.update", "PATCH", "/app-profiles/<profile_id>", who=ORG_ADMIN)
@routes.merge_patch(ProfileRecord)
@routes.response(200, ProfileRecord.schema())
def update_profile(patch: dict[str, Any], org: str, profile_id: str) -> flask.Response:
    """Change an app profile; its id stays. Asking for another machine makes it pending again."""
    parts = services()
    if patch.get("profile_id") == "":
        patch = {**patch, "profile_id": None}  # a record made by hand that names it in the address alone
    with parts.database.write(SERVER) as session:
        row = machines.get_profile(session, member().organization_id, profile_id)
        updates.require_unchanged(row)
        fixed = ["uid", "profile_id", "built_in", "status"]
        wanted = updates.patched(machines.profile_record(row), patch, fixed=fixed)
        machines.apply_profile(parts.compute, parts.instance_types, row, wanted)
        session.flush()
        response = answer(machines.profile_record(row), row)
    parts.background.wake(machines.TASK)
    return response


@routes.operation("compute.profiles.remove", "DELETE", "/app-profiles/<profile_id>", who=ORG_ADMIN)
@routes.response(204)
def remove_profile(org: str, profile_id: str) -> flask.Response:
    """Remove an app profile that no placeholder uses."""
    with services().database.write(SERVER) as session:
        row = machines.get_profile(session, member().organization_id, profile_id)
        updates.require_unchanged(row)
        machines.remove_profile(session, row)
    return flask.Response(status=204)


@routes.operation("compute.placeholders.list", "GET", "/placeholders", who=ORG_ADMIN)
@routes.arguments(ListCompute.schema(), location="query")
@routes.response(200, AppPlaceholderPage.schema())
def list_placeholders(query: ListCompute, org: str) -> flask.Response:
    """List the placeholders in the order of their names."""
    with services().database.read() as session:
        own = select(AppPlaceholder).where(AppPlaceholder.organization_id == member().organization_id)
        found, following = pages.page(session, own, AppPlaceholder.name, query)
        items = [machines.placeholder_record(one) for one in found]
    return answer(AppPlaceholderPage(items=items, next=following))


@routes.operation("compute.placeholders.create", "POST", "/placeholders", who=ORG_ADMIN)
@routes.arguments(PlaceholderRecord.schema())
@routes.response(201, PlaceholderRecord.schema())
def create_placeholder(wanted: PlaceholderRecord, org: str) -> flask.Response:
    """Ask for machines of an app profile to be kept running. A `uid` that is sent is not taken."""
    with services().database.write(SERVER) as session:
        row = machines.create_placeholder(session, member().organization_id, wanted)
        return answer(machines.placeholder_record(row), row, 201)


@routes.operation("compute.placeholders.read", "GET", "/placeholders/<placeholder_id>", who=ORG_ADMIN)
@routes.response(200, PlaceholderRecord.schema())
def read_placeholder(org: str, placeholder_id: str) -> flask.Response:
    """Tell of one placeholder, by its name or uid."""
    with services().database.read() as session:
        row = machines.get_placeholder(session, member().organization_id, placeholder_id)
        return answer(machines.placeholder_record(row), row)


@routes.operation("compute.placeholders.update", "PATCH", "/placeholders/<placeholder_id>", who=ORG_ADMIN)
@routes.merge_patch(PlaceholderRecord)
@routes.response(200, PlaceholderRecord.schema())
def update_placeholder(patch: dict[str, Any], org: str, placeholder_id: str) -> flask.Response:
    """Change a placeholder."""
    with services().database.write(SERVER) as session:
        row = machines.get_placeholder(session, member().organization_id, placeholder_id)
        updates.require_unchanged(row)
        wanted = updates.patched(machines.placeholder_record(row), patch, fixed=["uid"])
        machines.apply_placeholder(session, row, wanted)
        return answer(machines.placeholder_record(row), row)


@routes.operation("compute.placeholders.remove", "DELETE", "/placeholders/<placeholder_id>", who=ORG_ADMIN)
@routes.response(204)
def remove_placeholder(org: str, placeholder_id: str) -> flask.Response:
    """Remove a placeholder, by its name or uid."""
    with services().database.write(SERVER) as session:
        row = machines.get_placeholder(session, member().organization_id, placeholder_id)
        updates.require_unchanged(row)
        session.delete(row)
    return flask.Response(status=204)
