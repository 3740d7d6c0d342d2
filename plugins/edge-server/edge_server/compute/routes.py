"""The addresses of instance types, app profiles and placeholders."""

from __future__ import annotations

from typing import Any

import flask
from sqlalchemy import select

from edge_compute.app_placeholder import AppPlaceholder as PlaceholderRecord
from edge_compute.app_profile import AppProfile as ProfileRecord
from edge_compute.wire import (
    AppPlaceholderPage,
    AppProfilePage,
    HubPlaceholderPage,
    InstanceType,
    InstanceTypePage,
    ListCompute,
    NotePlaceholderStates,
    PlaceholderStatePage,
)
from edge_compute.wire import ComputeBackend as BackendRecord
from edge_server.base import pages
from edge_server.base.problems import not_found
from edge_server.compute import placeholders, profiles
from edge_server.compute.backends import ComputeBackend, backend_record
from edge_server.compute.instance_types import Catalogue, offered
from edge_server.compute.models import AppPlaceholder, AppProfile
from edge_server.compute.profiles import AppProfiles
from edge_server.web.context import Context, OwnContext
from edge_server.web.permissions import HUB, MEMBER, ORG_ADMIN
from edge_server.web.routes import Routes


def routes(context: Context, catalogue: Catalogue, backend: ComputeBackend, app_profiles: AppProfiles) -> Routes:
    """Below ``/v1/orgs/<org>/compute``."""
    routes = context.routes()
    _instance_types(routes, context, catalogue, backend)
    _profiles(routes, context, app_profiles)
    _placeholders(routes, context)
    return routes


def hub_routes(context: OwnContext, app_profiles: AppProfiles) -> Routes:
    """``/v1/placeholders`` and ``/v1/placeholder-states``."""
    routes = context.routes("/v1", group="placeholders")

    @routes.operation("compute.placeholders.hub_list", "GET", "/placeholders", who=HUB)
    @routes.arguments(ListCompute.schema(), location="query")
    @routes.response(200, HubPlaceholderPage.schema())
    def list_for_hub(query: ListCompute) -> flask.Response:
        """Tell the hub what machines to keep running, those of the oldest placeholder first."""
        with context.read() as session:
            rows, following = context.page(session, placeholders.enabled(), AppPlaceholder.id, query)
            items = placeholders.for_hub(session, app_profiles, rows)
        return context.answer(HubPlaceholderPage(items=items, next=following))

    @routes.operation("compute.placeholders.note", "PUT", "/placeholder-states", who=HUB)
    @routes.arguments(NotePlaceholderStates.schema())
    @routes.response(204)
    def note_placeholders(kept: NotePlaceholderStates) -> flask.Response:
        """Take the hub's word how many machines it has ready."""
        with context.write(context.SERVER) as session:
            placeholders.note(session, kept.items, context.now())
            return context.nothing()

    return routes


def _instance_types(routes: Routes, context: Context, catalogue: Catalogue, backend: ComputeBackend) -> None:
    @routes.operation("compute.backend", "GET", "/backend", who=MEMBER)
    @routes.response(200, BackendRecord.schema())
    def read_backend(org: str) -> flask.Response:
        """Tell what gives machines on this server, and whether it starts any."""
        return context.answer(backend_record(backend))

    @routes.operation("compute.instance_types.list", "GET", "/instance-types", who=MEMBER)
    @routes.arguments(ListCompute.schema(), location="query")
    @routes.response(200, InstanceTypePage.schema())
    def list_instance_types(query: ListCompute, org: str) -> flask.Response:
        """List the kinds of machines there are, in the order of their names."""
        # They are no rows of the database, which `context.page` is for.
        after = "" if query.cursor is None else pages.key_of(query.cursor, str)
        left = [instance_type for name, instance_type in offered(catalogue).items() if name > after]
        items = left[: query.limit]
        following = pages.cursor_of(items[-1].instance_name) if len(left) > query.limit else None
        return context.answer(InstanceTypePage(items=items, next=following))

    @routes.operation("compute.instance_types.read", "GET", "/instance-types/<instance_name>", who=MEMBER)
    @routes.response(200, InstanceType.schema())
    def read_instance_type(org: str, instance_name: str) -> flask.Response:
        """Tell of one kind of machine."""
        instance_type = offered(catalogue).get(instance_name)
        if instance_type is None:
            raise not_found(f"there is no instance type {instance_name!r}; list the instance types to see their names")
        return context.answer(instance_type)


