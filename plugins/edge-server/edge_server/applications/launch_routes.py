"""The addresses of launching: what a hub asks before it starts a server."""

from __future__ import annotations

import flask

from edge_applications.launch_plan import LaunchPlan, PlanLaunch
from edge_server.applications.launching import Launches
from edge_server.web.context import OwnContext
from edge_server.web.permissions import HUB
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
