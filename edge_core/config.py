"""Settings: from arguments, environment and profile file to one frozen `Settings`.

Each value is taken from the first place that gives it: the argument, the environment, the profile
file. With everything given by arguments and environment, no file is read.

In a server that a JupyterHub has started, the hub's variables may be all there is: its token in
``JUPYTERHUB_API_TOKEN``, and its address in ``JUPYTERHUB_PUBLIC_HUB_URL``, where the service is. The organization is
then asked for at the first call, if the user is in a single one.
"""

import os
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from edge_core.errors import ConfigurationError

if TYPE_CHECKING:
    from configparser import ConfigParser, SectionProxy

ENVIRONMENT = {
    "api_token": ("EDGE_API_TOKEN", "JUPYTERHUB_API_TOKEN"),
    "service_url": ("EDGE_API_SERVICE_URL",),
    "organization": ("EDGE_API_ORG",),
}
"""Setting -> the environment variables that give it, the first one set wins."""

HUB_TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105
"""The variable with the token of a server that a JupyterHub has started."""

HUB_URL = "JUPYTERHUB_PUBLIC_HUB_URL"
"""The variable with the public address of the hub; empty where its operator has not set `public_url`."""

_OF_A_HUB = "/services/api"

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
LONGEST_TIMEOUT = 86_400
"""Seconds. There is always a limit, since a call without one can hang for ever."""

RETRIES = 2


class Settings(NamedTuple):
    """What a session runs with; it never changes.

    Attributes:
        api_token: the token; it never shows in `repr`.
        service_url: address of the service, without a trailing slash.
        organization: short name of the organization; empty where the service is asked for it at the first call.
        timeout: seconds to connect, and seconds between bytes.
        retries: how many times a failed call is tried again.
        ca_bundle: path of a file of CA certificates, or None for the usual ones.
        user_agent: text put before this library's own in the ``User-Agent`` header.
    """

    api_token: str
    service_url: str
    organization: str
    timeout: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT)
    retries: int = RETRIES
    ca_bundle: str | None = None
    user_agent: str | None = None

    def __repr__(self) -> str:
        return f"Settings(service_url={self.service_url!r}, organization={self.organization!r}, api_token=***)"


def resolve(
    *,
    api_token: str | None,
    service_url: str | None,
    organization: str | None,
    profile: str | None,
    timeout: float | tuple[float, float] | None,
    retries: int | None,
    ca_bundle: str | os.PathLike[str] | None,
    user_agent: str | None,
) -> Settings:
    """The settings of a new session.

    Raises:
        ConfigurationError: values are missing (all of them are listed) or cannot be right.
    """
    arguments = {"api_token": api_token, "service_url": service_url, "organization": organization}
    values = {name: _text(name, value) or _from_environment(name) for name, value in arguments.items()}
    at_hub = _is_hub_token(arguments["api_token"])
    if at_hub and profile is None:
        values["service_url"] = values["service_url"] or _hub_service_url()
    note = ""
    if not all(values.values()):
        note = _fill_from_hooks(values, profile)
    if profile is not None or not all(values.values()):
        ambient = {name for name, value in values.items() if value and not arguments[name]}
        note += _fill_from_profile(values, profile, ambient, at_hub=at_hub)
    missing = [name for name, value in values.items() if not value and not (at_hub and name == "organization")]
    if missing:
        note += _hub_note() if at_hub else ""
        ways = "; ".join(f"{name} (argument {name}= or {' or '.join(ENVIRONMENT[name])})" for name in missing)
        raise ConfigurationError(f"missing settings: {ways}; a profile in {config_path()} can give them as well{note}")
    return Settings(
        api_token=checked_token(values["api_token"] or ""),
        service_url=checked_url(values["service_url"] or ""),
        organization=checked_organization(values["organization"]) if values["organization"] else "",
        timeout=_checked_timeout(timeout),
        retries=_checked_retries(retries),
        ca_bundle=_checked_bundle(ca_bundle),
        user_agent=_checked_agent(user_agent),
    )


def config_path() -> str:
    """Where the profile file is: ``EDGE_CONFIG_FILE``, else ``~/.edge/config.ini``."""
    return os.environ.get("EDGE_CONFIG_FILE") or os.path.join(os.path.expanduser("~"), ".edge", "config.ini")


