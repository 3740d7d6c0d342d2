"""`RunningApp`: an application that was launched, for the user who launched it."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import time
from collections.abc import Collection, Iterator
from typing import ClassVar, Protocol

from edge_core.errors import EdgeError, NotFound
from edge_core.records import Record, field

PAUSE = 0.5
"""Seconds between two looks at an app that is starting, at first."""

LONGEST_PAUSE = 2.0

DEFAULT_TIMEOUT = 300.0
"""Seconds until an app runs, which may have to wait for a machine and for its image."""


class RunningAppStatusEnum(enum.Enum):
    """What goes on with an app."""

    Starting = "starting"
    Running = "running"
    """It can be visited: it has answered."""
    Stopping = "stopping"
    Ended = "ended"
    """It has ended by itself; `RunningApp.exit_code` and `last_lines` tell more."""


class Apps(Protocol):
    """Where running apps are looked up and stopped."""

    def find_running(self, server_name: str, user_name: str | None = None) -> RunningApp:
        """An app that runs or is starting."""
        ...

    def share_running(
        self, server_name: str, users: Collection[str] | None = None, user_name: str | None = None
    ) -> RunningApp:
        """Share an app."""
        ...

    def unshare_running(
        self, server_name: str, users: Collection[str] | None = None, user_name: str | None = None
    ) -> RunningApp:
        """End its sharing."""
        ...

    def stop_running(self, server_name: str, user_name: str | None = None) -> None:
        """Stop an app."""
        ...


class SharedWith(Record):
    """Who may visit an app beside its owner."""

    organization: bool = field(default=False, doc="Whether all members of the organization may.")
    users: list[str] = field(default_factory=list, doc="Names of the members who may, whatever the others may.")


class RunningApp(Record):
    """An application that runs for a user, or is starting or stopping.

    It tells what was so when it was launched or listed. `wait` and `progress` ask again.
    """

    _apps: ClassVar[Apps | None] = None

    server_name: str = field(doc="Name of the user's server at the hub, which runs it.")
    user_name: str = field(doc="Who launched it.")
    app_id: str = field(doc="The application.")
    version: str = field(doc="The version.")
    status: RunningAppStatusEnum = field(doc="What goes on with it.")
    url: str = field(doc="Where it is visited; a path if the server does not know the address of its hub for users.")
    profile_id: str | None = field(default=None, doc="The app profile it runs with; null for none.")
    started_at: dt.datetime | None = field(default=None, doc="When it was started; null until the hub says.")
    last_activity: dt.datetime | None = field(default=None, doc="When it was used last, as far as the hub knows.")

    shared_with: SharedWith | None = field(default=None, doc="Who may visit it beside; null for others than its owner.")

    exit_code: int | None = field(
        default=None, doc="How an app ended by itself; negative for the number of a signal. Null while it runs."
    )
    last_lines: list[str] | None = field(
        default=None, doc="What an app that has ended by itself wrote last, without secrets that are known as such."
    )

    def refresh(self) -> RunningApp:
        """Ask again what goes on with it, and return this object, which tells that from then on.

        Raises:
            NotFound: it has ended, or did not start; or it is not shared with you any more.
            EdgeError: it comes from no session.
        """
        return self._become(self._of().find_running(self.server_name, self.user_name))

    def progress(self, timeout: float | None = DEFAULT_TIMEOUT) -> Iterator[RunningAppStatusEnum]:
        """Its status, and then each that it changes to, until it runs.

        Args:
            timeout: seconds after which this gives up, while the app goes on; None for never.

        Raises:
            NotFound: it did not start, or has ended.
            EdgeError: the time is over.
        """
        until = None if timeout is None else time.monotonic() + timeout
        pause, shown = PAUSE, None
        while True:
            if self.status != shown:
                shown = self.status
                yield shown
            if shown is RunningAppStatusEnum.Running:
                return
            if shown is RunningAppStatusEnum.Ended:
                raise NotFound(self._how_it_ended())
            if until is not None and time.monotonic() + pause > until:
                raise EdgeError(
                    f"{self.app_id} does not run after {timeout:g} seconds; wait longer, or stop it and ask the hub's "
                    "operator"
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self.refresh()

    def wait(self, timeout: float | None = DEFAULT_TIMEOUT) -> RunningApp:
        """Wait until it runs, and return it.

        Args:
            timeout: seconds after which this gives up, while the app goes on; None for never.

        Raises:
            NotFound: it did not start, or has ended.
            EdgeError: the time is over.
        """
        for _ in self.progress(timeout):
            pass
        return self

    def stop(self) -> None:
        """Stop it; one that has ended already stays so. From then on its status is that it stops.

        Raises:
            Conflict: the hub does not stop it.
            Forbidden: it is another user's, and you are not an admin of the organization.
            EdgeError: it comes from no session.
        """
        with contextlib.suppress(NotFound):
            self._of().stop_running(self.server_name, self.user_name)
        self.status = RunningAppStatusEnum.Stopping

    def share(self, users: Collection[str] | None = None) -> RunningApp:
        """Let members of the organization visit it, and return this object; `shared_with` tells who may then.

        It stays shared when it is stopped and launched again, until `unshare`. It works with its owner's token, whoever
        visits it.

        Args:
            users: names of members, who are added to those it is shared with; None for all members, also those who
                come later.

        Raises:
            BadEntry: somebody is not in the organization.
            Forbidden: it is another user's.
            NotFound: it has ended.
            Conflict: the hub does not share it.
            EdgeError: it comes from no session.
        """
        return self._become(self._of().share_running(self.server_name, users, self.user_name))

    def unshare(self, users: Collection[str] | None = None) -> RunningApp:
        """Let nobody but its owner visit it, and return this object; visits end within 10 seconds.

        Args:
            users: names of those it is shared with no more; None for everybody. All members may go on as long as it is
                shared with the organization.

        Raises:
            Forbidden: it is another user's.
            NotFound: it has ended.
            EdgeError: it comes from no session.
        """
        return self._become(self._of().unshare_running(self.server_name, users, self.user_name))

    def _how_it_ended(self) -> str:
        how = "" if self.exit_code is None else f" with exit code {self.exit_code}"
        last = next((line.strip() for line in reversed(self.last_lines or ()) if line.strip()), "")
        wrote = f", and wrote last: {last}" if last else "; look at the hub's log for why"
        return f"{self.app_id} {self.version} has ended{how}{wrote}"

    def _become(self, now: RunningApp) -> RunningApp:
        self.__dict__.clear()
        self.__dict__.update(now.__dict__)
        return self

    def _of(self) -> Apps:
        if self._apps is None:
            raise EdgeError("this app was not listed by a session; get it from applications.list_running()")
        return self._apps
