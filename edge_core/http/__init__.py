"""The way of a request: `HttpClient` sends it, a `ServiceClient` is what namespaces call."""

from edge_core.http.answers import Answer
from edge_core.http.client import Body, Call, HttpClient
from edge_core.http.environment import Route, route
from edge_core.http.service import ServiceClient

__all__ = ["HttpClient", "ServiceClient", "Answer", "Body", "Call", "Route", "route"]