def _profiles(routes: Routes, context: Context, app_profiles: AppProfiles) -> None:
    @routes.operation("compute.profiles.list", "GET", "/app-profiles", who=MEMBER)
    @routes.arguments(ListCompute.schema(), location="query")
    @routes.response(200, AppProfilePage.schema())
    def list_profiles(query: ListCompute, org: str) -> flask.Response:
        """List the app profiles in the order of their ids, and on the last page the built-in ones after them."""
        with context.read() as session:
            own = select(AppProfile).where(AppProfile.organization_id == context.member().organization_id)
            rows, following = context.page(session, own, AppProfile.profile_id, query)
        items = [profiles.profile_record(row) for row in rows]
        if following is None:
            items += app_profiles.built_in().values()
        return context.answer(AppProfilePage(items=items, next=following))

    @routes.operation("compute.profiles.create", "POST", "/app-profiles", who=ORG_ADMIN)
    @routes.arguments(ProfileRecord.schema())
    @routes.response(201, ProfileRecord.schema())
    def create_profile(profile: ProfileRecord, org: str) -> flask.Response:
        """Make an app profile, which is pending at first. A `uid`, `status` or `built_in` that is sent is not taken."""
        with context.write() as session:
            row = app_profiles.create(session, context.member().organization_id, profile)
            context.audit(profile=row.profile_id)
            response = context.answer(profiles.profile_record(row), row, 201)
        context.wake(profiles.TASK)
        return response

    @routes.operation("compute.profiles.read", "GET", "/app-profiles/<profile_id>", who=MEMBER)
    @routes.response(200, ProfileRecord.schema())
    def read_profile(org: str, profile_id: str) -> flask.Response:
        """Tell of one app profile."""
        built_in = app_profiles.built_in().get(profile_id)
        if built_in is not None:
            return context.answer(built_in)
        with context.read() as session:
            row = profiles.get_profile(session, context.member().organization_id, profile_id)
            return context.answer(profiles.profile_record(row), row)

    @routes.operation("compute.profiles.update", "PATCH", "/app-profiles/<profile_id>", who=ORG_ADMIN)
    @routes.merge_patch(ProfileRecord)
    @routes.response(200, ProfileRecord.schema())
    def update_profile(patch: dict[str, Any], org: str, profile_id: str) -> flask.Response:
        """Change an app profile; its id stays. Asking for another machine makes it pending again."""
        if patch.get("profile_id") == "":
            patch = {**patch, "profile_id": None}  # a record made by hand that names it in the address alone
        with context.write() as session:
            row = profiles.get_profile(session, context.member().organization_id, profile_id)
            context.require_unchanged(row)
            fixed = ["uid", "profile_id", "built_in", "status"]
            app_profiles.apply(row, context.patched(profiles.profile_record(row), patch, fixed=fixed))
            session.flush()
            context.audit(profile=profile_id)
            response = context.answer(profiles.profile_record(row), row)
        context.wake(profiles.TASK)
        return response

    @routes.operation("compute.profiles.remove", "DELETE", "/app-profiles/<profile_id>", who=ORG_ADMIN)
    @routes.response(204)
    def remove_profile(org: str, profile_id: str) -> flask.Response:
        """Remove an app profile that no placeholder uses."""
        with context.write() as session:
            row = profiles.get_profile(session, context.member().organization_id, profile_id)
            context.require_unchanged(row)
            profiles.remove_profile(session, row)
            context.audit(profile=profile_id)
            return context.nothing()


