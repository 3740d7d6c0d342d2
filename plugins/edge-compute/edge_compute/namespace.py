"""What hangs on the session as `compute`."""

from __future__ import annotations

from typing import Any

from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile
from edge_compute.names import is_profile_id
from edge_compute.wire import ComputeBackend, InstanceType
from edge_core.errors import BadEntry, NotFound
from edge_core.plugin import Namespace


class EdgeCompute(Namespace):
    """Machines for applications: `EdgeSession.compute`.

    Members see instance types and app profiles; admins of the organization make profiles, and
    placeholders that keep machines running. Whether anything is started at all is the business of
    the server's compute backend, which `get_backend` describes: the one that comes with the server
    only checks that its catalogue has what is asked for, and starts nothing.
    """

    namespace = "compute"
    plugin_api = 1

    def get_backend(self) -> dict[str, Any]:
        """What gives machines on this server: `name`, `starts_machines`, and a sentence as `note`."""
        return ComputeBackend.from_answer(self.http.get("/backend")).to_dict()

    # --- instance types

    def list_instance_types(self) -> list[dict[str, Any]]:
        """The kinds of machines there are, by name.

        Each has `instance_name`, `cpu` (processors), `gpu` (graphics processors), `memory` (GB),
        `gpu_name`, `gpu_memory` (GB) and `title`.
        """
        return [InstanceType.from_answer(one).to_dict() for one in self.http.items("/instance-types")]

    def retrieve_instance_type(self, instance_name: str) -> dict[str, Any]:
        """One kind of machine.

        Raises:
            NotFound: there is none of that name.
        """
        path = _path("/instance-types", instance_name, "instance type", "list_instance_types()")
        return InstanceType.from_answer(self.http.get(path)).to_dict()

    # --- app profiles

    def list_app_profiles(self) -> list[AppProfile]:
        """The app profiles of the organization by id, and after them the built-in ones."""
        return list(self.http.items("/app-profiles", make=AppProfile.from_answer))

    def retrieve_app_profile(self, profile_id: str) -> AppProfile:
        """One app profile.

        Raises:
            NotFound: there is none of that id.
        """
        return self.http.get_record(AppProfile, _profile(profile_id))

    def create_app_profile(self, profile_id: str, data: AppProfile) -> AppProfile:
        """Make an app profile, and return it as the server has it.

        It is `Pending` until the compute backend has made it ready.

        Args:
            profile_id: its id; `data` has the same or none.
            data: what it is to be.

        Raises:
            AlreadyExists: the id is taken.
            BadEntry: a field is not valid, or the compute backend cannot serve it; the message names it.
            Forbidden: the user is no admin of the organization.
        """
        body = _sent(data, AppProfile)
        if body["profile_id"] not in ("", None, profile_id):
            raise BadEntry(f"profile_id: it is {profile_id!r} and in the data {data.profile_id!r}; give it once")
        return AppProfile.from_answer(self.http.post("/app-profiles", json={**body, "profile_id": profile_id}))

    def update_app_profile(self, profile_id: str, data: AppProfile) -> AppProfile:
        """Change an app profile to what was set on `data`, and return it as it is then.

        Raises:
            NotFound: there is none of that id.
            BadEntry: a field is not valid, or the compute backend cannot serve it; the message names it.
            Conflict: someone else changed it since `data` came from the server, or it is built in.
            Forbidden: the user is no admin of the organization.
        """
        _sent(data, AppProfile)
        return self.http.update_record(data, _profile(profile_id))

    def remove_app_profile(self, profile_id: str) -> None:
        """Remove an app profile.

        Raises:
            NotFound: there is none of that id.
            Conflict: a placeholder uses it, or it is built in.
            Forbidden: the user is no admin of the organization.
        """
        self.http.delete(_profile(profile_id))

    # --- placeholders

    def list_placeholders(self) -> list[AppPlaceholder]:
        """The organization's placeholders, by name."""
        return list(self.http.items("/placeholders", make=AppPlaceholder.from_answer))

    def retrieve_placeholder(self, placeholder_id: str) -> AppPlaceholder:
        """One placeholder, by its name or uid.

        Raises:
            NotFound: there is none.
        """
        return self.http.get_record(AppPlaceholder, _placeholder(placeholder_id))

    def create_placeholder(self, data: AppPlaceholder) -> AppPlaceholder:
        """Have machines of an app profile kept running, and return the placeholder as the server has it.

        Raises:
            AlreadyExists: the name is taken.
            BadEntry: a field is not valid, or there is no such profile; the message names it.
            Forbidden: the user is no admin of the organization.
        """
        return AppPlaceholder.from_answer(self.http.post("/placeholders", json=_sent(data, AppPlaceholder)))

    def update_placeholder(self, placeholder_id: str, data: AppPlaceholder) -> AppPlaceholder:
        """Change a placeholder to what was set on `data`, and return it as it is then.

        Raises:
            NotFound: there is none of that name or uid.
            AlreadyExists: its new name is taken.
            BadEntry: a field is not valid, or there is no such profile; the message names it.
            Conflict: someone else changed it since `data` came from the server.
            Forbidden: the user is no admin of the organization.
        """
        _sent(data, AppPlaceholder)
        return self.http.update_record(data, _placeholder(placeholder_id))

    def remove_placeholder(self, placeholder_id: str) -> None:
        """Remove a placeholder, by its name or uid.

        Raises:
            NotFound: there is none.
            Forbidden: the user is no admin of the organization.
        """
        self.http.delete(_placeholder(placeholder_id))


def _path(group: str, name: str, what: str, hint: str) -> str:
    """The address of a thing; a name that none can have is not sent, as it could be another address."""
    if not is_profile_id(name):
        raise NotFound(f"there is no {what} {name!r}; {hint} shows those there are")
    return f"{group}/{name}"


def _profile(profile_id: str) -> str:
    return _path("/app-profiles", profile_id, "app profile", "list_app_profiles()")


def _placeholder(placeholder_id: str) -> str:
    return _path("/placeholders", placeholder_id, "placeholder", "list_placeholders()")


def _sent(record: Any, kind: type[Any]) -> dict[str, Any]:
    if not isinstance(record, kind):
        raise BadEntry(f"{record!r} is no {kind.__name__}; make one, as in {kind.__name__}(name=...)")
    sent: dict[str, Any] = record.to_dict()
    return sent