def command_line(profile: str | None, words: str) -> str:
    """What to type for a command with a profile, for a sentence.

    Args:
        profile: name of the profile; None or "default" needs no option.
        words: what comes after `edge` and its options.
    """
    import shlex

    return f"edge {words}" if profile in (None, "default") else f"edge --profile {shlex.quote(profile or '')} {words}"


def read_profile(name: str) -> dict[str, str]:
    """The settings that a profile of the profile file has, whatever the environment says; empty without such a profile.

    Raises:
        ConfigurationError: the file cannot be read, or others can read it.
    """
    parser = _read_config()
    if parser is None or not parser.has_section(name):
        return {}
    return {key: value.strip() for key, value in parser[name].items()}


def token_variables() -> list[str]:
    """The environment variables that are set and come before the token of any profile."""
    return [variable for variable in ENVIRONMENT["api_token"] if os.environ.get(variable, "").strip()]


def plugin_choices() -> dict[str, str]:
    """The ``[plugins]`` section of the profile file: attribute -> distribution that shall give it."""
    parser = _read_config()
    return dict(parser["plugins"]) if parser is not None and parser.has_section("plugins") else {}


def _read_config() -> "ConfigParser | None":
    import configparser

    path = config_path()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        # Editors of Windows begin UTF-8 text with a byte order mark.
        with open(path, encoding="utf-8-sig") as file:
            _refuse_shared(path, os.fstat(file.fileno()).st_mode)
            parser.read_file(file)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); fix or remove it") from None
    except configparser.Error:
        # The parser's own message quotes the line, which may hold the token.
        raise ConfigurationError(
            f"{path} is not a valid INI file; it needs lines such as [default] and name = value"
        ) from None
    return parser


def _refuse_shared(path: str, mode: int) -> None:
    if os.name == "posix" and mode & 0o077:
        raise ConfigurationError(f"{path} may hold a token but other users can read it; run: chmod 600 {path}")


def _is_hub_token(argument: str | None) -> bool:
    """Whether the token is that of a server that a JupyterHub has started."""
    return (
        not argument
        and not os.environ.get("EDGE_API_TOKEN", "").strip()
        and bool(os.environ.get(HUB_TOKEN, "").strip())
    )


def _hub_service_url() -> str:
    """The service at the hub whose token this is; empty if the hub does not tell its address."""
    hub = os.environ.get(HUB_URL, "").strip().rstrip("/")
    return f"{hub.removesuffix('/hub')}{_OF_A_HUB}" if hub.endswith("/hub") else ""


def _hub_note() -> str:
    """What the operator of a hub has left out that does not tell its servers where the service is."""
    return (
        "; in a server of a JupyterHub its operator gives service_url to all servers, by c.JupyterHub.public_url or by "
        "c.Spawner.environment = {'EDGE_API_SERVICE_URL': 'https://HUB/services/api'} in jupyterhub_config.py"
    )


def _fill_from_hooks(values: dict[str, str | None], profile: str | None) -> str:
    """Fill what is missing from credential hooks, if any are installed; returns a remark for the error."""
    from edge_core.installed import is_installed

    if not is_installed("edge.hooks"):
        return ""
    from edge_core.hooks import Hooks

    missing = tuple(name for name, value in values.items() if not value)
    answer, remarks = Hooks().credentials(profile, missing)
    for name, value in answer.items():
        values[name] = _text(name, value)
    return f" ({'; '.join(remarks)})" if remarks else ""


def _fill_from_profile(
    values: dict[str, str | None], profile: str | None, ambient: set[str], *, at_hub: bool = False
) -> str:
    """Fill what is missing from the profile; returns a remark for the error, should one follow.

    Args:
        values: the settings so far.
        profile: name of the profile, if the caller named it.
        ambient: the settings that came from the environment, or from a credential hook.
        at_hub: whether the token is a hub's, which is no token for the service of a profile that nobody named.
    """
    parser = _read_config()
    name = profile or "default"
    if parser is None or not parser.has_section(name):
        if profile is not None:
            raise ConfigurationError(
                f"there is no profile [{profile}] in {config_path()}; make it by "
                f"`{command_line(profile, 'login SERVICE_URL')}`, or name another"
            )
        return ""
    section = parser[name]
    unknown = sorted(set(section) - set(values))
    if unknown:
        raise ConfigurationError(
            f"profile [{name}] in {config_path()} has no setting {unknown[0]!r}; it may hold {', '.join(values)}"
        )
    own_url = section.get("service_url", "").strip().rstrip("/")
    if profile is not None:
        _warn_of_overridden(section, values, ambient)
    if at_hub and profile is None and _is_of_another_service(section, own_url, values["service_url"]):
        return ""
    for key in ("service_url", "organization"):
        values[key] = values[key] or section.get(key, "").strip()
    if values["api_token"]:
        return ""
    # A token is sent to the service it was made for and to no other.
    if own_url and own_url == (values["service_url"] or "").rstrip("/"):
        values["api_token"] = section.get("api_token", "").strip()
        return ""
    return f" (profile [{name}] has a token, but for another service_url)" if section.get("api_token") else ""


