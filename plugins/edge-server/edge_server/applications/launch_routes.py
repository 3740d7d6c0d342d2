"""The addresses of launching: applications that run, and what a hub asks before it starts a server."""

from __future__ import annotations

from operator import attrgetter

import flask

from edge_applications.launch_plan import LaunchPlan, PlanLaunch
from edge_applications.running_app import RunningApp, RunningAppStatusEnum
from edge_applications.wire import (
    AppVisitor,
    FindRunning,
    FindVisitor,
    LaunchApp,
    ListRunning,
    NoteAppState,
    RunningAppPage,
    ShareApp,
    StopRunning,
    UnshareApp,
)
from edge_server.applications import app_states, running
from edge_server.applications.app_runs import AppRuns
from edge_server.applications.app_shares import AppShares, Members
from edge_server.applications.launching import Launches
from edge_server.applications.running import Running, RunningApps
from edge_server.base import pages
from edge_server.base.problems import Refusal
from edge_server.identity.token_scopes import UNLIMITED
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


def running_routes(
    context: OwnContext, launches: Launches, apps: RunningApps, shares: AppShares | None, runs: AppRuns | None
) -> Routes:
    """Launching below ``/v1/orgs/<org>/applications``, and ``/v1/orgs/<org>/running-apps``.

    Args:
        context: what they work with.
        launches: what members launch.
        apps: what runs.
        shares: with whom it is shared; None for a server without a hub.
        runs: counts app hours; None for a server without a hub.
    """
    routes = context.routes("/v1/orgs/<org>", group="running apps")

    @routes.operation("applications.launch", "POST", "/applications/<app_id>/launch", who=MEMBER)
    @routes.arguments(LaunchApp.schema())
    @routes.response(202, RunningApp.schema())
    def launch_application(request: LaunchApp, org: str, app_id: str) -> flask.Response:
        """Have an application run for the caller; it may still be starting. What runs already is answered as it is."""
        apps.require()
        if context.caller().scopes != UNLIMITED:
            # The token of the app that runs would be good for more, and go on when the login has ended.
            raise context.forbidden(
                "this is the login of an external application, which launches none; launch it in a notebook of "
                "the hub, or by edge app launch"
            )
        with context.read() as session:
            launch = launches.launch(session, context.member(), app_id, request.version, request.profile)
        with context.write():
            context.audit(application=app_id, version=launch.version.version)
        try:
            app = apps.start(context.caller().user_name, launch)
        except Refusal as refusal:
            with context.write():
                context.audit(application=app_id, version=launch.version.version, refused=refusal.detail)
            raise
        with context.write() as session:
            app_states.forget_earlier(session, context.caller().id, app)
        return context.answer(own_record(app), status=202)

    @routes.operation("applications.running.list", "GET", "/running-apps", who=MEMBER)
    @routes.arguments(ListRunning.schema(), location="query")
    @routes.response(200, RunningAppPage.schema())
    def list_running(query: ListRunning, org: str) -> flask.Response:
        """List the apps that run, start or stop: the caller's, and those that others share with them.

        Admins who ask for it get those of all users.
        """
        caller = context.caller().user_name
        if query.all_users:
            require_admin()
            present = apps.of_all(org)
        else:
            present = [*apps.of_user(caller, org), *apps.shared_with(caller, org)]
            present.sort(key=attrgetter("key"))
        # They are no rows of the database, which `context.page` is for.
        after = "" if query.cursor is None else pages.key_of(query.cursor, str)
        left = [app for app in present if app.key > after]
        page, following = pages.cut(left[: query.limit + 1], attrgetter("key"), query)
        own = [app for app in page if app.server.user_name == caller]
        shared = sharing().of_apps(caller, own, members(org))
        with context.read() as session:
            states = app_states.states_of(session, page)
        items = [
            app.record(shared[app.server.name] if app in own else None, status=states.get(app.key)) for app in page
        ]
        return context.answer(RunningAppPage(items=items, next=following))

    @routes.operation("applications.running.read", "GET", "/running-apps/<server_name>", who=MEMBER)
    @routes.arguments(FindRunning.schema(), location="query")
    @routes.response(200, RunningApp.schema())
    def read_running(query: FindRunning, org: str, server_name: str) -> flask.Response:
        """Tell of an app that runs, starts or stops: the caller's, one that is shared with them, or an admin's any."""
        caller = context.caller().user_name
        if query.user_name in (None, caller):
            app = apps.find(caller, org, server_name)
            return context.answer(ended_record(server_name) if app is None else own_record(app))
        if context.member().admin:
            return context.answer(record_of_another(apps.get(query.user_name, org, server_name)))
        for app in apps.shared_with(caller, org):
            if (app.server.user_name, app.server.name) == (query.user_name, server_name):
                return context.answer(record_of_another(app))
        raise context.not_found(
            f"no app {server_name!r} of {query.user_name} runs that is shared with you; ask its owner to share it"
        )

    @routes.operation("applications.running.share", "POST", "/running-apps/<server_name>/share", who=MEMBER)
    @routes.arguments(ShareApp.schema())
    @routes.response(200, RunningApp.schema())
    def share_running(request: ShareApp, org: str, server_name: str) -> flask.Response:
        """Let members of the organization, or all of them, visit an app of the caller's."""
        app = own_app(request.user_name, org, server_name)
        with context.write():
            whom = "the organization" if request.users is None else ", ".join(request.users)
            context.audit(application=app.options.app_id, shared_with=whom)
        sharing().share(app, members(org), request.users)
        return context.answer(own_record(app))

    @routes.operation("applications.running.unshare", "DELETE", "/running-apps/<server_name>/share", who=MEMBER)
    @routes.arguments(UnshareApp.schema(), location="query")
    @routes.response(204)
    def unshare_running(query: UnshareApp, org: str, server_name: str) -> flask.Response:
        """Let a user, or nobody but the caller, visit an app of the caller's any more."""
        app = own_app(query.user_name, org, server_name)
        with context.write():
            context.audit(application=app.options.app_id, not_shared_with=query.user or "anybody")
        sharing().unshare(app, query.user)
        return context.nothing()

    @routes.operation("applications.running.visitor", "GET", "/running-apps/<server_name>/visitor", who=MEMBER)
    @routes.arguments(FindVisitor.schema(), location="query")
    @routes.response(200, AppVisitor.schema())
    def read_visitor(query: FindVisitor, org: str, server_name: str) -> flask.Response:
        """Tell an app of the caller's about somebody who visits it: its owner, or a member it is shared with."""
        app = own_app(None, org, server_name)
        return context.answer(sharing().visitor(app, members(org), query.user))

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

    @routes.operation("applications.running.note", "PUT", "/running-apps/<server_name>/state", who=MEMBER)
    @routes.arguments(NoteAppState.schema())
    @routes.response(204)
    def note_state(state: NoteAppState, org: str, server_name: str) -> flask.Response:
        """Take what the proxy of an app of the caller's tells of it; one that has ended is stopped at the hub."""
        app = own_app(None, org, server_name)
        with context.write() as session:
            context.audit(application=app.options.app_id, state=state.state)
            app_states.note(session, context.member().organization_id, context.caller().id, app, state)
        if state.state == RunningAppStatusEnum.Ended.value:
            if runs is not None:
                runs.note(app)
            apps.stop(app)
        return context.nothing()

    def ended_record(server_name: str) -> RunningApp:
        """An app of the caller's that has ended by itself."""
        caller, organization_id = context.caller(), context.member().organization_id
        with context.read() as session:
            record = app_states.ended(session, organization_id, caller.id, caller.user_name, server_name, context.now())
        if record is None:
            raise running.none_runs(server_name, caller.user_name)
        return record

    def record_of_another(app: Running) -> RunningApp:
        """An app of another user, as it goes out."""
        with context.read() as session:
            return app.record(status=app_states.states_of(session, [app]).get(app.key))

    def own_app(user_name: str | None, org: str, server_name: str) -> Running:
        """An app of the caller's."""
        caller = context.caller().user_name
        if user_name not in (None, caller):
            raise context.forbidden(f"an app is shared by its owner alone, who is {user_name}; ask them")
        return apps.get(caller, org, server_name)

    def own_record(app: Running) -> RunningApp:
        """An app of the caller's, as it goes out."""
        shared = sharing().of_apps(app.server.user_name, [app], members(app.options.organization))
        with context.read() as session:
            states = app_states.states_of(session, [app])
        return app.record(shared[app.server.name], status=states.get(app.key))

    def sharing() -> AppShares:
        apps.require()
        assert shares is not None  # noqa: S101 - or there is no hub
        return shares

    def members(org: str) -> Members:
        known = sharing().members(org)
        if known is None:
            raise context.not_found(f"there is no organization {org!r} any more; check its short name")
        return known

    def require_admin() -> None:
        if not context.member().admin:
            raise context.forbidden("the apps of other users are for the organization's admins; ask one of them")

    return routes
