"""Writing a profile into the profile file, which the core only reads."""

from __future__ import annotations

import os
import re

from edge_core.config import checked_organization, checked_token, checked_url, config_path
from edge_core.errors import ConfigurationError
from edge_core.replacing import replacing


def save_profile(name: str, *, api_token: str, service_url: str, organization: str) -> str:
    """Write a profile in place of the one of that name, and return the path of the file.

    The rest of the file stays as it is, comments included. Only the user can read it afterwards.

    Raises:
        ConfigurationError: a value cannot be right, or the file cannot be read or written.
    """
    if not re.fullmatch(r"[^\[\]\s](?:[^\[\]\x00-\x1f\x7f]*[^\[\]\s])?", name) or name in ("plugins", "DEFAULT"):
        raise ConfigurationError(f"{name!r} is no name for a profile; use letters and digits")
    values = {
        "api_token": checked_token(api_token),
        "service_url": checked_url(service_url),
        "organization": checked_organization(organization),
    }
    path = os.path.realpath(config_path())
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        text = _with_section(_text_of(path), name, values)
        with replacing(path, mode=0o600) as file:
            file.write(text.encode())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be written ({error}); fix that and log in again") from None
    return path


def _text_of(path: str) -> str:
    try:
        # Editors of Windows begin UTF-8 text with a byte order mark.
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _with_section(text: str, name: str, values: dict[str, str]) -> str:
    """The text of an INI file with a section put in place of the one of that name, or at its end."""
    section = "".join([f"[{name}]\n", *(f"{key} = {value}\n" for key, value in values.items())])
    kept: list[str] = []
    is_replaced = inside = False
    for line in text.splitlines(keepends=True):
        header = re.match(r"\[(?P<name>.+)\]", line)
        if header is not None:
            inside = header["name"] == name
            if inside and not is_replaced:
                kept.append(section)
            is_replaced = is_replaced or inside
        if not inside or (header is None and line.lstrip().startswith(("#", ";"))) or (not line.strip() and inside):
            kept.append(line)
    before = "".join(kept)
    if is_replaced:
        return before
    return before + ("\n" if before and not before.endswith("\n") else "") + ("\n" if before else "") + section
