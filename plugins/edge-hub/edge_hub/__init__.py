"""Edge and JupyterHub: a hub's configuration, and what stands between a visitor and an application."""

from edge_hub.configuration import configure

__all__ = ["configure"]
