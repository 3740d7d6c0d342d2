"""The namespace `session.compute`."""

from __future__ import annotations

from typing import Any

from edge_compute.app_placeholder import AppPlaceholder
from edge_compute.app_profile import AppProfile
from edge_compute.names import is_profile_id
from edge_compute.wire import ComputeBackend, InstanceType, PlaceholderState
from edge_core.errors import BadEntry, NotFound
from edge_core.plugin import Namespace


class EdgeCompute(Namespace):
    """Machines for applications: `EdgeSession.compute`.

    Members see instance types and app profiles; admins of the organization create profiles, and
    placeholders that keep machines running. The server's compute backend decides whether machines
    are started; `get_backend` describes it. The built-in backend only checks profiles against its
    catalogue, and starts no machines.
    """

    namespace = "compute"
    plugin_api = 1

    def get_backend(self) -> dict[str, Any]:
        """The compute backend of the server: `name`, `starts_machines`, and a sentence as `note`."""
        return ComputeBackend.from_answer(self.http.get("/backend")).to_dict()

    # --- instance types

    def list_instance_types(self) -> list[dict[str, Any]]:
        """The instance types of the server, by name.

        Each has `instance_name`, `cpu` (processors), `gpu` (graphics processors), `memory` (GB),
        `gpu_name`, `gpu_memory` (GB) and `title`.
        """
        return [InstanceType.from_answer(row).to_dict() for row in self.http.items("/instance-types")]

    def retrieve_instance_type(self, instance_name: str) -> dict[str, Any]:
        """An instance type by its name, with the values that `list_instance_types` has.

        Args:
            instance_name: name of the instance type, such as ``t3.small``.

        Raises:
            NotFound: the instance type does not exist.
        """
        path = _path("/instance-types", instance_name, "instance type", "list_instance_types()")
        return InstanceType.from_answer(self.http.get(path)).to_dict()

    # --- app profiles

    def list_app_profiles(self) -> list[AppProfile]:
        """The app profiles of the organization by id, and after them the built-in ones."""
        return list(self.http.items("/app-profiles", make=AppProfile.from_answer))

    def retrieve_app_profile(self, profile_id: str) -> AppProfile:
        """An app profile by its id.

        Args:
            profile_id: id of the app profile.

        Raises:
            NotFound: the app profile does not exist.
        """
        return self.http.get_record(AppProfile, _profile(profile_id))

    def create_app_profile(self, profile_id: str, data: AppProfile) -> AppProfile:
        """Create an app profile, and return the server's record.

        It is `Pending` until the compute backend is ready to serve it.

        Args:
            profile_id: id of the profile; `data` has the same id or none.
            data: the profile.

        Raises:
            AlreadyExists: the id is taken.
            BadEntry: a field is not valid, or the compute backend cannot serve it; the message names it.
            Forbidden: the user is not an admin of the organization.
        """
        body = _sent(data, AppProfile)
        if body["profile_id"] not in ("", None, profile_id):
            raise BadEntry(f"profile_id: it is {profile_id!r} and in the data {data.profile_id!r}; give it once")
        return AppProfile.from_answer(self.http.post("/app-profiles", json={**body, "profile_id": profile_id}))

    def update_app_profile(self, profile_id: str, data: AppProfile) -> AppProfile:
        """Save the fields that were set on `data`, and return the app profile as it is then.

        Args:
            profile_id: id of the app profile.
            data: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the app profile does not exist.
            BadEntry: a field is not valid, or the compute backend cannot serve it; the message names it.
            Conflict: someone else changed it since `data` came from the server, or it is built in.
            Forbidden: the user is not an admin of the organization.
        """
        _sent(data, AppProfile)
        return self.http.update_record(data, _profile(profile_id))

    def remove_app_profile(self, profile_id: str) -> None:
        """Remove an app profile.

        Args:
            profile_id: id of the app profile.

        Raises:
            NotFound: the app profile does not exist.
            Conflict: a placeholder uses it, or it is built in.
            Forbidden: the user is not an admin of the organization.
        """
        self.http.delete(_profile(profile_id))

    # --- placeholders

    def list_placeholders(self) -> list[AppPlaceholder]:
        """The organization's placeholders, by name."""
        return list(self.http.items("/placeholders", make=AppPlaceholder.from_answer))

    def retrieve_placeholder(self, placeholder_id: str) -> AppPlaceholder:
        """A placeholder by its name or uid.

        Args:
            placeholder_id: name or uid of the placeholder.

        Raises:
            NotFound: the placeholder does not exist.
        """
        return self.http.get_record(AppPlaceholder, _placeholder(placeholder_id))

    def create_placeholder(self, data: AppPlaceholder) -> AppPlaceholder:
        """Keep machines of an app profile running, and return the server's record of the placeholder.

        Args:
            data: the record to add.

        Raises:
            AlreadyExists: the name is taken.
            BadEntry: a field is not valid, or the profile does not exist; the message names it.
            Forbidden: the user is not an admin of the organization.
        """
        return AppPlaceholder.from_answer(self.http.post("/placeholders", json=_sent(data, AppPlaceholder)))

    def update_placeholder(self, placeholder_id: str, data: AppPlaceholder) -> AppPlaceholder:
        """Save the fields that were set on `data`, and return the placeholder as it is then.

        Args:
            placeholder_id: name or uid of the placeholder.
            data: the changed record; one that was not read from the server updates unconditionally.

        Raises:
            NotFound: the placeholder does not exist.
            AlreadyExists: its new name is taken.
            BadEntry: a field is not valid, or the profile does not exist; the message names it.
            Conflict: someone else changed it since `data` came from the server.
            Forbidden: the user is not an admin of the organization.
        """
        _sent(data, AppPlaceholder)
        return self.http.update_record(data, _placeholder(placeholder_id))

    def remove_placeholder(self, placeholder_id: str) -> None:
        """Remove a placeholder, by its name or uid.

        Args:
            placeholder_id: name or uid of the placeholder.

        Raises:
            NotFound: the placeholder does not exist.
            Forbidden: the user is not an admin of the organization.
        """
        self.http.delete(_placeholder(placeholder_id))

    def list_placeholder_states(self) -> list[dict[str, Any]]:
        """What goes on with each of the organization's placeholders, by name.

        Each has `uid`, `name`, `quantity` (machines that are to be kept running), `ready` (how many are; None where
        nothing keeps them, or has not said so for three minutes) and `reported_at` (when that was said, a `datetime`
        in UTC).

        Raises:
            Forbidden: the user is not an admin of the organization.
        """
        return [state.to_dict() for state in self.http.items("/placeholder-states", make=PlaceholderState.from_answer)]


def _path(group: str, name: str, noun: str, listing: str) -> str:
    """The address of a row; an invalid name is not sent, since it could lead to another address."""
    if not is_profile_id(name):
        raise NotFound(f"there is no {noun} {name!r}; {listing} lists the existing ones")
    return f"{group}/{name}"


def _profile(profile_id: str) -> str:
    return _path("/app-profiles", profile_id, "app profile", "list_app_profiles()")


def _placeholder(placeholder_id: str) -> str:
    return _path("/placeholders", placeholder_id, "placeholder", "list_placeholders()")


def _sent(record: Any, kind: type[Any]) -> dict[str, Any]:
    if not isinstance(record, kind):
        raise BadEntry(f"{record!r} is not a record of {kind.__name__}; create one, as in {kind.__name__}(name=...)")
    sent: dict[str, Any] = record.to_dict()
    return sent
