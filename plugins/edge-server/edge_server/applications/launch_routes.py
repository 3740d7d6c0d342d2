"""The addresses of launching: applications that run, and what a hub asks before it starts a server."""

from __future__ import annotations

import flask

from edge_applications.launch_plan import LaunchPlan, PlanLaunch
from edge_applications.running_app import RunningApp
from edge_applications.wire import LaunchApp, ListRunning, RunningAppPage, StopRunning
from edge_server.applications import running
from edge_server.applications.app_runs import AppRuns
from edge_server.applications.launching import Launches
from edge_server.applications.running import RunningApps
from edge_server.base import pages
from edge_server.web.context import OwnContext
from edge_server.web.permissions import HUB, MEMBER
from edge_server.web.routes import Routes


def plan_routes(context: OwnContext, launches: Launches) -> Routes:
    """``/v1/launch-plans``."""
    routes = context.routes("/v1", group="launch plans")

    @routes.operation(
        "applications.launch_plan", "POST", "/launch-plans", who=HUB, secret_answer=True, repeatable=True, reads=True
    )
    @routes.arguments(PlanLaunch.schema())
    @routes.response(200, LaunchPlan.schema())
    def plan_launch(request: PlanLaunch) -> flask.Response:
        """Tell the hub what to run for one of its users, before it starts a server. It asks with its own token."""
        return context.secret_answer(launches.plan(request))

    return routes


def running_routes(context: OwnContext, launches: Launches, apps: RunningApps, runs: AppRuns | None) -> Routes:
    """Launching below ``/v1/orgs/<org>/applications``, and ``/v1/orgs/<org>/running-apps``.

    Args:
        context: what they work with.
        launches: what members launch.
        apps: what runs.
        runs: counts app hours; None for a server without a hub.
    """
    routes = context.routes("/v1/orgs/<org>", group="running apps")

    @routes.operation("applications.launch", "POST", "/applications/<app_id>/launch", who=MEMBER)
    @routes.arguments(LaunchApp.schema())
    @routes.response(202, RunningApp.schema())
    def launch_application(request: LaunchApp, org: str, app_id: str) -> flask.Response:
        """Have an application run for the caller; it may still be starting. What runs already is answered as it is."""
        apps.require()
        with context.read() as session:
            launch = launches.launch(session, context.member(), app_id, request.version, request.profile)
        with context.write():
            context.audit(application=app_id, version=launch.version.version)
        app = apps.start(context.caller().user_name, launch)
        return context.answer(app.record(), status=202)

    @routes.operation("applications.running.list", "GET", "/running-apps", who=MEMBER)
    @routes.arguments(ListRunning.schema(), location="query")
    @routes.response(200, RunningAppPage.schema())
    def list_running(query: ListRunning, org: str) -> flask.Response:
        """List the caller's apps that run, start or stop; those of all users for admins, who ask for them."""
        if query.all_users:
            require_admin()
            present = apps.of_all(org)
        else:
            present = apps.of_user(context.caller().user_name, org)
        # They are no rows of the database, which `context.page` is for.
        after = "" if query.cursor is None else pages.key_of(query.cursor, str)
        left = [app for app in present if running.key(app) > after]
        page, following = pages.cut(left[: query.limit + 1], running.key, query)
        return context.answer(RunningAppPage(items=[app.record() for app in page], next=following))

    @routes.operation("applications.running.read", "GET", "/running-apps/<server_name>", who=MEMBER)
    @routes.response(200, RunningApp.schema())
    def read_running(org: str, server_name: str) -> flask.Response:
        """Tell of an app of the caller's that runs, starts or stops."""
        return context.answer(apps.get(context.caller().user_name, org, server_name).record())

    @routes.operation("applications.running.stop", "DELETE", "/running-apps/<server_name>", who=MEMBER)
    @routes.arguments(StopRunning.schema(), location="query")
    @routes.response(204)
    def stop_running(query: StopRunning, org: str, server_name: str) -> flask.Response:
        """Stop an app of the caller's, or as an admin that of another user; it may still be stopping afterwards."""
        user_name = query.user_name or context.caller().user_name
        if user_name != context.caller().user_name:
            require_admin()
        app = apps.get(user_name, org, server_name)
        with context.write():
            context.audit(application=app.options.app_id, user_name=user_name)
        if runs is not None:
            runs.note(app)
        apps.stop(app)
        return context.nothing()

    def require_admin() -> None:
        if not context.member().admin:
            raise context.forbidden("the apps of other users are for the organization's admins; ask one of them")

    return routes
