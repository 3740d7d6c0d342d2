"""Where the keys are: in the data folder, or in a directory of their own that several hosts share or have copies of."""

from __future__ import annotations

from pathlib import Path

import marshmallow

from edge_server.base.configuration import Configuration


class KeySettings(marshmallow.Schema):
    """What the operator can set under [keys]."""

    directory = marshmallow.fields.String(
        load_default="", error_messages={"invalid": 'write the path of a directory, such as "/etc/edge/keys"'}
    )


def folder_of(settings: Configuration, data: Path) -> Path:
    """The folder of the keys of the server with the data folder `data`; a relative one begins at the settings' file.

    Raises:
        CannotStart: the setting cannot be used.
    """
    directory: str = settings.section("keys", KeySettings())["directory"]
    return settings.path.parent / directory if directory else data
