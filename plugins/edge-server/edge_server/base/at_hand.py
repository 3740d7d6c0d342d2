"""The request at hand, what is kept for it, and the app that answers it: the objects behind Flask's proxies.

A proxy looks for its object anew at each use, which takes ten times as long as the use itself. What is done in every
request asks for the object once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import flask

request: Callable[[], flask.Request] = cast(Any, flask.request)._get_current_object
"""What `flask.request` stands for."""

kept: Callable[[], Any] = cast(Any, flask.g)._get_current_object
"""What `flask.g` stands for: attributes that last as long as the request."""

app: Callable[[], flask.Flask] = cast(Any, flask.current_app)._get_current_object
"""What `flask.current_app` stands for."""
