"""What the proxies in front of apps tell of them: that one does not answer yet, and how one has ended by itself.

The hub takes an app for running as soon as its proxy answers, and has no word for how it ended.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import Session

from edge_applications.running_app import RunningApp, RunningAppStatusEnum
from edge_applications.wire import NoteAppState
from edge_server.applications.models import AppState
from edge_server.applications.running import Running
from edge_server.identity.models import User

KEPT = dt.timedelta(days=1)
"""How long it is told how an app has ended."""


def note(session: Session, organization_id: int, user_id: int, app: Running, state: NoteAppState) -> None:
    """Keep what the proxy of an app tells of it, in a writing transaction.

    Args:
        session: the transaction.
        organization_id: whose app it is.
        user_id: its user.
        app: the app.
        state: what is told.
    """
    own = (AppState.user_id == user_id, AppState.server_name == app.server.name)
    session.execute(sa.delete(AppState).where(*own))
    if app.server.started is None:
        return  # so that nobody could say which start it is of
    session.add(
        AppState(
            organization_id=organization_id,
            user_id=user_id,
            server_name=app.server.name,
            started_at=app.server.started,
            app_id=app.options.app_id,
            version=app.options.version,
            profile_id=app.options.profile,
            url=app.server.url,
            state=state.state,
            exit_code=state.exit_code,
            last_lines=state.last_lines,
        )
    )


def forget_earlier(session: Session, user_id: int, app: Running) -> None:
    """Forget what was told of earlier starts of an app."""
    own = (AppState.user_id == user_id, AppState.server_name == app.server.name)
    session.execute(sa.delete(AppState).where(*own, AppState.started_at != app.server.started))


def ended(
    session: Session, organization_id: int, user_id: int, user_name: str, server_name: str, now: dt.datetime
) -> RunningApp | None:
    """An app that has ended by itself a while ago, as its user is told of it; None if none has."""
    row = session.scalar(
        select(AppState)
        .where(AppState.user_id == user_id, AppState.server_name == server_name)
        .where(AppState.organization_id == organization_id, AppState.noted_at > now - KEPT)
        .where(AppState.state == RunningAppStatusEnum.Ended.value)
    )
    if row is None:
        return None
    return RunningApp.from_answer(
        {
            "server_name": server_name,
            "user_name": user_name,
            "app_id": row.app_id,
            "version": row.version,
            "status": row.state,
            "url": row.url,
            "profile_id": row.profile_id,
            "started_at": row.started_at.isoformat(),
            "exit_code": row.exit_code,
            "last_lines": row.last_lines,
        }
    )


def states_of(session: Session, apps: Collection[Running]) -> dict[str, RunningAppStatusEnum]:
    """What goes on with apps by the word of their proxies, by `Running.key`, where that differs from the hub's."""
    names = {app.server.user_name for app in apps}
    rows = select(User.user_name, AppState.server_name, AppState.started_at, AppState.state)
    rows = rows.join(User, User.id == AppState.user_id).where(User.user_name.in_(names))
    known = {(row.user_name, row.server_name, row.started_at): row.state for row in session.execute(rows)}
    states: dict[str, RunningAppStatusEnum] = {}
    for app in apps:
        server = app.server
        state = known.get((server.user_name, server.name, server.started))
        if state == RunningAppStatusEnum.Starting.value and app.status is RunningAppStatusEnum.Running:
            states[app.key] = RunningAppStatusEnum.Starting
        elif state == RunningAppStatusEnum.Ended.value:
            states[app.key] = RunningAppStatusEnum.Stopping
    return states
