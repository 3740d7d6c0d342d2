"""The server's own log: as text or as lines of JSON, on standard error or in a file that may be moved away."""

from __future__ import annotations

import datetime as dt
import errno
import json
import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

import flask
import marshmallow
from marshmallow import fields, validate

from edge_server.base.configuration import Configuration
from edge_server.base.problems import CannotStart, request_id

SECTION = "log"

TEXT, JSON = "text", "json"

OWN = "edge_server"
"""The logger of everything here."""

FIELDS = "fields"
"""The attribute of a record that holds what its line of JSON has in addition."""


class LogSettings(marshmallow.Schema):
    """What the operator can set under [log]."""

    format = fields.String(
        load_default=TEXT,
        validate=validate.OneOf([TEXT, JSON], error='write "text" or "json"'),
        error_messages={"invalid": 'write "text" or "json"'},
    )
    file = fields.String(
        load_default=None, error_messages={"invalid": 'write the path of a file, such as "logs/server.log"'}
    )


class JSONFormatter(logging.Formatter):
    """A record as an object of JSON on a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": _shown(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
        }
        if flask.has_request_context():
            line["request_id"] = request_id()
        own = getattr(record, FIELDS, None)
        line |= {"message": record.getMessage()} if own is None else own
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def install(settings: Configuration) -> None:
    """Begin the server's own log as the operator has set it.

    Raises:
        CannotStart: the settings cannot be used, or the file cannot be written.
    """
    require_writable(settings)
    handler = _handler(file_of(settings))
    if section_of(settings)["format"] == JSON:
        handler.setFormatter(JSONFormatter())
        logging.getLogger().addHandler(handler)  # what libraries warn of is a line of JSON as well
    else:
        handler.setFormatter(_text_formatter())
    _begin(handler)


def require_writable(settings: Configuration) -> None:
    """See that the file of the log, if the operator has set one, can be written; nothing is made.

    Raises:
        CannotStart: it cannot.
    """
    path = file_of(settings)
    if path is None:
        return
    # What is missing on the way to it is made at a start.
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if nearest.is_dir() is (nearest == path):
        raise _cannot_be_written(path, os.strerror(errno.EISDIR if nearest == path else errno.ENOTDIR))
    if not os.access(nearest, os.W_OK if nearest == path else os.W_OK | os.X_OK):
        raise _cannot_be_written(path, os.strerror(errno.EACCES))


def show() -> None:
    """Show the server's own log on standard error, as text: for a command that somebody waits for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_text_formatter())
    _begin(handler)


def section_of(settings: Configuration) -> dict[str, Any]:
    """What the operator has set under [log].

    Raises:
        CannotStart: it cannot be used.
    """
    section: dict[str, Any] = settings.section(SECTION, LogSettings())
    return section


def file_of(settings: Configuration) -> Path | None:
    """The file of the log; None for standard error.

    Raises:
        CannotStart: the settings cannot be used.
    """
    file = section_of(settings)["file"]
    return None if file is None else settings.path.parent / file


def file_handler(path: Path) -> logging.Handler:
    """Writes to a file that may be moved away at any time: a new one is begun for the next line, by each process."""
    # Windows moves no file that is open.
    return logging.handlers.WatchedFileHandler(path) if os.name == "posix" else logging.FileHandler(path)


def json_formatter() -> logging.Formatter | None:
    """What makes lines of JSON, if the log has these."""
    formatters = [handler.formatter for handler in logging.getLogger(OWN).handlers]
    return next((formatter for formatter in formatters if isinstance(formatter, JSONFormatter)), None)


def _begin(handler: logging.Handler) -> None:
    # Where a line cannot be written, as the disk is full, logging would print all that it was to be made of on standard
    # error: for the access log that is every header of the request, with its token.
    logging.raiseExceptions = False
    own = logging.getLogger(OWN)
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    own.propagate = False


def _text_formatter() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)s %(message)s")


def _handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler(sys.stderr)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return file_handler(path)
    except OSError as error:
        raise _cannot_be_written(path, error.strerror) from None


def _cannot_be_written(path: Path, why: str | None) -> CannotStart:
    return CannotStart(f"[log] file: {path} cannot be written ({why}); name another one, or make it writable")


def _shown(seconds: float) -> str:
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