def _is_of_another_service(section: "SectionProxy", own_url: str, service_url: str | None) -> bool:
    """Whether a profile is not for the service that a hub's token is for: for another, or with a token of its own."""
    return own_url != service_url.rstrip("/") if service_url and own_url else bool(section.get("api_token"))


def _warn_of_overridden(section: "SectionProxy", values: dict[str, str | None], ambient: set[str]) -> None:
    """Warn that a profile that was named has settings that the environment overrides."""
    overridden = [
        name
        for name in sorted(ambient)
        if section.get(name) and section[name].strip().rstrip("/") != (values[name] or "").rstrip("/")
    ]
    if overridden:
        variables = " and ".join(next((v for v in ENVIRONMENT[name] if os.environ.get(v)), name) for name in overridden)
        warnings.warn(
            f"profile [{section.name}] is used without its {', '.join(overridden)}, since {variables} of the "
            "environment come first; unset them to use the profile alone",
            stacklevel=_outside(),
        )


def _from_environment(name: str) -> str | None:
    for variable in ENVIRONMENT[name]:
        value = os.environ.get(variable, "").strip()
        if value:
            return value
    return None


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value.strip() if value else None
    raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")


def checked_token(token: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ConfigurationError("the API token has a space or a character no token has; copy it again")
    return token


def checked_url(url: str) -> str:
    """A service URL as settings hold it, without a trailing slash.

    Raises:
        ConfigurationError: it is none, or holds a user name or password.
    """
    problem = "use an address such as https://edge.example.com/services/api"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018  # reading it is the check
    except ValueError:
        raise ConfigurationError(f"the service URL is not valid; {problem}") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"the service URL holds a user name or password, which would show in logs; {problem}")
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ConfigurationError(f"the service URL {url!r} is not valid; {problem}")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"the service URL has a query or fragment, which no service has; {problem}")
    if parts.scheme == "http" and not _is_loopback(host):
        warnings.warn(
            f"the API token travels in clear to {host}, since the service URL begins with http://; use https://",
            stacklevel=_outside(),
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.endswith(".localhost") or bool(re.fullmatch(r"127(\.\d+){3}", host))


def _outside() -> int:
    """Stack level of the first caller outside this package, so that a warning names the user's line."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("edge_core"):
        frame = frame.f_back
        level += 1
    return level


def checked_organization(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigurationError(
            f"the organization {name!r} is not a short name; use the one in the browser's address, such as default"
        )
    return name


def _checked_timeout(timeout: float | tuple[float, float] | None) -> tuple[float, float]:
    if timeout is None:
        return (CONNECT_TIMEOUT, READ_TIMEOUT)
    pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    if len(pair) != 2 or not all(
        isinstance(seconds, (int, float)) and 0 < seconds <= LONGEST_TIMEOUT for seconds in pair
    ):
        raise ConfigurationError(
            f"timeout must be seconds, above 0 and up to {LONGEST_TIMEOUT}, or a pair (to connect, between bytes)"
        )
    connect, read = float(pair[0]), float(pair[1])
    return (connect, read) if isinstance(timeout, tuple) else (min(connect, CONNECT_TIMEOUT), read)


def _checked_retries(retries: int | None) -> int:
    if retries is None:
        return RETRIES
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise ConfigurationError("retries must be a whole number: how many times a failed call is tried again")
    return retries


def _checked_bundle(path: str | os.PathLike[str] | None) -> str | None:
    if path is None:
        return None
    path = os.fspath(path)
    if not os.path.exists(path):
        raise ConfigurationError(f"there is no CA bundle at {path}; give ca_bundle= the path of a PEM file")
    return path


def _checked_agent(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[\x20-\x7e]+", text):
        raise ConfigurationError("user_agent must be plain ASCII text on one line")
    return text
