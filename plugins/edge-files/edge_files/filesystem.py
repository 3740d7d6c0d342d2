"""`EdgeFileSystem`: the organization's files for fsspec, as ``edge://runs/plate-7.csv``."""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from typing import Any

from fsspec.config import apply_config
from fsspec.spec import AbstractFileSystem

from edge_core.session import EdgeSession
from edge_files.namespace import root_folder
from edge_vfs.filesystem import FolderFileSystem

SETTINGS = ("api_token", "service_url", "organization", "profile", "timeout", "retries", "ca_bundle", "user_agent")
"""Arguments of `EdgeSession` that are storage options as well."""

_GENERAL = frozenset(
    {
        "anon",  # with which pandas repeats a refused call, whatever the file system
        "asynchronous",
        "batch_size",
        "listings_expiry_time",
        "loop",
        "max_paths",
        "skip_instance_cache",
        "use_listings_cache",
    }
)
"""Options that fsspec itself and those who call it give to any file system."""

_sessions: weakref.WeakValueDictionary[str, EdgeSession] = weakref.WeakValueDictionary()
_sessions_lock = threading.Lock()


class _KeptBySettings(type(AbstractFileSystem)):  # type: ignore[misc]  # fsspec ships no types
    """Keeps file systems by what their settings resolve to at each call, and not by the arguments.

    fsspec returns the instance that it has for equal arguments. With the token from the environment or a profile, and
    none among the arguments, the second user of a process would act as the first.
    """

    def __call__(cls, *args: Any, **options: Any) -> Any:
        if args:
            raise TypeError(f"{cls.__name__} takes its options by name: {', '.join(SETTINGS)}, session")
        options = apply_config(cls, options)
        _refuse_chain(options)
        session = options.pop("session", None)
        arguments = {name: options.pop(name) for name in SETTINGS if options.get(name) is not None}
        if unknown := sorted(set(options) - _GENERAL - set(SETTINGS)):
            raise TypeError(f"edge:// has no option {unknown[0]!r}; it takes {', '.join(SETTINGS)} and session")
        if session is None:
            session = EdgeSession(**arguments)
            key = _key(session, arguments)
            with _sessions_lock:
                session = _sessions.setdefault(key, session)
        elif not isinstance(session, EdgeSession):
            raise TypeError(f"session= takes an EdgeSession, not {type(session).__name__}; leave it out for settings")
        elif arguments:
            raise TypeError(f"session= has settings of its own; leave out {', '.join(arguments)}")
        else:
            # Two sessions with the same settings may have other hooks; the caller's is kept alive by nobody else.
            key = _key(session, {"session": id(session)})
            options["skip_instance_cache"] = True
            _sessions[key] = session
        fs = super().__call__(settings_key=key, **options)
        fs.storage_options = {"session": fs.session}  # which has the settings, and hides the token
        return fs


class EdgeFileSystem(FolderFileSystem, metaclass=_KeptBySettings):
    """The files of an organization, by the interface of fsspec; ``fsspec.open("edge://...")`` makes one.

    ``edge://runs/plate-7.csv`` is the path in the session's organization, and no part of it names a host.

    Options are the arguments of `EdgeSession`: `profile`, `organization`, `service_url`, `api_token`, ...; what is left
    out comes from the environment or the profile, looked up at each call. Or `session` is an `EdgeSession` whose
    files are meant. Instances are shared only by calls with the same settings, the token included. A pickle carries the
    options that were given, with a token only if it was one of them; the JSON form never has a token.

    Raises:
        ConfigurationError: a setting is missing or cannot be right.
        TypeError: an option is not known.
    """

    protocol = "edge"
    cachable = True

    def __init__(self, *, settings_key: str, **options: Any) -> None:
        self.session = _sessions[settings_key]
        super().__init__(root_folder(self.session), **options)
        self._identity = settings_key

    @property
    def fsid(self) -> str:
        """Text that stands for the organization, whoever asks."""
        where = f"{self.session.config.service_url} {self.session.organization}"
        return f"edge_{hashlib.sha256(where.encode()).hexdigest()}"

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return what makes this file system again, without its token: that comes from where the result is used."""
        options = {name: value for name, value in self._arguments().items() if name != "api_token"}
        return {"cls": f"{type(self).__module__}:{type(self).__name__}", "protocol": "edge", "args": (), **options}

    def _key(self) -> Any:
        return self._identity

    def _arguments(self) -> dict[str, Any]:
        return {name: value for name, value in self.session.__getstate__().items() if value is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (type(self), self._arguments())

    def __repr__(self) -> str:
        settings = self.session.config
        return f"<{type(self).__name__} of {settings.organization!r} at {settings.service_url}>"


def _reopened(kind: type[EdgeFileSystem], arguments: dict[str, Any]) -> EdgeFileSystem:
    return kind(**arguments)


def _key(session: EdgeSession, arguments: dict[str, Any]) -> str:
    """Return a digest of what a session works with, and of which settings were arguments, which a pickle carries."""
    parts = [repr(tuple(session.config)), json.dumps(arguments, sort_keys=True, default=str)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _refuse_chain(options: dict[str, Any]) -> None:
    if "target_protocol" in options or "fo" in options:
        raise TypeError(
            "edge:// is the last address of a chain, as in zip://a.csv::edge://runs.zip; a name with '::' in it "
            "cannot be written as an address of fsspec: use fsspec.filesystem('edge').open(name)"
        )