def _placeholders(routes: Routes, context: Context) -> None:
    @routes.operation("compute.placeholders.list", "GET", "/placeholders", who=ORG_ADMIN)
    @routes.arguments(ListCompute.schema(), location="query")
    @routes.response(200, AppPlaceholderPage.schema())
    def list_placeholders(query: ListCompute, org: str) -> flask.Response:
        """List the placeholders in the order of their names."""
        with context.read() as session:
            own = select(AppPlaceholder).where(AppPlaceholder.organization_id == context.member().organization_id)
            rows, following = context.page(session, own, AppPlaceholder.name, query)
        items = [placeholders.placeholder_record(row) for row in rows]
        return context.answer(AppPlaceholderPage(items=items, next=following))

    @routes.operation("compute.placeholders.states", "GET", "/placeholder-states", who=ORG_ADMIN)
    @routes.arguments(ListCompute.schema(), location="query")
    @routes.response(200, PlaceholderStatePage.schema())
    def list_placeholder_states(query: ListCompute, org: str) -> flask.Response:
        """Tell for each placeholder how many machines are ready, in the order of the names."""
        with context.read() as session:
            own = select(AppPlaceholder).where(AppPlaceholder.organization_id == context.member().organization_id)
            rows, following = context.page(session, own, AppPlaceholder.name, query)
        items = [placeholders.state_of(row, context.now()) for row in rows]
        return context.answer(PlaceholderStatePage(items=items, next=following))

    @routes.operation("compute.placeholders.create", "POST", "/placeholders", who=ORG_ADMIN)
    @routes.arguments(PlaceholderRecord.schema())
    @routes.response(201, PlaceholderRecord.schema())
    def create_placeholder(placeholder: PlaceholderRecord, org: str) -> flask.Response:
        """Ask for machines of an app profile to be kept running. A `uid` that is sent is not taken."""
        with context.write() as session:
            row = placeholders.create_placeholder(session, context.member().organization_id, placeholder)
            context.audit(placeholder=row.name)
            return context.answer(placeholders.placeholder_record(row), row, 201)

    @routes.operation("compute.placeholders.read", "GET", "/placeholders/<placeholder_id>", who=ORG_ADMIN)
    @routes.response(200, PlaceholderRecord.schema())
    def read_placeholder(org: str, placeholder_id: str) -> flask.Response:
        """Tell of one placeholder, by its name or uid."""
        with context.read() as session:
            row = placeholders.get_placeholder(session, context.member().organization_id, placeholder_id)
            return context.answer(placeholders.placeholder_record(row), row)

    @routes.operation("compute.placeholders.update", "PATCH", "/placeholders/<placeholder_id>", who=ORG_ADMIN)
    @routes.merge_patch(PlaceholderRecord)
    @routes.response(200, PlaceholderRecord.schema())
    def update_placeholder(patch: dict[str, Any], org: str, placeholder_id: str) -> flask.Response:
        """Change a placeholder."""
        with context.write() as session:
            row = placeholders.get_placeholder(session, context.member().organization_id, placeholder_id)
            context.require_unchanged(row)
            placeholder = context.patched(placeholders.placeholder_record(row), patch, fixed=["uid"])
            placeholders.apply_placeholder(session, row, placeholder)
            context.audit(placeholder=row.name)
            return context.answer(placeholders.placeholder_record(row), row)

    @routes.operation("compute.placeholders.remove", "DELETE", "/placeholders/<placeholder_id>", who=ORG_ADMIN)
    @routes.response(204)
    def remove_placeholder(org: str, placeholder_id: str) -> flask.Response:
        """Remove a placeholder, by its name or uid."""
        with context.write() as session:
            row = placeholders.get_placeholder(session, context.member().organization_id, placeholder_id)
            context.require_unchanged(row)
            context.audit(placeholder=row.name)
            session.delete(row)
            return context.nothing()
