"""Tells the hub when an application was visited, by which an idle one can be stopped."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping

import aiohttp

INTERVAL = 60.0
"""Seconds between two reports, at least."""

_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def report(
    environment: Mapping[str, str], last_activity: Callable[[], float | None], warn: Callable[[str], None]
) -> None:
    """Report the start, and from then on each minute in which there was activity; it does not end by itself.

    Args:
        environment: the variables that the hub has set.
        last_activity: time of the last visit, as `time.time` tells it; None before the first.
        warn: called with a sentence when the hub takes no report.
    """
    url, token = environment.get("JUPYTERHUB_ACTIVITY_URL"), environment["JUPYTERHUB_API_TOKEN"]
    if not url:
        await asyncio.Event().wait()
        return
    started = dt.datetime.now(dt.UTC).timestamp()
    reported = None
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}, timeout=_TIMEOUT) as client:
        while True:
            latest = last_activity() or started
            if latest != reported:
                failure = await _report(client, url, environment.get("JUPYTERHUB_SERVER_NAME", ""), latest)
                if failure is None:
                    reported = latest
                else:
                    warn(f"The hub has not taken a report of activity ({failure}); it is tried again.")
            await asyncio.sleep(INTERVAL)


async def _report(client: aiohttp.ClientSession, url: str, server: str, when: float) -> str | None:
    """Why a report was not taken; None if it was."""
    moment = dt.datetime.fromtimestamp(when, dt.UTC).isoformat().replace("+00:00", "Z")
    body = {"servers": {server: {"last_activity": moment}}, "last_activity": moment}
    try:
        async with client.post(url, json=body) as answer:
            return None if answer.ok else f"status {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__
